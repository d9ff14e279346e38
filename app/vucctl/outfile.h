/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_OUTFILE_H
#define VUCCTL_OUTFILE_H

/* A file that appears when it is complete: until then it has another name, and what was there
 * before stays. */

#include <limits.h>

struct vucctl_outfile {
	const char *path;
	int fd;                   /* -1: not open */
	char temporary[PATH_MAX]; /* "" when it is written in place */
};

/* Open a file that others must not read. "-" is standard output; that and devices are written in
 * place. Returns 0; EXIT_FAILURE, the error said. */
int vucctl_outfile_open(struct vucctl_outfile *file, const char *path);

/* Write all to the disk and give it its name. Returns 0; EXIT_FAILURE, the error said and the file
 * gone. */
int vucctl_outfile_commit(struct vucctl_outfile *file);

/* Forget what was written; after a commit it does nothing. */
void vucctl_outfile_abort(struct vucctl_outfile *file);

#endif /* VUCCTL_OUTFILE_H */
