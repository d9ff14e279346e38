/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The DMA engine: a transfer reads all there is to read into a buffer and then writes it. Through
 * mappings that is done at once; by message it goes on as the answers come. And the commands of the
 * device to its client: the engine's, and raw ones.
 */

#include <errno.h>

#include "device.h"

#define MODE_FLAGS \
	(REFDEV_DMA_BY_MASK | REFDEV_DMA_FILL | REFDEV_DMA_SRC_BAR2 | REFDEV_DMA_DST_BAR2)

/* What a phase returns when answers have to come first. */
#define UNDER_WAY 1

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
	return rc != 0
		? rc
		: refdev_dma_copy(dev, &dev->engine.buffer, addr, t->len, write, how_of(t), done);
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

/* The message that is due, as address and bytes behind asked; false when there is none. */
static bool
engine_due(const struct refdev *dev, struct vfio_user_dma_region_access *access)
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

/* A message of count bytes from offset on was answered: data is what was read, error negative. A
 * failed transfer ends when nothing is under way any more. */
static void
engine_answer(struct refdev *dev, uint32_t offset, uint32_t count, const uint8_t *data, int error)
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

#define ACCESS_SIZE sizeof(struct vfio_user_dma_region_access)

static uint64_t
at_least_one(uint64_t n)
{
	return n > 0 ? n : 1;
}

int
refdev_engine_send_raw(struct refdev *dev, uint32_t cmd)
{
	struct refdev_outgoing *out = &dev->outgoing;

	if (cmd != VFIO_USER_DMA_READ && cmd != VFIO_USER_DMA_WRITE)
		return -EINVAL;
	if (REFDEV_REG(dev, RAW_LEN) > REFDEV_RAW_MAX_LEN)
		return -EINVAL;
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (out->raw_left > 0)
		return -EBUSY;
	out->raw_cmd = (uint16_t)cmd;
	out->raw_left = (uint32_t)at_least_one(REFDEV_REG(dev, RAW_TIMES));
	return 0;
}

bool
refdev_has_command(const struct refdev *dev)
{
	struct vfio_user_dma_region_access access;

	if (dev->engine.phase == REFDEV_ENGINE_IDLE && dev->outgoing.raw_left == 0)
		return false;
	if (dev->outgoing.nr == REFDEV_MAX_COMMANDS)
		return false;
	return dev->outgoing.raw_left > 0 || engine_due(dev, &access);
}

/* A free place in the table; there is one. */
static struct refdev_command *
take_place(struct refdev_outgoing *out)
{
	struct refdev_command *command;

	do {
		command = &out->commands[out->next_id % REFDEV_MAX_COMMANDS];
		command->id = command->owner == REFDEV_OWNER_NONE ? out->next_id : command->id;
		out->next_id++;
	} while (command->owner != REFDEV_OWNER_NONE);
	out->nr++;
	return command;
}

static void
free_place(struct refdev_outgoing *out, struct refdev_command *command)
{
	command->owner = REFDEV_OWNER_NONE;
	out->nr--;
}

/* Put a message together; data NULL: zeros. */
static void
put_message(struct vuc_loopback_msg *msg, const struct refdev_command *command, uint32_t flags,
	const uint8_t *data, size_t data_len)
{
	const struct vfio_user_dma_region_access access = {
		.addr = command->addr, .count = command->count};
	const struct vfio_user_header header = {
		.msg_id = command->id,
		.cmd = command->cmd,
		.msg_size = (uint32_t)(sizeof(header) + ACCESS_SIZE + data_len),
		.flags = flags,
	};
	uint8_t *at = msg->bytes;

	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), &access, sizeof(access));
	at += sizeof(header) + sizeof(access);
	if (data != NULL)
		memcpy(at, data, data_len);
	else
		memset(at, 0, data_len);
	msg->len = header.msg_size;
	msg->nr_fds = 0;
}

static void
next_raw(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct refdev_outgoing *out = &dev->outgoing;
	struct refdev_command *command = take_place(out);
	uint32_t flags = (uint32_t)REFDEV_REG(dev, RAW_FLAGS);
	size_t len = (size_t)REFDEV_REG(dev, RAW_LEN);

	command->owner = REFDEV_OWNER_RAW;
	command->cmd = out->raw_cmd;
	command->addr = REFDEV_REG(dev, RAW_ADDR);
	command->count = REFDEV_REG(dev, RAW_COUNT);
	if (len > REFDEV_RAW_MAX_LEN ||
		len > msg->size - sizeof(struct vfio_user_header) - ACCESS_SIZE)
		len = 0;
	put_message(msg, command, flags, NULL, len);
	out->raw_left--;
	REFDEV_REG(dev, RAW_SENT)++;
	if (flags & VFIO_USER_F_NO_REPLY)
		free_place(out, command);
}

static void
next_of_engine(struct refdev *dev, const struct vfio_user_dma_region_access *access,
	struct vuc_loopback_msg *msg)
{
	struct refdev_command *command = take_place(&dev->outgoing);
	bool write = dev->engine.phase == REFDEV_ENGINE_WRITING;

	command->owner = REFDEV_OWNER_ENGINE;
	command->cmd = write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ;
	command->addr = access->addr;
	command->count = access->count;
	command->offset = dev->engine.asked;
	dev->engine.asked += (uint32_t)access->count;
	dev->engine.in_flight++;
	put_message(msg, command, 0, dev->engine.buffer.bytes + command->offset,
		write ? (size_t)access->count : 0);
}

bool
refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct vfio_user_dma_region_access access;

	if (!refdev_has_command(dev) || msg->size < refdev_max_message(dev))
		return false;
	if (dev->outgoing.raw_left > 0) {
		next_raw(dev, msg);
		return true;
	}
	if (!engine_due(dev, &access))
		return false;
	next_of_engine(dev, &access, msg);
	return true;
}

bool
refdev_awaits_answers(const struct refdev *dev)
{
	return dev->outgoing.nr > 0;
}

static void
answer_raw(struct refdev *dev, const struct vfio_user_header *header,
	const struct vfio_user_dma_region_access *access, size_t data_len)
{
	REFDEV_REG(dev, RAW_ANSWERS)++;
	REFDEV_REG(dev, RAW_ANSWER_FLAGS) = header->flags;
	REFDEV_REG(dev, RAW_ANSWER_ERRNO) = header->error_no;
	REFDEV_REG(dev, RAW_ANSWER_COUNT) = access->count;
	REFDEV_REG(dev, RAW_ANSWER_LEN) = data_len;
}

/* Whether a good answer repeats what was asked and has the data. The specification gives the count
 * in the answer to a write 4 bytes: whoever keeps to that is understood, too. */
static bool
answer_fits(const struct refdev_command *command, const struct vfio_user_dma_region_access *got,
	size_t len)
{
	if (got->addr != command->addr || got->count != command->count)
		return false;
	if (command->cmd == VFIO_USER_DMA_READ)
		return len >= ACCESS_SIZE && len - ACCESS_SIZE == command->count;
	return len == ACCESS_SIZE || len == ACCESS_SIZE - sizeof(uint32_t);
}

/* An error without a number is one all the same. */
static int
error_of(const struct vfio_user_header *header)
{
	if ((header->flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	return header->error_no > 0 && header->error_no < 4096 ? -(int)header->error_no : -EIO;
}

static int
answer_engine(struct refdev *dev, const struct refdev_command *command,
	const struct vfio_user_header *header, const uint8_t *body, size_t len)
{
	struct vfio_user_dma_region_access got = {0};
	int error = error_of(header);

	memcpy(&got, body, len < sizeof(got) ? len : sizeof(got));
	if (error == 0 && !answer_fits(command, &got, len))
		return refdev_hang_up(dev,
			"answer to command %u, message %u, is not of %llu bytes at 0x%llx",
			command->cmd, command->id, (unsigned long long)command->count,
			(unsigned long long)command->addr);
	engine_answer(dev, command->offset, (uint32_t)command->count, body + sizeof(got), error);
	return 0;
}

int
refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg)
{
	const uint8_t *body = msg->bytes + sizeof(struct vfio_user_header);
	size_t len = msg->len - sizeof(struct vfio_user_header);
	struct vfio_user_dma_region_access got = {0};
	struct refdev_command command;
	struct refdev_command *place;
	struct vfio_user_header header;

	memcpy(&header, msg->bytes, sizeof(header));
	place = &dev->outgoing.commands[header.msg_id % REFDEV_MAX_COMMANDS];
	if (place->owner == REFDEV_OWNER_NONE || place->id != header.msg_id ||
		place->cmd != header.cmd || msg->nr_fds > 0)
		return refdev_hang_up(dev, "reply to command %u, message %u, that was not sent",
			header.cmd, header.msg_id);
	command = *place;
	free_place(&dev->outgoing, place);
	if (command.owner == REFDEV_OWNER_ENGINE)
		return answer_engine(dev, &command, &header, body, len);
	memcpy(&got, body, len < sizeof(got) ? len : sizeof(got));
	if (command.owner == REFDEV_OWNER_RAW)
		answer_raw(dev, &header, &got, len > sizeof(got) ? len - sizeof(got) : 0);
	return 0;
}

void
refdev_engine_reset(struct refdev *dev)
{
	struct refdev_outgoing *out = &dev->outgoing;

	dev->engine.in_flight = 0;
	dev->engine.phase = REFDEV_ENGINE_IDLE;
	out->raw_left = 0;
	for (unsigned int i = 0; i < REFDEV_MAX_COMMANDS; i++)
		if (out->commands[i].owner != REFDEV_OWNER_NONE)
			out->commands[i].owner = REFDEV_OWNER_GONE;
}

void
refdev_engine_release(struct refdev *dev)
{
	struct refdev_engine *engine = &dev->engine;
	bool writing = engine->phase == REFDEV_ENGINE_WRITING;

	memset(&dev->outgoing, 0, sizeof(dev->outgoing));
	engine->in_flight = 0;
	if (engine->phase != REFDEV_ENGINE_IDLE)
		transfer_finish(dev, writing ? engine->answered : 0, -ENOTCONN);
}
