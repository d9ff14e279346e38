/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/device.h>

#include "message.h"

void
vucctl_target_init(struct vucctl_target *target)
{
	*target = (struct vucctl_target){.timeout_ms = VUC_DEFAULT_TIMEOUT_MS};
}

static int
parse_timeout(const char *text, uint32_t *timeout_ms)
{
	unsigned long long value;
	char *end;

	/* strtoull() would take a sign and blanks. */
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < 1 || value > UINT32_MAX)
		return -EINVAL;
	*timeout_ms = (uint32_t)value;
	return 0;
}

int
vucctl_target_option(struct vucctl_target *target, const char *command, int opt, const char *value)
{
	if (opt == 't') {
		if (parse_timeout(value, &target->timeout_ms) == 0)
			return 0;
		return vucctl_fail_usage(command,
			"timeout '%s' is not a number of milliseconds, 1 to 4294967295", value);
	}
	if (strcmp(value, "uring") != 0 && strcmp(value, "posix") != 0)
		return vucctl_fail_usage(
			command, "transport '%s' is neither 'uring' nor 'posix'", value);
	target->transport = value;
	return 0;
}

int
vucctl_target_arguments(
	struct vucctl_target *target, const char *command, int argc, char *const argv[])
{
	if (argc == 0 || argv[0][0] == '\0')
		return vucctl_fail_usage(command, "no socket given");
	if (argc > 1)
		return vucctl_fail_usage(
			command, "one socket is enough, '%s' is too many", argv[1]);
	target->path = argv[0];
	return 0;
}

struct vuc_device *
vucctl_target_open(const struct vucctl_target *target)
{
	struct vuc_device_opts opts;
	struct vuc_error error = {{0}};
	struct vuc_device *dev;
	int ret;

	vuc_device_opts_init(&opts);
	opts.path = target->path;
	opts.transport = target->transport;
	opts.timeout_ms = target->timeout_ms;
	ret = vuc_device_open(&opts, &dev, &error);
	if (ret == 0)
		return dev;
	if (error.text[0] != '\0')
		vucctl_fail("%s", error.text);
	else
		vucctl_fail("%s: cannot open the device: %s", target->path, strerror(-ret));
	return NULL;
}
