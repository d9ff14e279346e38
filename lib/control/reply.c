/* SPDX-License-Identifier: BSD-3-Clause */

/* What a VMM is answered. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include "error.h"
#include "names.h"
#include "vmm.h"

#define ERRNO_MAX 4095

int
vmm_end(struct control_vmm *v, const char *fmt, ...)
{
	char text[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return vuc_error_set(
		&v->why, -EPROTO, "%s: %s", vuc_shm_message_name(v->packet.header.type), text);
}

/* Whether something lies in the socket that the VMM has not read. */
static bool
vmm_has_unread(const struct control_vmm *v)
{
	int bytes = 0;

	return ioctl(v->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

/*
 * Descriptors that nobody has read yet count for the user who has sent them, and the kernel refuses
 * to send more when there are too many: for all devices and VMMs of the daemon.
 */
static int
send_reply(struct control_vmm *v, struct vuc_shm_header *reply, size_t size, const int *fds,
	unsigned int nr_fds)
{
	int rc;

	if (nr_fds > 0 && vmm_has_unread(v))
		return vmm_end(v, "asks for file descriptors without reading its replies");
	reply->type = v->packet.header.type;
	reply->flags = VUC_SHM_REPLY;
	reply->size = (uint32_t)size;
	reply->sequence = v->packet.header.sequence;
	rc = packet_send(v->fd, reply, size, fds, nr_fds);
	if (rc == -EAGAIN)
		return vuc_error_set(&v->why, rc, "does not read its replies");
	if (rc == -EPIPE || rc == -ECONNRESET)
		return vuc_error_set(&v->why, rc, "the VMM has closed the connection");
	if (rc != 0)
		return vuc_error_set(&v->why, rc, "cannot send a reply: %s", strerror(-rc));
	return 0;
}

int
vmm_reply(struct control_vmm *v, struct vuc_shm_header *reply, size_t size, const int *fds,
	unsigned int nr_fds)
{
	reply->status = 0;
	return send_reply(v, reply, size, fds, nr_fds);
}

int
vmm_refuse(struct control_vmm *v, int status, const char *fmt, ...)
{
	uint16_t type = v->packet.header.type;
	/* Few servers know the question. */
	enum vuc_log_level level = type == VUC_SHM_IO_FDS ? VUC_LOG_DEBUG : VUC_LOG_NOTICE;
	struct vuc_shm_failure failure = {.header.status = status};
	va_list args;

	if (status >= 0 || status < -ERRNO_MAX)
		failure.header.status = -EIO;
	va_start(args, fmt);
	vsnprintf(failure.reason, sizeof(failure.reason), fmt, args);
	va_end(args);
	vmm_log(v, level, "%s refused: %s", vuc_shm_message_name(type), failure.reason);
	return send_reply(v, &failure.header, sizeof(failure), NULL, 0);
}
