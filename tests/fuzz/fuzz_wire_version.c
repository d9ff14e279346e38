/* SPDX-License-Identifier: BSD-3-Clause */

/* The input is the body of a VFIO_USER_VERSION reply. */

#include <errno.h>

#include "fuzz.h"
#include "version.h"

/* What was decoded within its bounds can be encoded, and comes back the same. */
static void
require_round_trip(const struct vuc_wire_version *v)
{
	struct vuc_wire_version back;
	struct vuc_error err;
	uint8_t buf[512];
	int len = vuc_wire_version_encode(buf, sizeof(buf), v);

	REQUIRE(len > 0);
	REQUIRE(vuc_wire_version_decode(buf, (size_t)len, &back, &err) == 0);
	REQUIRE(back.major == v->major && back.minor == v->minor);
	REQUIRE(back.max_msg_fds == v->max_msg_fds);
	REQUIRE(back.max_data_xfer_size == v->max_data_xfer_size);
	REQUIRE(back.max_dma_maps == v->max_dma_maps);
	REQUIRE(back.pgsizes == v->pgsizes);
	REQUIRE(back.write_multiple == v->write_multiple);
	REQUIRE(back.twin_socket.supported == v->twin_socket.supported);
	REQUIRE(back.migration.present == v->migration.present);
	REQUIRE(back.migration.pgsize == v->migration.pgsize);
	if (!v->twin_socket.supported)
		return;
	REQUIRE(back.twin_socket.has_fd_index == v->twin_socket.has_fd_index);
	REQUIRE(back.twin_socket.fd_index == v->twin_socket.fd_index);
}

static void
require_bounds(const struct vuc_wire_version *v)
{
	REQUIRE(v->max_msg_fds <= 65535);
	REQUIRE(v->max_data_xfer_size >= 1);
	REQUIRE(v->max_dma_maps >= 1);
	REQUIRE(v->pgsizes >= 1 && v->pgsizes <= INT64_MAX);
	REQUIRE(v->migration.pgsize <= INT64_MAX);
	REQUIRE(v->twin_socket.fd_index <= 65535);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vuc_wire_version ours, theirs;
	struct vuc_error err = {""};
	int rc = vuc_wire_version_decode(data, size, &theirs, &err);

	if (rc != 0) {
		REQUIRE(rc == -EPROTO || rc == -ENOMEM);
		require_line(&err);
		return 0;
	}
	require_bounds(&theirs);
	require_round_trip(&theirs);

	vuc_wire_version_init(&ours);
	ours.twin_socket.supported = true;
	rc = vuc_wire_version_check(&ours, &theirs, 1, &err);
	if (rc != 0)
		require_line(&err);
	else
		REQUIRE(!theirs.twin_socket.supported || theirs.twin_socket.fd_index == 0);
	return 0;
}
