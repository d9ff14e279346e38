/* SPDX-License-Identifier: BSD-3-Clause */
#include "way.h"

#include <errno.h>
#include <inttypes.h>

#include <linux/vfio.h>

#include "error.h"
#include "options.h"

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

int
bench_access_parse_op(struct bench_access *access, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"read", "write", "posted", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("op", text, words, &i, err);

	if (ret == 0)
		access->op = (enum bench_access_op)i;
	return ret;
}

int
bench_access_parse_size(struct bench_access *access, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"1", "2", "4", "8", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("size", text, words, &i, err);

	if (ret == 0)
		access->size = 1u << i;
	return ret;
}

int
bench_access_check(const struct bench_access *a, uint64_t size, struct vuc_error *err)
{
	if (a->server == NULL || (a->size <= size && a->offset <= size - a->size))
		return 0;
	return bench_fail(err, -EINVAL,
		"%s: %" PRIu32 " bytes at offset 0x%" PRIx64 " are not within region %" PRIu32
		", which has 0x%" PRIx64 " bytes",
		a->server, a->size, a->offset, a->region, size);
}
