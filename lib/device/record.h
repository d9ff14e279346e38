/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_RECORD_H
#define VUC_DEVICE_RECORD_H

/*
 * The record of a device: what its client has set, so that the device survives its server.
 *
 * While a device has a record, the end of its connection does not end the device: it is *away*.
 * DMA maps and unmaps, IRQ changes and a reset are then taken into the record instead of being
 * sent, and end well; those under way when the connection is lost do, too. Everything else fails as
 * on any device without a connection. A restore takes the connection of a fresh device, which is
 * compared with this one, and replays the record.
 *
 * Recorded: DMA mappings (the DMA table itself), eventfds and explicit masks of interrupts, the
 * last value of each register of config space and of the MSI-X table that the server took; of an
 * NVMe controller, where its admin queues are. All of it is bounded. Dirty-page logging and a
 * migration's state are not recorded.
 *
 * All functions are called on the thread that polls the device, callbacks come from its polls.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/error.h>

#include "closers.h"

/* Eventfds and explicit masks of a device that are kept; an IRQ operation beyond fails with -ENOSPC
 * before anything is sent. MSI-X has at most 2048 interrupts. */
#define VUC_RECORD_MAX_IRQS 4160u

struct vuc_record_opts {
	/* By whom eventfds are closed, which may be files of the client's own file system; held
	 * until the record is stopped. NULL: they are closed on the thread that polls. */
	struct vuc_closer *closer;
	/* Of an NVMe controller, keep what vuc_device_nvme_queues() says; and after a restore,
	 * report a failure in CSTS.CFS until the client writes CC: the client may have commands
	 * under way that the new server does not know. */
	bool recovers_nvme;
	/* Called when the client has enabled that controller, on the thread that polls; not after
	 * the record was stopped. NULL: nobody is told. */
	void (*nvme_enabled)(void *arg);
	void *arg; /* of it */
};

/*
 * Keep a record from now on, for a client that has set nothing yet; reads config space. done is
 * called once: with 0, also when config space cannot be read or the connection ends meanwhile: then
 * it is read by the first restore; -ENOMEM, and there is no record; -ECANCELED when it was stopped.
 * Returns 0; -EALREADY, -ENOMEM, -ENOTCONN, and done is not called.
 */
int vuc_device_record_start(
	struct vuc_device *dev, const struct vuc_record_opts *opts, vuc_done_fn done, void *arg);

/*
 * Forget all of it, as when the client leaves. A device that is away is from then on one whose
 * connection has ended; a restore under way ends with -ECANCELED, from this call. Mappings stay in
 * the DMA table until the device is closed. Does nothing without a record; closing stops it, too.
 */
void vuc_device_record_stop(struct vuc_device *dev);

/* Give the record its client, which has set nothing yet, if it began without one: opts as they
 * would be at its start. While the device is away, the number of mappings that the server accepts
 * is known only as far as it has announced it. */
void vuc_device_record_set_client(struct vuc_device *dev, const struct vuc_record_opts *opts);

/*
 * The client of a device that is away has left: forget all that it has set, as when the record is
 * stopped, but keep the record, with what was learned of the device, for the next client. A restore
 * under way ends with -ECANCELED, from this call. Returns 0; or -EINVAL, when the device is not
 * away, is not known, or still has operations of its client: it is as before then.
 */
int vuc_device_record_forget_client(struct vuc_device *dev);

/* The client has written while the device is away, and no server gets it: keep what an NVMe driver
 * has done to its controller, as the values of registers and of the admin submission queue's
 * doorbell, so that no failure is reported to a driver that has disabled the controller since. */
void vuc_device_record_dropped(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/* Whether the device has a record, and its connection has ended or is being restored.
 * vuc_device_connected() is false meanwhile. */
bool vuc_device_is_away(const struct vuc_device *dev);

/* Whether config space could be read when the record began. */
bool vuc_device_record_has_config(const struct vuc_device *dev);

/*
 * What config space had there last: as it was read at the start or later, with what was written
 * since and taken. Returns 0; -ENODATA if a byte of it is not known; -EINVAL beyond the region.
 */
int vuc_device_record_read_config(
	const struct vuc_device *dev, uint64_t offset, void *data, uint32_t count);

/*
 * Whether the process behind a fresh device may get what the old one's process had. Returns 0;
 * -EAGAIN: the old process still runs (ask again later), why is "process 123 (its program)";
 * -EACCES: another user runs the new one. fence_on false: the old process may run still. A server
 * of which the kernel names no process (a socket of another PID namespace, no socket) passes, and
 * draws one warning.
 */
int vuc_device_fence(struct vuc_device *old, const struct vuc_device *fresh, bool fence_on,
	struct vuc_error *why);

struct vuc_restore_opts {
	bool reset; /* RESET comes first, if the device has the flag */
	/* Bit n: a restore with another file of region n fails with -EXDEV, before anything was
	 * done to the fresh device. */
	uint64_t kept_files;
};

/*
 * Restore a device that is away with the connection of a fresh one, which is open, of the same poll
 * group, and used by nobody. In this order: compare both; RESET; power state D0; BARs; DMA
 * mappings; interrupts, INTx unmasked; MSI-X table; MSI and MSI-X control; device control; other
 * registers that the server had taken; COMMAND. Dirty-page logging is not started again. A refused
 * register is logged once and skipped; anything else that is refused fails.
 *
 * Returns 0: fresh has no connection any more and may be closed, done is called once from a poll;
 * -ENODEV: the device differs, and err says in what; -EINVAL, -EBUSY (one is under way), -ENOMEM.
 * Unless it is 0, nothing was done.
 *
 * done gets 0: the device is connected again; -ENODEV: it differs, err says in what; else what went
 * wrong. Unless it is 0, the device is away as before, with its record, and can be restored with
 * another fresh device.
 */
int vuc_device_restore_start(struct vuc_device *dev, struct vuc_device *fresh,
	const struct vuc_restore_opts *opts, vuc_done_fn done, void *arg, struct vuc_error *err);

/* How often a device with a record has got another connection by a restore. */
uint64_t vuc_device_record_renewals(const struct vuc_device *dev);

/* What the restore under way is at, as "mapping 12 of 64"; "" if there is none. Valid until the
 * next call. */
const char *vuc_device_restore_step(struct vuc_device *dev);

/* Duplicate the eventfds of assigned INTx, MSI and MSI-X interrupts, from *cursor on, which is 0 at
 * first, up to max of them: returns how many, which are the caller's. 0: there are no more, or no
 * room for a descriptor. */
unsigned int vuc_device_hold_eventfds(
	const struct vuc_device *dev, unsigned int *cursor, int *fds, unsigned int max);

/* After a restore: bit n: a file of region n has changed since the last call, by that restore or by
 * one before it that failed. */
uint64_t vuc_device_take_remapped(struct vuc_device *dev);

/* The admin queues of an NVMe controller, by its registers, as the client has written them. */
struct vuc_nvme_queues {
	uint64_t asq;
	uint64_t acq;
	uint32_t aqa;
	uint32_t enables; /* see vuc_device_nvme_enables() */
	bool failed;      /* restored, and the client has not written CC since then */
	bool rung;        /* the submission queue's doorbell was written through here, */
	uint32_t tail;    /* and with this last, since CC.EN was set */
};

/* Whether it is a controller to be recovered that the client has enabled. */
bool vuc_device_nvme_queues(const struct vuc_device *dev, struct vuc_nvme_queues *queues);

/* How often clients have enabled it, or one more; 0: it is not such a controller, or this is not
 * known yet. Any thread, while the device is open. */
uint32_t vuc_device_nvme_enables(const struct vuc_device *dev);

#endif /* VUC_DEVICE_RECORD_H */
