/* SPDX-License-Identifier: BSD-3-Clause */

#include <vuc/export.h>
#include <vuc/queue.h>

#include "front.h"
#include "opts.h"

VUC_EXPORT void
vuc_queue_opts_init(struct vuc_queue_opts *opts, size_t size)
{
	const struct vuc_queue_opts defaults = {
		.depth = VUC_DEFAULT_QUEUE_DEPTH,
		.max_data = VUC_DEFAULT_QUEUE_MAX_DATA,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

VUC_PRIVATE int
vuc_queue_read_opts(
	struct vuc_queue_opts *known, const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	vuc_queue_opts_init(known, sizeof(*known));
	return vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_queue_opts, max_data), "vuc_queue_opts", err);
}
