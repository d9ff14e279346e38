/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/migration.h>

#include "error.h"
#include "migdata.h"
#include "migration_chunk.h"

/* A message must fit into a segment, which has room for a bit more than this. */
#define WRITE_MAX (32u * 1024)

uint32_t
migration_read_max(const struct vuc_device *dev)
{
	return vuc_session_max_data(dev->session);
}

uint32_t
migration_write_max(const struct vuc_device *dev)
{
	uint32_t max = vuc_session_max_data(dev->session);

	return max < WRITE_MAX ? max : WRITE_MAX;
}

int
migration_read_chunk(
	struct vuc_device *dev, uint8_t *body, uint32_t size, const uint8_t **data, uint32_t *count)
{
	uint8_t request[MIGRATION_CHUNK_FIXED];
	struct device_reply reply = {.body = body, .size = MIGRATION_CHUNK_FIXED + size};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_MIG_DATA_READ,
		.body = request,
		.len = sizeof(request),
		.reply_max = (uint32_t)reply.size,
	};
	int rc = vuc_wire_mig_data_encode(request, size);

	if (rc < 0)
		return vuc_error_set(
			&dev->reason, rc, "a read of %u bytes of migration data", size);
	rc = device_ask(dev, &req, &reply);
	if (rc != 0)
		return rc;
	return vuc_wire_mig_data_decode(body, reply.len, size, data, count, &dev->reason);
}

int
migration_write_chunk(struct vuc_device *dev, const void *data, uint32_t size)
{
	uint8_t request[MIGRATION_CHUNK_FIXED];
	struct device_reply reply = {0};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_MIG_DATA_WRITE,
		.body = request,
		.len = sizeof(request),
		.data = data,
		.data_len = size,
	};
	int rc = vuc_wire_mig_data_encode(request, size);

	if (rc < 0)
		return vuc_error_set(
			&dev->reason, rc, "a write of %u bytes of migration data", size);
	return device_ask(dev, &req, &reply);
}

static uint32_t
smaller(size_t left, uint32_t max)
{
	return left < max ? (uint32_t)left : max;
}

VUC_EXPORT int
vuc_migration_read(struct vuc_device *dev, void *data, size_t size, size_t *count)
{
	uint32_t max = smaller(size, migration_read_max(dev));
	uint8_t *body = malloc(MIGRATION_CHUNK_FIXED + max);
	uint32_t n = 0, got = 0;
	int rc = 0;

	*count = 0;
	if (body == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for migration data");
	while (rc == 0 && got == n && *count < size) {
		const uint8_t *bytes;

		n = smaller(size - *count, max);
		rc = migration_read_chunk(dev, body, n, &bytes, &got);
		if (rc == 0 && got > 0) {
			memcpy((uint8_t *)data + *count, bytes, got);
			*count += got;
		}
	}
	free(body);
	return rc;
}

VUC_EXPORT int
vuc_migration_write(struct vuc_device *dev, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	int rc = 0;

	while (rc == 0 && size > 0) {
		uint32_t n = smaller(size, migration_write_max(dev));

		rc = migration_write_chunk(dev, bytes, n);
		bytes += n;
		size -= n;
	}
	return rc;
}
