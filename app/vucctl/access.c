/* SPDX-License-Identifier: BSD-3-Clause */
#include "access.h"

#include <inttypes.h>

#include "print.h"

void
vucctl_access_take(const struct vucctl *ctl, struct vucctl_access *access)
{
	if (vucctl_region_parse(ctl->args[1], &access->region) != 0)
		app_args_error(ctl->state,
			"region '%s' is neither a number nor bar0 to bar5, rom, config or vga",
			ctl->args[1]);
	access->offset = vucctl_take_number(ctl, "offset", ctl->args[2], 0, UINT64_MAX);
}

int
vucctl_access_check(const struct vucctl *ctl, const struct vucctl_access *access)
{
	const struct vuc_region *region = vuc_device_region(ctl->dev, access->region);
	struct vucctl_index_name name = vucctl_region_name(access->region);

	if (region == NULL || region->size == 0)
		return vucctl_fail("%s: the device has no %s", ctl->args[0], name.text);
	if (access->offset > region->size || access->size > region->size - access->offset)
		return vucctl_fail("%s: %zu bytes at 0x%" PRIx64
				   " are outside of %s, which has 0x%" PRIx64,
			ctl->args[0], access->size, access->offset, name.text, region->size);
	return 0;
}

int
vucctl_access_fail(
	const struct vucctl *ctl, const struct vucctl_access *access, int error, const char *verb)
{
	return vucctl_fail_device(ctl, error, "cannot %s %zu bytes at 0x%" PRIx64 " of %s", verb,
		access->size, access->offset, vucctl_region_name(access->region).text);
}
