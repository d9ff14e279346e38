/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_LOG_H
#define VUC_POLLER_EAL_LOG_H

#include <stddef.h>
#include <stdio.h>

#include <vuc/eal.h>

#define EAL_LOG_LINE_MAX 512

/*
 * What EAL logs, cut into lines for the application. Used with the stream locked, which rte_log
 * does, too.
 */
struct eal_log {
	FILE *stream;
	vuc_log_fn fn;
	void *arg;
	char line[EAL_LOG_LINE_MAX];
	size_t len;
	char first_error[VUC_ERROR_MAX]; /* empty if there was none */
};

/*
 * Let rte_log write to a stream of the log, which must last as long as the process, be zeroed, and
 * be opened before EAL is initialised. Returns 0 or -ENOMEM.
 */
int vuc_eal_log_open(struct eal_log *log, const struct vuc_eal_opts *opts, struct vuc_error *err);

/* No more lines for the application, of any thread: before EAL is cleaned up, or when it failed. */
void vuc_eal_log_mute(struct eal_log *log);

/* A line of vuc's own for the application. */
void vuc_eal_say(const struct vuc_eal_opts *opts, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

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

#endif /* VUC_POLLER_EAL_LOG_H */
