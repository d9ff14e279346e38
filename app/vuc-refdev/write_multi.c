/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "device.h"

static int
write_one(struct refdev *dev, const uint8_t *at)
{
	struct vfio_user_write_multi_entry entry;

	memcpy(&entry, at, sizeof(entry));
	if (entry.count > sizeof(entry.data))
		return -EINVAL;
	return refdev_region_write(dev,
		&(struct vfio_user_region_access){
			.offset = entry.offset, .region = entry.region, .count = entry.count},
		entry.data);
}

/* One message stands for many, so that a write that fails keeps none behind it from being done. The
 * answer tells how many succeeded or, when none did, the first error. */
int
refdev_write_multi_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const size_t each = sizeof(struct vfio_user_write_multi_entry);
	struct vfio_user_write_multi multi;
	size_t room = in->len - sizeof(multi);
	uint64_t done = 0;
	int error = 0;

	if (!dev->write_multi)
		return -EOPNOTSUPP;
	memcpy(&multi, in->bytes, sizeof(multi));
	if (multi.wr_cnt == 0 || room % each != 0 || room / each != multi.wr_cnt)
		return -EINVAL;
	for (uint64_t i = 0; i < multi.wr_cnt; i++) {
		int rc = write_one(dev, in->bytes + sizeof(multi) + i * each);

		done += rc == 0;
		error = error == 0 ? rc : error;
	}
	if (done == 0)
		return error;
	multi.wr_cnt = done;
	return refdev_body_put(out, &multi, sizeof(multi), sizeof(multi), sizeof(multi));
}
