/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_PARSE_H
#define REFDEV_PARSE_H

#include <stdint.h>

/* A whole text as a number, decimal or hexadecimal with 0x, without sign or space. Returns 0;
 * -EINVAL for another text, -ERANGE for a number that is not within min ... max. */
int refdev_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

#endif /* REFDEV_PARSE_H */
