/* SPDX-License-Identifier: BSD-3-Clause */

/* The sockets of exported devices. */

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "control.h"
#include "error.h"

#define BACKLOG 16 /* a device has one VMM */

int
control_export_open(
	struct control_device *d, const struct vuc_control_device_opts *opts, struct vuc_error *err)
{
	struct vuc_listener *l = &d->exported.listener;
	int rc = vuc_listener_bind(
		l, opts->export_path, SOCK_STREAM, opts->export_mode, opts->export_group, err);

	if (rc == 0)
		rc = vuc_listener_listen(l, BACKLOG, err);
	if (rc != 0) {
		vuc_listener_close(l);
		if (err != NULL)
			vuc_error_set(err, rc, "export %s", err->text);
	}
	d->exported.on = rc == 0;
	return rc;
}

int
control_export_watch(struct control_device *d)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = d};

	if (d->exported.listener.fd < 0)
		return 0;
	return epoll_ctl(d->control->exports_fd, EPOLL_CTL_ADD, d->exported.listener.fd, &event) ==
			0
		? 0
		: -errno;
}

/* Closing the socket also closes descriptors in connections that were not accepted. */
void
control_export_close(struct control_device *d)
{
	struct vuc_listener *l = &d->exported.listener;
	int fd = l->fd;

	if (fd < 0)
		return;
	epoll_ctl(d->control->exports_fd, EPOLL_CTL_DEL, fd, NULL);
	vuc_listener_forget(l);
	vuc_closer_close(d->control->closer, &fd, 1);
}
