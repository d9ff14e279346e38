/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "device.h"

/* What the client said of itself. Only the first matters to the device; the rest is checked. */
struct capabilities {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
};

/* Absent members leave *value as it is. */
static int
get_number(json_object *object, const char *name, uint64_t min, uint64_t *value)
{
	json_object *member;
	int64_t number;

	if (!json_object_object_get_ex(object, name, &member))
		return 0;
	if (!json_object_is_type(member, json_type_int))
		return -EINVAL;
	number = json_object_get_int64(member);
	if (number < 0 || (uint64_t)number < min)
		return -EINVAL;
	*value = (uint64_t)number;
	return 0;
}

static int
check_type(json_object *object, const char *name, json_type type)
{
	json_object *member;

	if (!json_object_object_get_ex(object, name, &member))
		return 0;
	return json_object_is_type(member, type) ? 0 : -EINVAL;
}

static int
get_capabilities(json_object *object, struct capabilities *caps)
{
	if (get_number(object, "max_msg_fds", 0, &caps->max_msg_fds) != 0 ||
		get_number(object, "max_data_xfer_size", 1, &caps->max_data_xfer_size) != 0 ||
		get_number(object, "max_dma_maps", 1, &caps->max_dma_maps) != 0 ||
		get_number(object, "pgsizes", 1, &caps->pgsizes) != 0 ||
		check_type(object, "twin_socket", json_type_object) != 0 ||
		check_type(object, "write_multiple", json_type_boolean) != 0)
		return -EINVAL;
	return 0;
}

/* One JSON value and nothing behind it; NULL otherwise. */
static json_object *
parse_json(const char *text, int len)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *root;

	if (tokener == NULL)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, text, len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
		json_tokener_get_parse_end(tokener) != (size_t)len - 1) {
		json_object_put(root);
		root = NULL;
	}
	json_tokener_free(tokener);
	return root;
}

static int
decode_root(json_object *root, struct capabilities *caps)
{
	json_object *member;

	if (!json_object_is_type(root, json_type_object))
		return -EINVAL;
	if (!json_object_object_get_ex(root, "capabilities", &member))
		return 0;
	if (!json_object_is_type(member, json_type_object))
		return -EINVAL;
	return get_capabilities(member, caps);
}

/* The text, with the NUL at its end: the only one in it. */
static int
decode_data(const char *data, size_t len, struct capabilities *caps)
{
	json_object *root;
	int rc;

	if (len == 0)
		return 0;
	if (memchr(data, '\0', len) != data + len - 1)
		return -EINVAL;
	root = parse_json(data, (int)len);
	rc = decode_root(root, caps);
	json_object_put(root);
	return rc;
}

static int
encode(const struct refdev *dev, uint16_t minor, struct refdev_body *out)
{
	const struct vfio_user_version version = {.major = REFDEV_MAJOR, .minor = minor};
	size_t room;
	int n;

	if (out->size < sizeof(version))
		return -EMSGSIZE;
	room = out->size - sizeof(version);
	memcpy(out->bytes, &version, sizeof(version));
	n = snprintf((char *)out->bytes + sizeof(version), room,
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		"\"max_dma_maps\":%u,\"pgsizes\":%llu}}",
		dev->config.max_msg_fds, dev->config.max_data_xfer_size, dev->config.max_dma_maps,
		(unsigned long long)dev->config.pgsizes);
	if (n < 0 || (size_t)n >= room)
		return -EMSGSIZE;
	out->len = sizeof(version) + (size_t)n + 1;
	return 0;
}

int
refdev_version_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct capabilities caps = {.max_msg_fds = 1};
	struct vfio_user_version theirs;
	int rc;

	if (dev->negotiated)
		return -EINVAL;
	memcpy(&theirs, in->bytes, sizeof(theirs));
	if (theirs.major != REFDEV_MAJOR)
		return refdev_hang_up(dev, "client proposes version %u.%u, spoken is %u.%u",
			theirs.major, theirs.minor, REFDEV_MAJOR, dev->config.minor);
	rc = decode_data((const char *)in->bytes + sizeof(theirs), in->len - sizeof(theirs), &caps);
	if (rc == 0)
		rc = encode(dev,
			theirs.minor < dev->config.minor ? theirs.minor : dev->config.minor, out);
	if (rc != 0)
		return rc;
	dev->client_max_msg_fds =
		caps.max_msg_fds > UINT32_MAX ? UINT32_MAX : (uint32_t)caps.max_msg_fds;
	dev->negotiated = true;
	return 0;
}
