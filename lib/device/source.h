/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_SOURCE_H
#define VUC_DEVICE_SOURCE_H

/*
 * What a poller needs beside what everybody does: to open a device over a socket that is connected
 * already, and to put requests into the devices of a poll group, without a struct vuc_request for
 * each. Whatever polls the group asks the source, too: so the queues of all devices are served
 * while a synchronous call waits for one of them. And what the control plane needs: which memory
 * is still in use.
 */

#include <vuc/device.h>

#include "closers.h"
#include "session.h"

struct vuc_poll_source {
	/* At the beginning of a poll: give devices what there is to do. */
	void (*begin)(void *arg);
	/* At the end of it: tell what was completed. */
	void (*end)(void *arg);
	/* A reset of a device was asked for: what was submitted to the source before goes out
	 * before. Returns false when there is nothing; else vuc_device_drained() is called once all
	 * of that was taken. May be NULL. */
	bool (*drain)(void *arg, struct vuc_device *dev);
	/* The state of a device may have changed: called at the end of a poll in which a connection
	 * has ended, and otherwise with the group's tick, a few milliseconds after the change. May
	 * be NULL. */
	void (*changed)(void *arg);
	void *arg;
};

/* See drain above; on the thread that polls the device. */
void vuc_device_drained(struct vuc_device *dev);

/* Have the next poll look at the clock, as few polls do: for one who lets others have the CPU
 * between polls, and so polls rarely. */
void vuc_poll_group_look_at_clock(struct vuc_poll_group *group);

/* Copied; NULL takes it away. */
void vuc_poll_group_set_source(struct vuc_poll_group *group, const struct vuc_poll_source *source);

/* Threads that close what servers send to devices which are opened without a closer; they outlive
 * the group. */
void vuc_poll_group_set_closers(struct vuc_poll_group *group, struct vuc_closers *closers);

/* Milliseconds that the server may take to answer a request. */
uint32_t vuc_device_timeout_ms(const struct vuc_device *dev);

/* Most bytes of one access: what fits one message either way. */
uint32_t vuc_device_access_max(const struct vuc_device *dev);

/* Whether an access is one of the device, connected or not: 0, -EINVAL or -EACCES. */
int vuc_device_check_access(const struct vuc_device *dev, enum vuc_op op, uint32_t region,
	uint64_t offset, uint64_t count);

/* Whether a write by op to a region is posted. Called on the thread that polls the device. */
bool vuc_device_posts(const struct vuc_device *dev, enum vuc_op op, uint32_t region);

/* Whoever accessed parts of regions without the socket does so no more. */
void vuc_device_forget_bypasses(struct vuc_device *dev);

/*
 * Begin an access of at most vuc_device_access_max() bytes: one message, or of config space as many
 * as it takes for servers that know registers only. op is VUC_OP_READ, VUC_OP_WRITE or
 * VUC_OP_WRITE_POSTED. done comes from a later poll, and for a posted write not at all.
 * Returns 0; -EAGAIN when there is no room now, or requests are waiting that came first; what
 * vuc_device_submit() says, -EMSGSIZE for more than one message holds.
 */
int vuc_device_access_begin(
	struct vuc_device *dev, enum vuc_op op, const struct vuc_session_access *access);

/* Whether the mapping that begins at iova and was made with addr is still accessed there: it is the
 * device's, or leaves with the next commit. */
bool vuc_dma_holds(const struct vuc_device *dev, uint64_t iova, const void *addr);

/* Whether anything in [iova, iova + size), which is not empty, is mapped. */
bool vuc_dma_overlaps(const struct vuc_device *dev, uint64_t iova, uint64_t size);

/* Refuse the server's accesses by message once a flag, which any thread may set, is set. NULL takes
 * it away. */
void vuc_dma_set_revoked(struct vuc_device *dev, const _Atomic bool *revoked);

/* Never merge mappings from now on: for a client that unmaps one while the device uses those beside
 * it, as VMMs with a virtual IOMMU do. */
void vuc_dma_set_apart(struct vuc_device *dev, bool apart);

/* Files behind mappings, of each of which a descriptor is kept. */
size_t vuc_dma_files(const struct vuc_device *dev);

/*
 * Duplicate these descriptors, up to max of them: returns how many, which are the caller's. Who has
 * the last one of a guest's memory gives all of it back to the system by closing it, which takes
 * time: that is not to be the thread that drives the device.
 */
unsigned int vuc_dma_hold_files(const struct vuc_device *dev, int *fds, unsigned int max);

/* Whether the server has stopped answering, and since when (CLOCK_MONOTONIC); see
 * vuc_session_silent(). */
bool vuc_device_is_silent(const struct vuc_device *dev, uint64_t *since_ms);

/* Whether opts are within bounds. */
int vuc_device_read_opts(
	struct vuc_device_opts *known, const struct vuc_device_opts *opts, struct vuc_error *err);

/* As vuc_device_open_start() and vuc_device_open(), with opts that were checked. faults: what is
 * known of the server, which must outlive the device; NULL: nothing. closer: by whom the connection
 * and what the server sends are closed; NULL: by one of its own, if the group has closers. */
int vuc_device_open_known_start(const struct vuc_device_opts *opts,
	struct vuc_server_faults *faults, struct vuc_closer *closer, struct vuc_device **dev,
	vuc_done_fn done, void *arg, struct vuc_error *err);
int vuc_device_open_known(const struct vuc_device_opts *opts, struct vuc_server_faults *faults,
	struct vuc_device **dev, struct vuc_error *err);

/*
 * Somebody is going to close the device and does not wait for a server that hangs: the connection
 * ends, and what is under way with -ECANCELED, when nothing has come and gone for patience_ms while
 * something was awaited, also before the call; and when something is awaited for limit_ms from here
 * on without a break. A server of whom nothing is awaited keeps its connection. Of
 * several calls the one with the shortest patience_ms applies, and limit_ms runs from the first.
 * patience_ms 0: there is no such hurry any more. Called on the thread that polls the device. The
 * device stays. why: one line; it is kept.
 */
void vuc_device_hurry(
	struct vuc_device *dev, uint32_t patience_ms, uint32_t limit_ms, const char *why);

/* Trace the messages of a device from now on, or no more: NULL. On the thread that polls it. */
void vuc_device_set_trace(struct vuc_device *dev, vuc_trace_fn trace, void *arg);

/* As vuc_device_close_start(), but requests are not cancelled: they are sent and awaited for at
 * most the timeout. */
void vuc_device_drain_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

#endif /* VUC_DEVICE_SOURCE_H */
