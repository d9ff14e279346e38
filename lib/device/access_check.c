/* SPDX-License-Identifier: BSD-3-Clause */
#include "access_check.h"

#include "error.h"
#include "record.h"

static int
access_refuse(
	const struct vuc_device *dev, const struct vuc_request *req, int rc, struct vuc_error *err)
{
	const struct vuc_region *region = vuc_device_region(dev, req->region);

	if (region == NULL || region->size == 0)
		return vuc_error_set(err, rc, "there is no region %u", req->region);
	if (rc == -EACCES)
		return vuc_error_set(err, rc, "region %u cannot be %s", req->region,
			req->op == VUC_OP_READ ? "read" : "written");
	if (req->count == 0)
		return vuc_error_set(err, rc, "region %u: an access of 0 bytes", req->region);
	return vuc_error_set(err, rc,
		"region %u: %zu bytes at offset 0x%llx are beyond its %llu bytes", req->region,
		req->count, (unsigned long long)req->offset, (unsigned long long)region->size);
}

int
device_check_request(
	const struct vuc_device *dev, const struct vuc_request *req, struct vuc_error *err)
{
	int rc = 0;

	if (req->op != VUC_OP_RESET || !vuc_device_is_away(dev))
		rc = device_check_connected(dev, err);
	if (rc != 0)
		return rc;
	switch (req->op) {
	case VUC_OP_READ:
	case VUC_OP_WRITE:
	case VUC_OP_WRITE_POSTED:
	case VUC_OP_WRITE_PCI:
		rc = device_check_access(dev, req->op, req->region, req->offset, req->count);
		return rc == 0 ? 0 : access_refuse(dev, req, rc, err);
	case VUC_OP_RESET:
		if ((dev->info.flags & VFIO_DEVICE_FLAGS_RESET) == 0)
			return vuc_error_set(err, -EOPNOTSUPP, "the device cannot be reset");
		return 0;
	}
	return vuc_error_set(err, -EINVAL, "unknown request %d", (int)req->op);
}
