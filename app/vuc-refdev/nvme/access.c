/* SPDX-License-Identifier: BSD-3-Clause */

/* The client's memory: accesses to it, and the PRPs that say where data lies in it. */

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

static uint32_t
smallest_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The tag of a command is where its data lies in the buffer. */
void
refdev_nvme_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct nvme_access *access = access_of(dev);
	const struct nvme_segment *segment = &access->segments[access->current];
	uint32_t most = smallest_of(dev->client_max_data_xfer_size, dev->config.max_data_xfer_size);
	uint32_t count = smallest_of(segment->len - access->asked, most > 0 ? most : 1);
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

static void
data_moved(struct refdev *dev, int error)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;

	if (error != 0)
		refdev_nvme_job_complete(dev, NVME_DATA_TRANSFER_ERROR);
	else if (job->moved != NULL)
		job->moved(dev, 0);
	else
		refdev_nvme_job_complete(dev, NVME_SUCCESS);
}

/* All segments are known. */
static void
segments_move(struct refdev *dev)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;

	*access_of(dev) = (struct nvme_access){
		.segments = job->segments,
		.nr = job->nr_segments,
		.at = NVME_BUFFER_DATA,
		.write = job->to_client,
	};
	job->step = data_moved;
	access_advance(dev);
}

static uint32_t
page_offset(uint64_t prp)
{
	return (uint32_t)(prp & (NVME_PAGE - 1));
}

/* The next bytes lie at an address, up to the end of its page. */
static void
segment_add(struct nvme_job *job, uint64_t addr)
{
	struct nvme_segment *last =
		job->nr_segments > 0 ? &job->segments[job->nr_segments - 1] : NULL;
	uint32_t len = smallest_of(job->left, NVME_PAGE - page_offset(addr));

	job->left -= len;
	if (last != NULL && last->addr + last->len == addr)
		last->len += len;
	else
		job->segments[job->nr_segments++] = (struct nvme_segment){addr, len};
}

static void list_taken(struct refdev *dev, int error);

/* Entries of the PRP list that lie in the page of an address. */
static uint32_t
list_entries(uint64_t list)
{
	return (NVME_PAGE - page_offset(list)) / (uint32_t)sizeof(uint64_t);
}

static void
list_read(struct refdev *dev, uint64_t list)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;
	uint32_t wanted = (job->left + NVME_PAGE - 1) / NVME_PAGE;

	job->list = list;
	refdev_nvme_access_start(dev,
		(struct nvme_segment){
			list, smallest_of(wanted, list_entries(list)) * (uint32_t)sizeof(list)},
		NVME_BUFFER_LIST, false, list_taken);
}

/* A page of the list has been read. Its last entry points to the next page if that does not
 * suffice. */
static void
list_taken(struct refdev *dev, int error)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;
	uint32_t nr = list_entries(job->list);
	uint64_t entry;

	if (error != 0) {
		refdev_nvme_job_complete(dev, NVME_DATA_TRANSFER_ERROR);
		return;
	}
	for (uint32_t i = 0; i < nr && job->left > 0; i++) {
		memcpy(&entry,
			refdev_nvme_of(dev)->buffer.bytes + NVME_BUFFER_LIST + i * sizeof(entry),
			sizeof(entry));
		if (page_offset(entry) != 0) {
			refdev_nvme_job_complete(dev, NVME_INVALID_PRP_OFFSET);
			return;
		}
		if (i == nr - 1 && job->left > NVME_PAGE) {
			list_read(dev, entry);
			return;
		}
		segment_add(job, entry);
	}
	segments_move(dev);
}

/* Section 4.3 of the specification. */
void
refdev_nvme_data_move(struct refdev *dev, uint32_t len, bool to_client, nvme_step *moved)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;
	uint64_t prp1 = job->command.prp[0], prp2 = job->command.prp[1];

	job->moved = moved;
	job->to_client = to_client;
	job->left = len;
	job->nr_segments = 0;
	if ((prp1 & 3) != 0) {
		refdev_nvme_job_complete(dev, NVME_INVALID_PRP_OFFSET);
		return;
	}
	segment_add(job, prp1);
	if (job->left == 0) {
		segments_move(dev);
	} else if (job->left > NVME_PAGE && (prp2 & 7) == 0) {
		list_read(dev, prp2);
	} else if (job->left <= NVME_PAGE && page_offset(prp2) == 0) {
		segment_add(job, prp2);
		segments_move(dev);
	} else {
		refdev_nvme_job_complete(dev, NVME_INVALID_PRP_OFFSET);
	}
}
