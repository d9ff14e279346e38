/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_HELLO_H
#define VUC_VMM_HELLO_H

#include "device.h"

/* Agree on a version, and learn what the daemon allows. */
int vmm_say_hello(struct vuc_vmm_device *dev, const char *name, struct vuc_error *err);

#endif /* VUC_VMM_HELLO_H */
