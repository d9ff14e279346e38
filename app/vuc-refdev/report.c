/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "refdev.h"
#include "report.h"
#include "text.h"
#include "vfio_user.h"

void
refdev_report(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vuc_text_clean_controls(line);
	fprintf(stderr, "vuc-refdev: %s\n", line);
}

static void
describe_body(char *text, size_t size, const struct vuc_loopback_msg *request, uint16_t cmd)
{
	struct vfio_user_region_access access;

	text[0] = '\0';
	if (cmd != VFIO_USER_REGION_READ && cmd != VFIO_USER_REGION_WRITE)
		return;
	if (request->len < sizeof(struct vfio_user_header) + sizeof(access))
		return;
	memcpy(&access, request->bytes + sizeof(struct vfio_user_header), sizeof(access));
	snprintf(text, size, " region %u offset 0x%llx count %u", access.region,
		(unsigned long long)access.offset, access.count);
}

static void
describe_reply(char *text, size_t size, const struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;

	if (reply->len < sizeof(header)) {
		snprintf(text, size, "no reply");
		return;
	}
	memcpy(&header, reply->bytes, sizeof(header));
	if (header.flags & VFIO_USER_F_ERROR)
		snprintf(text, size, "error %u (%s)", header.error_no,
			strerror((int)header.error_no));
	else
		snprintf(text, size, "%zu bytes %u fds", reply->len, reply->nr_fds);
}

void
refdev_trace(const char *name, const struct vuc_loopback_msg *request, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;
	char body[80];
	char answer[80];

	memcpy(&header, request->bytes, sizeof(header));
	describe_body(body, sizeof(body), request, header.cmd);
	describe_reply(answer, sizeof(answer), reply);
	refdev_report("%s: %s (%u) id %u, %zu bytes %u fds%s%s -> %s", name,
		refdev_command_name(header.cmd), header.cmd, header.msg_id, request->len, nr_fds,
		body, header.flags & VFIO_USER_F_NO_REPLY ? " no_reply" : "", answer);
}

void
refdev_trace_command(const char *name, const struct vuc_loopback_msg *msg)
{
	struct vfio_user_dma_region_access access = {0};
	struct vfio_user_header header;
	size_t len = msg->len - sizeof(header);

	memcpy(&header, msg->bytes, sizeof(header));
	memcpy(&access, msg->bytes + sizeof(header), len < sizeof(access) ? len : sizeof(access));
	refdev_report("%s: %s (%u) id %u, %zu bytes, address 0x%llx count %llu, %s", name,
		refdev_command_name(header.cmd), header.cmd, header.msg_id, msg->len,
		(unsigned long long)access.addr, (unsigned long long)access.count,
		header.flags & VFIO_USER_F_TYPE_REPLY ? "reply" : "command");
}
