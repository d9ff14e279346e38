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
	uint64_t failed_accesses;
	bool irqs_failed; /* and it was said */
	bool awaited;     /* an access has failed as if the device was gone */
	bool gone; /* the daemon, its device, or the device's server: nothing works any more */
};

/* socket: of the daemon; NULL: the default one. */
int device_attach(struct device *device, const char *socket, const char *name);
void device_detach(struct device *device);

/* Let the device access the guest's memory, at the addresses that the guest has it at. */
int device_share_memory(struct device *device, const struct memory *memory);

/* Take that away. When this has succeeded, the device does not access the memory any more. */
int device_unshare_memory(struct device *device);

/* Bytes of the region behind a BAR; 0: there is none. */
int device_bar_size(struct device *device, uint32_t bar, uint64_t *size);

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

/* Look whether the device is still there, and say so if it is not. */
void device_check(struct device *device);

#endif /* VMM_DEVICE_H */
