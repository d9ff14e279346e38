/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_THREAD_H
#define VUC_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Start a thread of the library's: it takes no signals of the application's, which are for the
 * application's own threads; those that a fault raises stay. A stack of 0 bytes is one of the
 * default size. Returns 0 or a negative errno.
 */
int vuc_thread_create(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);

#endif /* VUC_BASE_THREAD_H */
