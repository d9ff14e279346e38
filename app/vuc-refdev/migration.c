/* SPDX-License-Identifier: BSD-3-Clause */

/* Migration: the states of the device, and its inner state as a stream of bytes. */

#include <errno.h>
#include <stdlib.h>

#include "device.h"

/*
 * The stream: records one after another. The first has RECORD_BEGIN, the last RECORD_END, in
 * between pieces of the image, later ones over earlier ones.
 */
#define STREAM_MAGIC   0x4d637576u /* "vucM" in memory */
#define STREAM_VERSION 1u
#define RECORD_DATA    1024u

enum record_kind {
	RECORD_BEGIN = 1, /* offset: STREAM_VERSION, length: size of the image */
	RECORD_PIECE = 2, /* offset, length: where in the image; as many bytes follow */
	RECORD_END = 3,   /* 8 bytes follow: checksum of everything before them */
};

struct record {
	uint32_t magic;
	uint32_t kind;
	uint32_t offset;
	uint32_t length;
};

struct refdev_save {
	uint8_t *now;   /* the image as it was captured last */
	uint8_t *known; /* as the reader knows it */
	uint32_t size;  /* of the image */
	bool begun;
	bool all; /* the first round sends all pieces */
	bool ended;
	uint32_t next;                                      /* offset of the piece to look at */
	uint64_t sum;                                       /* of the stream so far */
	uint8_t bytes[sizeof(struct record) + RECORD_DATA]; /* a record */
	size_t len;                                         /* of the record */
	size_t taken;                                       /* of its bytes by the reader */
	_Alignas(uint64_t) uint8_t images[];                /* what now and known point to */
};

struct refdev_load {
	uint32_t size; /* of the image */
	uint64_t sum;
	bool begun;
	bool ended;
	bool broken;
	uint8_t bytes[sizeof(struct record) + RECORD_DATA]; /* a record */
	size_t len;                                         /* bytes of it that have come */
	_Alignas(uint64_t) uint8_t image[];
};

/* A checksum as it goes: FNV-1a of 64 bits. */
#define CHECKSUM_START 0xcbf29ce484222325ull

static uint64_t
checksum(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ at[i]) * 0x100000001b3ull;
	return sum;
}

/* A record of this kind, with len bytes of data behind it. */
static void
save_put(struct refdev_save *save, enum record_kind kind, uint32_t offset, size_t length,
	const void *data, size_t len)
{
	const struct record record = {STREAM_MAGIC, kind, offset, (uint32_t)length};

	memcpy(save->bytes, &record, sizeof(record));
	memcpy(save->bytes + sizeof(record), data, len);
	save->len = sizeof(record) + len;
	save->taken = 0;
	if (kind == RECORD_END) { /* whose data is the checksum of all before it */
		save->sum = checksum(save->sum, save->bytes, sizeof(record));
		memcpy(save->bytes + sizeof(record), &save->sum, sizeof(save->sum));
	} else {
		save->sum = checksum(save->sum, save->bytes, save->len);
	}
}

/* The next piece that the reader does not know as it is. */
static bool
put_piece(struct refdev_save *save)
{
	while (save->next < save->size) {
		uint32_t offset = save->next;
		uint32_t left = save->size - offset;
		uint32_t len = left < RECORD_DATA ? left : RECORD_DATA;

		save->next += len;
		if (!save->all && memcmp(save->now + offset, save->known + offset, len) == 0)
			continue;
		memcpy(save->known + offset, save->now + offset, len);
		save_put(save, RECORD_PIECE, offset, len, save->now + offset, len);
		return true;
	}
	return false;
}

/* Have a record that is not all taken. False at the end: of the round, or of the stream. */
static bool
next_record(struct refdev_save *save, bool final)
{
	if (save->taken < save->len)
		return true;
	if (save->ended)
		return false;
	if (!save->begun) {
		save->begun = true;
		save_put(save, RECORD_BEGIN, STREAM_VERSION, save->size, "", 0);
		return true;
	}
	if (put_piece(save))
		return true;
	save->next = 0;
	save->all = false;
	save->ended = final;
	if (final)
		save_put(save, RECORD_END, 0, sizeof(save->sum), &save->sum, sizeof(save->sum));
	return final;
}

/* A round looks at the device as it is at each read: what changes behind it is for the next. */
static size_t
save_read(
	struct refdev_save *save, const struct refdev *dev, bool final, uint8_t *data, size_t size)
{
	size_t done = 0;

	dev->model->capture(dev, save->now);
	while (done < size && next_record(save, final)) {
		size_t left = save->len - save->taken;
		size_t n = left < size - done ? left : size - done;

		memcpy(data + done, save->bytes + save->taken, n);
		save->taken += n;
		done += n;
	}
	return done;
}

/* Whether a record can stand where it does; what follows it fits the room for a record then. */
static bool
record_is_valid(const struct refdev_load *load, const struct record *record)
{
	const uint32_t size = load->size;

	if (record->magic != STREAM_MAGIC || load->ended)
		return false;
	switch (record->kind) {
	case RECORD_BEGIN:
		return !load->begun && record->offset == STREAM_VERSION && record->length == size;
	case RECORD_PIECE:
		return load->begun && record->length > 0 && record->length <= RECORD_DATA &&
			record->offset <= size && record->length <= size - record->offset;
	case RECORD_END:
		return load->begun && record->offset == 0 && record->length == sizeof(load->sum);
	default:
		return false;
	}
}

/* Bytes of a record with what follows it. */
static size_t
record_size(const struct record *record)
{
	return sizeof(*record) + (record->kind == RECORD_BEGIN ? 0 : record->length);
}

/* A record is whole. */
static int
take_record(struct refdev_load *load, const struct record *record)
{
	const uint8_t *data = load->bytes + sizeof(*record);
	uint64_t sum;

	switch (record->kind) {
	case RECORD_BEGIN:
		load->begun = true;
		break;
	case RECORD_PIECE:
		memcpy(load->image + record->offset, data, record->length);
		break;
	default:
		memcpy(&sum, data, sizeof(sum));
		load->ended = true;
		if (sum != checksum(load->sum, load->bytes, sizeof(*record)))
			return -EINVAL;
		break;
	}
	load->sum = checksum(load->sum, load->bytes, load->len);
	load->len = 0;
	return 0;
}

/* Take bytes until there are wanted of a record, as far as they go. Returns whether they are there.
 */
static bool
load_collect(struct refdev_load *load, size_t wanted, const uint8_t **data, size_t *size)
{
	size_t lacks = wanted > load->len ? wanted - load->len : 0;
	size_t n = lacks < *size ? lacks : *size;

	memcpy(load->bytes + load->len, *data, n);
	load->len += n;
	*data += n;
	*size -= n;
	return n == lacks;
}

/* Take bytes of the stream. Returns 0 or, once something was wrong, -EINVAL. */
static int
load_write(struct refdev_load *load, const uint8_t *data, size_t size)
{
	struct record record;

	while (size > 0 && !load->broken) {
		if (!load_collect(load, sizeof(record), &data, &size))
			break;
		memcpy(&record, load->bytes, sizeof(record));
		if (!record_is_valid(load, &record))
			load->broken = true;
		else if (load_collect(load, record_size(&record), &data, &size))
			load->broken = take_record(load, &record) != 0;
	}
	return load->broken ? -EINVAL : 0;
}

/* The stream is over: put what it said into the device. */
static int
load_finish(const struct refdev_load *load, struct refdev *dev)
{
	if (load->broken || !load->ended || load->len > 0)
		return -EINVAL;
	return dev->model->apply(dev, load->image);
}

#define ERROR     VFIO_USER_DEVICE_STATE_ERROR
#define STOP      VFIO_USER_DEVICE_STATE_STOP
#define RUNNING   VFIO_USER_DEVICE_STATE_RUNNING
#define STOP_COPY VFIO_USER_DEVICE_STATE_STOP_COPY
#define RESUMING  VFIO_USER_DEVICE_STATE_RESUMING
#define PRE_COPY  VFIO_USER_DEVICE_STATE_PRE_COPY

#define NR_STATES (PRE_COPY + 1)

typedef enum vfio_user_device_mig_state state_t;

/*
 * The first arc of the shortest way between two states on which no saving state lies in between;
 * ERROR where there is none.
 */
static const state_t first_arc[NR_STATES][NR_STATES] = {
	[STOP] = {[RUNNING] = RUNNING,
		[STOP_COPY] = STOP_COPY,
		[RESUMING] = RESUMING,
		[PRE_COPY] = RUNNING},
	[RUNNING] = {[STOP] = STOP, [STOP_COPY] = STOP, [RESUMING] = STOP, [PRE_COPY] = PRE_COPY},
	[STOP_COPY] = {[STOP] = STOP, [RUNNING] = STOP, [RESUMING] = STOP},
	[RESUMING] = {[STOP] = STOP, [RUNNING] = STOP, [STOP_COPY] = STOP, [PRE_COPY] = STOP},
	[PRE_COPY] = {[STOP] = RUNNING,
		[RUNNING] = RUNNING,
		[STOP_COPY] = STOP_COPY,
		[RESUMING] = RUNNING},
};

static void
end_transfer(struct refdev_migration *mig)
{
	free(mig->save);
	free(mig->load);
	mig->save = NULL;
	mig->load = NULL;
}

void
refdev_migration_reset(struct refdev *dev)
{
	end_transfer(&dev->migration);
	dev->migration.state = RUNNING;
}

void
refdev_migration_release(struct refdev *dev)
{
	struct refdev_migration *mig = &dev->migration;

	end_transfer(mig);
	if (mig->state == PRE_COPY)
		mig->state = RUNNING;
	else if (mig->state == STOP_COPY || mig->state == RESUMING)
		mig->state = STOP;
}

static int
begin_save(struct refdev *dev)
{
	size_t size = dev->model->image_size;
	struct refdev_save *save = calloc(1, sizeof(*save) + 2 * size);

	dev->migration.save = save;
	if (save == NULL)
		return -ENOMEM;
	save->now = save->images;
	save->known = save->images + size;
	save->size = (uint32_t)size;
	save->all = true;
	save->sum = CHECKSUM_START;
	return 0;
}

static int
begin_load(struct refdev *dev)
{
	size_t size = dev->model->image_size;
	struct refdev_load *load = calloc(1, sizeof(*load) + size);

	dev->migration.load = load;
	if (load == NULL)
		return -ENOMEM;
	load->size = (uint32_t)size;
	load->sum = CHECKSUM_START;
	return 0;
}

/* What was loaded becomes the device's state; there is no valid state to go on with if it can't. */
static int
end_load(struct refdev *dev)
{
	struct refdev_migration *mig = &dev->migration;
	int rc = load_finish(mig->load, dev);

	end_transfer(mig);
	if (rc != 0)
		mig->state = ERROR;
	return rc;
}

/* A device that waits for its client can't stop at once: the client may try again. */
static int
stop_operation(struct refdev *dev)
{
	return dev->transfer.active ? -EBUSY : 0;
}

/* What is done upon one arc; the state is still the old one. */
static int
do_arc(struct refdev *dev, state_t to)
{
	struct refdev_migration *mig = &dev->migration;

	switch (mig->state) {
	case STOP:
		if (to == STOP_COPY)
			return begin_save(dev);
		return to == RESUMING ? begin_load(dev) : 0;
	case RUNNING:
		return to == PRE_COPY ? begin_save(dev) : stop_operation(dev);
	case RESUMING:
		return end_load(dev);
	case PRE_COPY:
		if (to == STOP_COPY)
			return stop_operation(dev);
		end_transfer(mig);
		return 0;
	default:
		end_transfer(mig);
		return 0;
	}
}

static int
go_to(struct refdev *dev, state_t to)
{
	struct refdev_migration *mig = &dev->migration;

	while (mig->state != to) {
		state_t next = first_arc[mig->state][to];
		int rc = next != ERROR ? do_arc(dev, next) : -EINVAL;

		if (rc != 0)
			return rc;
		mig->state = next;
	}
	return 0;
}

int
refdev_migration_flags_get(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const struct vfio_user_device_feature_migration reply = {
		.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
	};

	(void)dev;
	return refdev_feature_reply(out, in, &reply, sizeof(reply));
}

int
refdev_migration_state_get(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const struct vfio_user_device_feature_mig_state reply = {
		.device_state = dev->migration.state,
	};

	return refdev_feature_reply(out, in, &reply, sizeof(reply));
}

int
refdev_migration_state_set(struct refdev *dev, uint8_t *data, size_t len)
{
	struct vfio_user_device_feature_mig_state set;

	if (len != sizeof(set))
		return -EINVAL;
	memcpy(&set, data, sizeof(set));
	if (set.device_state == ERROR || set.device_state >= NR_STATES)
		return -EINVAL;
	return go_to(dev, (state_t)set.device_state);
}

/* A shorter answer than asked for says that there is no more, so room for all is required. */
int
refdev_mig_data_read_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct refdev_save *save = dev->migration.save;
	struct vfio_user_mig_data wire;
	size_t done;

	memcpy(&wire, in->bytes, sizeof(wire));
	if (save == NULL || wire.size > dev->config.max_data_xfer_size ||
		wire.argsz < sizeof(wire) || wire.argsz - sizeof(wire) < wire.size)
		return -EINVAL;
	if (out->size < sizeof(wire) + wire.size)
		return -EMSGSIZE;
	done = save_read(
		save, dev, dev->migration.state == STOP_COPY, out->bytes + sizeof(wire), wire.size);
	wire.size = (uint32_t)done;
	wire.argsz = (uint32_t)(sizeof(wire) + done);
	memcpy(out->bytes, &wire, sizeof(wire));
	out->len = wire.argsz;
	return 0;
}

int
refdev_mig_data_write_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_mig_data wire;

	(void)out;
	memcpy(&wire, in->bytes, sizeof(wire));
	if (dev->migration.load == NULL || wire.size > dev->config.max_data_xfer_size ||
		in->len - sizeof(wire) != wire.size)
		return -EINVAL;
	return load_write(dev->migration.load, in->bytes + sizeof(wire), wire.size);
}
