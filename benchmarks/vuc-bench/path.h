/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PATH_H
#define BENCH_PATH_H

/* --path: who drives the device that is measured. */

#include <vuc/error.h>

enum bench_path {
	BENCH_PATH_INLINE, /* the thread that measures */
	BENCH_PATH_POLLER, /* a poller */
	BENCH_PATH_SHM,    /* a poller in another process, reached by shared memory */
};

/* As in options and reports. */
const char *bench_path_name(enum bench_path path);

/* Returns 0 or -EINVAL. */
int bench_path_parse(enum bench_path *path, const char *text, struct vuc_error *err);

#endif /* BENCH_PATH_H */
