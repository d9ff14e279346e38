/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"

#define FIRST_SIZE 65536u
#define MAX_SIZE   (1u << 30)

struct write {
	struct vucctl_access access;
	uint8_t *bytes;
	const char *data; /* of --data, or NULL */
	const char *file; /* of --file, or NULL */
	bool posted;
};

static const struct argp_option options[] = {
	{"data", 'd', "HEX", 0,
		"Write these bytes, two hexadecimal digits each, instead of SIZE and VALUE"},
	{"file", 'f', "FILE", 0,
		"Write the contents of FILE instead of SIZE and VALUE; '-' is standard input"},
	{"posted", 'p', NULL, 0,
		"Send a posted write: no reply, so errors of the device are not reported"},
	{0},
};

static void
write_take(struct vucctl *ctl, int key, const char *value)
{
	struct write *write = ctl->own;

	if (key == 'd')
		write->data = value;
	else if (key == 'f')
		write->file = value;
	else
		write->posted = true;
}

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
read_all(struct write *write, int fd, const char *path)
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
		return read_all(write, STDIN_FILENO, "standard input");
	fd = open(write->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return vucctl_fail("%s: %s", write->file, strerror(errno));
	ret = read_all(write, fd, write->file);
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
	vucctl_access_take(ctl, &write->access);
	if (!bytes)
		return take_number(ctl, write);
	return write->data != NULL ? take_digits(ctl, write) : take_file(write);
}

static int
write_run(struct vucctl *ctl)
{
	const struct write *write = ctl->own;
	const struct vucctl_access *access = &write->access;
	int ret = vucctl_access_check(ctl, access);

	if (ret != 0)
		return ret;
	if (write->posted)
		ret = vuc_device_write_posted(
			ctl->dev, access->region, access->offset, write->bytes, access->size);
	else
		ret = vuc_device_write(
			ctl->dev, access->region, access->offset, write->bytes, access->size);
	return ret == 0 ? EXIT_SUCCESS : vucctl_access_fail(ctl, access, ret, "write");
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
	.options = options,
	.size = sizeof(struct write),
	.take = write_take,
	.check = write_check,
	.run = write_run,
	.end = write_end,
};
