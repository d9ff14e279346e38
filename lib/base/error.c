/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "text.h"

static void __attribute__((format(printf, 3, 0)))
error_format(struct vuc_error *err, void (*clean)(char *text), const char *fmt, va_list args)
{
	char line[VUC_ERROR_MAX] = "";

	if (err == NULL)
		return;
	vsnprintf(line, sizeof(line), fmt, args);
	clean(line);
	memcpy(err->text, line, sizeof(line));
}

int
vuc_error_set(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_format(err, vuc_text_clean, fmt, args);
	va_end(args);
	return code;
}

int
vuc_error_set_utf8(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_format(err, vuc_text_clean_controls, fmt, args);
	va_end(args);
	return code;
}
