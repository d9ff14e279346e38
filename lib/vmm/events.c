/* SPDX-License-Identifier: BSD-3-Clause */

/* What the VMM's main loop calls: what has become of the device and of operations. */

#include <vuc/export.h>

#include "operation.h"
#include "state.h"

VUC_EXPORT int
vuc_vmm_event_fd(const struct vuc_vmm_device *dev)
{
	return dev->watch.epoll_fd;
}

VUC_EXPORT uint32_t
vuc_vmm_events(struct vuc_vmm_device *dev)
{
	bool gone, attached, detached;
	uint32_t begun, events;

	pthread_mutex_lock(&dev->lock);
	if (vmm_is_callback(dev)) {
		pthread_mutex_unlock(&dev->lock);
		return 0;
	}
	gone = vmm_watch_drain(dev);
	vmm_operations_advance(dev);
	begun = vmm_take_reattached(dev);
	attached = dev->told.state != 0;
	pthread_mutex_unlock(&dev->lock);
	events = begun | (attached ? vmm_state_events(dev, gone) : 0);
	pthread_mutex_lock(&dev->lock);
	if ((events & VUC_VMM_EVENT_REMAP) != 0 && begun == 0)
		vmm_regions_renew(dev, NULL);
	if ((events & VUC_VMM_EVENT_REMAP) != 0)
		vmm_regions_tell(dev);
	vmm_operations_tell(dev);
	detached = dev->phase == VMM_DETACHED;
	pthread_mutex_unlock(&dev->lock);
	if (detached)
		vmm_device_free(dev);
	return events;
}
