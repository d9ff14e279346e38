/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_NUMBER_H
#define VUC_BASE_NUMBER_H

#include <stdint.h>

/*
 * The number that text begins with, without sign or blanks, in base 8 or 10, or 0: decimal, or
 * hexadecimal behind "0x". end is set behind it. Returns 0; -EINVAL when there is none; -ERANGE for
 * one of more than 64 bits.
 */
int vuc_number_scan(const char *text, int base, uint64_t *value, const char **end);

/* A whole text as such a number. Returns 0; -EINVAL for another text; -ERANGE for a number that is
 * not within min ... max. value is set only with 0. */
int vuc_number_parse(const char *text, int base, uint64_t min, uint64_t max, uint64_t *value);

#endif /* VUC_BASE_NUMBER_H */
