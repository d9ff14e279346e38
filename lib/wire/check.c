/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "check.h"
#include "command.h"
#include "error.h"

int
vuc_wire_refuse(struct vuc_error *err, uint16_t cmd, const char *fmt, ...)
{
	const struct vuc_wire_command *row = vuc_wire_command(cmd);
	char what[VUC_ERROR_MAX] = "";
	va_list args;

	if (err == NULL)
		return -EPROTO;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return vuc_error_set(err, -EPROTO, "%s%s: %s", vuc_wire_command_name(cmd),
		row != NULL && row->from_server ? "" : " reply", what);
}

int
vuc_wire_check_min(uint16_t cmd, size_t len, size_t min, struct vuc_error *err)
{
	if (len >= min)
		return 0;
	return vuc_wire_refuse(err, cmd, "body of %zu bytes, expected at least %zu", len, min);
}

int
vuc_wire_check_size(uint16_t cmd, size_t len, uint64_t expected, struct vuc_error *err)
{
	if (len == expected)
		return 0;
	return vuc_wire_refuse(err, cmd, "body of %zu bytes, expected %" PRIu64, len, expected);
}

int
vuc_wire_check_number(
	uint16_t cmd, const char *field, uint64_t got, uint64_t expected, struct vuc_error *err)
{
	if (got == expected)
		return 0;
	return vuc_wire_refuse(err, cmd, "%s %" PRIu64 ", expected %" PRIu64, field, got, expected);
}

int
vuc_wire_check_least(
	uint16_t cmd, const char *field, uint64_t got, uint64_t least, struct vuc_error *err)
{
	if (got >= least)
		return 0;
	return vuc_wire_refuse(
		err, cmd, "%s %" PRIu64 ", expected at least %" PRIu64, field, got, least);
}

int
vuc_wire_check_most(
	uint16_t cmd, const char *field, uint64_t got, uint64_t most, struct vuc_error *err)
{
	if (got <= most)
		return 0;
	return vuc_wire_refuse(
		err, cmd, "%s %" PRIu64 ", expected at most %" PRIu64, field, got, most);
}

int
vuc_wire_check_hex(
	uint16_t cmd, const char *field, uint64_t got, uint64_t expected, struct vuc_error *err)
{
	if (got == expected)
		return 0;
	return vuc_wire_refuse(
		err, cmd, "%s 0x%" PRIx64 ", expected 0x%" PRIx64, field, got, expected);
}
