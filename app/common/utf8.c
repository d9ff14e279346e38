/* SPDX-License-Identifier: BSD-3-Clause */
#include "utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT     "\xef\xbf\xbd"
#define REPLACEMENT_LEN 3

/* Length that a first byte announces; 0 for one that can't be first. */
static size_t
sequence_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* Whether a code point is one, and can't be written in fewer bytes. */
static bool
is_code_point(uint32_t code, size_t len)
{
	if (len == 3)
		return code >= 0x800 && (code < 0xd800 || code > 0xdfff);
	if (len == 4)
		return code >= 0x10000 && code <= 0x10ffff;
	return true;
}

size_t
app_utf8_decode(const char *text, size_t size, uint32_t *code)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	const unsigned char *bytes = (const unsigned char *)text;
	size_t len = size > 0 ? sequence_len(bytes[0]) : 0;
	size_t i;

	if (len == 0 || len > size)
		return 0;
	*code = bytes[0] & first_bits[len];
	for (i = 1; i < len; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (bytes[i] & 0x3f);
	}
	return is_code_point(*code, len) ? len : 0;
}

/* Control characters that JSON leaves as they are. */
static bool
is_control(uint32_t code)
{
	return code >= 0x7f && code <= 0x9f;
}

char *
app_utf8_clean(const char *text)
{
	size_t left = strlen(text);
	char *clean = malloc(left * REPLACEMENT_LEN + 1);
	char *to = clean;

	if (clean == NULL)
		return NULL;
	while (left > 0) {
		uint32_t code;
		size_t len = app_utf8_decode(text, left, &code);

		if (len > 0 && !is_control(code)) {
			memcpy(to, text, len);
			to += len;
		} else {
			memcpy(to, REPLACEMENT, REPLACEMENT_LEN);
			to += REPLACEMENT_LEN;
		}
		len = len > 0 ? len : 1;
		text += len;
		left -= len;
	}
	*to = '\0';
	return clean;
}
