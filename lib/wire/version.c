/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vuc/export.h>

#include "check.h"
#include "error.h"
#include "strict_json.h"
#include "version.h"
#include "vfio_user.h"

#define MAX_FDS  65535u
#define MIN_DATA 8u    /* a register in one message */
#define MIN_PAGE 4096u /* no host has smaller ones */

VUC_PRIVATE void
vuc_wire_version_init(struct vuc_wire_version *v)
{
	*v = (struct vuc_wire_version){
		.major = VFIO_USER_MAJOR,
		.minor = VFIO_USER_MINOR,
		.max_msg_fds = VFIO_USER_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_size = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_dma_maps = VFIO_USER_DEFAULT_MAX_DMA_MAPS,
		.pgsizes = VFIO_USER_DEFAULT_PGSIZES,
	};
}

/* Text that grows in a buffer; len is what it would take when size is too small. */
struct text {
	char *buf;
	size_t size;
	size_t len;
};

static void version_append(struct text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
version_append(struct text *t, const char *fmt, ...)
{
	size_t left = t->len < t->size ? t->size - t->len : 0;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(left > 0 ? t->buf + t->len : NULL, left, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

static void
append_migration(struct text *t, const struct vuc_wire_version *v)
{
	const char *comma = "";

	version_append(t, ",\"migration\":{");
	if (v->migration.pgsize != 0) {
		version_append(t, "\"pgsize\":%" PRIu64, v->migration.pgsize);
		comma = ",";
	}
	if (v->migration.max_bitmap_size != 0)
		version_append(
			t, "%s\"max_bitmap_size\":%" PRIu64, comma, v->migration.max_bitmap_size);
	version_append(t, "}");
}

static void
append_capabilities(struct text *t, const struct vuc_wire_version *v)
{
	version_append(t,
		"{\"capabilities\":{\"max_msg_fds\":%" PRIu32 ",\"max_data_xfer_size\":%" PRIu32
		",\"max_dma_maps\":%" PRIu32 ",\"pgsizes\":%" PRIu64,
		v->max_msg_fds, v->max_data_xfer_size, v->max_dma_maps, v->pgsizes);
	if (v->twin_socket.supported) {
		version_append(t, ",\"twin_socket\":{\"supported\":true");
		if (v->twin_socket.has_fd_index)
			version_append(t, ",\"fd_index\":%" PRIu32, v->twin_socket.fd_index);
		version_append(t, "}");
	}
	if (v->write_multiple)
		version_append(t, ",\"write_multiple\":true");
	if (v->migration.present)
		append_migration(t, v);
	version_append(t, "}}");
}

VUC_PRIVATE int
vuc_wire_version_encode(void *buf, size_t size, const struct vuc_wire_version *v)
{
	const struct vfio_user_version fixed = {.major = v->major, .minor = v->minor};
	struct text t;

	if (size < sizeof(fixed))
		return -ENOSPC;
	memcpy(buf, &fixed, sizeof(fixed));
	t = (struct text){.buf = (char *)buf + sizeof(fixed), .size = size - sizeof(fixed)};
	append_capabilities(&t, v);
	if (t.len >= t.size)
		return -ENOSPC;
	return (int)(sizeof(fixed) + t.len + 1);
}

/* An object of the version data, and what stands before the names of its members in messages. */
struct object {
	struct json_object *json;
	const char *prefix;
};

static int
refuse_type(const struct object *o, const char *name, struct json_object *value,
	const char *expected, struct vuc_error *err)
{
	return vuc_wire_refuse(err, VFIO_USER_VERSION, "%s%s is of type %s, expected %s", o->prefix,
		name, json_type_to_name(json_object_get_type(value)), expected);
}

/* A member that must be an integer, if it is there. */
static int
read_u64(const struct object *o, const char *name, uint64_t min, uint64_t max, uint64_t *number,
	struct vuc_error *err)
{
	struct json_object *value;
	int64_t n;

	if (!json_object_object_get_ex(o->json, name, &value))
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return refuse_type(o, name, value, "an integer", err);
	/* json-c has clamped what is beyond 64 bits. */
	if (json_object_get_uint64(value) > INT64_MAX)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"%s%s is above %" PRId64 ", expected %" PRIu64 " to %" PRIu64, o->prefix,
			name, INT64_MAX, min, max);
	n = json_object_get_int64(value);
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"%s%s is %" PRId64 ", expected %" PRIu64 " to %" PRIu64, o->prefix, name, n,
			min, max);
	*number = (uint64_t)n;
	return 0;
}

static int
read_u32(const struct object *o, const char *name, uint32_t min, uint32_t max, uint32_t *number,
	struct vuc_error *err)
{
	uint64_t n = *number;
	int rc = read_u64(o, name, min, max, &n, err);

	*number = (uint32_t)n;
	return rc;
}

/* How much the peer takes. A number above max says "no limit", and is taken for max. */
static int
read_limit(const struct object *o, const char *name, uint32_t min, uint32_t max, uint32_t *limit,
	struct vuc_error *err)
{
	struct json_object *value;

	if (json_object_object_get_ex(o->json, name, &value) &&
		json_object_is_type(value, json_type_int) && json_object_get_uint64(value) > max) {
		*limit = max;
		return 0;
	}
	return read_u32(o, name, min, max, limit, err);
}

static int
read_bool(const struct object *o, const char *name, bool *flag, struct vuc_error *err)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o->json, name, &value))
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return refuse_type(o, name, value, "a boolean", err);
	*flag = json_object_get_boolean(value);
	return 0;
}

/* A member that must be an object, if it is there; inner->json is NULL when it is not. */
static int
read_object(const struct object *o, const char *name, struct object *inner, struct vuc_error *err)
{
	inner->json = NULL;
	if (!json_object_object_get_ex(o->json, name, &inner->json))
		return 0;
	if (!json_object_is_type(inner->json, json_type_object))
		return refuse_type(o, name, inner->json, "an object", err);
	return 0;
}

static int
read_twin_socket(const struct object *caps, struct vuc_wire_version *v, struct vuc_error *err)
{
	struct object twin = {.prefix = "capability twin_socket."};
	int rc = read_object(caps, "twin_socket", &twin, err);

	if (rc != 0 || twin.json == NULL)
		return rc;
	rc = read_bool(&twin, "supported", &v->twin_socket.supported, err);
	if (rc != 0)
		return rc;
	v->twin_socket.has_fd_index = json_object_object_get_ex(twin.json, "fd_index", NULL);
	return read_u32(&twin, "fd_index", 0, MAX_FDS, &v->twin_socket.fd_index, err);
}

static int
read_migration(const struct object *caps, struct vuc_wire_version *v, struct vuc_error *err)
{
	struct object migration = {.prefix = "capability migration."};
	int rc = read_object(caps, "migration", &migration, err);

	if (rc != 0 || migration.json == NULL)
		return rc;
	v->migration.present = true;
	rc = read_u64(&migration, "pgsize", 0, INT64_MAX, &v->migration.pgsize, err);
	if (rc == 0)
		rc = read_u64(&migration, "max_bitmap_size", 0, INT64_MAX,
			&v->migration.max_bitmap_size, err);
	return rc;
}

static int
read_capabilities(const struct object *caps, struct vuc_wire_version *v, struct vuc_error *err)
{
	int rc = read_limit(caps, "max_msg_fds", 0, MAX_FDS, &v->max_msg_fds, err);

	if (rc == 0)
		rc = read_limit(caps, "max_data_xfer_size", MIN_DATA, UINT32_MAX,
			&v->max_data_xfer_size, err);
	if (rc == 0)
		rc = read_limit(caps, "max_dma_maps", 1, UINT32_MAX, &v->max_dma_maps, err);
	if (rc == 0)
		rc = read_u64(caps, "pgsizes", MIN_PAGE, INT64_MAX, &v->pgsizes, err);
	if (rc == 0 && v->pgsizes % MIN_PAGE != 0)
		rc = vuc_wire_refuse(err, VFIO_USER_VERSION,
			"capability pgsizes is %" PRIu64 ", expected a multiple of %u", v->pgsizes,
			MIN_PAGE);
	if (rc == 0)
		rc = read_bool(caps, "write_multiple", &v->write_multiple, err);
	if (rc == 0)
		rc = read_twin_socket(caps, v, err);
	if (rc == 0)
		rc = read_migration(caps, v, err);
	return rc;
}

static int
read_json(struct json_object *root, struct vuc_wire_version *v, struct vuc_error *err)
{
	const struct object top = {.json = root, .prefix = ""};
	struct object caps = {.prefix = "capability "};
	int rc;

	if (!json_object_is_type(root, json_type_object))
		return refuse_type(&top, "version data", root, "an object", err);
	/* As good as an object without members. */
	if (json_object_object_get_ex(root, "capabilities", &caps.json) && caps.json == NULL)
		return 0;
	rc = read_object(&top, "capabilities", &caps, err);
	if (rc != 0 || caps.json == NULL)
		return rc;
	return read_capabilities(&caps, v, err);
}

/* data is JSON and its NUL, len bytes in all, at least one. */
static int
decode_data(const char *data, size_t len, struct vuc_wire_version *v, struct vuc_error *err)
{
	const char *nul = memchr(data, '\0', len);
	struct json_object *root = NULL;
	struct vuc_error what;
	int rc;

	if (nul == NULL)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"version data of %zu bytes has no NUL at its end", len);
	if (nul != data + len - 1)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"version data of %zu bytes has a NUL at byte %zu", len,
			(size_t)(nul - data));
	rc = vuc_wire_strict_json_parse(data, len - 1, &root, &what);
	if (rc != 0) {
		vuc_wire_refuse(err, VFIO_USER_VERSION, "version data %s", what.text);
		return rc;
	}
	rc = read_json(root, v, err);
	json_object_put(root);
	return rc;
}

VUC_PRIVATE int
vuc_wire_version_decode(
	const void *body, size_t len, struct vuc_wire_version *v, struct vuc_error *err)
{
	struct vfio_user_version fixed;
	int rc = vuc_wire_check_min(VFIO_USER_VERSION, len, sizeof(fixed), err);

	if (rc != 0)
		return rc;
	memcpy(&fixed, body, sizeof(fixed));
	vuc_wire_version_init(v);
	v->major = fixed.major;
	v->minor = fixed.minor;
	len -= sizeof(fixed);
	if (len == 0)
		return 0;
	if (len > VUC_WIRE_MAX_VERSION_JSON)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"version data of %zu bytes, expected at most %d", len,
			VUC_WIRE_MAX_VERSION_JSON);
	return decode_data((const char *)body + sizeof(fixed), len, v, err);
}

static int
check_twin_socket(const struct vuc_wire_version *ours, const struct vuc_wire_version *theirs,
	unsigned int nr_fds, struct vuc_error *err)
{
	if (!theirs->twin_socket.supported)
		return 0;
	if (!ours->twin_socket.supported)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"capability twin_socket.supported is true, but was not requested");
	if (!theirs->twin_socket.has_fd_index)
		return vuc_wire_refuse(
			err, VFIO_USER_VERSION, "capability twin_socket.fd_index is missing");
	if (theirs->twin_socket.fd_index >= nr_fds)
		return vuc_wire_refuse(err, VFIO_USER_VERSION,
			"capability twin_socket.fd_index is %" PRIu32
			", but %u file descriptors were received",
			theirs->twin_socket.fd_index, nr_fds);
	return 0;
}

int
vuc_wire_version_check(const struct vuc_wire_version *ours, const struct vuc_wire_version *theirs,
	unsigned int nr_fds, struct vuc_error *err)
{
	int rc = vuc_wire_check_number(VFIO_USER_VERSION, "major", theirs->major, ours->major, err);

	if (rc == 0)
		rc = vuc_wire_check_most(
			VFIO_USER_VERSION, "minor", theirs->minor, ours->minor, err);
	if (rc != 0)
		return rc;
	return check_twin_socket(ours, theirs, nr_fds, err);
}
