/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "text.h"

int
vuc_error_set(struct vuc_error *err, int code, const char *fmt, ...)
{
	char line[VUC_ERROR_MAX] = "";
	va_list args;

	if (err == NULL)
		return code;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	vuc_text_clean(line);
	memcpy(err->text, line, sizeof(line));
	return code;
}
