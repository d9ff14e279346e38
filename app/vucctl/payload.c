/* SPDX-License-Identifier: BSD-3-Clause */
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "argument.h"
#include "message.h"
#include "number.h"

#define FIRST_SIZE 65536u
#define MAX_SIZE   (1u << 30)

static int
fail_memory(size_t size)
{
	return vucctl_fail("%zu bytes: %s", size, strerror(ENOMEM));
}

int
vucctl_payload_number(
	struct vucctl_payload *payload, const char *command, const char *size, const char *value)
{
	uint64_t len, number, i;

	if (vuc_number_parse(size, 0, 1, sizeof(number), &len) != 0)
		return vucctl_fail_usage(command,
			"size '%s' of a value is not a number of bytes, 1 to %zu", size,
			sizeof(number));
	if (vuc_number_parse(value, 0, 0, UINT64_MAX >> (64 - 8 * len), &number) != 0)
		return vucctl_fail_usage(command, "value '%s' is not a number of %s byte%s", value,
			size, len == 1 ? "" : "s");
	payload->bytes = malloc(len);
	if (payload->bytes == NULL)
		return fail_memory(len);
	for (i = 0; i < len; i++)
		payload->bytes[i] = (uint8_t)(number >> 8 * i);
	payload->len = len;
	return 0;
}

int
vucctl_payload_digits(struct vucctl_payload *payload, const char *command, const char *text)
{
	size_t size = strlen(text) / 2 + 1;

	payload->bytes = malloc(size);
	if (payload->bytes == NULL)
		return fail_memory(size);
	if (vucctl_bytes_parse(text, payload->bytes, &payload->len) == 0)
		return 0;
	vucctl_payload_free(payload);
	return vucctl_fail_usage(
		command, "data '%s' is not made of bytes of two hexadecimal digits", text);
}

/* Make room for more. Returns 0; the exit status. */
static int
payload_grow(struct vucctl_payload *payload, size_t *size)
{
	size_t wanted = *size == 0 ? FIRST_SIZE : *size * 2;
	uint8_t *bytes;

	if (payload->len < *size)
		return 0;
	bytes = realloc(payload->bytes, wanted);
	if (bytes == NULL)
		return fail_memory(wanted);
	payload->bytes = bytes;
	*size = wanted;
	return 0;
}

static int
read_all(struct vucctl_payload *payload, int fd, const char *path)
{
	size_t size = 0;
	ssize_t n;

	do {
		int ret = payload_grow(payload, &size);

		if (ret != 0)
			return ret;
		n = read(fd, payload->bytes + payload->len, size - payload->len);
		if (n > 0)
			payload->len += (size_t)n;
		if (payload->len > MAX_SIZE)
			return vucctl_fail("%s: more than %u bytes", path, MAX_SIZE);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return vucctl_fail("%s: %s", path, strerror(errno));
	if (payload->len == 0)
		return vucctl_fail("%s: there are no bytes to write", path);
	return 0;
}

int
vucctl_payload_file(struct vucctl_payload *payload, const char *path)
{
	int fd, ret;

	*payload = (struct vucctl_payload){.bytes = NULL};
	if (strcmp(path, "-") == 0) {
		ret = read_all(payload, STDIN_FILENO, "standard input");
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return vucctl_fail("%s: %s", path, strerror(errno));
		ret = read_all(payload, fd, path);
		close(fd);
	}
	if (ret != 0)
		vucctl_payload_free(payload);
	return ret;
}

void
vucctl_payload_free(struct vucctl_payload *payload)
{
	free(payload->bytes);
	*payload = (struct vucctl_payload){.bytes = NULL};
}
