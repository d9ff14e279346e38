/* SPDX-License-Identifier: BSD-3-Clause */

/* Data of a command: the PRPs say where it lies in the client's memory. */

#include "nvme.h"

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
	refdev_nvme_access_segments(
		dev, NVME_BUFFER_DATA, refdev_nvme_of(dev)->job.to_client, data_moved);
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
	uint32_t len = refdev_smaller(job->left, NVME_PAGE - page_offset(addr));

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
			list, refdev_smaller(wanted, list_entries(list)) * (uint32_t)sizeof(list)},
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
