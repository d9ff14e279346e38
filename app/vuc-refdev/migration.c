/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

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
	[STOP] =
		{
			[RUNNING] = RUNNING,
			[STOP_COPY] = STOP_COPY,
			[RESUMING] = RESUMING,
			[PRE_COPY] = RUNNING,
		},
	[RUNNING] =
		{
			[STOP] = STOP,
			[STOP_COPY] = STOP,
			[RESUMING] = STOP,
			[PRE_COPY] = PRE_COPY,
		},
	[STOP_COPY] =
		{
			[STOP] = STOP,
			[RUNNING] = STOP,
			[RESUMING] = STOP,
		},
	[RESUMING] =
		{
			[STOP] = STOP,
			[RUNNING] = STOP,
			[STOP_COPY] = STOP,
			[PRE_COPY] = STOP,
		},
	[PRE_COPY] =
		{
			[STOP] = RUNNING,
			[RUNNING] = RUNNING,
			[STOP_COPY] = STOP_COPY,
			[RESUMING] = RUNNING,
		},
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

bool
refdev_migration_is_stopped(const struct refdev *dev)
{
	return dev->migration.state != RUNNING && dev->migration.state != PRE_COPY;
}

static int
begin_save(struct refdev_migration *mig)
{
	mig->save = refdev_save_new();
	return mig->save != NULL ? 0 : -ENOMEM;
}

static int
begin_load(struct refdev_migration *mig)
{
	mig->load = refdev_load_new();
	return mig->load != NULL ? 0 : -ENOMEM;
}

/* What was loaded becomes the device's state; there is no valid state to go on with if it can't. */
static int
end_load(struct refdev *dev)
{
	struct refdev_migration *mig = &dev->migration;
	int rc = refdev_load_finish(mig->load, dev);

	end_transfer(mig);
	if (rc != 0)
		mig->state = ERROR;
	return rc;
}

/* A device that waits for its client can't stop at once: the client may try again. */
static int
stop_operation(struct refdev *dev)
{
	return refdev_engine_is_busy(dev) ? -EBUSY : 0;
}

/* What is done upon one arc; the state is still the old one. */
static int
do_arc(struct refdev *dev, state_t to)
{
	struct refdev_migration *mig = &dev->migration;

	switch (mig->state) {
	case STOP:
		if (to == STOP_COPY)
			return begin_save(mig);
		return to == RESUMING ? begin_load(mig) : 0;
	case RUNNING:
		return to == PRE_COPY ? begin_save(mig) : stop_operation(dev);
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
	done = refdev_save_read(
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
	return refdev_load_write(dev->migration.load, in->bytes + sizeof(wire), wire.size);
}
