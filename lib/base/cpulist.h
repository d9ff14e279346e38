/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_CPULIST_H
#define VUC_BASE_CPULIST_H

#include <sched.h>
#include <stddef.h>

/*
 * CPUs of a list as "0,2-3". Returns 0, or -EINVAL for anything else, an empty list or a number
 * that is too large for a cpu_set_t.
 */
int vuc_cpulist_parse(const char *list, cpu_set_t *set);

/* The opposite, cut short with "..." where size is too small. */
void vuc_cpulist_format(const cpu_set_t *set, char *list, size_t size);

#endif /* VUC_BASE_CPULIST_H */
