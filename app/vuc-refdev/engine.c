/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The DMA engine: it reads everything into a buffer and then writes it. Through mappings that is
 * done at once; by message it goes on when a transfer ends. And raw commands.
 */

#include <errno.h>

#include "reference.h"

#define MODE_FLAGS \
	(REFDEV_DMA_BY_MASK | REFDEV_DMA_FILL | REFDEV_DMA_SRC_BAR2 | REFDEV_DMA_DST_BAR2)

/* Returned when a transfer by message has begun. */
#define UNDER_WAY 1

static struct refdev_engine *
engine_of(const struct refdev *dev)
{
	return &refdev_reference_of(dev)->engine;
}

static void
load_registers(struct refdev *dev)
{
	uint32_t most = refdev_max_data(dev);
	uint32_t chunk = (uint32_t)REFDEV_REG(dev, DMA_CHUNK);
	uint32_t window = (uint32_t)REFDEV_REG(dev, DMA_WINDOW);

	engine_of(dev)->job = (struct refdev_job){
		.src = REFDEV_REG(dev, DMA_SRC),
		.dst = REFDEV_REG(dev, DMA_DST),
		.pattern = REFDEV_REG(dev, DMA_PATTERN),
		.len = (uint32_t)REFDEV_REG(dev, DMA_LEN),
		.mode = (uint32_t)REFDEV_REG(dev, DMA_MODE),
		.chunk = chunk > 0 ? refdev_smaller(chunk, most) : most,
		.window = window > 0 ? refdev_smaller(window, REFDEV_DMA_MAX_WINDOW) : 1,
		.vector = (uint32_t)REFDEV_REG(dev, DMA_VECTOR),
	};
}

static bool
job_is_valid(const struct refdev_job *job)
{
	return job->len > 0 && job->len <= REFDEV_DMA_MAX_LEN && (job->mode & ~MODE_FLAGS) == 0 &&
		(job->mode & REFDEV_DMA_BY_MASK) <= REFDEV_DMA_BY_MMAP &&
		job->vector <= REFDEV_MSIX_VECTORS;
}

/* done bytes were written. */
static void
job_finish(struct refdev *dev, uint32_t done, int error)
{
	uint32_t vector = engine_of(dev)->job.vector;

	REFDEV_REG(dev, DMA_DONE) = done;
	REFDEV_REG(dev, DMA_ERRNO) = (uint64_t)-error;
	REFDEV_REG(dev, DMA_STATUS) = error != 0 ? REFDEV_DMA_STATUS_ERROR : REFDEV_DMA_STATUS_DONE;
	if (vector > 0 && vector <= REFDEV_MSIX_VECTORS)
		refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, vector - 1);
}

static int
copy_bar2(struct refdev *dev, uint64_t offset, uint32_t len, bool write)
{
	uint8_t *bar2 = dev->memory[VFIO_PCI_BAR2_REGION_INDEX].bytes;
	uint8_t *buffer = engine_of(dev)->buffer.bytes;

	if (offset > REFDEV_BAR2_SIZE || len > REFDEV_BAR2_SIZE - offset)
		return -EFAULT;
	memcpy(write ? bar2 + offset : buffer, write ? buffer : bar2 + offset, len);
	return 0;
}

static void
fill_buffer(struct refdev *dev)
{
	const struct refdev_job *job = &engine_of(dev)->job;
	uint8_t *buffer = engine_of(dev)->buffer.bytes;

	for (uint32_t at = 0; at < job->len; at += sizeof(job->pattern))
		memcpy(buffer + at, &job->pattern,
			refdev_smaller(job->len - at, sizeof(job->pattern)));
}

/* Returns 0, UNDER_WAY or a negative errno. */
static int
access_client(struct refdev *dev, uint64_t addr, bool write, uint32_t *done)
{
	const struct refdev_memory *buffer = &engine_of(dev)->buffer;
	const struct refdev_job *job = &engine_of(dev)->job;
	const struct refdev_dma_range range = {.addr = addr, .len = job->len, .write = write};
	uint32_t how = job->mode & REFDEV_DMA_BY_MASK;
	int rc = refdev_dma_check(dev, &range);

	if (rc != 0)
		return rc;
	if (how != REFDEV_DMA_BY_MESSAGE)
		return refdev_dma_copy(dev, buffer, &range, how == REFDEV_DMA_BY_MMAP, done);
	rc = refdev_transfer_start(dev, buffer, &range, job->chunk, job->window);
	return rc == 0 ? UNDER_WAY : rc;
}

static int
read_source(struct refdev *dev)
{
	const struct refdev_job *job = &engine_of(dev)->job;
	uint32_t done;

	if (!job_is_valid(job))
		return -EINVAL;
	if (job->mode & REFDEV_DMA_SRC_BAR2 && (job->mode & REFDEV_DMA_FILL) == 0)
		return copy_bar2(dev, job->src, job->len, false);
	if ((job->mode & REFDEV_DMA_FILL) == 0)
		return access_client(dev, job->src, false, &done);
	fill_buffer(dev);
	return 0;
}

static void
write_destination(struct refdev *dev)
{
	const struct refdev_job *job = &engine_of(dev)->job;
	uint32_t done = 0;
	int rc;

	if (job->mode & REFDEV_DMA_DST_BAR2) {
		rc = copy_bar2(dev, job->dst, job->len, true);
		done = rc == 0 ? job->len : 0;
	} else {
		rc = access_client(dev, job->dst, true, &done);
	}
	if (rc != UNDER_WAY)
		job_finish(dev, done, rc);
}

int
refdev_engine_start(struct refdev *dev)
{
	struct refdev_memory *buffer = &engine_of(dev)->buffer;
	int rc = 0;

	if (dev->transfer.active || refdev_is_stopped(dev))
		return -EBUSY;
	if (buffer->fd < 0)
		rc = refdev_memory_open(buffer, "refdev-dma", REFDEV_DMA_MAX_LEN);
	if (rc != 0)
		return rc;
	load_registers(dev);
	REFDEV_REG(dev, DMA_STATUS) = REFDEV_DMA_STATUS_BUSY;
	rc = read_source(dev);
	if (rc == 0)
		write_destination(dev);
	else if (rc != UNDER_WAY)
		job_finish(dev, 0, rc);
	return 0;
}

void
refdev_engine_transferred(struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->transfer;

	if (t->error == 0 && !t->range.write)
		write_destination(dev);
	else
		job_finish(dev, t->range.write ? t->answered : 0, t->error);
}

void
refdev_engine_release(struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->transfer;

	if (t->active)
		job_finish(dev, t->range.write ? t->answered : 0, -ENOTCONN);
}

/* ---- Raw commands ---- */

#define ACCESS_SIZE sizeof(struct vfio_user_dma_region_access)

int
refdev_engine_send_raw(struct refdev *dev, uint32_t cmd)
{
	uint32_t times = (uint32_t)REFDEV_REG(dev, RAW_TIMES);

	if (cmd != VFIO_USER_DMA_READ && cmd != VFIO_USER_DMA_WRITE)
		return -EINVAL;
	if (REFDEV_REG(dev, RAW_LEN) > REFDEV_RAW_MAX_LEN)
		return -EINVAL;
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (dev->outgoing.raw_left > 0)
		return -EBUSY;
	engine_of(dev)->raw_cmd = (uint16_t)cmd;
	dev->outgoing.raw_left = times > 0 ? times : 1;
	return 0;
}

void
refdev_engine_raw_next(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	const struct refdev_command command = {
		.raw = true,
		.cmd = engine_of(dev)->raw_cmd,
		.addr = REFDEV_REG(dev, RAW_ADDR),
		.count = REFDEV_REG(dev, RAW_COUNT),
	};
	size_t len = (size_t)REFDEV_REG(dev, RAW_LEN);

	if (len > REFDEV_RAW_MAX_LEN ||
		len > msg->size - sizeof(struct vfio_user_header) - ACCESS_SIZE)
		len = 0;
	refdev_command_put(dev, command, (uint32_t)REFDEV_REG(dev, RAW_FLAGS), NULL, len, msg);
	REFDEV_REG(dev, RAW_SENT)++;
}

void
refdev_engine_raw_answered(struct refdev *dev, const struct refdev_answer *answer)
{
	REFDEV_REG(dev, RAW_ANSWERS)++;
	REFDEV_REG(dev, RAW_ANSWER_FLAGS) = answer->header.flags;
	REFDEV_REG(dev, RAW_ANSWER_ERRNO) = answer->header.error_no;
	REFDEV_REG(dev, RAW_ANSWER_COUNT) = answer->access.count;
	REFDEV_REG(dev, RAW_ANSWER_LEN) = answer->len > ACCESS_SIZE ? answer->len - ACCESS_SIZE : 0;
}
