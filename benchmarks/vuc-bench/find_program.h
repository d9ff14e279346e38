/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FIND_PROGRAM_H
#define BENCH_FIND_PROGRAM_H

#include <vuc/error.h>

/*
 * Find an executable file.
 *
 * @param name      of the program
 * @param variable  environment variable that overrides everything else; NULL: none
 * @param relative  where to look first, from the folder of this program; NULL: only beside it
 * @param path      set to a string that the caller frees
 * @return 0; -ENOENT when it is neither there nor in this program's folder nor in $PATH; -EACCES
 *         when the override is no program; -ENOMEM
 */
int bench_find_program(const char *name, const char *variable, const char *relative, char **path,
	struct vuc_error *err);

#endif /* BENCH_FIND_PROGRAM_H */
