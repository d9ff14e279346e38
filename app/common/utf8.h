/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_UTF8_H
#define APP_UTF8_H

/*
 * Copy text, with each byte that is no part of valid UTF-8, and each of the control characters
 * U+007F to U+009F, replaced by U+FFFD. Returns the copy, to be freed; NULL when out of memory.
 */
char *app_utf8_clean(const char *text);

#endif /* APP_UTF8_H */
