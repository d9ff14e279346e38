/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_H
#define VUC_POLLER_EAL_H

#include <vuc/eal.h>

#define EAL_ANY_CPU (-1)

/*
 * Make the calling thread an lcore of EAL, bound to a CPU, or as it is with EAL_ANY_CPU. From then
 * on rte_lcore_id() is valid in it, and rte_socket_id() the node of that CPU.
 *
 * Returns 0; -ENODEV without a vuc_eal_init() before; -EINVAL when the thread may not run on that
 * CPU; -EBUSY when it is an lcore already; -ENOMEM when there are as many lcores as there can be.
 */
int vuc_eal_thread_enter(int cpu, struct vuc_error *err);

/* The calling thread is an lcore no more: before it ends. It stays bound. */
void vuc_eal_thread_leave(void);

#endif /* VUC_POLLER_EAL_H */
