/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_FAIL_H
#define VMM_FAIL_H

/*
 * Say what went wrong, in one line on standard error. Returns error, so that
 *
 *	return vmm_fail(-EINVAL, "device %s: ...", name);
 *
 * says and returns it. Whoever gets an error from a function of this program has nothing to add:
 * the line is out.
 */
int vmm_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* VMM_FAIL_H */
