/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_OUTFILE_H
#define BENCH_OUTFILE_H

/*
 * A file that is written when all is well, opened before the measurement begins so that nobody
 * learns only after it that the folder is not there. A regular file is replaced at once by its
 * successor; anything else (a pipe, a device, a link) is written to as it is.
 */

#include <limits.h>

#include <vuc/error.h>

struct bench_outfile {
	const char *path; /* NULL: not in use */
	int fd;
	char temporary[PATH_MAX]; /* "": written in place */
};

/* path must live as long as the file. Returns 0 or a negative errno. */
int bench_outfile_open(struct bench_outfile *file, const char *path, struct vuc_error *err);

/* All is written: let it take its place. Returns 0 or a negative errno. */
int bench_outfile_commit(struct bench_outfile *file, struct vuc_error *err);

/* Give up; nothing stays behind. Nothing happens when not in use, or after a commit. */
void bench_outfile_abort(struct bench_outfile *file);

#endif /* BENCH_OUTFILE_H */
