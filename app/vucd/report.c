/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "text.h"

static void __attribute__((format(printf, 4, 0))) report_line(struct vucd_report *report,
	unsigned int line, const char *before, const char *fmt, va_list args)
{
	char text[VUCD_REPORT_MAX];
	int len = snprintf(text, sizeof(text), "%s", before);

	if (vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, args) < 0)
		text[0] = '\0';
	vuc_text_clean_controls(text);
	report->fn(report->arg, line, text);
}

void
vucd_report(struct vucd_report *report, unsigned int line, const char *fmt, ...)
{
	va_list args;

	report->count++;
	va_start(args, fmt);
	report_line(report, line, "", fmt, args);
	va_end(args);
}

void
vucd_report_warning(struct vucd_report *report, unsigned int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_line(report, line, "warning: ", fmt, args);
	va_end(args);
}
