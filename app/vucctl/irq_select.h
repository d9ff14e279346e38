/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_IRQ_SELECT_H
#define VUCCTL_IRQ_SELECT_H

/* The interrupts that a command is about, as named on the command line. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/irq.h>

#include "target.h"

#define VUCCTL_IRQ_SELECT_SHORT_OPTIONS "i:v:"
/* clang-format off */
#define VUCCTL_IRQ_SELECT_LONG_OPTIONS \
	{"index", required_argument, NULL, 'i'}, \
	{"vector", required_argument, NULL, 'v'}
/* clang-format on */
#define VUCCTL_IRQ_SELECT_HELP                                                                     \
	"  -i, --index INDEX     intx, msi, msix, err, req or a number; by default the first of\n" \
	"                        msix, msi and intx that the device has\n"                         \
	"  -v, --vector N|A-B    these of the index; all by default\n"

struct vucctl_irq_select {
	bool has_index, has_vectors;
	uint32_t index;
	uint32_t first, last;
};

/* Take an option of VUCCTL_IRQ_SELECT_SHORT_OPTIONS. Returns 0; VUCCTL_EXIT_USAGE, the error said.
 */
int vucctl_irq_select_option(
	struct vucctl_irq_select *select, const char *command, int opt, const char *value);

/* What that is on a device. Returns 0; EXIT_FAILURE, the error said. */
int vucctl_irq_select_range(const struct vucctl_irq_select *select,
	const struct vucctl_target *target, const struct vuc_device *dev,
	struct vuc_irq_range *range);

#endif /* VUCCTL_IRQ_SELECT_H */
