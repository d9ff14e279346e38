/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_OPTIONS_H
#define VUC_VMM_OPTIONS_H

#include <vuc/vmm.h>

/*
 * Read options of a program that was built with another version of the header: what it did not know
 * has its default, and what this library does not know must be 0. Returns 0 with a name; -EINVAL.
 */
int vmm_options_read(struct vuc_vmm_attach_opts *known, const struct vuc_vmm_attach_opts *opts,
	struct vuc_error *err);

#endif /* VUC_VMM_OPTIONS_H */
