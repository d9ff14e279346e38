/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_ERROR_H
#define VUC_BASE_ERROR_H

#include <stddef.h>

#include <vuc/error.h>

/*
 * Format a line into err, when there is one, and return code. Bytes of the formatted line that
 * are not printable ASCII are replaced by '?': parts of it may come from a peer. The text that
 * err holds may be among the arguments, so that a caller can put words of its own around it.
 */
int vuc_error_set(struct vuc_error *err, int code, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* The same, but only control characters are replaced: paths may be in UTF-8. */
int vuc_error_set_utf8(struct vuc_error *err, int code, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

#endif /* VUC_BASE_ERROR_H */
