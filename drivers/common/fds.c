/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"

void
vuc_fds_put(
	struct msghdr *msg, struct vuc_fds_control *control, const int *fds, unsigned int nr_fds)
{
	size_t size = nr_fds * sizeof(int);
	struct cmsghdr *cmsg;

	msg->msg_control = control->space;
	msg->msg_controllen = CMSG_SPACE(size);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), fds, size);
}

int
vuc_fds_take(struct msghdr *msg, int *fds)
{
	unsigned int nr_fds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > VUC_FDS_MAX - nr_fds)
			n = VUC_FDS_MAX - nr_fds;
		memcpy(fds + nr_fds, CMSG_DATA(c), n * sizeof(int));
		nr_fds += (unsigned int)n;
	}
	if ((msg->msg_flags & MSG_CTRUNC) == 0)
		return (int)nr_fds;
	while (nr_fds > 0)
		close(fds[--nr_fds]);
	return -EMFILE;
}
