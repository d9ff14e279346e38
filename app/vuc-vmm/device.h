/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_DEVICE_H
#define VMM_DEVICE_H

/*
 * The device, as libvuc-vmm gives it to us: all calls of that library are here.
 *
 * Functions return 0 or a negative errno. Those that set the device up or take it down say what
 * went wrong; accesses do not, as most often a guest has accessed what is not there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/vmm.h>

struct memory; /* see guest.h */

/* A part of a BAR that is mapped here, and can be mapped into the guest. */
struct device_area {
	uint32_t bar;
	uint64_t offset;
	uint64_t size;
	void *bytes;
	bool read_only;
};

struct device {
	const char *name;
	struct vuc_vmm_device *vuc;
	struct vuc_queue *queue; /* of the one thread that runs our one CPU */
	struct device_area *areas;
	size_t nr_areas;
	void (*was_reset)(void *arg);
	void *arg;
	uint64_t failed_accesses;
	uint64_t dropped_writes; /* because the daemon had ended, see device_post() */
	uint32_t reattaches;
	uint32_t remaps;  /* how often areas were mapped again */
	uint32_t resets;  /* of the running guest's device, by the return of a server or a daemon */
	bool irqs_failed; /* and it was said */
	bool awaited;     /* an access has failed as if the device was gone */
	bool checking;
	bool lost; /* the server is away: accesses wait, unless they fail */
	bool gone; /* the daemon, its device, or the device's server: nothing works any more */
};

struct device_opts {
	const char *socket; /* of the daemon; NULL: the default one */
	const char *name;
	uint32_t wait_ms; /* for another daemon when one has ended */
};

int device_attach(struct device *device, const struct device_opts *opts);
void device_detach(struct device *device);

/* Set a function that is called when the device has returned from an outage. The device was reset:
 * memory, interrupts and areas are restored, ioeventfds and written config space are not. The
 * function may access the device. */
void device_on_reset(struct device *device, void (*was_reset)(void *arg), void *arg);

/* Let the device access the guest's memory, at the addresses that the guest has it at. */
int device_share_memory(struct device *device, const struct memory *memory);

/* Take that away. When this has succeeded, the device does not access the memory any more. */
int device_unshare_memory(struct device *device);

/* Bytes of the region behind a BAR; 0: there is none. */
int device_bar_size(struct device *device, uint32_t bar, uint64_t *size);

/*
 * If the daemon has ended meanwhile, a read or a write to config space is repeated with the next
 * daemon, a few times. A write to a BAR is dropped, as the daemon does while a server is away: in a
 * device that was reset, an old doorbell would do harm.
 */
int device_read(
	struct device *device, uint32_t region, uint64_t offset, void *data, uint32_t count);

/* Write, and wait until it is done: as PCI has it for config space and I/O ports. */
int device_write(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count);

/* Write as PCI has it for memory: without waiting for the device, if the daemon posts such writes.
 */
int device_post(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count);

/* Have the device's server signal these for MSI-X's vectors, from 0 on; or nothing any more. */
int device_enable_msix(struct device *device, const int *eventfds, uint32_t nr_vectors);
void device_disable_msix(struct device *device);

/* Where writes to a BAR can signal the device's server by eventfd; NULL: nowhere. To be freed by
 * vuc_vmm_io_fds_free(). */
struct vuc_vmm_io_fds *device_io_fds(struct device *device, uint32_t bar);

/* Handle the device's events: attach to another daemon if one has ended, map areas again if they
 * have changed, and report a device that can no longer be used. */
void device_check(struct device *device);

/* The same, when a check of the guest has failed after so many resets: the event of another reset
 * may arrive a little later. */
void device_await_reset(struct device *device, uint32_t resets);

#endif /* VMM_DEVICE_H */
