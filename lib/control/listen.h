/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_LISTEN_H
#define VUC_LIB_CONTROL_LISTEN_H

#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>

/* A socket in the file system. */
struct control_listener {
	int fd;
	struct sockaddr_un address;
	dev_t dev; /* of the path, while it is ours */
	ino_t ino;
};

/* Take the place of a socket that nobody listens on. Returns 0; -EADDRINUSE; -EEXIST for what is
 * no socket; what the system says. */
int control_bind(struct control_listener *l, const char *path, mode_t mode, struct vuc_error *err);

/* From here on, others can connect. */
int control_listen(struct control_listener *l, struct vuc_error *err);

/* Close it, and remove the path if it is still this socket's. */
void control_listener_close(struct control_listener *l);

#endif /* VUC_LIB_CONTROL_LISTEN_H */
