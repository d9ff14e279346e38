/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_OUTCOME_H
#define VUC_TESTS_OUTCOME_H

#include <fnmatch.h>
#include <sched.h>

#include <vuc/device.h>

#include "tap.h"

/* Whether a call returned an error and the device's reason matches a pattern of fnmatch(3). */
static inline bool
is_refused(struct vuc_device *dev, int rc, int expected, const char *reason)
{
	if (rc == expected && fnmatch(reason, vuc_device_reason(dev), 0) == 0)
		return true;
	printf("# returned %d, not %d: %s\n", rc, expected, vuc_device_reason(dev));
	return false;
}

/* Open a device, and assert that it works. */
static inline struct vuc_device *
open_well(const struct vuc_device_opts *opts)
{
	struct vuc_error err = {0};
	struct vuc_device *dev;

	if (vuc_device_open(opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

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
	snprintf(o->text, sizeof(o->text), "%s", err->text);
}

static inline void
poll_until_called(struct vuc_poll_group *g, const struct outcome *o)
{
	while (o->calls == 0) {
		vuc_poll_group_poll(g);
		sched_yield();
	}
}

#endif /* VUC_TESTS_OUTCOME_H */
