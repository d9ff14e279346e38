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
segment_copy(struct refdev *dev, const struct nvme_segment *segment)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(dev);
	const struct refdev_dma_range range = {
		.addr = segment->addr,
		.len = segment->len,
		.at = nvme->access.at,
		.write = nvme->access.write,
	};
	uint32_t done;
	int rc = refdev_dma_copy(dev, &nvme->buffer, &range, false, &done);

	if (rc == -EACCES || rc == -EINVAL)
		rc = refdev_dma_copy(dev, &nvme->buffer, &range, true, &done);
	return rc;
}

/* Whether the segment is done, or failed; else it goes on by messages. */
static bool
segment_start(struct refdev *dev, const struct nvme_segment *segment)
{
	struct nvme_access *access = access_of(dev);

	access->error = refdev_dma_check(dev, segment->addr, segment->len, access->write);
	if (access->error == 0)
		access->error = segment_copy(dev, segment);
	if (access->error != -EOPNOTSUPP || !dev->config.commands)
		return true;
	access->error = 0;
	access->by_message = true;
	access->asked = 0;
	access->answered = 0;
	return false;
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

bool
refdev_nvme_access_waits(const struct refdev *dev)
{
	return access_of(dev)->by_message;
}

bool
refdev_nvme_has_command(const struct refdev *dev)
{
	const struct nvme_access *access = access_of(dev);

	return access->by_message && access->error == 0 && access->in_flight < WINDOW &&
		access->asked < access->segments[access->current].len;
}

/* The tag of a command is where its data lies in the buffer. */
void
refdev_nvme_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct nvme_access *access = access_of(dev);
	const struct nvme_segment *segment = &access->segments[access->current];
	uint32_t most =
		nvme_smallest(dev->client_max_data_xfer_size, dev->config.max_data_xfer_size);
	uint32_t count = nvme_smallest(segment->len - access->asked, most > 0 ? most : 1);
	const struct refdev_command command = {
		.cmd = access->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.tag = access->at + access->asked,
		.addr = segment->addr + access->asked,
		.count = count,
	};

	refdev_command_put(dev, command, 0, refdev_nvme_of(dev)->buffer.bytes + command.tag,
		access->write ? count : 0, msg);
	access->asked += count;
	access->in_flight++;
}

int
refdev_nvme_answer(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer)
{
	struct nvme_access *access = access_of(dev);
	int rc = refdev_answer_check(dev, command, answer);

	if (rc == REFDEV_HANG_UP)
		return rc;
	access->in_flight--;
	access->answered += (uint32_t)command->count;
	if (rc != 0 && access->error == 0)
		access->error = rc;
	else if (rc == 0 && !access->write)
		memcpy(refdev_nvme_of(dev)->buffer.bytes + command->tag, answer->data,
			command->count);
	if (access->in_flight > 0 || (access->error == 0 && refdev_nvme_has_command(dev)))
		return 0;
	access->by_message = false;
	access->at += access->segments[access->current++].len;
	access_advance(dev);
	return 0;
}
