/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_IRQ_H
#define VUCCTL_IRQ_H

/* The interrupts that a command is about, as named on the command line. */

#include <vuc/irq.h>

#include "command.h"

struct vucctl_irqs {
	bool has_index, has_vectors;
	uint32_t index;
	uint32_t first, last;
};

/* clang-format off */
#define VUCCTL_IRQ_OPTIONS \
	{"index", 'i', "INDEX", 0, "intx, msi, msix, err, req or a number; the first of msix, msi " \
		"and intx that the device has by default"}, \
	{"vector", 'v', "N|A-B", 0, "Vectors of the index; all by default"}
/* clang-format on */

/* Take one of these options; what is wrong ends the program. */
void vucctl_irqs_take(
	const struct vucctl *ctl, struct vucctl_irqs *irqs, int key, const char *value);

/* What that is on the device. Returns 0; EXIT_FAILURE, the error said. */
int vucctl_irqs_find(
	const struct vucctl *ctl, const struct vucctl_irqs *irqs, struct vuc_irq_range *range);

#endif /* VUCCTL_IRQ_H */
