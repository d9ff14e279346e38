/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_DESCRIPTOR_H
#define VUC_VMM_DESCRIPTOR_H

/* Descriptors from the daemon are looked at before they are used. `what` names them in errors. */

#include <stddef.h>

#include <vuc/error.h>

/*
 * Map the first size bytes of a file, which must have them: a page behind its end raises SIGBUS.
 * Returns 0; -EPROTO, with err saying what of `what` is wrong; -ENOMEM.
 */
int vmm_memory_map(
	void **memory, int fd, size_t size, int prot, const char *what, struct vuc_error *err);

/* Whether it can be an eventfd. Returns 0; -EPROTO for a file, a pipe, a socket. */
int vmm_eventfd_check(int fd, const char *what, struct vuc_error *err);

#endif /* VUC_VMM_DESCRIPTOR_H */
