/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <linux/vfio.h>

#include "error.h"
#include "vmm.h"

struct call {
	struct vuc_device *dev;
	control_device_fn fn;
	void *arg;
	struct vuc_error *err;
	bool lost; /* the connection has ended */
};

/* The reason is there only until the next call on the device. */
static int
run(void *arg)
{
	struct call *c = arg;
	int rc = c->fn(c->dev, c->arg);
	const char *reason = rc < 0 ? vuc_device_reason(c->dev) : "";

	if (rc < 0)
		vuc_error_set(c->err, rc, "%s", *reason != '\0' ? reason : strerror(-rc));
	c->lost = !vuc_device_connected(c->dev);
	return rc;
}

int
control_link_call(struct control_link *link, control_device_fn fn, void *arg, struct vuc_error *err)
{
	struct call c = {.dev = link->dev, .fn = fn, .arg = arg, .err = err};

	return vuc_poller_call(link->device->poller, run, &c);
}

/* The connection that took its place, or will, is of no use to this VMM. */
int
vmm_error_lost(struct vuc_error *err, int rc)
{
	const struct vuc_error why = *err;

	return vuc_error_set(err, rc,
		"the connection to the server has ended (%.120s): detach, and attach again",
		why.text);
}

int
vmm_call(struct control_vmm *v, control_device_fn fn, void *arg, struct vuc_error *err)
{
	struct call c = {.dev = v->link->dev, .fn = fn, .arg = arg, .err = err};
	int rc = vuc_poller_call(v->device->poller, run, &c);

	return rc < 0 && c.lost ? vmm_error_lost(err, rc) : rc;
}

int
control_forget_state(struct vuc_device *dev, void *arg)
{
	int rc;

	(void)arg;
	if ((vuc_device_info(dev)->flags & VFIO_DEVICE_FLAGS_RESET) == 0)
		return 0;
	rc = vuc_device_reset(dev);
	if (rc == -EOPNOTSUPP)
		return 0;
	return rc == 0 || vuc_device_connected(dev) ? rc : -EPIPE;
}
