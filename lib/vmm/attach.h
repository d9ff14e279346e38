/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_ATTACH_H
#define VUC_VMM_ATTACH_H

/* HELLO and ATTACH, for a device's first daemon and for those after it. */

#include "operation.h"
#include "state.h"

/* What a daemon has said of itself and the device, with what came along. */
struct vmm_attached {
	struct vuc_vmm_info info;
	struct vmm_pages pages;
	int kick_fd;
	int event_fd;
};

/* A device that is not attached, with a connection to be made, and names; attaches: that of the
 * device is needed. Returns NULL with *rc. */
struct vuc_vmm_device *vmm_device_prepare(
	const struct vuc_vmm_attach_opts *opts, bool attaches, int *rc, struct vuc_error *err);

void vmm_hello_ask(const struct vuc_vmm_device *dev, union vmm_packet *request);
void vmm_attach_ask(const struct vuc_vmm_device *dev, union vmm_packet *request);

/* Return 0 or a negative errno. After that, too, what came along is the caller's. */
int vmm_hello_take(struct vuc_vmm_device *dev, const union vmm_packet *reply,
	const struct vmm_fds *fds, struct vuc_vmm_info *info, struct vuc_error *err);
int vmm_attach_take(struct vuc_vmm_device *dev, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vmm_attached *attached, struct vuc_error *err);

/* An operation that attaches was refused, or could not connect: whether it begins anew, with HELLO,
 * since the VMM waits for the device. */
bool vmm_attach_retry(struct vmm_operation *op);

/* That is the end of the connection. Returns 0. */
int vmm_attach_refused(struct vmm_operation *op);

#endif /* VUC_VMM_ATTACH_H */
