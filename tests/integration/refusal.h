/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_REFUSAL_H
#define VUC_TESTS_REFUSAL_H

#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>

#include <vuc/device.h>

/* Whether a call returned an error and the device's reason matches a pattern of fnmatch(3). */
static inline bool
is_refused(struct vuc_device *dev, int rc, int expected, const char *reason)
{
	if (rc == expected && fnmatch(reason, vuc_device_reason(dev), 0) == 0)
		return true;
	printf("# returned %d, not %d: %s\n", rc, expected, vuc_device_reason(dev));
	return false;
}

#endif /* VUC_TESTS_REFUSAL_H */
