/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_REPORT_H
#define VMM_REPORT_H

/*
 * What came of a run, on standard output: for people, or as one JSON object. Both return 0, or a
 * negative errno, having said why.
 */

#include "machine.h"

int report_text(const struct machine *machine);
int report_json(const struct machine *machine);

/* The name of a result, GUEST_*. */
const char *report_result(uint32_t result);

/* The times of a series, from a copy of what is in the guest's memory. Returns 0 or -ENOMEM, having
 * said so. */
int report_series(const struct machine *machine, uint32_t index, struct series *series);

#endif /* VMM_REPORT_H */
