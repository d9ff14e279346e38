/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_FAIL_H
#define VMM_FAIL_H

#include <err.h>
#include <stdarg.h>

/*
 * Say what went wrong, in one line on standard error. Returns error, so that
 *
 *	return vmm_fail(-EINVAL, "device %s: ...", name);
 *
 * says and returns it. Whoever gets an error from a function of this program has nothing to add:
 * the line is out.
 */
static inline int __attribute__((format(printf, 2, 3))) vmm_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
	return error;
}

#endif /* VMM_FAIL_H */
