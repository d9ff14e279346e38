/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_ERROR_H
#define VUC_ERROR_H

/**
 * @file
 * What went wrong, in words.
 *
 * Functions of vuc return 0 (or a count) on success and a negative errno on failure. Where the
 * errno alone would leave the user guessing, a `struct vuc_error` takes one line that names the
 * object, the field and the value seen. The line has no newline at its end and no credentials in
 * it; strings that came from a peer have their control characters replaced.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Size of the text in struct vuc_error, terminating NUL included. */
#define VUC_ERROR_MAX 256

/** One line about a failure. Zero-initialised it is empty. */
struct vuc_error {
	char text[VUC_ERROR_MAX]; /**< always NUL-terminated; empty when nothing was said */
};

#ifdef __cplusplus
}
#endif

#endif /* VUC_ERROR_H */
