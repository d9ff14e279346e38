/* SPDX-License-Identifier: BSD-3-Clause */

/* What of migration a device supports, and the states that it goes through. */

#include <errno.h>

#include <vuc/migration.h>

#include "error.h"
#include "feature.h"
#include "feature_ask.h"

#define MAX_FEATURE_LEN                            \
	(sizeof(struct vfio_user_device_feature) + \
		sizeof(struct vfio_user_device_feature_mig_state))

VUC_EXPORT const char *
vuc_migration_state_name(enum vuc_migration_state state)
{
	switch (state) {
	case VUC_MIGRATION_ERROR:
		return "ERROR";
	case VUC_MIGRATION_STOP:
		return "STOP";
	case VUC_MIGRATION_RUNNING:
		return "RUNNING";
	case VUC_MIGRATION_STOP_COPY:
		return "STOP_COPY";
	case VUC_MIGRATION_RESUMING:
		return "RESUMING";
	case VUC_MIGRATION_RUNNING_P2P:
		return "RUNNING_P2P";
	case VUC_MIGRATION_PRE_COPY:
		return "PRE_COPY";
	case VUC_MIGRATION_PRE_COPY_P2P:
		return "PRE_COPY_P2P";
	}
	return "(unknown)";
}

VUC_EXPORT int
vuc_migration_supported(struct vuc_device *dev, uint64_t *flags)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	uint8_t request[MAX_FEATURE_LEN], body[MAX_FEATURE_LEN];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	size_t len = vuc_wire_migration_encode(request);
	int rc = device_feature_ask(dev, request, len, 0, &reply);

	if (device_feature_is_missing(dev, rc)) {
		*flags = 0;
		return 0;
	}
	if (rc != 0)
		return rc;
	return vuc_wire_migration_decode(body, reply.len, flags, &dev->reason);
}

VUC_EXPORT int
vuc_migration_get_state(struct vuc_device *dev, enum vuc_migration_state *state)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	uint8_t request[MAX_FEATURE_LEN], body[MAX_FEATURE_LEN];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	enum vfio_user_device_mig_state got;
	size_t len = vuc_wire_mig_state_get_encode(request);
	int rc = device_feature_ask(dev, request, len, 0, &reply);

	if (rc == 0)
		rc = vuc_wire_mig_state_get_decode(body, reply.len, &got, &dev->reason);
	if (rc == 0)
		*state = (enum vuc_migration_state)got;
	return rc;
}

static bool
is_used(enum vuc_migration_state state)
{
	return state == VUC_MIGRATION_STOP || state == VUC_MIGRATION_RUNNING ||
		state == VUC_MIGRATION_STOP_COPY || state == VUC_MIGRATION_RESUMING ||
		state == VUC_MIGRATION_PRE_COPY;
}

/*
 * The arcs and their combinations lead from each state to each other one, without a saving state
 * in between, but for this one: back from STOP_COPY the data would begin anew.
 */
static bool
is_legal(enum vuc_migration_state from, enum vuc_migration_state to)
{
	if (!is_used(from) || !is_used(to))
		return false;
	return from != VUC_MIGRATION_STOP_COPY || to != VUC_MIGRATION_PRE_COPY;
}

static int
check_pre_copy(struct vuc_device *dev)
{
	uint64_t flags;
	int rc = vuc_migration_supported(dev, &flags);

	if (rc == 0 && (flags & VUC_MIGRATION_CAN_PRE_COPY) == 0)
		return vuc_error_set(
			&dev->reason, -EOPNOTSUPP, "the device does not support PRE_COPY");
	return rc;
}

static int
check_change(struct vuc_device *dev, enum vuc_migration_state from, enum vuc_migration_state to)
{
	if (!is_legal(from, to))
		return vuc_error_set(&dev->reason, -EINVAL,
			"no way leads from migration state %s to %s%s",
			vuc_migration_state_name(from), vuc_migration_state_name(to),
			from == VUC_MIGRATION_ERROR ? ": reset the device" : "");
	return to == VUC_MIGRATION_PRE_COPY ? check_pre_copy(dev) : 0;
}

/* A server that could not take an arc may have ended in ERROR. Keeps the reason, and adds that. */
static int
explain_refusal(struct vuc_device *dev, enum vuc_migration_state from, enum vuc_migration_state to,
	int error)
{
	struct vuc_error why = dev->reason;
	enum vuc_migration_state now;
	bool failed = false;

	if (error != -ETIMEDOUT && vuc_device_connected(dev))
		failed = vuc_migration_get_state(dev, &now) == 0 && now == VUC_MIGRATION_ERROR;
	return vuc_error_set(&dev->reason, error, "from migration state %s to %s: %s%s",
		vuc_migration_state_name(from), vuc_migration_state_name(to), why.text,
		failed ? "; the device is in ERROR now" : "");
}

static int
send_state(struct vuc_device *dev, enum vuc_migration_state state)
{
	const enum vfio_user_device_mig_state wire = (enum vfio_user_device_mig_state)state;
	uint8_t request[MAX_FEATURE_LEN], body[MAX_FEATURE_LEN];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	size_t len = vuc_wire_mig_state_set_encode(request, wire);
	int rc = device_feature_ask(dev, request, len, dev->long_timeout_ms, &reply);

	if (rc != 0)
		return rc;
	return vuc_wire_mig_state_set_decode(body, reply.len, wire, &dev->reason);
}

VUC_EXPORT int
vuc_migration_set_state(struct vuc_device *dev, enum vuc_migration_state state)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	enum vuc_migration_state from;
	int rc = vuc_migration_get_state(dev, &from);

	if (rc != 0 || (from == state && is_used(state)))
		return rc;
	rc = check_change(dev, from, state);
	if (rc != 0)
		return rc;
	rc = send_state(dev, state);
	return rc == 0 ? 0 : explain_refusal(dev, from, state, rc);
}
