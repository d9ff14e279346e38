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

#define MAX_RECORD (sizeof(struct record) + RECORD_DATA)

/* A round consists of the pieces that have changed since the last one; the first has all. */
struct refdev_save {
	uint32_t size;                     /* of the image */
	uint8_t *now;                      /* the image when the round began */
	uint8_t *known;                    /* the image as the reader knows it */
	uint8_t *round;                    /* its records */
	size_t len;                        /* of them */
	size_t taken;                      /* of them, by the reader */
	bool begun;                        /* there was a round */
	bool reading;                      /* the reader does not know yet that the round is over */
	bool ended;                        /* this is the last round */
	uint64_t sum;                      /* of the stream so far */
	_Alignas(uint64_t) uint8_t room[]; /* of now, known and round */
};

struct refdev_load {
	uint32_t size; /* of the image */
	uint64_t sum;
	bool begun;
	bool ended;
	bool broken;
	uint8_t bytes[MAX_RECORD];
	size_t len; /* bytes of a record that have come */
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

static void
round_append(struct refdev_save *save, const void *bytes, size_t len)
{
	memcpy(save->round + save->len, bytes, len);
	save->len += len;
	save->sum = checksum(save->sum, bytes, len);
}

static void
record_append(struct refdev_save *save, enum record_kind kind, uint32_t offset, uint32_t length)
{
	const struct record record = {STREAM_MAGIC, kind, offset, length};

	round_append(save, &record, sizeof(record));
}

static void
round_make(struct refdev_save *save, const struct refdev *dev, bool last)
{
	dev->model->capture(dev, save->now);
	save->len = 0;
	save->taken = 0;
	if (!save->begun)
		record_append(save, RECORD_BEGIN, STREAM_VERSION, save->size);
	for (uint32_t at = 0; at < save->size; at += RECORD_DATA) {
		uint32_t len = refdev_smaller(save->size - at, RECORD_DATA);

		if (save->begun && memcmp(save->now + at, save->known + at, len) == 0)
			continue;
		memcpy(save->known + at, save->now + at, len);
		record_append(save, RECORD_PIECE, at, len);
		round_append(save, save->known + at, len);
	}
	if (last) {
		record_append(save, RECORD_END, 0, sizeof(save->sum));
		round_append(save, &(uint64_t){save->sum}, sizeof(save->sum));
	}
	save->begun = true;
	save->ended = last;
}

/* Less than size at the end of a round or, if the device is stopped, of the stream: what is left of
 * a round is followed by the last one then. */
static size_t
save_read(struct refdev_save *save, const struct refdev *dev, uint8_t *data, size_t size)
{
	bool last = refdev_is_stopped(dev);
	size_t done = 0;

	while (done < size) {
		size_t left = save->len - save->taken;
		size_t n = left < size - done ? left : size - done;

		memcpy(data + done, save->round + save->taken, n);
		save->taken += n;
		done += n;
		if (done == size || save->ended)
			break;
		if (save->reading && !last) {
			save->reading = false;
			break;
		}
		round_make(save, dev, last);
		save->reading = true;
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

/* Take bytes of a record until it has as many as wanted. Returns whether it has. */
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
		else if (load_collect(load,
				 sizeof(record) + (record.kind == RECORD_BEGIN ? 0 : record.length),
				 &data, &size))
			load->broken = take_record(load, &record) != 0;
	}
	return load->broken ? -EINVAL : 0;
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
	size_t pieces = (size + RECORD_DATA - 1) / RECORD_DATA;
	/* With the records of the beginning and the end. */
	struct refdev_save *save = calloc(1, sizeof(*save) + 2 * size + (pieces + 2) * MAX_RECORD);

	dev->migration.save = save;
	if (save == NULL)
		return -ENOMEM;
	save->size = (uint32_t)size;
	save->now = save->room;
	save->known = save->now + size;
	save->round = save->known + size;
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

/* The stream becomes the device's state; there is no valid state to go on with if it can't. */
static int
end_load(struct refdev *dev)
{
	struct refdev_migration *mig = &dev->migration;
	const struct refdev_load *load = mig->load;
	int rc = -EINVAL;

	if (!load->broken && load->ended && load->len == 0)
		rc = dev->model->apply(dev, load->image);
	end_transfer(mig);
	if (rc != 0)
		mig->state = ERROR;
	return rc;
}

static int
end_save(struct refdev *dev)
{
	end_transfer(&dev->migration);
	return 0;
}

/* A device that waits for its client can't stop at once: the client may try again. */
static int
stop_operation(struct refdev *dev)
{
	return dev->transfer.active ? -EBUSY : 0;
}

/* What is done upon an arc, in its first state; NULL: nothing. */
static int (*const arcs[NR_STATES][NR_STATES])(struct refdev *dev) = {
	[STOP] = {[STOP_COPY] = begin_save, [RESUMING] = begin_load},
	[RUNNING] = {[PRE_COPY] = begin_save, [STOP] = stop_operation},
	[PRE_COPY] = {[STOP_COPY] = stop_operation, [RUNNING] = end_save},
	[STOP_COPY] = {[STOP] = end_save},
	[RESUMING] = {[STOP] = end_load},
};

static int
go_to(struct refdev *dev, state_t to)
{
	struct refdev_migration *mig = &dev->migration;

	while (mig->state != to) {
		state_t next = first_arc[mig->state][to];
		int rc = 0;

		if (next == ERROR)
			return -EINVAL;
		if (arcs[mig->state][next] != NULL)
			rc = arcs[mig->state][next](dev);
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
	done = save_read(save, dev, out->bytes + sizeof(wire), wire.size);
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
