/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "tap.h"

#define HEADER_SIZE sizeof(struct vfio_user_header)

void
fake_server_body(const struct vuc_loopback_msg *request, void *body, size_t len)
{
	CU_ASSERT_FATAL(request->len >= HEADER_SIZE + len);
	memcpy(body, request->bytes + HEADER_SIZE, len);
}

static void
put(struct fake_reply *reply, const void *bytes, size_t len)
{
	CU_ASSERT_FATAL(len <= reply->size - reply->len);
	memcpy(reply->body + reply->len, bytes, len);
	reply->len += len;
}

static int
version(const struct fake_server *s, struct fake_reply *reply)
{
	const struct vfio_user_version v = {.major = 0, .minor = 1};
	char json[64];

	snprintf(json, sizeof(json), "{\"capabilities\":{\"max_msg_fds\":%u}}", s->max_msg_fds);
	put(reply, &v, sizeof(v));
	put(reply, json, strlen(json) + 1);
	return 0;
}

static int
device_info(struct fake_reply *reply)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_DEVICE_FLAGS_PCI,
		.num_regions = FAKE_NR_REGIONS,
		.num_irqs = FAKE_NR_IRQS,
	};

	put(reply, &info, sizeof(info));
	return 0;
}

static int
region_info(const struct fake_server *s, const struct vuc_loopback_msg *request,
	struct fake_reply *reply)
{
	struct vfio_user_cap_sparse_mmap caps = {
		.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
	};
	struct vfio_user_region_info info;
	const struct fake_region *r;

	fake_server_body(request, &info, sizeof(info));
	r = &s->regions[info.index];
	caps.nr_areas = r->nr_areas;
	info.flags = r->flags | (r->nr_areas > 0 ? VFIO_REGION_INFO_FLAG_CAPS : 0u);
	info.argsz = (uint32_t)sizeof(info);
	if (r->nr_areas > 0)
		info.argsz += (uint32_t)(sizeof(caps) + r->nr_areas * sizeof(r->areas[0]));
	info.cap_offset = r->nr_areas > 0 ? sizeof(info) : 0;
	info.size = r->size;
	info.offset = r->offset;
	put(reply, &info, sizeof(info));
	if (r->nr_areas > 0) {
		put(reply, &caps, sizeof(caps));
		put(reply, r->areas, r->nr_areas * sizeof(r->areas[0]));
	}
	for (; reply->nr_fds < r->nr_fds; reply->nr_fds++)
		reply->fds[reply->nr_fds] = dup(r->fds[reply->nr_fds]);
	return 0;
}

static int
irq_info(const struct fake_server *s, const struct vuc_loopback_msg *request,
	struct fake_reply *reply)
{
	struct vfio_user_irq_info info;

	fake_server_body(request, &info, sizeof(info));
	info.argsz = sizeof(info);
	info.flags = s->irqs[info.index].flags;
	info.count = s->irqs[info.index].count;
	put(reply, &info, sizeof(info));
	return 0;
}

static int
region_access(struct fake_server *s, const struct vuc_loopback_msg *request, bool write,
	struct fake_reply *reply)
{
	struct vfio_user_region_access access;
	struct fake_region *r;

	fake_server_body(request, &access, sizeof(access));
	r = &s->regions[access.region];
	r->reads += !write;
	r->writes += write;
	if (r->bytes == NULL)
		return EIO;
	put(reply, &access, sizeof(access));
	if (write)
		memcpy(r->bytes + access.offset, request->bytes + HEADER_SIZE + sizeof(access),
			access.count);
	else
		put(reply, r->bytes + access.offset, access.count);
	return 0;
}

static int
answer(struct fake_server *s, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	switch (header->cmd) {
	case VFIO_USER_VERSION:
		return version(s, reply);
	case VFIO_USER_DEVICE_GET_INFO:
		return device_info(reply);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return region_info(s, request, reply);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return irq_info(s, request, reply);
	case VFIO_USER_REGION_READ:
		return region_access(s, request, false, reply);
	case VFIO_USER_REGION_WRITE:
		return region_access(s, request, true, reply);
	default:
		return s->command(s->arg, request, header, reply);
	}
}

static int
handle(void *arg, struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct fake_reply reply = {
		.body = message->bytes + HEADER_SIZE,
		.size = message->size - HEADER_SIZE,
		.fds = message->fds,
	};
	struct vfio_user_header header;
	int error;

	memcpy(&header, request->bytes, HEADER_SIZE);
	error = answer(arg, request, &header, &reply);
	if (error != 0)
		reply.len = 0;
	header.flags = VFIO_USER_F_TYPE_REPLY | (error != 0 ? VFIO_USER_F_ERROR : 0);
	header.error_no = (uint32_t)error;
	header.msg_size = (uint32_t)(HEADER_SIZE + reply.len);
	memcpy(message->bytes, &header, HEADER_SIZE);
	message->len = header.msg_size;
	message->nr_fds = reply.nr_fds;
	return 0;
}

struct vuc_device *
fake_server_open(struct fake_server *s)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	s->loopback = (struct vuc_loopback_server){.handle = handle, .arg = s};
	vuc_device_opts_init(&opts);
	opts.loopback = &s->loopback;
	opts.max_msg_fds = VUC_MAX_MSG_FDS;
	if (vuc_device_open(&opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}
