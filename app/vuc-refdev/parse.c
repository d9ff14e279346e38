/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

int
refdev_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	int base = strncmp(text, "0x", 2) == 0 ? 16 : 10;
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, base);
	if (*end != '\0')
		return -EINVAL;
	if (errno != 0 || number < min || number > max)
		return -ERANGE;
	*value = number;
	return 0;
}
