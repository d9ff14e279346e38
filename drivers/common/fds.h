/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_FDS_H
#define VUC_DRIVERS_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* The kernel's own limit for one message (SCM_MAX_FD): with room for it, none is cut off. */
#define VUC_FDS_MAX 253

/* Room for the descriptors of one message; zero-initialise it. */
struct vuc_fds_control {
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(VUC_FDS_MAX * sizeof(int))];
};

/* Attach descriptors, at most VUC_FDS_MAX, to a message to be sent. */
void vuc_fds_put(
	struct msghdr *msg, struct vuc_fds_control *control, const int *fds, unsigned int nr_fds);

/*
 * Take the descriptors out of a received message. They are the caller's; fds has room for
 * VUC_FDS_MAX. Returns how many; or -EMFILE when this process had no room for all of them, of which
 * none is left then.
 */
int vuc_fds_take(struct msghdr *msg, int *fds);

#endif /* VUC_DRIVERS_FDS_H */
