/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The DMA engine: a transfer reads all there is to read into a buffer and then writes it. Through
 * mappings that is done at once; by message it goes on as the answers come.
 */

#include <errno.h>
#include <string.h>

#include "device.h"

#define MODE_FLAGS \
	(REFDEV_DMA_BY_MASK | REFDEV_DMA_FILL | REFDEV_DMA_SRC_BAR2 | REFDEV_DMA_DST_BAR2)

/* What a phase returns when answers have to come first. */
#define UNDER_WAY 1

bool
refdev_engine_is_busy(const struct refdev *dev)
{
	return dev->engine.phase != REFDEV_ENGINE_IDLE;
}

static uint32_t
how_of(const struct refdev_transfer *t)
{
	return t->mode & REFDEV_DMA_BY_MASK;
}

static uint32_t
smallest_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void
load_registers(struct refdev *dev)
{
	struct refdev_transfer *t = &dev->engine.transfer;
	uint32_t most = smallest_of(dev->client_max_data_xfer_size, dev->config.max_data_xfer_size);
	uint32_t chunk = (uint32_t)REFDEV_REG(dev, DMA_CHUNK);
	uint32_t window = (uint32_t)REFDEV_REG(dev, DMA_WINDOW);

	*t = (struct refdev_transfer){
		.src = REFDEV_REG(dev, DMA_SRC),
		.dst = REFDEV_REG(dev, DMA_DST),
		.pattern = REFDEV_REG(dev, DMA_PATTERN),
		.len = (uint32_t)REFDEV_REG(dev, DMA_LEN),
		.mode = (uint32_t)REFDEV_REG(dev, DMA_MODE),
		.chunk = chunk > 0 ? smallest_of(chunk, most) : most,
		.window = window > 0 ? smallest_of(window, REFDEV_DMA_MAX_WINDOW) : 1,
		.vector = (uint32_t)REFDEV_REG(dev, DMA_VECTOR),
	};
}

static int
check_transfer(const struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->engine.transfer;

	if (t->len == 0 || t->len > REFDEV_DMA_MAX_LEN || (t->mode & ~MODE_FLAGS) != 0)
		return -EINVAL;
	if (how_of(t) > REFDEV_DMA_BY_MMAP || t->vector > REFDEV_MSIX_VECTORS)
		return -EINVAL;
	return 0;
}

/* The transfer has ended; done bytes were written. */
static void
transfer_finish(struct refdev *dev, uint32_t done, int error)
{
	struct refdev_engine *engine = &dev->engine;

	engine->phase = REFDEV_ENGINE_IDLE;
	REFDEV_REG(dev, DMA_DONE) = done;
	REFDEV_REG(dev, DMA_ERRNO) = (uint64_t)-error;
	REFDEV_REG(dev, DMA_STATUS) = error != 0 ? REFDEV_DMA_STATUS_ERROR : REFDEV_DMA_STATUS_DONE;
	if (engine->transfer.vector > 0 && engine->transfer.vector <= REFDEV_MSIX_VECTORS)
		refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, engine->transfer.vector - 1);
}

static int
copy_bar2(struct refdev *dev, uint64_t offset, uint32_t len, bool write)
{
	uint8_t *buffer = dev->engine.buffer.bytes;

	if (offset > REFDEV_BAR2_SIZE || len > REFDEV_BAR2_SIZE - offset)
		return -EFAULT;
	if (write)
		memcpy(dev->bar2.bytes + offset, buffer, len);
	else
		memcpy(buffer, dev->bar2.bytes + offset, len);
	return 0;
}

static void
fill_buffer(struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->engine.transfer;
	uint8_t *buffer = dev->engine.buffer.bytes;

	for (uint32_t at = 0; at < t->len; at += sizeof(t->pattern))
		memcpy(buffer + at, &t->pattern,
			smallest_of(t->len - at, (uint32_t)sizeof(t->pattern)));
}

static int
begin_messages(struct refdev *dev, uint64_t addr, bool write)
{
	struct refdev_engine *engine = &dev->engine;
	int rc = refdev_dma_check(dev, addr, engine->transfer.len, write);

	if (rc != 0)
		return rc;
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	engine->asked = 0;
	engine->answered = 0;
	engine->phase = write ? REFDEV_ENGINE_WRITING : REFDEV_ENGINE_READING;
	return UNDER_WAY;
}

/* One of the two phases. Returns 0 when it is over, UNDER_WAY, or a negative errno. */
static int
access_client(struct refdev *dev, uint64_t addr, bool write, uint32_t *done)
{
	const struct refdev_transfer *t = &dev->engine.transfer;
	int rc;

	if (how_of(t) == REFDEV_DMA_BY_MESSAGE)
		return begin_messages(dev, addr, write);
	rc = refdev_dma_check(dev, addr, t->len, write);
	return rc != 0 ? rc : refdev_dma_copy(dev, addr, t->len, write, how_of(t), done);
}

static int
read_source(struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->engine.transfer;
	uint32_t done;

	if (t->mode & REFDEV_DMA_FILL) {
		fill_buffer(dev);
		return 0;
	}
	if (t->mode & REFDEV_DMA_SRC_BAR2)
		return copy_bar2(dev, t->src, t->len, false);
	return access_client(dev, t->src, false, &done);
}

static void
write_destination(struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->engine.transfer;
	uint32_t done = 0;
	int rc;

	if (t->mode & REFDEV_DMA_DST_BAR2) {
		rc = copy_bar2(dev, t->dst, t->len, true);
		done = rc == 0 ? t->len : 0;
	} else {
		rc = access_client(dev, t->dst, true, &done);
	}
	if (rc != UNDER_WAY)
		transfer_finish(dev, done, rc);
}

static int
open_buffer(struct refdev_engine *engine)
{
	if (engine->buffer.fd >= 0)
		return 0;
	return refdev_memory_open(&engine->buffer, "refdev-dma", REFDEV_DMA_MAX_LEN);
}

int
refdev_engine_start(struct refdev *dev)
{
	struct refdev_engine *engine = &dev->engine;
	int rc;

	if (refdev_engine_is_busy(dev))
		return -EBUSY;
	rc = open_buffer(engine);
	if (rc != 0)
		return rc;
	load_registers(dev);
	engine->error = 0;
	REFDEV_REG(dev, DMA_STATUS) = REFDEV_DMA_STATUS_BUSY;
	rc = check_transfer(dev);
	if (rc == 0)
		rc = read_source(dev);
	if (rc == 0)
		write_destination(dev);
	else if (rc != UNDER_WAY)
		transfer_finish(dev, 0, rc);
	return 0;
}

bool
refdev_engine_due(const struct refdev *dev, struct vfio_user_dma_region_access *access)
{
	const struct refdev_engine *engine = &dev->engine;
	const struct refdev_transfer *t = &engine->transfer;

	if (engine->phase == REFDEV_ENGINE_IDLE || engine->error != 0 || engine->asked >= t->len ||
		engine->in_flight >= t->window)
		return false;
	access->addr = engine->asked + (engine->phase == REFDEV_ENGINE_WRITING ? t->dst : t->src);
	access->count = smallest_of(t->chunk, t->len - engine->asked);
	return true;
}

uint32_t
refdev_engine_sent(struct refdev *dev, uint32_t count)
{
	struct refdev_engine *engine = &dev->engine;
	uint32_t offset = engine->asked;

	engine->asked += count;
	engine->in_flight++;
	return offset;
}

/* A failed transfer ends when nothing is under way any more. */
void
refdev_engine_answer(
	struct refdev *dev, uint32_t offset, uint32_t count, const uint8_t *data, int error)
{
	struct refdev_engine *engine = &dev->engine;
	bool writing = engine->phase == REFDEV_ENGINE_WRITING;

	engine->in_flight--;
	if (error == 0) {
		engine->answered += count;
		if (!writing)
			memcpy(engine->buffer.bytes + offset, data, count);
	} else if (engine->error == 0) {
		engine->error = error;
	}
	if (engine->error != 0 && engine->in_flight == 0)
		transfer_finish(dev, writing ? engine->answered : 0, engine->error);
	else if (engine->answered == engine->transfer.len && writing)
		transfer_finish(dev, engine->answered, 0);
	else if (engine->answered == engine->transfer.len)
		write_destination(dev);
}

void
refdev_engine_reset(struct refdev *dev)
{
	dev->engine.in_flight = 0;
	dev->engine.phase = REFDEV_ENGINE_IDLE;
}

void
refdev_engine_cancel(struct refdev *dev, int error)
{
	struct refdev_engine *engine = &dev->engine;
	bool writing = engine->phase == REFDEV_ENGINE_WRITING;

	engine->in_flight = 0;
	if (refdev_engine_is_busy(dev))
		transfer_finish(dev, writing ? engine->answered : 0, error);
}
