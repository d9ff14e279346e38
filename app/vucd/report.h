/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_REPORT_H
#define VUCD_REPORT_H

/* What is wrong with a configuration: all of it, not just the first thing. */

struct vucd_report {
	/* Takes one line about line number line of the file; 0: about no line in particular. */
	void (*fn)(void *arg, unsigned int line, const char *text);
	void *arg;
	unsigned int count; /* of what has been reported */
};

#define VUCD_REPORT_MAX 512 /* bytes of a text, with its NUL */

/* Report a line. Control characters in it become '?'. */
void vucd_report(struct vucd_report *report, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same of what is likely a mistake: it begins with "warning: ", and is not counted. */
void vucd_report_warning(struct vucd_report *report, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* VUCD_REPORT_H */
