/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

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
