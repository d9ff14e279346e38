/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "command.h"
#include "device_command.h"
#include "format.h"
#include "json_build.h"
#include "message.h"
#include "number.h"
#include "vfio_names.h"

#define COMMAND "read"

/* Readings are kept until the end for JSON only. */
#define MAX_COUNT 1000000

struct read {
	struct vucctl_target target;
	struct vucctl_access access;
	uint64_t count;
	bool json;
	bool raw;
};

static void
print_help(void)
{
	printf("Usage: vucctl read [OPTION...] SOCKET REGION OFFSET SIZE\n"
	       "\n"
	       "Reads SIZE bytes at OFFSET of a region, which is a number, bar0 to bar5, rom,\n"
	       "config or vga. Prints 1, 2, 4 and 8 bytes as a little-endian number, others in\n"
	       "rows. Numbers are decimal, or hexadecimal with 0x.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP
	       "  -c, --count N         read N times, 1 by default\n"
	       "  -j, --json            print one JSON object\n"
	       "  -r, --raw             print the bytes as they are\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct read *read = arg;

	switch (opt) {
	case 'c':
		if (vuc_number_parse(value, 0, 1, MAX_COUNT, &read->count) == 0)
			return 0;
		return vucctl_fail_usage(
			COMMAND, "count '%s' is not a number, 1 to %d", value, MAX_COUNT);
	case 'j':
		read->json = true;
		return 0;
	default:
		read->raw = true;
		return 0;
	}
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct read *read = arg;
	uint64_t size;
	int ret = vucctl_arguments_check(COMMAND, "region offset size", argc, argv);

	if (ret == 0 && read->json && read->raw)
		ret = vucctl_fail_usage(COMMAND, "--json and --raw exclude each other");
	if (ret == 0)
		ret = vucctl_access_take(&read->access, COMMAND, argv);
	if (ret != 0)
		return ret;
	if (vuc_number_parse(argv[2], 0, 1, SIZE_MAX, &size) != 0)
		return vucctl_fail_usage(
			COMMAND, "size '%s' is not a number of bytes, at least 1", argv[2]);
	read->access.size = size;
	return 0;
}

static void
print_text(const struct read *read, const uint8_t *bytes)
{
	const struct vucctl_access *access = &read->access;

	if (read->raw)
		fwrite(bytes, 1, access->size, stdout);
	else if (vucctl_value_print(stdout, bytes, access->size))
		putchar('\n');
	else
		vucctl_hexdump_print_at(stdout, "", access->offset, bytes, access->size);
}

/* A reading as the text that print_text() has for a number, or else as digits. */
static void
add_value(struct app_json *json, struct json_object *values, const uint8_t *bytes, size_t size)
{
	char *text = NULL;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL) {
		json->failed = true;
		return;
	}
	if (!vucctl_value_print(out, bytes, size)) {
		for (i = 0; i < size; i++)
			fprintf(out, "%02x", bytes[i]);
	}
	if (fclose(out) == 0)
		app_json_text(json, values, NULL, text);
	else
		json->failed = true;
	free(text);
}

static struct json_object *
begin_json(const struct read *read, struct app_json *json)
{
	const struct vucctl_access *access = &read->access;

	app_json_init(json);
	app_json_text(json, json->root, "socket", read->target.path);
	app_json_number(json, json->root, "region", access->region);
	app_json_text(json, json->root, "name", vucctl_region_name(access->region).text);
	app_json_number(json, json->root, "offset", access->offset);
	app_json_number(json, json->root, "size", access->size);
	return app_json_array(json, json->root, "values");
}

static int
read_all(const struct read *read, struct vuc_device *dev, struct app_json *json,
	struct json_object *values, uint8_t *bytes)
{
	const struct vucctl_access *access = &read->access;
	uint64_t i;
	int ret;

	for (i = 0; i < read->count; i++) {
		ret = vuc_device_read(dev, access->region, access->offset, bytes, access->size);
		if (ret != 0)
			return vucctl_access_fail(access, &read->target, dev, ret, "read");
		if (read->json)
			add_value(json, values, bytes, access->size);
		else
			print_text(read, bytes);
	}
	if (read->json && app_json_print(stdout, json) != 0)
		return vucctl_fail("%s", strerror(ENOMEM));
	return EXIT_SUCCESS;
}

static int
read_command_run(void *arg, struct vuc_device *dev)
{
	const struct read *read = arg;
	struct app_json json = {.root = NULL};
	struct json_object *values = NULL;
	uint8_t *bytes;
	int ret = vucctl_access_check(&read->access, &read->target, dev);

	if (ret != 0)
		return ret;
	bytes = malloc(read->access.size);
	if (bytes == NULL)
		return vucctl_fail("%zu bytes: %s", read->access.size, strerror(errno));
	if (read->json)
		values = begin_json(read, &json);
	ret = read_all(read, dev, &json, values, bytes);
	app_json_finish(&json);
	free(bytes);
	return ret;
}

int
vucctl_read_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"count", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"raw", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "c:jrh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = read_command_run,
	};
	struct read read = {.count = 1};

	vucctl_target_init(&read.target);
	return vucctl_device_command_run(&command, &read.target, &read, argc, argv);
}
