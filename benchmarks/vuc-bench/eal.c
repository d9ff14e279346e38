/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal.h"

#include <string.h>

#include <vuc/eal.h>

#include "error.h"

int
bench_eal_init(struct vuc_error *err)
{
	struct vuc_eal_opts opts;
	struct vuc_error why = {0};
	int ret;

	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.telemetry = false;
	ret = vuc_eal_init(&opts, &why);
	if (ret != 0)
		return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
	return 0;
}

void
bench_eal_fini(void)
{
	vuc_eal_fini();
}
