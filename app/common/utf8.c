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

/* Bytes of the character at text, and its code point; 0 when there is none. */
static size_t
decode(const unsigned char *text, uint32_t *code)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	size_t len = sequence_len(text[0]);
	size_t i;

	*code = text[0] & first_bits[len];
	for (i = 1; i < len; i++) {
		/* The terminating NUL is no continuation either. */
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3f);
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
	const unsigned char *from = (const unsigned char *)text;
	char *clean = malloc(strlen(text) * REPLACEMENT_LEN + 1);
	char *to = clean;

	if (clean == NULL)
		return NULL;
	while (*from != '\0') {
		uint32_t code;
		size_t len = decode(from, &code);

		if (len > 0 && !is_control(code)) {
			memcpy(to, from, len);
			to += len;
		} else {
			memcpy(to, REPLACEMENT, REPLACEMENT_LEN);
			to += REPLACEMENT_LEN;
		}
		from += len > 0 ? len : 1;
	}
	*to = '\0';
	return clean;
}
