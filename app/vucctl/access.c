/* SPDX-License-Identifier: BSD-3-Clause */

/* read, write, reset. */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* Readings are kept until the end for JSON only. */
#define MAX_COUNT 1000000

/* Of what is read from a file. */
#define FIRST_SIZE 65536u
#define MAX_SIZE   (1u << 30)

/* The part of a region that is read or written. */
struct access {
	uint32_t region;
	uint64_t offset;
	size_t size; /* bytes */
};

/* Take the arguments REGION and OFFSET behind SOCKET. */
static void
access_take(const struct vucctl *ctl, struct access *access)
{
	if (vucctl_region_parse(ctl->args[1], &access->region) != 0)
		app_args_error(ctl->state,
			"region '%s' is neither a number nor bar0 to bar5, rom, config or vga",
			ctl->args[1]);
	access->offset = vucctl_take_number(ctl, "offset", ctl->args[2], 0, UINT64_MAX);
}

/* Check that the part lies within a region of the device. */
static int
access_check(const struct vucctl *ctl, const struct access *access)
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

static int
access_fail(const struct vucctl *ctl, const struct access *access, int error, const char *verb)
{
	return vucctl_fail_device(ctl, error, "cannot %s %zu bytes at 0x%" PRIx64 " of %s", verb,
		access->size, access->offset, vucctl_region_name(access->region).text);
}

/* ---- read ---- */

struct read {
	struct access access;
	uint64_t count; /* 0: once */
	bool raw;
};

static const struct vucctl_option read_options[] = {
	{"count", 'c', "N", "Read N times; 1 by default", VUCCTL_NUMBER,
		VUCCTL_MEMBER(struct read, count), .min = 1, .max = MAX_COUNT},
	VUCCTL_OPTION_JSON,
	{"raw", 'r', NULL, "Print the raw bytes", VUCCTL_SET, VUCCTL_MEMBER(struct read, raw)},
	{0},
};

static int
read_check(struct vucctl *ctl)
{
	struct read *read = ctl->own;

	if (ctl->json && read->raw)
		app_args_error(ctl->state, "--json and --raw are mutually exclusive");
	access_take(ctl, &read->access);
	read->access.size = vucctl_take_number(ctl, "size", ctl->args[3], 1, SIZE_MAX);
	return 0;
}

static void
print_text(const struct read *read, const uint8_t *bytes)
{
	const struct access *access = &read->access;

	if (read->raw)
		fwrite(bytes, 1, access->size, stdout);
	else if (vucctl_value_print(stdout, bytes, access->size))
		putchar('\n');
	else
		vucctl_hexdump_print(stdout, "", access->offset, bytes, access->size);
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
json_begin(const struct vucctl *ctl, const struct access *access, struct app_json *json)
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
	const struct access *access = &read->access;
	struct json_object *values = json_begin(ctl, access, json);
	uint64_t i = 0;

	do {
		int ret = vuc_device_read(
			ctl->dev, access->region, access->offset, bytes, access->size);

		if (ret != 0)
			return access_fail(ctl, access, ret, "read");
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
	int ret = access_check(ctl, &read->access);

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
	.options = read_options,
	.size = sizeof(struct read),
	.check = read_check,
	.run = read_run,
};

/* ---- write ---- */

struct write {
	struct access access;
	uint8_t *bytes;
	const char *data; /* of --data, or NULL */
	const char *file; /* of --file, or NULL */
	bool posted;
};

static const struct vucctl_option write_options[] = {
	{"data", 'd', "HEX",
		"Write these bytes, two hexadecimal digits each, instead of SIZE and VALUE",
		VUCCTL_TEXT, VUCCTL_MEMBER(struct write, data)},
	{"file", 'f', "FILE",
		"Write the contents of FILE instead of SIZE and VALUE; '-' is standard input",
		VUCCTL_TEXT, VUCCTL_MEMBER(struct write, file)},
	{"posted", 'p', NULL,
		"Send a posted write: no reply, so errors of the device are not reported",
		VUCCTL_SET, VUCCTL_MEMBER(struct write, posted)},
	{0},
};

/* Make room for so many bytes. Returns 0; the exit status, the error said. */
static int
bytes_grow(struct write *write, size_t size)
{
	uint8_t *bytes = realloc(write->bytes, size);

	if (bytes == NULL)
		return vucctl_fail("%zu bytes: %s", size, strerror(ENOMEM));
	write->bytes = bytes;
	return 0;
}

/* A number of 1 to 8 bytes, little-endian. */
static int
take_number(struct vucctl *ctl, struct write *write)
{
	size_t size = vucctl_take_number(ctl, "size", ctl->args[3], 1, sizeof(uint64_t));
	uint64_t number =
		vucctl_take_number(ctl, "value", ctl->args[4], 0, UINT64_MAX >> (64 - 8 * size));
	size_t i;
	int ret = bytes_grow(write, size);

	for (i = 0; i < size && ret == 0; i++)
		write->bytes[i] = (uint8_t)(number >> 8 * i);
	write->access.size = size;
	return ret;
}

static uint8_t
hex_digit(char c)
{
	return (uint8_t)(isdigit((unsigned char)c) ? c - '0'
						   : tolower((unsigned char)c) - 'a' + 10);
}

/* Two hexadecimal digits for each byte, with ':' or ' ' between bytes where it is wanted. */
static int
take_digits(struct vucctl *ctl, struct write *write)
{
	const char *text = write->data;
	size_t n = 0;
	int ret = bytes_grow(write, strlen(text) / 2 + 1);

	while (ret == 0) {
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			app_args_error(ctl->state,
				"data '%s' is not made of bytes of two hexadecimal digits",
				write->data);
		write->bytes[n++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
		if (*text == '\0')
			break;
		if (*text == ':' || *text == ' ')
			text++;
	}
	write->access.size = n;
	return ret;
}

static int
read_file(struct write *write, int fd, const char *path)
{
	size_t size = 0, *len = &write->access.size;
	ssize_t n;

	do {
		if (*len == size) {
			size = size == 0 ? FIRST_SIZE : size * 2;
			if (bytes_grow(write, size) != 0)
				return EXIT_FAILURE;
		}
		n = read(fd, write->bytes + *len, size - *len);
		*len += n > 0 ? (size_t)n : 0;
		if (*len > MAX_SIZE)
			return vucctl_fail("%s: more than %u bytes", path, MAX_SIZE);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return vucctl_fail("%s: %s", path, strerror(errno));
	return *len > 0 ? 0 : vucctl_fail("%s: there are no bytes to write", path);
}

static int
take_file(struct write *write)
{
	int fd, ret;

	if (strcmp(write->file, "-") == 0)
		return read_file(write, STDIN_FILENO, "standard input");
	fd = open(write->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return vucctl_fail("%s: %s", write->file, strerror(errno));
	ret = read_file(write, fd, write->file);
	close(fd);
	return ret;
}

static int
write_check(struct vucctl *ctl)
{
	struct write *write = ctl->own;
	bool bytes = write->data != NULL || write->file != NULL;

	if (write->data != NULL && write->file != NULL)
		app_args_error(ctl->state, "--data and --file are mutually exclusive");
	if (bytes && ctl->nr_args > 3)
		app_args_error(ctl->state, "unexpected argument '%s'", ctl->args[3]);
	if (!bytes && ctl->nr_args < 5)
		app_args_error(ctl->state, "no %s given", ctl->nr_args < 4 ? "size" : "value");
	access_take(ctl, &write->access);
	if (!bytes)
		return take_number(ctl, write);
	return write->data != NULL ? take_digits(ctl, write) : take_file(write);
}

static int
write_run(struct vucctl *ctl)
{
	const struct write *write = ctl->own;
	const struct access *access = &write->access;
	int ret = access_check(ctl, access);

	if (ret != 0)
		return ret;
	if (write->posted)
		ret = vuc_device_write_posted(
			ctl->dev, access->region, access->offset, write->bytes, access->size);
	else
		ret = vuc_device_write(
			ctl->dev, access->region, access->offset, write->bytes, access->size);
	return ret == 0 ? EXIT_SUCCESS : access_fail(ctl, access, ret, "write");
}

static void
write_end(struct vucctl *ctl)
{
	struct write *write = ctl->own;

	free(write->bytes);
}

const struct vucctl_command vucctl_write = {
	.name = "write",
	.summary = "write to a region",
	.doc = "Writes VALUE as a little-endian number of SIZE bytes, or the given bytes, at OFFSET of a "
	       "region. REGION is a number, bar0 to bar5, rom, config or vga. Numbers are decimal, "
	       "or hexadecimal with 0x.",
	.arguments = "SOCKET REGION OFFSET [SIZE VALUE]",
	.options = write_options,
	.size = sizeof(struct write),
	.check = write_check,
	.run = write_run,
	.end = write_end,
};

/* ---- reset ---- */

static int
reset_run(struct vucctl *ctl)
{
	int ret = vuc_device_reset(ctl->dev);

	return ret == 0 ? EXIT_SUCCESS : vucctl_fail_device(ctl, ret, "cannot reset the device");
}

const struct vucctl_command vucctl_reset = {
	.name = "reset",
	.summary = "reset a device",
	.doc = "Resets the device on SOCKET.",
	.arguments = "SOCKET",
	.run = reset_run,
};
