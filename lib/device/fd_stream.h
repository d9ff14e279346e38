/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_FD_STREAM_H
#define VUC_DEVICE_FD_STREAM_H

#include <stddef.h>

/*
 * read(2) and write(2) as often as it takes, whatever interrupts them or makes them short. A
 * descriptor with O_NONBLOCK is waited for.
 */

/* Read size bytes, fewer only at the end of the file. Sets got, also on failure. Returns 0 or a
 * negative errno. */
int fd_read_full(int fd, void *data, size_t size, size_t *got);

/* Write size bytes. Returns 0 or a negative errno. */
int fd_write_full(int fd, const void *data, size_t size);

#endif /* VUC_DEVICE_FD_STREAM_H */
