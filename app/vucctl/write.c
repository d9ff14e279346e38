/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "access.h"
#include "command.h"
#include "device_command.h"
#include "message.h"
#include "payload.h"

#define COMMAND "write"

struct write {
	struct vucctl_target target;
	struct vucctl_access access;
	struct vucctl_payload payload;
	const char *data; /* of --data, or NULL */
	const char *file; /* of --file, or NULL */
	bool posted;
};

static void
print_help(void)
{
	printf("Usage: vucctl write [OPTION...] SOCKET REGION OFFSET SIZE VALUE\n"
	       "       vucctl write [OPTION...] --data HEX|--file FILE SOCKET REGION OFFSET\n"
	       "\n"
	       "Writes a little-endian number of SIZE bytes, or any bytes, at OFFSET of a region,\n"
	       "which is a number, bar0 to bar5, rom, config or vga. Numbers are decimal, or\n"
	       "hexadecimal with 0x.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP
	       "  -d, --data HEX        write these bytes, two hexadecimal digits each\n"
	       "  -f, --file FILE       write what is in FILE, '-' for standard input\n"
	       "  -p, --posted          ask for no answer: errors of the device stay unknown\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct write *write = arg;

	switch (opt) {
	case 'd':
		write->data = value;
		return 0;
	case 'f':
		write->file = value;
		return 0;
	default:
		write->posted = true;
		return 0;
	}
}

static int
take_payload(struct write *write, char *const argv[])
{
	int ret;

	if (write->data != NULL)
		ret = vucctl_payload_digits(&write->payload, COMMAND, write->data);
	else if (write->file != NULL)
		ret = vucctl_payload_file(&write->payload, write->file);
	else
		ret = vucctl_payload_number(&write->payload, COMMAND, argv[2], argv[3]);
	write->access.size = write->payload.len;
	return ret;
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct write *write = arg;
	bool bytes = write->data != NULL || write->file != NULL;
	int ret;

	if (write->data != NULL && write->file != NULL)
		return vucctl_fail_usage(COMMAND, "--data and --file exclude each other");
	ret = vucctl_arguments_check(
		COMMAND, bytes ? "region offset" : "region offset size value", argc, argv);
	if (ret == 0)
		ret = vucctl_access_take(&write->access, COMMAND, argv);
	return ret == 0 ? take_payload(write, argv) : ret;
}

static int
write_command_run(void *arg, struct vuc_device *dev)
{
	const struct write *write = arg;
	const struct vucctl_access *access = &write->access;
	const uint8_t *bytes = write->payload.bytes;
	int ret = vucctl_access_check(access, &write->target, dev);

	if (ret != 0)
		return ret;
	if (write->posted)
		ret = vuc_device_write_posted(
			dev, access->region, access->offset, bytes, access->size);
	else
		ret = vuc_device_write(dev, access->region, access->offset, bytes, access->size);
	if (ret != 0)
		return vucctl_access_fail(access, &write->target, dev, ret, "write");
	return EXIT_SUCCESS;
}

int
vucctl_write_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"data", required_argument, NULL, 'd'},
		{"file", required_argument, NULL, 'f'},
		{"posted", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "d:f:ph",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = write_command_run,
	};
	struct write write = {.posted = false};
	int ret;

	vucctl_target_init(&write.target);
	ret = vucctl_device_command_run(&command, &write.target, &write, argc, argv);
	vucctl_payload_free(&write.payload);
	return ret;
}
