/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_UTF8_H
#define APP_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The character that size bytes of text begin with: sets code and returns how many bytes it has; 0
 * when it is none, overlong or half of a surrogate pair. */
size_t app_utf8_decode(const char *text, size_t size, uint32_t *code);

/*
 * Copy text, with each byte that is no part of valid UTF-8, and each of the control characters
 * U+007F to U+009F, replaced by U+FFFD. Returns the copy, to be freed; NULL when out of memory.
 */
char *app_utf8_clean(const char *text);

#endif /* APP_UTF8_H */
