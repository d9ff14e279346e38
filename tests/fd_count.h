/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FD_COUNT_H
#define VUC_TESTS_FD_COUNT_H

#include <stdbool.h>

/* How many descriptors this process has open: what a test looks at before and after. */
unsigned int fd_count(void);

/* Whether this kernel can refuse descriptors for a socket (SO_PASSRIGHTS, Linux 6.16). */
bool fds_are_refused(void);

/* A descriptor whose close(2) by its last owner takes until the test closes *peer: a socket that
 * waits for what was sent to be read. -1: there is none. */
int fd_slow(int *peer);

#endif /* VUC_TESTS_FD_COUNT_H */
