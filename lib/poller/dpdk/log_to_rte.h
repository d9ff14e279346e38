/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_LOG_TO_RTE_H
#define VUC_POLLER_LOG_TO_RTE_H

#include <vuc/log.h>

/*
 * Where lines go that nobody else takes: rte_log, with a type for each part, so that EAL's
 * --log-level applies. Whoever has initialised EAL has said where that goes: the application, by
 * default to stderr, or vuc, to the log of struct vuc_eal_opts.
 */
enum log_part {
	LOG_PART_POLLER, /* vuc.poller */
	LOG_PART_DEVICE, /* vuc.device: the poll group, its devices and its transport */
	LOG_PARTS,
};

/* What vuc_log_to_rte() takes as its argument. */
void *vuc_log_part(enum log_part part);

/* A vuc_log_fn. */
void vuc_log_to_rte(void *part, enum vuc_log_level level, const char *line);

#endif /* VUC_POLLER_LOG_TO_RTE_H */
