/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The DMA engine: a transfer reads all there is to read into a buffer and then writes it. Through
 * mappings that is done at once; by message it goes on as the answers come. And raw commands.
 */

#include <errno.h>

#include "reference.h"

#define MODE_FLAGS \
	(REFDEV_DMA_BY_MASK | REFDEV_DMA_FILL | REFDEV_DMA_SRC_BAR2 | REFDEV_DMA_DST_BAR2)

/* What a phase returns when answers have to come first. */
#define UNDER_WAY 1

static struct refdev_engine *
engine_of(const struct refdev *dev)
{
	return &refdev_reference_of(dev)->engine;
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
	struct refdev_transfer *t = &engine_of(dev)->transfer;
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
	const struct refdev_transfer *t = &engine_of(dev)->transfer;

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
	struct refdev_engine *engine = engine_of(dev);

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
	uint8_t *buffer = engine_of(dev)->buffer.bytes;

	if (offset > REFDEV_BAR2_SIZE || len > REFDEV_BAR2_SIZE - offset)
		return -EFAULT;
	if (write)
		memcpy(refdev_reference_of(dev)->bar2.bytes + offset, buffer, len);
	else
		memcpy(buffer, refdev_reference_of(dev)->bar2.bytes + offset, len);
	return 0;
}

static void
fill_buffer(struct refdev *dev)
{
	const struct refdev_transfer *t = &engine_of(dev)->transfer;
	uint8_t *buffer = engine_of(dev)->buffer.bytes;

	for (uint32_t at = 0; at < t->len; at += sizeof(t->pattern))
		memcpy(buffer + at, &t->pattern,
			smallest_of(t->len - at, (uint32_t)sizeof(t->pattern)));
}

static int
begin_messages(struct refdev *dev, uint64_t addr, bool write)
{
	struct refdev_engine *engine = engine_of(dev);
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
	const struct refdev_transfer *t = &engine_of(dev)->transfer;
	const struct refdev_dma_range range = {.addr = addr, .len = t->len, .write = write};
	int rc;

	if (how_of(t) == REFDEV_DMA_BY_MESSAGE)
		return begin_messages(dev, addr, write);
	rc = refdev_dma_check(dev, addr, t->len, write);
	return rc != 0 ? rc
		       : refdev_dma_copy(dev, &engine_of(dev)->buffer, &range,
				 how_of(t) == REFDEV_DMA_BY_MMAP, done);
}

static int
read_source(struct refdev *dev)
{
	const struct refdev_transfer *t = &engine_of(dev)->transfer;
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
	const struct refdev_transfer *t = &engine_of(dev)->transfer;
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
	struct refdev_engine *engine = engine_of(dev);
	int rc;

	if (engine->phase != REFDEV_ENGINE_IDLE)
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

static bool
is_message_due(const struct refdev_engine *engine)
{
	return engine->phase != REFDEV_ENGINE_IDLE && engine->error == 0 &&
		engine->asked < engine->transfer.len && engine->in_flight < engine->transfer.window;
}

/* A message of count bytes from offset on was answered: data is what was read, error negative. A
 * failed transfer ends when nothing is under way any more. */
static void
transfer_answer(struct refdev *dev, uint32_t offset, uint32_t count, const uint8_t *data, int error)
{
	struct refdev_engine *engine = engine_of(dev);
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

/* The tag of raw commands, which lies behind the buffer. */
#define TAG_RAW UINT32_MAX

#define ACCESS_SIZE sizeof(struct vfio_user_dma_region_access)

static uint64_t
at_least_one(uint64_t n)
{
	return n > 0 ? n : 1;
}

int
refdev_engine_send_raw(struct refdev *dev, uint32_t cmd)
{
	struct refdev_engine *engine = engine_of(dev);

	if (cmd != VFIO_USER_DMA_READ && cmd != VFIO_USER_DMA_WRITE)
		return -EINVAL;
	if (REFDEV_REG(dev, RAW_LEN) > REFDEV_RAW_MAX_LEN)
		return -EINVAL;
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (engine->raw_left > 0)
		return -EBUSY;
	engine->raw_cmd = (uint16_t)cmd;
	engine->raw_left = (uint32_t)at_least_one(REFDEV_REG(dev, RAW_TIMES));
	return 0;
}

bool
refdev_engine_has_command(const struct refdev *dev)
{
	const struct refdev_engine *engine = engine_of(dev);

	return engine->raw_left > 0 || is_message_due(engine);
}

static void
next_raw(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct refdev_engine *engine = engine_of(dev);
	size_t len = (size_t)REFDEV_REG(dev, RAW_LEN);

	if (len > REFDEV_RAW_MAX_LEN ||
		len > msg->size - sizeof(struct vfio_user_header) - ACCESS_SIZE)
		len = 0;
	refdev_command_put(dev,
		(struct refdev_command){
			.cmd = engine->raw_cmd,
			.tag = TAG_RAW,
			.addr = REFDEV_REG(dev, RAW_ADDR),
			.count = REFDEV_REG(dev, RAW_COUNT),
		},
		(uint32_t)REFDEV_REG(dev, RAW_FLAGS), NULL, len, msg);
	engine->raw_left--;
	REFDEV_REG(dev, RAW_SENT)++;
}

/* The tag of a command is where its data lies in the buffer. */
static void
next_of_transfer(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct refdev_engine *engine = engine_of(dev);
	const struct refdev_transfer *t = &engine->transfer;
	bool write = engine->phase == REFDEV_ENGINE_WRITING;
	uint32_t count = smallest_of(t->chunk, t->len - engine->asked);
	const struct refdev_command command = {
		.cmd = write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.tag = engine->asked,
		.addr = engine->asked + (write ? t->dst : t->src),
		.count = count,
	};

	refdev_command_put(
		dev, command, 0, engine->buffer.bytes + command.tag, write ? count : 0, msg);
	engine->asked += count;
	engine->in_flight++;
}

void
refdev_engine_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	if (engine_of(dev)->raw_left > 0)
		next_raw(dev, msg);
	else
		next_of_transfer(dev, msg);
}

static void
answer_raw(struct refdev *dev, const struct refdev_answer *answer)
{
	REFDEV_REG(dev, RAW_ANSWERS)++;
	REFDEV_REG(dev, RAW_ANSWER_FLAGS) = answer->header.flags;
	REFDEV_REG(dev, RAW_ANSWER_ERRNO) = answer->header.error_no;
	REFDEV_REG(dev, RAW_ANSWER_COUNT) = answer->access.count;
	REFDEV_REG(dev, RAW_ANSWER_LEN) = answer->len > ACCESS_SIZE ? answer->len - ACCESS_SIZE : 0;
}

int
refdev_engine_answer(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer)
{
	int rc;

	if (command->tag == TAG_RAW) {
		answer_raw(dev, answer);
		return 0;
	}
	rc = refdev_answer_check(dev, command, answer);
	if (rc == REFDEV_HANG_UP)
		return rc;
	transfer_answer(dev, command->tag, (uint32_t)command->count, answer->data, rc);
	return 0;
}

void
refdev_engine_reset(struct refdev *dev)
{
	struct refdev_engine *engine = engine_of(dev);

	engine->in_flight = 0;
	engine->phase = REFDEV_ENGINE_IDLE;
	engine->raw_left = 0;
}

void
refdev_engine_release(struct refdev *dev)
{
	struct refdev_engine *engine = engine_of(dev);
	bool writing = engine->phase == REFDEV_ENGINE_WRITING;

	engine->raw_left = 0;
	engine->in_flight = 0;
	if (engine->phase != REFDEV_ENGINE_IDLE)
		transfer_finish(dev, writing ? engine->answered : 0, -ENOTCONN);
}
