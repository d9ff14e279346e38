/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "report.h"
#include "text.h"

void
refdev_report(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vuc_text_clean_controls(line);
	fprintf(stderr, "vuc-refdev: %s\n", line);
}
