/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_BLOCKED_PATH_H
#define VUC_TESTS_BLOCKED_PATH_H

/* A file system that hangs: open(2) of one path, in front of which this puts its own. */

#include <semaphore.h>

/* What opening it waits for, once each; the test's to initialise. */
extern sem_t blocked_path_wait;

/* The path, which must stay for as long; NULL: none. */
void block_path(const char *path);

#endif /* VUC_TESTS_BLOCKED_PATH_H */
