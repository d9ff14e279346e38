/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_OPTS_H
#define VUC_BASE_OPTS_H

/*
 * Options of programs that were built with another version of a header. Each struct of them begins
 * with its size, a size_t, as the program knows it.
 */

#include <stddef.h>

#include <vuc/error.h>

/* The size of a struct of options in the first version of its header, whose last field was this:
 * whatever is added later, programs built with that one are served. */
#define VUC_OPTS_LEAST(type, last) (offsetof(type, last) + sizeof(((type *)NULL)->last))

/* Set options of a size to their defaults, of which this library knows some bytes. */
void vuc_opts_init(void *opts, size_t size, const void *defaults, size_t known_size);

/*
 * Copy what a program has set into options that this library knows, and that have their defaults:
 * what the program did not know keeps them, and what this library does not know must be 0.
 * opts may be NULL: all is left as it is. least is the size in the first version of the header, and
 * name that of the struct. Returns 0 or -EINVAL.
 */
int vuc_opts_read(void *known, size_t known_size, const void *opts, size_t least, const char *name,
	struct vuc_error *err);

/*
 * The same for structs that a program fills, or receives, and that no function initialises: their
 * first member, argsz, is their size. Fields that the program did not know are 0.
 */
int vuc_argsz_check(size_t argsz, size_t least, const char *name, struct vuc_error *err);
int vuc_argsz_read(void *known, size_t known_size, const void *given, size_t least,
	const char *name, struct vuc_error *err);

/* Fill a struct whose argsz was checked; fields that are not known here become 0. */
void vuc_argsz_write(void *given, size_t argsz, const void *known, size_t known_size);

#endif /* VUC_BASE_OPTS_H */
