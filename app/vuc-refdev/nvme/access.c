/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses to the client's memory, by descriptors or by messages. */

#include <errno.h>

#include "nvme.h"

#define WINDOW 16u /* messages without an answer */

static struct nvme_access *
access_of(const struct refdev *dev)
{
	return &refdev_nvme_of(dev)->access;
}

/* By the descriptors of the mappings; -EOPNOTSUPP: there are none. Some can only be written by
 * mapping them, for that is what the client said, or what their file is. */
static int
range_copy(struct refdev *dev, const struct refdev_dma_range *range)
{
	const struct refdev_memory *buffer = &refdev_nvme_of(dev)->buffer;
	uint32_t done;
	int rc = refdev_dma_copy(dev, buffer, range, false, &done);

	if (rc == -EACCES || rc == -EINVAL)
		rc = refdev_dma_copy(dev, buffer, range, true, &done);
	return rc;
}

/* Whether the segment is done, or failed; else it goes on by messages. */
static bool
segment_start(struct refdev *dev, const struct nvme_segment *segment)
{
	struct nvme_access *access = access_of(dev);
	const struct refdev_dma_range range = {
		.addr = segment->addr,
		.len = segment->len,
		.at = access->at,
		.write = access->write,
	};
	uint32_t most = refdev_max_data(dev);
	int rc = refdev_dma_check(dev, &range);

	if (rc == 0)
		rc = range_copy(dev, &range);
	if (rc == -EOPNOTSUPP)
		rc = refdev_transfer_start(
			dev, &refdev_nvme_of(dev)->buffer, &range, most > 0 ? most : 1, WINDOW);
	access->error = rc;
	return !dev->transfer.active;
}

/* Go on as far as that needs no answers. */
static void
access_advance(struct refdev *dev)
{
	struct nvme_access *access = access_of(dev);

	while (access->current < access->nr && access->error == 0) {
		const struct nvme_segment *segment = &access->segments[access->current];

		if (!segment_start(dev, segment))
			return;
		access->at += segment->len;
		access->current++;
	}
}

void
refdev_nvme_access_start(
	struct refdev *dev, struct nvme_segment segment, uint32_t at, bool write, nvme_step *step)
{
	struct nvme_access *access = access_of(dev);

	*access = (struct nvme_access){.one = segment, .nr = 1, .at = at, .write = write};
	access->segments = &access->one;
	refdev_nvme_of(dev)->job.step = step;
	access_advance(dev);
}

void
refdev_nvme_access_segments(struct refdev *dev, uint32_t at, bool write, nvme_step *step)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;

	*access_of(dev) = (struct nvme_access){
		.segments = job->segments, .nr = job->nr_segments, .at = at, .write = write};
	job->step = step;
	access_advance(dev);
}

void
refdev_nvme_transferred(struct refdev *dev)
{
	struct nvme_access *access = access_of(dev);

	access->error = dev->transfer.error;
	access->at += access->segments[access->current++].len;
	access_advance(dev);
}
