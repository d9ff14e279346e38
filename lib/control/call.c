/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "error.h"
#include "vmm.h"

struct call {
	struct vuc_device *dev;
	vmm_device_fn fn;
	void *arg;
	struct vuc_error *err;
};

/* The reason is there only until the next call on the device. */
static int
run(void *arg)
{
	const struct call *c = arg;
	int rc = c->fn(c->dev, c->arg);
	const char *reason = rc < 0 ? vuc_device_reason(c->dev) : "";

	if (rc < 0)
		vuc_error_set(c->err, rc, "%s", *reason != '\0' ? reason : strerror(-rc));
	return rc;
}

int
vmm_call(struct control_vmm *v, vmm_device_fn fn, void *arg, struct vuc_error *err)
{
	struct call c = {.dev = v->link->dev, .fn = fn, .arg = arg, .err = err};

	return vuc_poller_call(v->device->poller, run, &c);
}
