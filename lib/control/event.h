/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_EVENT_H
#define VUC_LIB_CONTROL_EVENT_H

#include <linux/aio_abi.h>

/*
 * Signalling an eventfd that a VMM shares, without ever waiting. A plain write(2) could: whoever
 * shares it can clear its O_NONBLOCK, and fill its counter. The kernel itself signals an eventfd
 * when an asynchronous read is complete, and then never waits; so a byte of a file is read.
 */
struct control_signaller {
	aio_context_t context; /* 0: there is none here, so write(2) has to do */
	int file;
};

/* Returns 0 or a negative errno. */
int control_signaller_init(struct control_signaller *s);
void control_signaller_fini(struct control_signaller *s);

/* One thread at a time. */
void control_signal(struct control_signaller *s, int eventfd);

/* An eventfd of the daemon's own. */
void control_wake(int fd);
void control_wait(int fd, int timeout_ms);

#endif /* VUC_LIB_CONTROL_EVENT_H */
