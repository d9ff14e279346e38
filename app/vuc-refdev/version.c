/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include <json-c/json.h>

#include "device.h"

/* What the client announces. Some of it matters to the device; the rest is only checked. */
struct capabilities {
	uint32_t max_msg_fds;
	uint32_t max_data_xfer_size;
	uint32_t unused;
	bool twin_socket;
	bool write_multiple;
};

/* Look up a member: NULL if it is absent. Returns 0, or -EINVAL for one of another type. */
static int
find_member(json_object *object, const char *name, json_type type, json_object **member)
{
	*member = NULL;
	if (!json_object_object_get_ex(object, name, member))
		return 0;
	return json_object_is_type(*member, type) ? 0 : -EINVAL;
}

/* Absent members leave *value as it is; a larger number than fits is as good as the largest. */
static int
get_number(json_object *object, const char *name, int64_t min, uint32_t *value)
{
	json_object *member;
	int64_t number;

	if (find_member(object, name, json_type_int, &member) != 0)
		return -EINVAL;
	if (member == NULL)
		return 0;
	number = json_object_get_int64(member);
	if (number < min)
		return -EINVAL;
	*value = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
	return 0;
}

static int
get_bool(json_object *object, const char *name, bool *value)
{
	json_object *member;
	int rc = find_member(object, name, json_type_boolean, &member);

	*value = member != NULL && json_object_get_boolean(member);
	return rc;
}

static int
get_capabilities(json_object *root, struct capabilities *caps)
{
	json_object *object, *twin;

	if (!json_object_is_type(root, json_type_object) ||
		find_member(root, "capabilities", json_type_object, &object) != 0)
		return -EINVAL;
	if (object == NULL)
		return 0;
	if (get_number(object, "max_msg_fds", 0, &caps->max_msg_fds) != 0 ||
		get_number(object, "max_data_xfer_size", 1, &caps->max_data_xfer_size) != 0 ||
		get_number(object, "max_dma_maps", 1, &caps->unused) != 0 ||
		get_number(object, "pgsizes", 1, &caps->unused) != 0 ||
		get_bool(object, "write_multiple", &caps->write_multiple) != 0 ||
		find_member(object, "twin_socket", json_type_object, &twin) != 0)
		return -EINVAL;
	return twin != NULL ? get_bool(twin, "supported", &caps->twin_socket) : 0;
}

/* The text is one JSON value with a NUL at its end, the only one in it. */
static int
decode_data(const char *data, size_t len, struct capabilities *caps)
{
	struct json_tokener *tokener;
	json_object *root;
	int rc = -EINVAL;

	if (len == 0)
		return 0;
	if (memchr(data, '\0', len) != data + len - 1)
		return -EINVAL;
	tokener = json_tokener_new();
	if (tokener == NULL)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, data, (int)len);
	if (json_tokener_get_error(tokener) == json_tokener_success &&
		json_tokener_get_parse_end(tokener) == len - 1)
		rc = get_capabilities(root, caps);
	json_object_put(root);
	json_tokener_free(tokener);
	return rc;
}

static int
version_encode(const struct refdev *dev, uint16_t minor, struct refdev_body *out)
{
	const struct vfio_user_version version = {.major = VFIO_USER_MAJOR, .minor = minor};
	char text[256];
	int n = snprintf(text, sizeof(text),
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		"\"max_dma_maps\":%u,\"pgsizes\":%llu%s%s}}",
		dev->config.max_msg_fds, dev->config.max_data_xfer_size, dev->config.max_dma_maps,
		(unsigned long long)dev->config.pgsizes,
		dev->twin ? ",\"twin_socket\":{\"supported\":true,\"fd_index\":0}" : "",
		(dev->features & REFDEV_F_WRITE_MULTI) != 0 ? ",\"write_multiple\":true" : "");
	int rc = refdev_body_append(out, &version, sizeof(version));

	return rc != 0 ? rc : refdev_body_append(out, text, (size_t)n + 1);
}

/* The client's end goes with the reply. */
static int
open_twin(struct refdev *dev, struct refdev_body *out)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	dev->twin_fd = ends[0];
	out->fds[out->nr_fds++] = ends[1];
	return 0;
}

int
refdev_take_twin(struct refdev *dev)
{
	int fd = dev->twin_fd;

	dev->twin_fd = -1;
	return fd;
}

static void
version_agree(struct refdev *dev, const struct capabilities *caps)
{
	dev->client_max_msg_fds = caps->max_msg_fds;
	dev->client_max_data_xfer_size = caps->max_data_xfer_size;
	dev->features = dev->config.features;
	if (!caps->write_multiple)
		dev->features &= ~REFDEV_F_WRITE_MULTI;
	dev->twin = dev->config.commands && (dev->features & REFDEV_F_TWIN_SOCKET) != 0 &&
		caps->twin_socket && caps->max_msg_fds > 0;
}

int
refdev_version_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct capabilities caps = {
		.max_msg_fds = VFIO_USER_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_size = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE,
	};
	struct vfio_user_version theirs;
	uint16_t minor;
	int rc;

	if (dev->negotiated)
		return -EINVAL;
	memcpy(&theirs, in->bytes, sizeof(theirs));
	if (theirs.major != VFIO_USER_MAJOR)
		return refdev_hang_up(dev, "client requests version %u.%u, supported is %d.%u",
			theirs.major, theirs.minor, VFIO_USER_MAJOR, dev->config.minor);
	rc = decode_data((const char *)in->bytes + sizeof(theirs), in->len - sizeof(theirs), &caps);
	if (rc != 0)
		return rc;
	version_agree(dev, &caps);
	minor = theirs.minor < dev->config.minor ? theirs.minor : dev->config.minor;
	rc = version_encode(dev, minor, out);
	if (rc == 0 && dev->twin)
		rc = open_twin(dev, out);
	if (rc != 0)
		return rc;
	dev->negotiated = true;
	return 0;
}
