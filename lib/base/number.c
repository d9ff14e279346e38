/* SPDX-License-Identifier: BSD-3-Clause */
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int
vuc_number_scan(const char *text, int base, uint64_t *value, const char **end)
{
	bool hex = base == 0 && strncmp(text, "0x", 2) == 0;
	char *stop;

	*end = text;
	/* strtoull() would take a sign and blanks, and "0x" alone as a 0. */
	if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
		return -EINVAL;
	if (base == 0)
		base = hex ? 16 : 10;
	errno = 0;
	*value = strtoull(text, &stop, base);
	*end = stop;
	return stop == text ? -EINVAL : -errno;
}

int
vuc_number_parse(const char *text, int base, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t number;
	const char *end;
	int rc = vuc_number_scan(text, base, &number, &end);

	if (rc == -EINVAL || *end != '\0')
		return -EINVAL;
	if (rc != 0 || number < min || number > max)
		return -ERANGE;
	*value = number;
	return 0;
}
