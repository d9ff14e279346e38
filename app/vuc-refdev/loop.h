/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_LOOP_H
#define REFDEV_LOOP_H

#include "endpoint.h"

/*
 * Serve until all endpoints are finished or signal_fd, a non-blocking signalfd, has a signal.
 * Returns 0 or a negative errno.
 */
typedef int (*refdev_loop_fn)(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd);

/* Sleep in poll(2) while there is nothing to do. */
int refdev_loop_block(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd);

/* Never sleep: receive from each client in turn. */
int refdev_loop_poll(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd);

#endif /* REFDEV_LOOP_H */
