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

int
vuc_opts_read(void *known, size_t known_size, const void *opts, size_t least, const char *name,
	struct vuc_error *err)
{
	const unsigned char *bytes = opts;
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
	for (size_t i = known_size; i < size; i++) {
		if (bytes[i] != 0)
			return vuc_error_set(err, -EINVAL,
				"struct %s: byte %zu is set, this library knows %zu", name, i,
				known_size);
	}
	memcpy(known, opts, size < known_size ? size : known_size);
	memcpy(known, &known_size, sizeof(known_size));
	return 0;
}
