/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

/*
 * The machine: a CPU, memory, a PCI bus with a device on it, and the ports of the guest program.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "device.h"
#include "guest.h"
#include "kvm.h"
#include "msix.h"
#include "pci.h"

struct machine {
	struct vm *vm;
	struct vcpu vcpu;
	struct memory memory;
	struct device *device;
	struct pci pci;
	struct bus bus;
	struct msix msix;
	struct guest guest;
};

/* Put a machine together around a device that is attached. guest: what the program is to do.
 * Returns 0, or a negative errno, having said why. */
int machine_create(
	struct machine *machine, struct vm *vm, struct device *device, const struct guest *guest);
void machine_destroy(struct machine *machine);

/*
 * Run the guest, bringing each access that leaves it to whom it is for, until it says that it has
 * finished, by machine->guest.result. Returns 0; -ETIMEDOUT; -ECONNRESET when the device is gone;
 * another negative errno. It was said why.
 */
int run_guest(struct machine *machine, uint32_t timeout_s);

/* Print what came of it: for people, or as one JSON object. Both return 0, or a negative errno,
 * having said why. In report.c. */
int report_text(const struct machine *machine);
int report_json(const struct machine *machine);

#endif /* VMM_MACHINE_H */
