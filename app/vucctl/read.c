/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "print.h"

/* Readings are kept until the end for JSON only. */
#define MAX_COUNT 1000000

struct read {
	struct vucctl_access access;
	uint64_t count; /* 0: once */
	bool raw;
};

static const struct argp_option options[] = {
	{"count", 'c', "N", 0, "Read N times; 1 by default"},
	VUCCTL_OPTION_JSON,
	{"raw", 'r', NULL, 0, "Print the raw bytes"},
	{0},
};

static void
read_take(struct vucctl *ctl, int key, const char *value)
{
	struct read *read = ctl->own;

	if (key == 'c')
		read->count = vucctl_take_number(ctl, "count", value, 1, MAX_COUNT);
	else
		read->raw = true;
}

static int
read_check(struct vucctl *ctl)
{
	struct read *read = ctl->own;

	if (ctl->json && read->raw)
		app_args_error(ctl->state, "--json and --raw are mutually exclusive");
	vucctl_access_take(ctl, &read->access);
	read->access.size = vucctl_take_number(ctl, "size", ctl->args[3], 1, SIZE_MAX);
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
json_begin(const struct vucctl *ctl, const struct vucctl_access *access, struct app_json *json)
{
	app_json_init(json);
	app_json_text(json, json->root, "socket", ctl->args[0]);
	app_json_number(json, json->root, "region", access->region);
	app_json_text(json, json->root, "name", vucctl_region_name(access->region).text);
	app_json_number(json, json->root, "offset", access->offset);
	app_json_number(json, json->root, "size", access->size);
	return app_json_array(json, json->root, "values");
}

static int
read_all(struct vucctl *ctl, struct app_json *json, uint8_t *bytes)
{
	const struct read *read = ctl->own;
	const struct vucctl_access *access = &read->access;
	struct json_object *values = json_begin(ctl, access, json);
	uint64_t i = 0;

	do {
		int ret = vuc_device_read(
			ctl->dev, access->region, access->offset, bytes, access->size);

		if (ret != 0)
			return vucctl_access_fail(ctl, access, ret, "read");
		if (ctl->json)
			add_value(json, values, bytes, access->size);
		else
			print_text(read, bytes);
	} while (++i < read->count);
	return EXIT_SUCCESS;
}

static int
read_run(struct vucctl *ctl)
{
	const struct read *read = ctl->own;
	struct app_json json;
	uint8_t *bytes;
	int ret = vucctl_access_check(ctl, &read->access);

	if (ret != 0)
		return ret;
	bytes = malloc(read->access.size);
	if (bytes == NULL)
		return vucctl_fail("%zu bytes: %s", read->access.size, strerror(errno));
	ret = read_all(ctl, &json, bytes);
	if (ret == 0 && ctl->json)
		ret = vucctl_print_json(&json);
	app_json_finish(&json);
	free(bytes);
	return ret;
}

const struct vucctl_command vucctl_read = {
	.name = "read",
	.summary = "read from a region",
	.doc = "Reads SIZE bytes at OFFSET of a region. REGION is a number, bar0 to bar5, rom, config "
	       "or vga. Prints 1, 2, 4 or 8 bytes as a little-endian number, other sizes as a hex "
	       "dump. Numbers are decimal, or hexadecimal with 0x.",
	.arguments = "SOCKET REGION OFFSET SIZE",
	.options = options,
	.size = sizeof(struct read),
	.take = read_take,
	.check = read_check,
	.run = read_run,
};
