/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_EAL_H
#define BENCH_EAL_H

#include <vuc/error.h>

/* What pollers need: EAL, quiet and without telemetry. Counted; bench_eal_fini() for each that went
 * well. Once the last one is over there can be no other in this process. */
int bench_eal_init(struct vuc_error *err);
void bench_eal_fini(void);

#endif /* BENCH_EAL_H */
