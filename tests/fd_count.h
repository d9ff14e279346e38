/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FD_COUNT_H
#define VUC_TESTS_FD_COUNT_H

/* How many descriptors this process has open: what a test looks at before and after. */
unsigned int fd_count(void);

#endif /* VUC_TESTS_FD_COUNT_H */
