/* SPDX-License-Identifier: BSD-3-Clause */
#include <vuc/export.h>

#include "message.h"

VUC_EXPORT int
vuc_vmm_reset(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	union vmm_packet packet;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vmm_ask(dev, VUC_SHM_RESET, &packet, sizeof(packet.plain), sizeof(packet.plain), err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}
