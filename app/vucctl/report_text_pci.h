/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_REPORT_TEXT_PCI_H
#define VUCCTL_REPORT_TEXT_PCI_H

#include <stdio.h>

#include "report.h"

/* The part of the text that config space tells: ids, BARs, capabilities. */
void vucctl_report_print_pci(FILE *out, const struct vucctl_report *report);

#endif /* VUCCTL_REPORT_TEXT_PCI_H */
