/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_IO_FDS_H
#define VUC_IO_FDS_H

/**
 * @file
 * Parts of a region that are accessed through file descriptors. A VMM passes them to KVM, so that a
 * guest's access reaches the server directly.
 *
 * Call these functions on the thread that owns the device's poll group; any thread may call
 * vuc_io_fds_free().
 *
 * Specification: VFIO_USER_DEVICE_GET_REGION_IO_FDS.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a sub-region is accessed. */
enum vuc_io_fd_type {
	/** A write signals an eventfd: for KVM_IOEVENTFD. */
	VUC_IO_FD_IOEVENTFD,
	/** Accesses are messages on the descriptor: for the proposed KVM_SET_IOREGION. */
	VUC_IO_FD_IOREGIONFD,
	/** As VUC_IO_FD_IOEVENTFD, and the value goes into memory. An extension of libvfio-user. */
	VUC_IO_FD_IOEVENTFD_SHADOW,
};

/** A part of a region, and how it is accessed. */
struct vuc_io_sub_region {
	enum vuc_io_fd_type type; /**< determines which of the fields below are valid */
	uint32_t flags;           /**< KVM_IOEVENTFD_FLAG_* of <linux/kvm.h>, or for an ioregionfd
				       KVM_IOREGION_*: none but those of the specification */
	uint64_t offset;          /**< from the start of the region */
	uint64_t size;            /**< bytes, within the region; 0: of any size */
	int fd_index;             /**< which of the descriptors; -1: none, access it otherwise */
	int shadow_fd_index;    /**< descriptor of the shadow memory, else -1. Check the size of its
				     file before mapping it */
	uint64_t shadow_offset; /**< of the value in the shadow memory, else 0 */
	uint64_t datamatch;     /**< of both types of ioeventfd, else 0 */
	uint64_t user_data;     /**< of an ioregionfd, to be passed back to the server, else 0 */
};

/** The parts of a region that are accessed through file descriptors. */
struct vuc_io_fds {
	uint32_t nr_sub_regions;                     /**< number of parts; may be 0 */
	uint32_t nr_fds;                             /**< number of file descriptors */
	const struct vuc_io_sub_region *sub_regions; /**< nr_sub_regions of them; they may share
							  descriptors */
	int fds[VUC_MAX_MSG_FDS]; /**< nr_fds of them. To keep one, set it to -1 here;
				       vuc_io_fds_free() closes the others */
};

/**
 * Query the parts of a region that are accessed through file descriptors. Polls the group until the
 * server replies, so callbacks of other devices in it may run.
 *
 * The server can send at most vuc_device_opts.max_msg_fds file descriptors, and is disconnected if
 * it sends more: open the device with VUC_MAX_MSG_FDS to use this function.
 *
 * @param dev     the device
 * @param region  index of the region
 * @param io_fds  set to the result, which the caller must free with vuc_io_fds_free(); to NULL
 * after an error
 * @return 0; -EINVAL for a region that does not exist; -EOPNOTSUPP when the server does not
 *         support the message (error 0, EINVAL, ENOSYS or EOPNOTSUPP), when io_fds of the options
 *         is off, or in vucd when the message has ended a connection to the server before; another
 *         error reply of the server; -EPROTO for a reply that violates the protocol, has unknown
 *         flags, or requires a larger argsz each time; -ETIMEDOUT; the error of the connection;
 *         -EDEADLK from a completion callback; -ENOMEM. vuc_device_reason() returns the error text
 */
int vuc_io_fds_get(struct vuc_device *dev, uint32_t region, struct vuc_io_fds **io_fds);

/**
 * Asynchronous variant of vuc_io_fds_get().
 *
 * @param dev     the device
 * @param region  index of the region
 * @param io_fds  set to NULL, and to the result before done is called with status 0; must stay
 *                valid until then
 * @param done    called when the server has replied; see vuc_done_fn
 * @param arg     first argument of done
 * @return 0; as vuc_io_fds_get(), and done is not called
 */
int vuc_io_fds_get_start(struct vuc_device *dev, uint32_t region, struct vuc_io_fds **io_fds,
	vuc_done_fn done, void *arg);

/** Free the result and close its remaining file descriptors. NULL is ignored. */
void vuc_io_fds_free(struct vuc_io_fds *io_fds);

#ifdef __cplusplus
}
#endif

#endif /* VUC_IO_FDS_H */
