/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_ERROR_H
#define VUC_ERROR_H

/**
 * @file
 * Error texts.
 *
 * Functions of vuc return 0 (or a count) on success and a negative errno on failure. If the errno
 * alone is not specific enough, a `struct vuc_error` contains one line with the object, the field
 * and the value. The line has no newline at its end and contains no credentials; control characters
 * in strings of a peer are replaced.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Size of the text in struct vuc_error, terminating NUL included. */
#define VUC_ERROR_MAX 256

/** One-line error text. A zero-initialised struct is empty. */
struct vuc_error {
	char text[VUC_ERROR_MAX]; /**< always NUL-terminated; empty if there is no error text */
};

#ifdef __cplusplus
}
#endif

#endif /* VUC_ERROR_H */
