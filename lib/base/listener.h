/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_LISTENER_H
#define VUC_BASE_LISTENER_H

/* A UNIX socket at a path, which others connect to. */

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>

struct vuc_listener {
	int fd; /* non-blocking and closed on exec; -1: none */
	struct sockaddr_un address;
	dev_t dev; /* of the path, while it is this socket's */
	ino_t ino;
};

/*
 * Bind a socket of a type (SOCK_STREAM, SOCK_SEQPACKET), in place of one that no process has any
 * more. mode: of the path, which never has more; 0: what the umask leaves, and the group stays.
 * group: of the path; (gid_t)-1: not changed. Returns 0; -EADDRINUSE; -EEXIST for a path that is
 * not a socket; -ESTALE when another process has replaced it meanwhile; what the system says. fd is
 * -1 then.
 */
int vuc_listener_bind(struct vuc_listener *l, const char *path, int type, mode_t mode, gid_t group,
	struct vuc_error *err);

/* From here on, others can connect. Returns 0 or a negative errno. */
int vuc_listener_listen(struct vuc_listener *l, int backlog, struct vuc_error *err);

/* Close it, and remove the path if it is still this socket's. */
void vuc_listener_close(struct vuc_listener *l);

/* The same, except that the caller closes it. */
void vuc_listener_forget(struct vuc_listener *l);

#endif /* VUC_BASE_LISTENER_H */
