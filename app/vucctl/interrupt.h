/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_INTERRUPT_H
#define VUCCTL_INTERRUPT_H

#include <poll.h>
#include <stdbool.h>

/* Let SIGINT, SIGTERM and SIGHUP ask for an orderly end: for commands that leave something behind
 * at the device, or are to end well. flags: 0: a read or write of a terminal or pipe is to end,
 * too; SA_RESTART: it goes on, until there is another signal. */
void vucctl_interrupt_install(int flags);

/* Whether one of them came: clean up and go. */
bool vucctl_interrupted(void);

/* As poll(2), but also a signal that came just before ends it. Returns a negative errno on failure;
 * -EINTR, also for other signals. */
int vucctl_interrupt_poll(struct pollfd *fds, nfds_t nr_fds, int timeout_ms);

/*
 * From the first signal on, reading from fd and writing to it fails with EBADF: for a call that
 * carries on after a signal. The descriptor stays open. Returns 0 or a negative errno.
 */
int vucctl_interrupt_cut(int fd);

/* Leave that descriptor alone from now on. Does nothing when there is none. */
void vucctl_interrupt_spare(void);

#endif /* VUCCTL_INTERRUPT_H */
