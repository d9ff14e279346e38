/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "number.h"

void
vucctl_target_init(struct vucctl_target *target)
{
	*target = (struct vucctl_target){.dma = VUC_DMA_SHARED};
}

static int
take_timeout(struct vucctl_target *target, const char *command, const char *value)
{
	uint64_t timeout_ms;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &timeout_ms) != 0)
		return vucctl_fail_usage(command,
			"timeout '%s' is not a number of milliseconds, 1 to 4294967295", value);
	target->timeout_ms = (uint32_t)timeout_ms;
	return 0;
}

static int
take_transport(struct vucctl_target *target, const char *command, const char *value)
{
	if (strcmp(value, "uring") != 0 && strcmp(value, "posix") != 0)
		return vucctl_fail_usage(
			command, "transport '%s' is neither 'uring' nor 'posix'", value);
	target->transport = value;
	return 0;
}

int
vucctl_target_option(struct vucctl_target *target, const char *command, int opt, const char *value)
{
	switch (opt) {
	case 't':
		return take_timeout(target, command, value);
	case 'T':
		target->trace = true;
		return 0;
	default:
		return take_transport(target, command, value);
	}
}

int
vucctl_target_arguments(
	struct vucctl_target *target, const char *command, int argc, char *const argv[])
{
	if (argc == 0 || argv[0][0] == '\0')
		return vucctl_fail_usage(command, "no socket given");
	if (argc > 1)
		return vucctl_fail_usage(command, "unexpected argument '%s'", argv[1]);
	target->path = argv[0];
	return 0;
}

static void
fill_opts(struct vucctl_target *target, struct vuc_device_opts *opts)
{
	vuc_device_opts_init(opts, sizeof(*opts));
	opts->path = target->path;
	opts->transport = target->transport;
	opts->log = vucctl_log;
	opts->dma = target->dma;
	if (target->timeout_ms != 0) {
		opts->timeout_ms = target->timeout_ms;
		opts->long_timeout_ms = target->timeout_ms;
	}
	if (target->trace) {
		vucctl_trace_start(&target->tracer, stderr);
		opts->trace = vucctl_trace_message;
		opts->trace_arg = &target->tracer;
	}
}

struct vuc_device *
vucctl_target_open(struct vucctl_target *target)
{
	struct vuc_device_opts opts;
	struct vuc_error error = {{0}};
	struct vuc_device *dev;
	int ret;

	fill_opts(target, &opts);
	ret = vuc_device_open(&opts, &dev, &error);
	if (ret == 0)
		return dev;
	if (error.text[0] != '\0')
		vucctl_fail("%s", error.text);
	else
		vucctl_fail("%s: cannot open the device: %s", target->path, strerror(-ret));
	return NULL;
}

int
vucctl_target_fail(const struct vucctl_target *target, const struct vuc_device *dev, int error,
	const char *fmt, ...)
{
	const char *reason = vuc_device_reason(dev);
	char what[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return vucctl_fail(
		"%s: %s: %s", target->path, what, reason[0] != '\0' ? reason : strerror(-error));
}
