/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <vuc/feature.h>

#include "check.h"
#include "error.h"
#include "feature.h"
#include "internal.h"
#include "message.h"

#define FIXED_LEN sizeof(struct vfio_user_device_feature)
#define METHODS   (VUC_FEATURE_GET | VUC_FEATURE_SET)

/* What an operation has to know when the reply has come. */
struct feature_operation {
	struct message_operation m;
	uint32_t flags; /* with the number of the feature */
	void *data;     /* where what is got goes */
	size_t size;    /* bytes that are got or set */
	size_t *len;
};

static int
feature_start(struct vuc_device *dev, const struct vuc_session_request *req,
	const struct feature_operation *what, message_take_fn take, vuc_done_fn done, void *arg)
{
	struct message_operation *m;
	struct feature_operation *f;
	int rc;

	m = message_operation_create(dev, sizeof(*f), req, take, &rc, &dev->reason);
	if (m == NULL)
		return rc;
	f = (struct feature_operation *)m;
	f->flags = what->flags;
	f->data = what->data;
	f->size = what->size;
	f->len = what->len;
	return operation_start(&m->op, done, arg, &dev->reason);
}

static int
feature_probe_take(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	const struct feature_operation *f = (struct feature_operation *)m;

	if (reply->status != 0)
		return 0;
	return vuc_wire_feature_probe_decode(
		reply->body, reply->len, (uint16_t)f->flags, f->flags & METHODS, err);
}

VUC_EXPORT int
vuc_feature_probe_start(
	struct vuc_device *dev, uint16_t feature, uint32_t methods, vuc_done_fn done, void *arg)
{
	const struct feature_operation what = {.flags = feature | methods};
	uint8_t request[FIXED_LEN];
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_FEATURE, .body = request, .reply_max = FIXED_LEN};

	if ((methods & ~METHODS) != 0)
		return vuc_error_set(&dev->reason, -EINVAL,
			"feature %u: unknown methods 0x%x, only get and set are allowed", feature,
			methods);
	req.len = vuc_wire_feature_probe_encode(request, feature, methods);
	return feature_start(dev, &req, &what, feature_probe_take, done, arg);
}

VUC_EXPORT int
vuc_feature_probe(struct vuc_device *dev, uint16_t feature, uint32_t methods)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(
		&w, vuc_feature_probe_start(dev, feature, methods, operation_wake, &w));
}

static int
feature_check_size(
	const struct vuc_device *dev, uint16_t feature, size_t size, struct vuc_error *err)
{
	size_t max = vuc_session_max_data(dev->session);

	if (max > VUC_FEATURE_MAX_DATA)
		max = VUC_FEATURE_MAX_DATA;
	if (size > max)
		return vuc_error_set(err, -EMSGSIZE,
			"feature %u: %zu bytes of data are over the limit of %zu", feature, size,
			max);
	return 0;
}

/* A reply repeats the flags, and its argsz is its length. */
static int
feature_check_reply(uint32_t flags, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	const uint16_t cmd = VFIO_USER_DEVICE_FEATURE;
	struct vfio_user_device_feature got;
	int rc = vuc_wire_check_min(cmd, reply->len, FIXED_LEN, err);

	if (rc != 0)
		return rc;
	memcpy(&got, reply->body, FIXED_LEN);
	rc = vuc_wire_check_hex(cmd, "flags", got.flags, flags, err);
	if (rc == 0)
		rc = vuc_wire_check_number(cmd, "argsz", got.argsz, reply->len, err);
	return rc;
}

static int
feature_get_take(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	const struct feature_operation *f = (struct feature_operation *)m;
	int rc = reply->status == 0 ? feature_check_reply(f->flags, reply, err) : 0;

	if (rc != 0 || reply->status != 0)
		return rc;
	*f->len = reply->len - FIXED_LEN;
	if (*f->len > 0)
		memcpy(f->data, reply->body + FIXED_LEN, *f->len);
	return 0;
}

VUC_EXPORT int
vuc_feature_get_start(struct vuc_device *dev, uint16_t feature, void *data, size_t size,
	size_t *len, vuc_done_fn done, void *arg)
{
	const struct feature_operation what = {
		.flags = VUC_FEATURE_GET | feature, .data = data, .size = size, .len = len};
	const struct vfio_user_device_feature fixed = {
		.argsz = (uint32_t)(FIXED_LEN + size), .flags = what.flags};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.body = &fixed,
		.len = FIXED_LEN,
		.reply_max = fixed.argsz,
	};
	int rc;

	if ((data == NULL && size > 0) || len == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "data or len is NULL");
	rc = feature_check_size(dev, feature, size, &dev->reason);
	return rc == 0 ? feature_start(dev, &req, &what, feature_get_take, done, arg) : rc;
}

VUC_EXPORT int
vuc_feature_get(struct vuc_device *dev, uint16_t feature, void *data, size_t size, size_t *len)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(
		&w, vuc_feature_get_start(dev, feature, data, size, len, operation_wake, &w));
}

static int
feature_set_take(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	const struct feature_operation *f = (struct feature_operation *)m;
	int rc = reply->status == 0 ? feature_check_reply(f->flags, reply, err) : 0;

	if (rc != 0 || reply->status != 0)
		return rc;
	return vuc_wire_check_size(VFIO_USER_DEVICE_FEATURE, reply->len, FIXED_LEN + f->size, err);
}

VUC_EXPORT int
vuc_feature_set_start(struct vuc_device *dev, uint16_t feature, const void *data, size_t len,
	vuc_done_fn done, void *arg)
{
	const struct feature_operation what = {.flags = VUC_FEATURE_SET | feature, .size = len};
	const struct vfio_user_device_feature fixed = {
		.argsz = (uint32_t)(FIXED_LEN + len), .flags = what.flags};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.body = &fixed,
		.len = FIXED_LEN,
		.data = data,
		.data_len = len,
		.reply_max = fixed.argsz,
		.timeout_ms = dev->long_timeout_ms,
	};
	int rc = feature_check_size(dev, feature, len, &dev->reason);

	return rc == 0 ? feature_start(dev, &req, &what, feature_set_take, done, arg) : rc;
}

VUC_EXPORT int
vuc_feature_set(struct vuc_device *dev, uint16_t feature, const void *data, size_t len)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(
		&w, vuc_feature_set_start(dev, feature, data, len, operation_wake, &w));
}
