/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_VERSION_H
#define VUC_WIRE_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

/* Longest version data that is accepted, terminating NUL included. */
#define VUC_WIRE_MAX_VERSION_JSON 4096

/*
 * The version and capabilities of one side. Before decoding all capabilities have the values that
 * the specification gives to absent ones.
 */
struct vuc_wire_version {
	uint16_t major;
	uint16_t minor;
	uint32_t max_msg_fds;
	uint32_t max_data_xfer_size;
	uint32_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	struct {
		bool supported;
		bool has_fd_index;
		uint32_t fd_index;
	} twin_socket;
	struct {
		bool present;
		uint64_t pgsize;          /* 0: none named */
		uint64_t max_bitmap_size; /* likewise; of reports of dirty pages */
	} migration; /* libvfio-user announces it; the specification has dropped it */
};

/* The defaults of absent capabilities; major and minor are those of vfio_user.h. */
void vuc_wire_version_init(struct vuc_wire_version *v);

/*
 * Write the body of a VFIO_USER_VERSION message of the client: struct vfio_user_version and JSON
 * with its NUL. Capabilities that have their default value are written too, but for twin_socket,
 * write_multiple and migration, which are written when set.
 *
 * Returns the bytes written; -ENOSPC.
 */
int vuc_wire_version_encode(void *buf, size_t size, const struct vuc_wire_version *v);

/*
 * Read the body of a VFIO_USER_VERSION message. Unknown members are skipped; absent ones get
 * their default, and so do all when there is no version data. Refused with a line that names the
 * field and the value: a body that is too short or too long, data without a NUL at its end or with
 * one before, text that is not JSON or goes on after it, a top level or capabilities that is not an
 * object (capabilities may be null), a member given twice, a value of the wrong type (numbers must
 * be integers), negative or out of range (max_data_xfer_size from 8 on, max_dma_maps from 1 on,
 * pgsizes a multiple of 4096, fd_index 0 … 65535). Above 65535 max_msg_fds is taken for that, and
 * so are max_data_xfer_size and max_dma_maps for 2^32-1: some say "no limit" so.
 *
 * Returns 0; -EPROTO; -ENOMEM.
 */
int vuc_wire_version_decode(
	const void *body, size_t len, struct vuc_wire_version *v, struct vuc_error *err);

/*
 * Check the server's reply against what the client proposed: same major, a minor not above ours,
 * twin_socket consistent (enabled only when asked for, with an fd_index below nr_fds).
 *
 * Returns 0; -EPROTO.
 */
int vuc_wire_version_check(const struct vuc_wire_version *ours,
	const struct vuc_wire_version *theirs, unsigned int nr_fds, struct vuc_error *err);

#endif /* VUC_WIRE_VERSION_H */
