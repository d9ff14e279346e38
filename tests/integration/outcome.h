/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_OUTCOME_H
#define VUC_TESTS_OUTCOME_H

#include <sched.h>
#include <stdio.h>

#include <vuc/device.h>

/* What a callback was called with. */
struct outcome {
	unsigned int calls;
	int status;
	char text[VUC_ERROR_MAX];
};

/* A vuc_done_fn; arg is the outcome. */
static inline void
note(void *arg, int status, const struct vuc_error *err)
{
	struct outcome *o = arg;

	o->calls++;
	o->status = status;
	snprintf(o->text, sizeof(o->text), "%s", status != 0 ? err->text : "");
}

static inline void
poll_until_called(struct vuc_poll_group *group, const struct outcome *o)
{
	while (o->calls == 0) {
		vuc_poll_group_poll(group);
		sched_yield();
	}
}

#endif /* VUC_TESTS_OUTCOME_H */
