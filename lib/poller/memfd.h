/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_MEMFD_H
#define VUC_POLLER_MEMFD_H

/* Memory that can be sealed and, where the kernel knows that, never executed. Returns a descriptor
 * or a negative errno. */
int vuc_memfd_create(const char *name);

#endif /* VUC_POLLER_MEMFD_H */
