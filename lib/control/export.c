/* SPDX-License-Identifier: BSD-3-Clause */
#include "export.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "closers.h"
#include "control.h"
#include "error.h"

#define BACKLOG 16 /* a device has one VMM */

/* Nobody of the group before can connect meanwhile. */
static int
export_set_group(const struct vuc_listener *l, const struct vuc_control_device_opts *opts,
	struct vuc_error *err)
{
	const char *path = l->address.sun_path;

	if (opts->export_group == (gid_t)-1)
		return 0;
	if (lchown(path, (uid_t)-1, opts->export_group) != 0 || chmod(path, opts->export_mode) != 0)
		return vuc_error_set(err, -errno, "%s: cannot give it to group %u: %s", path,
			(unsigned int)opts->export_group, strerror(errno));
	return 0;
}

int
control_export_open(
	struct control_device *d, const struct vuc_control_device_opts *opts, struct vuc_error *err)
{
	struct vuc_listener *l = &d->exported.listener;
	mode_t mode = opts->export_group == (gid_t)-1 ? opts->export_mode : 0600;
	int rc = vuc_listener_bind(l, opts->export_path, SOCK_STREAM, mode, err);

	if (rc == 0)
		rc = export_set_group(l, opts, err);
	if (rc == 0)
		rc = vuc_listener_listen(l, BACKLOG, err);
	if (rc != 0)
		vuc_listener_close(l);
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

/* Closing a socket closes what lies unread in those that were not accepted. */
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
