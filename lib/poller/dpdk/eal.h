/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_H
#define VUC_POLLER_EAL_H

#include <vuc/eal.h>

/*
 * What the rest of vuc needs of EAL. No header of this folder includes one of DPDK's but
 * trace_points.h, which is for the files of this folder.
 */

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

/* The node of an lcore's CPUs, by the lcore's thread; -1 when they are on several. */
int vuc_eal_thread_node(void);

/* Call fn with the CPU of each lcore that is bound to a single one, but the main lcore. */
void vuc_eal_each_bound_cpu(void (*fn)(void *arg, unsigned int cpu), void *arg);

/* The time stamp counter, and its ticks in a second. */
uint64_t vuc_eal_ticks(void);
uint64_t vuc_eal_tick_hz(void);

#endif /* VUC_POLLER_EAL_H */
