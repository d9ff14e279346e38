/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

void
vucd_report(struct vucd_report *report, unsigned int line, const char *fmt, ...)
{
	char text[VUCD_REPORT_MAX];
	va_list args;
	char *c;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	for (c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	report->count++;
	report->fn(report->arg, line, text);
}
