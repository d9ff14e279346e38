/* SPDX-License-Identifier: BSD-3-Clause */

/* The memory of a queue is what <vuc/shm.h> tells other implementations. */

#include <vuc/queue.h>
#include <vuc/shm.h>

#include "layout.h"

#define SAME_SIZE(ours, theirs) \
	_Static_assert(sizeof(struct ours) == sizeof(struct theirs), #ours " and " #theirs)
#define SAME_FIELD(ours, theirs, field)                                                  \
	_Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, field) && \
			sizeof(((struct ours *)NULL)->field) ==                          \
				sizeof(((struct theirs *)NULL)->field),                  \
		#ours "." #field)

SAME_SIZE(queue_request_slot, vuc_shm_request);
SAME_FIELD(queue_request_slot, vuc_shm_request, offset);
SAME_FIELD(queue_request_slot, vuc_shm_request, count);
SAME_FIELD(queue_request_slot, vuc_shm_request, op);
SAME_FIELD(queue_request_slot, vuc_shm_request, region);
SAME_FIELD(queue_request_slot, vuc_shm_request, id);
SAME_FIELD(queue_request_slot, vuc_shm_request, data);
SAME_FIELD(queue_request_slot, vuc_shm_request, tag);

SAME_SIZE(queue_completion_slot, vuc_shm_completion);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, id);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, status);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, count);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, data);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, tag);

SAME_SIZE(queue_front_header, vuc_shm_front);
SAME_FIELD(queue_front_header, vuc_shm_front, sleeps);

SAME_SIZE(queue_back_header, vuc_shm_back);
SAME_FIELD(queue_back_header, vuc_shm_back, wakes);
SAME_FIELD(queue_back_header, vuc_shm_back, bell);
SAME_FIELD(queue_back_header, vuc_shm_back, closed);
SAME_FIELD(queue_back_header, vuc_shm_back, taken);

_Static_assert(QUEUE_SLOT_SIZE == VUC_SHM_SLOT_SIZE && QUEUE_REQUEST_MAX == VUC_SHM_REQUEST_MAX &&
		QUEUE_ANSWER_MAX == VUC_SHM_ANSWER_MAX && QUEUE_DEPTH_MAX == VUC_SHM_MAX_DEPTH &&
		QUEUE_CHUNK_MAX == VUC_SHM_MAX_DATA,
	"limits");
_Static_assert((int)VUC_QUEUE_READ == VUC_SHM_READ && (int)VUC_QUEUE_WRITE == VUC_SHM_WRITE &&
		(int)VUC_QUEUE_WRITE_POSTED == VUC_SHM_WRITE_POSTED &&
		(int)VUC_QUEUE_WRITE_PCI == VUC_SHM_WRITE_PCI,
	"operations");
