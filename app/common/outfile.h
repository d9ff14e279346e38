/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_OUTFILE_H
#define APP_OUTFILE_H

#include <limits.h>
#include <sys/types.h>

/*
 * A file that is replaced when its successor is complete: until then that has another name, and
 * what was there before stays. Anything but a regular file (a pipe, a device, a link) is written in
 * place. One that is all zeros is not open.
 */
struct app_outfile {
	const char *path; /* NULL: not open */
	int fd;
	char temporary[PATH_MAX]; /* "": written in place */
};

/*
 * Open a file, which each of the others closes.
 *
 * @param path  stays the caller's for as long; "-" for stdout
 * @param mode  permissions of a new file, less those of the umask
 * @return 0 or a negative errno
 */
int app_outfile_open(struct app_outfile *file, const char *path, mode_t mode);

/* Give a complete file its name once it is on the disk. Returns 0, or a negative errno, and then
 * the file is removed. */
int app_outfile_commit(struct app_outfile *file);

/* Remove an incomplete file. Nothing happens when it is not open. */
void app_outfile_abort(struct app_outfile *file);

#endif /* APP_OUTFILE_H */
