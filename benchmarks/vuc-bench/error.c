/* SPDX-License-Identifier: BSD-3-Clause */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "text.h"

int
bench_fail(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	vuc_text_clean_controls(err->text);
	return code;
}

void
bench_log(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "vuc-bench: %s\n", line);
}
