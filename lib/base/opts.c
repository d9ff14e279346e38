/* SPDX-License-Identifier: BSD-3-Clause */
#include "opts.h"

#include <errno.h>
#include <string.h>

#include "error.h"

/* No program has options of that size: the field was not set. */
#define MOST_SIZE 4096u

void
vuc_opts_init(void *opts, size_t size, const void *defaults, size_t known_size)
{
	memset(opts, 0, size);
	memcpy(opts, defaults, size < known_size ? size : known_size);
	memcpy(opts, &size, size < sizeof(size) ? size : sizeof(size));
}

/* Copy the known part of size bytes; the rest must be 0. */
static int
struct_read(void *known, size_t known_size, const void *given, size_t size, const char *name,
	struct vuc_error *err)
{
	const unsigned char *bytes = given;

	for (size_t i = known_size; i < size; i++) {
		if (bytes[i] != 0)
			return vuc_error_set(err, -EINVAL,
				"struct %s: byte %zu is set, this library knows %zu", name, i,
				known_size);
	}
	memcpy(known, given, size < known_size ? size : known_size);
	memcpy(known, &known_size, sizeof(known_size));
	return 0;
}

int
vuc_opts_read(void *known, size_t known_size, const void *opts, size_t least, const char *name,
	struct vuc_error *err)
{
	size_t size;

	if (opts == NULL)
		return 0;
	memcpy(&size, opts, sizeof(size));
	if (size >= sizeof(size) && size < least)
		return vuc_error_set(err, -EINVAL,
			"struct %s has a size of %zu, less than that of any version (%zu): "
			"give %s_init() its sizeof",
			name, size, least, name);
	if (size < least || size > MOST_SIZE)
		return vuc_error_set(err, -EINVAL, "struct %s has a size of %zu: %s_init() sets it",
			name, size, name);
	return struct_read(known, known_size, opts, size, name, err);
}

int
vuc_argsz_check(size_t argsz, size_t least, const char *name, struct vuc_error *err)
{
	if (argsz >= least && argsz <= MOST_SIZE)
		return 0;
	return vuc_error_set(
		err, -EINVAL, "struct %s has an argsz of %zu, expected its sizeof", name, argsz);
}

int
vuc_argsz_read(void *known, size_t known_size, const void *given, size_t least, const char *name,
	struct vuc_error *err)
{
	size_t argsz;
	int rc;

	memcpy(&argsz, given, sizeof(argsz));
	rc = vuc_argsz_check(argsz, least, name, err);
	if (rc != 0)
		return rc;
	memset(known, 0, known_size);
	return struct_read(known, known_size, given, argsz, name, err);
}

void
vuc_argsz_write(void *given, size_t argsz, const void *known, size_t known_size)
{
	memset(given, 0, argsz);
	memcpy(given, known, argsz < known_size ? argsz : known_size);
	memcpy(given, &argsz, sizeof(argsz));
}
