/* SPDX-License-Identifier: BSD-3-Clause */
#include "access.h"

#include <inttypes.h>
#include <stdlib.h>

#include "message.h"
#include "number.h"
#include "vfio_names.h"

int
vucctl_access_take(struct vucctl_access *access, const char *command, char *const argv[2])
{
	if (vucctl_region_parse(argv[0], &access->region) != 0)
		return vucctl_fail_usage(command,
			"region '%s' is neither a number nor bar0 to bar5, rom, config or vga",
			argv[0]);
	if (vuc_number_parse(argv[1], 0, 0, UINT64_MAX, &access->offset) != 0)
		return vucctl_fail_usage(command, "offset '%s' is not a number", argv[1]);
	return 0;
}

int
vucctl_access_check(const struct vucctl_access *access, const struct vucctl_target *target,
	const struct vuc_device *dev)
{
	const struct vuc_region *region = vuc_device_region(dev, access->region);
	struct vucctl_index_name name = vucctl_region_name(access->region);

	if (region == NULL || region->size == 0)
		return vucctl_fail("%s: the device has no %s", target->path, name.text);
	if (access->offset > region->size || access->size > region->size - access->offset)
		return vucctl_fail("%s: %zu bytes at 0x%" PRIx64
				   " are outside of %s, which has 0x%" PRIx64,
			target->path, access->size, access->offset, name.text, region->size);
	return 0;
}

int
vucctl_access_fail(const struct vucctl_access *access, const struct vucctl_target *target,
	const struct vuc_device *dev, int error, const char *verb)
{
	return vucctl_target_fail(target, dev, error, "cannot %s %zu bytes at 0x%" PRIx64 " of %s",
		verb, access->size, access->offset, vucctl_region_name(access->region).text);
}
