/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_TEMPDIR_H
#define VUC_TESTS_TEMPDIR_H

/* A private folder for one test, under $TMPDIR or /tmp. */

#include <stddef.h>

/* Short enough for a socket in it, whose path ends at 107 bytes. */
#define VUC_TEMPDIR_SIZE 64

/* Returns 0, or a negative errno; -ENAMETOOLONG when $TMPDIR leaves no room for sockets. */
int vuc_tempdir_make(char path[VUC_TEMPDIR_SIZE]);

/* Remove the folder and all that is in it. Returns 0 or a negative errno. */
int vuc_tempdir_remove(const char *path);

/* Write a file, and make the folders that it is in. Returns 0 or a negative errno. */
int vuc_tempdir_put(const char *path, const char *text);

/* How many files are in it. */
size_t vuc_tempdir_count(const char *path);

#endif /* VUC_TESTS_TEMPDIR_H */
