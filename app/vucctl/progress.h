/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PROGRESS_H
#define VUCCTL_PROGRESS_H

/* The progress of a migration: a line on stderr, where that is a terminal. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/migration.h>

struct vucctl_progress {
	FILE *out;      /* NULL: not to be shown */
	uint64_t total; /* bytes; 0: not known */
	uint64_t start_ns;
	uint64_t shown_ns; /* 0: not yet */
};

/* Begin. lines: other lines go to stderr, too. */
void vucctl_progress_start(struct vucctl_progress *progress, uint64_t total, bool lines);

/* A vuc_migration_progress_fn, whose arg is the struct vucctl_progress. Gives up when a signal came
 * that vucctl_interrupt_install() takes. */
int vucctl_progress_migration(void *arg, const struct vuc_migration_progress *migration);

/* Wipe the line. Returns the nanoseconds since the start. */
uint64_t vucctl_progress_end(struct vucctl_progress *progress);

/* Print the line itself, after so many nanoseconds. */
void vucctl_progress_print(
	FILE *out, const struct vuc_migration_progress *migration, uint64_t total, uint64_t ns);

#endif /* VUCCTL_PROGRESS_H */
