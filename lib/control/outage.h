/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_OUTAGE_H
#define VUC_LIB_CONTROL_OUTAGE_H

/* Outages that a VMM's device survives. */

#include "vmm.h"

/* On the VMM's thread: from now on the device keeps what the VMM sets, so that it survives the loss
 * of its server, where the device is to do so. */
void vmm_start_record(struct control_vmm *v);

/* On the VMM's thread, when it leaves: forget all of that; a restore under way ends. held: files of
 * its mappings, which the device lets go of. Returns whether what was learned of a device that is
 * away is kept for the next VMM. */
bool vmm_end_record(struct control_vmm *v, struct held_files *held);

/* On the VMM's thread: after a return, report a failure to the driver of an NVMe controller, and
 * signal each interrupt once, since one may have been lost. */
void vmm_signal_return(struct control_vmm *v);

/* With the lock held: the connection that its VMM keeps, whether it has ended or not; NULL: the VMM
 * has none, does not keep it, or leaves. */
struct control_link *device_kept_link(const struct control_device *d);

/* On the control thread: whether the VMM is still there for whom a new connection was made. */
bool control_restore_is_wanted(const struct control_link *fresh);

/*
 * On the control thread: let a new connection, which is open, take the place of the one that a VMM
 * keeps, once the old server's process has ended, and replay its record by it. done is called on
 * the control thread with the new link as arg, which is freed behind it: with 0; -ENODEV when the
 * device is another one; -ECANCELED when the VMM has left; or what has failed, and the next
 * connection may do.
 */
void control_restore_start(struct control_link *fresh, vuc_done_fn done);

/* On the control thread: do what is due. */
void control_restore_look_at(struct control_link *fresh);

#endif /* VUC_LIB_CONTROL_OUTAGE_H */
