/* SPDX-License-Identifier: BSD-3-Clause */
#include "path.h"

#include "options.h"

static const char *const names[] = {
	[BENCH_PATH_INLINE] = "inline",
	[BENCH_PATH_POLLER] = "poller",
	[BENCH_PATH_SHM] = "shm",
	NULL,
};

const char *
bench_path_name(enum bench_path path)
{
	return names[path];
}

int
bench_path_parse(enum bench_path *path, const char *text, struct vuc_error *err)
{
	unsigned int i = 0;
	int ret = bench_parse_word("path", text, names, &i, err);

	if (ret == 0)
		*path = (enum bench_path)i;
	return ret;
}
