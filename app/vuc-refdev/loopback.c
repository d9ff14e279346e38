/* SPDX-License-Identifier: BSD-3-Clause */
#include "refdev.h"

static int
loopback_handle(void *arg, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	return refdev_handle(arg, req, reply);
}

static void
loopback_disconnect(void *arg)
{
	refdev_disconnect(arg);
}

void
refdev_loopback(struct refdev *dev, struct vuc_loopback_server *out)
{
	*out = (struct vuc_loopback_server){
		.handle = loopback_handle,
		.disconnect = loopback_disconnect,
		.arg = dev,
	};
}
