/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_RUN_H
#define VMM_RUN_H

/*
 * Running the guest: each access that leaves it is brought to whom it is for.
 */

#include "machine.h"

/* Run the guest until it says that it has finished, by machine->guest.result. Returns 0;
 * -ETIMEDOUT; -ECONNRESET when the device is gone; another negative errno. It was said why. */
int run_guest(struct machine *machine, uint32_t timeout_s);

#endif /* VMM_RUN_H */
