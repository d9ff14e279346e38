/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_INTERRUPT_H
#define BENCH_INTERRUPT_H

#include <stdbool.h>

/* Let SIGINT, SIGTERM and SIGHUP ask for an orderly end, and writes to closed pipes fail. */
void bench_interrupt_install(void);

/* Whether one of them came: clean up and go. */
bool bench_interrupted(void);

/* Die of the signal that came, as the caller's shell expects. Does nothing when none came. */
void bench_interrupt_raise(void);

#endif /* BENCH_INTERRUPT_H */
