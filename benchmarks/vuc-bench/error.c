/* SPDX-License-Identifier: BSD-3-Clause */
#include "error.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void
bench_text_clean(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

int
bench_fail(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	for (char *c = err->text; *c != '\0'; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
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
