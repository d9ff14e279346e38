/* SPDX-License-Identifier: BSD-3-Clause */

/* The commands of I/O queues (the NVM command set, section 6 of the specification). */

#include <errno.h>

#include "nvme.h"

#define FORCE_UNIT_ACCESS (1u << 30)
#define DEALLOCATE        (1u << 2) /* of Dataset Management */

static uint64_t
first_block(const struct nvme_command *cmd)
{
	return (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
}

static uint32_t
nr_blocks(const struct nvme_command *cmd)
{
	return (cmd->cdw12 & 0xffff) + 1;
}

static bool
has_blocks(const struct nvme_namespace *ns, uint64_t first, uint64_t blocks)
{
	return first <= ns->blocks && blocks <= ns->blocks - first;
}

static uint16_t
write_status(int rc)
{
	if (rc == 0)
		return NVME_SUCCESS;
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG ? NVME_CAPACITY_EXCEEDED
							      : NVME_WRITE_FAULT;
}

/* After a write: on stable storage, where that is asked for. */
static void
write_finish(struct refdev *dev, int rc)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(dev);
	bool through = (nvme->job.command.cdw12 & FORCE_UNIT_ACCESS) != 0;

	if (rc == 0 && (through || nvme->features.write_cache == 0))
		rc = refdev_nvme_storage_flush(&nvme->ns);
	refdev_nvme_job_complete(dev, write_status(rc));
}

/* The data is in the buffer. */
static void
write_data(struct refdev *dev, int error)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	const struct nvme_command *cmd = &nvme->job.command;
	uint32_t len = nr_blocks(cmd) << NVME_BLOCK_SHIFT;

	(void)error;
	nvme->statistics.writes++;
	nvme->statistics.bytes_written += len;
	write_finish(dev,
		refdev_nvme_storage_write(
			&nvme->ns, first_block(cmd), nvme->buffer.bytes + NVME_BUFFER_DATA, len));
}

static void
read_run(struct refdev *dev, const struct nvme_command *cmd, uint32_t len)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	nvme->statistics.reads++;
	nvme->statistics.bytes_read += len;
	if (refdev_nvme_storage_read(
		    &nvme->ns, first_block(cmd), nvme->buffer.bytes + NVME_BUFFER_DATA, len) != 0)
		refdev_nvme_job_complete(dev, NVME_READ_ERROR);
	else
		refdev_nvme_data_move(dev, len, true, NULL);
}

static void
read_or_write(struct refdev *dev, const struct nvme_command *cmd)
{
	uint32_t len = nr_blocks(cmd) << NVME_BLOCK_SHIFT;

	if (len > NVME_MAX_TRANSFER)
		refdev_nvme_job_complete(dev, NVME_INVALID_FIELD);
	else if (!has_blocks(&refdev_nvme_of(dev)->ns, first_block(cmd), nr_blocks(cmd)))
		refdev_nvme_job_complete(dev, NVME_LBA_OUT_OF_RANGE);
	else if (cmd->opcode == NVME_READ)
		read_run(dev, cmd, len);
	else
		refdev_nvme_data_move(dev, len, false, write_data);
}

static void
write_zeroes(struct refdev *dev, const struct nvme_command *cmd)
{
	const struct nvme_namespace *ns = &refdev_nvme_of(dev)->ns;

	if (!has_blocks(ns, first_block(cmd), nr_blocks(cmd)))
		refdev_nvme_job_complete(dev, NVME_LBA_OUT_OF_RANGE);
	else
		write_finish(dev, refdev_nvme_storage_zero(ns, first_block(cmd), nr_blocks(cmd)));
}

struct dataset_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t first;
};

static uint32_t
nr_ranges(const struct nvme_command *cmd)
{
	return (cmd->cdw10 & 0xff) + 1;
}

static struct dataset_range
range_at(const struct refdev_nvme *nvme, uint32_t i)
{
	struct dataset_range range;

	memcpy(&range, nvme->buffer.bytes + NVME_BUFFER_DATA + i * sizeof(range), sizeof(range));
	return range;
}

/* The ranges are in the buffer. Nothing is done unless all of them are right. */
static void
dataset_manage(struct refdev *dev, int error)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	const struct nvme_command *cmd = &nvme->job.command;
	int rc = 0;

	(void)error;
	for (uint32_t i = 0; i < nr_ranges(cmd); i++) {
		struct dataset_range range = range_at(nvme, i);

		if (!has_blocks(&nvme->ns, range.first, range.blocks)) {
			refdev_nvme_job_complete(dev, NVME_LBA_OUT_OF_RANGE);
			return;
		}
	}
	for (uint32_t i = 0; i < nr_ranges(cmd) && rc == 0 && (cmd->cdw11 & DEALLOCATE) != 0; i++) {
		struct dataset_range range = range_at(nvme, i);

		rc = refdev_nvme_storage_discard(&nvme->ns, range.first, range.blocks);
	}
	refdev_nvme_job_complete(dev, write_status(rc));
}

static void
flush(struct refdev *dev)
{
	int rc = refdev_nvme_storage_flush(&refdev_nvme_of(dev)->ns);

	refdev_nvme_job_complete(dev, rc == 0 ? NVME_SUCCESS : NVME_INTERNAL_ERROR);
}

void
refdev_nvme_io_run(struct refdev *dev, const struct nvme_command *cmd)
{
	if (cmd->nsid != 1 && !(cmd->nsid == NVME_NSID_ALL && cmd->opcode == NVME_FLUSH)) {
		refdev_nvme_job_complete(dev, NVME_INVALID_NAMESPACE);
		return;
	}
	switch (cmd->opcode) {
	case NVME_FLUSH:
		flush(dev);
		break;
	case NVME_READ:
	case NVME_WRITE:
		read_or_write(dev, cmd);
		break;
	case NVME_WRITE_ZEROES:
		write_zeroes(dev, cmd);
		break;
	case NVME_DATASET_MANAGEMENT:
		refdev_nvme_data_move(dev, nr_ranges(cmd) * (uint32_t)sizeof(struct dataset_range),
			false, dataset_manage);
		break;
	default:
		refdev_nvme_job_complete(dev, NVME_INVALID_OPCODE);
		break;
	}
}
