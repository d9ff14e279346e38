/* SPDX-License-Identifier: BSD-3-Clause */
#include "way.h"

#include <linux/vfio.h>

const struct bench_access bench_settle_access = {
	.op = BENCH_READ,
	.region = VFIO_PCI_CONFIG_REGION_INDEX,
	.size = 4,
	.together = 1,
};

const char *
bench_access_op_name(enum bench_access_op op)
{
	static const char *const names[] = {
		[BENCH_READ] = "read",
		[BENCH_WRITE] = "write",
		[BENCH_POSTED] = "posted",
	};

	return names[op];
}
