/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server.h"
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

/* The fields of an access to a region or to the client's memory. */
static void
describe_access(char *text, size_t size, const struct vuc_loopback_msg *msg, uint16_t cmd)
{
	const uint8_t *body = msg->bytes + sizeof(struct vfio_user_header);
	struct vfio_user_dma_region_access dma = {0};
	struct vfio_user_region_access access;
	size_t len = msg->len - sizeof(struct vfio_user_header);

	text[0] = '\0';
	if (cmd == VFIO_USER_DMA_READ || cmd == VFIO_USER_DMA_WRITE) {
		memcpy(&dma, body, len < sizeof(dma) ? len : sizeof(dma));
		snprintf(text, size, " address 0x%llx count %llu", (unsigned long long)dma.addr,
			(unsigned long long)dma.count);
	} else if ((cmd == VFIO_USER_REGION_READ || cmd == VFIO_USER_REGION_WRITE) &&
		len >= sizeof(access)) {
		memcpy(&access, body, sizeof(access));
		snprintf(text, size, " region %u offset 0x%llx count %u", access.region,
			(unsigned long long)access.offset, access.count);
	}
}

/* What becomes of a message; reply is NULL for a command of the device and the reply to one. */
static void
describe_outcome(char *text, size_t size, uint32_t flags, const struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;

	if ((flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY) {
		snprintf(text, size, ", reply");
	} else if (reply == NULL) {
		snprintf(text, size, ", command");
	} else if (reply->len < sizeof(header)) {
		snprintf(text, size, " -> no reply");
	} else {
		memcpy(&header, reply->bytes, sizeof(header));
		if (header.flags & VFIO_USER_F_ERROR)
			snprintf(text, size, " -> error %u (%s)", header.error_no,
				strerror((int)header.error_no));
		else
			snprintf(text, size, " -> %zu bytes %u fds", reply->len, reply->nr_fds);
	}
}

void
refdev_trace(const char *name, const struct vuc_loopback_msg *msg, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;
	char access[80], outcome[80];

	memcpy(&header, msg->bytes, sizeof(header));
	describe_access(access, sizeof(access), msg, header.cmd);
	describe_outcome(outcome, sizeof(outcome), header.flags, reply);
	refdev_report("%s: %s (%u) id %u, %zu bytes %u fds%s%s%s", name,
		refdev_command_name(header.cmd), header.cmd, header.msg_id, msg->len, nr_fds,
		access, header.flags & VFIO_USER_F_NO_REPLY ? " no_reply" : "", outcome);
}
