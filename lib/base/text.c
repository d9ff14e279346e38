/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include <stdio.h>

void
vuc_text_clean(char *text)
{
	for (; *text != '\0'; text++) {
		if (!vuc_text_is_printable(*text))
			*text = '?';
	}
}

void
vuc_text_clean_name(char *name)
{
	for (; *name != '\0'; name++) {
		if (!vuc_text_is_printable(*name) || *name == '"' || *name == '\\')
			*name = '?';
	}
}

void
vuc_text_clean_controls(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
		/* A terminal takes U+009B for the beginning of an escape sequence. */
		if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			*c++ = '?';
		else if (*c >= ' ' && *c != 0x7f)
			continue;
		*c = '?';
	}
}

void
vuc_text_escape(char *to, size_t size, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = vuc_text_is_printable(*text);
		int n = snprintf(to, size, plain ? "%c" : "\\x%02x", c);

		if ((size_t)n >= size)
			break;
		to += n;
		size -= (size_t)n;
	}
	*to = '\0';
}
