/* SPDX-License-Identifier: BSD-3-Clause */
#include "argument.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "number.h"

int
vucctl_number_parse_range(const char *text, uint64_t max, uint64_t *first, uint64_t *last)
{
	uint64_t number;
	const char *end;
	int ret = vuc_number_scan(text, 0, &number, &end);

	if (ret != 0)
		return ret;
	if (*end == '\0')
		ret = vuc_number_parse(text, 0, 0, max, last);
	else if (*end == '-')
		ret = vuc_number_parse(end + 1, 0, number, max, last);
	else
		ret = -EINVAL;
	if (ret == 0)
		*first = number;
	return ret;
}

int
vucctl_seconds_parse(const char *text, uint32_t min, uint32_t max, uint32_t *ms)
{
	uint64_t seconds, parts = 0, unit = 1000;
	const char *end;
	int ret = vuc_number_scan(text, 0, &seconds, &end);

	if (ret == -EINVAL || strncmp(text, "0x", 2) == 0)
		return -EINVAL;
	if (*end == '.' && isdigit((unsigned char)end[1])) {
		for (end++; isdigit((unsigned char)*end) && unit > 1; end++) {
			unit /= 10;
			parts += (uint64_t)(*end - '0') * unit;
		}
	}
	if (*end != '\0')
		return -EINVAL;
	if (ret != 0 || seconds > UINT32_MAX / 1000 || seconds * 1000 + parts < min ||
		seconds * 1000 + parts > max)
		return -ERANGE;
	*ms = (uint32_t)(seconds * 1000 + parts);
	return 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
vucctl_bytes_parse(const char *text, uint8_t *bytes, size_t *len)
{
	size_t n = 0;

	for (;;) {
		int high = hex_digit(text[0]);
		int low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return -EINVAL;
		bytes[n++] = (uint8_t)(high << 4 | low);
		text += 2;
		if (*text == '\0')
			break;
		if (*text == ':' || *text == ' ')
			text++;
	}
	*len = n;
	return 0;
}
