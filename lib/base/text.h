/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_TEXT_H
#define VUC_BASE_TEXT_H

/* Text from peers, files and command lines, before it goes to a log, a terminal or JSON. */

#include <stdbool.h>
#include <stddef.h>

static inline bool
vuc_text_is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* Replace all but printable ASCII by '?', in place. */
void vuc_text_clean(char *text);

/* The same for names, which stand in quotes: quotes and backslashes as well. */
void vuc_text_clean_name(char *name);

/* Replace control characters only, those of ASCII and U+0080 to U+009F: paths may be in UTF-8. */
void vuc_text_clean_controls(char *text);

/* Copy text as at most size bytes, the NUL included, with all but printable ASCII as \xNN; what
 * does not fit is left out. */
void vuc_text_escape(char *to, size_t size, const char *text);

#endif /* VUC_BASE_TEXT_H */
