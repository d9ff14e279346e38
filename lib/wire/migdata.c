/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "migdata.h"

#define READ VFIO_USER_MIG_DATA_READ

int
vuc_wire_mig_data_encode(void *buf, uint32_t size)
{
	struct vfio_user_mig_data fixed = {.size = size};
	uint32_t argsz;

	if (__builtin_add_overflow((uint32_t)sizeof(fixed), size, &argsz))
		return -EOVERFLOW;
	fixed.argsz = argsz;
	memcpy(buf, &fixed, sizeof(fixed));
	return sizeof(fixed);
}

int
vuc_wire_mig_data_decode(const void *body, size_t len, uint32_t size, const uint8_t **data,
	uint32_t *count, struct vuc_error *err)
{
	struct vfio_user_mig_data got;
	int rc = vuc_wire_check_min(READ, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	if (got.size > size)
		return vuc_wire_refuse(
			err, READ, "size %" PRIu32 ", requested at most %" PRIu32, got.size, size);
	rc = vuc_wire_check_number(READ, "argsz", got.argsz, (uint64_t)sizeof(got) + got.size, err);
	if (rc != 0)
		return rc;
	if (len - sizeof(got) < got.size || len - sizeof(got) > size)
		return vuc_wire_refuse(err, READ,
			"body of %zu bytes, expected the %zu of its fields and %" PRIu32
			" to %" PRIu32 " more",
			len, sizeof(got), got.size, size);
	*data = (const uint8_t *)body + sizeof(got);
	*count = got.size;
	return 0;
}
