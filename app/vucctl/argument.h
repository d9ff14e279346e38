/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_ARGUMENT_H
#define VUCCTL_ARGUMENT_H

/* Numbers and bytes on the command line. */

#include <stddef.h>
#include <stdint.h>

/* A whole text as numbers, "A" or "A-B" with A <= B <= max. "A" alone sets both. Returns as
 * vuc_number_parse(). */
int vucctl_number_parse_range(const char *text, uint64_t max, uint64_t *first, uint64_t *last);

/* A whole text as seconds with at most three decimals, "1.5"; ms is set to milliseconds. Returns 0;
 * -EINVAL for another text; -ERANGE when they are not within min ... max. */
int vucctl_seconds_parse(const char *text, uint32_t min, uint32_t max, uint32_t *ms);

/* A whole text as bytes, two hexadecimal digits each, with ':' or ' ' between bytes where it is
 * wanted. bytes has room for half of the text's length. Returns 0; -EINVAL, also for no bytes. */
int vucctl_bytes_parse(const char *text, uint8_t *bytes, size_t *len);

#endif /* VUCCTL_ARGUMENT_H */
