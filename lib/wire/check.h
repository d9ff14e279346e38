/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_CHECK_H
#define VUC_WIRE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

/*
 * What the decoders have in common: refusing a message in one line that begins with its name, so
 * a reply with that of its command and the word "reply". All return -EPROTO when they refuse.
 */

int vuc_wire_refuse(struct vuc_error *err, uint16_t cmd, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A body shorter than min is refused; one that is longer must be bounded by its own fields. */
int vuc_wire_check_min(uint16_t cmd, size_t len, size_t min, struct vuc_error *err);

/* A body of any other size than the one expected is refused. */
int vuc_wire_check_size(uint16_t cmd, size_t len, uint64_t expected, struct vuc_error *err);

/* A field that must repeat what was sent, or have the one value there is: a number or a count. */
int vuc_wire_check_number(
	uint16_t cmd, const char *field, uint64_t got, uint64_t expected, struct vuc_error *err);

/* A number that has a bound: at least this, or at most. */
int vuc_wire_check_least(
	uint16_t cmd, const char *field, uint64_t got, uint64_t least, struct vuc_error *err);
int vuc_wire_check_most(
	uint16_t cmd, const char *field, uint64_t got, uint64_t most, struct vuc_error *err);

/* As vuc_wire_check_number() for what reads better in hexadecimal: an address or flags. */
int vuc_wire_check_hex(
	uint16_t cmd, const char *field, uint64_t got, uint64_t expected, struct vuc_error *err);

#endif /* VUC_WIRE_CHECK_H */
