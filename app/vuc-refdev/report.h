/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REPORT_H
#define REFDEV_REPORT_H

/* One line on stderr, behind the program's name, in one write. */
void refdev_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* REFDEV_REPORT_H */
