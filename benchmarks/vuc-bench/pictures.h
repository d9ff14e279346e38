/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PICTURES_H
#define BENCH_PICTURES_H

/* Where the plots go: one picture into a file, or one of each part into a folder. */

#include <stdbool.h>

#include "outfile.h"
#include "plot.h"

struct bench_pictures {
	const char *folder; /* NULL: the picture goes to a file, or there is none */
	bool made;          /* the folder was not there before */
	struct bench_outfile file;
	struct bench_plot plot;
};

/* Find out before a measurement whether they can be drawn; a folder that is not there is made.
 * Returns 0 or a negative errno; either way they may be given to bench_pictures_fini(). */
int bench_pictures_init(
	struct bench_pictures *pictures, const char *path, bool folder, struct vuc_error *err);

/* A folder that was made goes again unless there is something in it. */
void bench_pictures_fini(struct bench_pictures *pictures);

/* Draw what there is to be drawn; nothing when they were not initialised. */
int bench_pictures_draw(struct bench_pictures *pictures, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_PICTURES_H */
