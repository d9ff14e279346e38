/* SPDX-License-Identifier: BSD-3-Clause */

#include <vuc/export.h>
#include <vuc/queue.h>

VUC_EXPORT void
vuc_queue_opts_init(struct vuc_queue_opts *opts)
{
	*opts = (struct vuc_queue_opts){
		.depth = VUC_DEFAULT_QUEUE_DEPTH,
		.max_data = VUC_DEFAULT_QUEUE_MAX_DATA,
	};
}
