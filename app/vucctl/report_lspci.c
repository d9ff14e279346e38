/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>

#include "format.h"

#define ROW 16

/* libpci knows these lengths; less than all that was read is left out. */
static size_t
dump_len(size_t len)
{
	if (len >= VUCCTL_PCIE_CONFIG_SIZE)
		return VUCCTL_PCIE_CONFIG_SIZE;
	if (len >= VUCCTL_PCI_CONFIG_SIZE)
		return VUCCTL_PCI_CONFIG_SIZE;
	return len >= VUCCTL_PCI_HEADER_SIZE ? VUCCTL_PCI_HEADER_SIZE : 0;
}

int
vucctl_report_print_lspci(FILE *out, const struct vucctl_report *report)
{
	const struct vucctl_pci *pci = &report->pci;
	size_t len = dump_len(report->config.len);
	size_t offset;

	if (!pci->valid || len == 0)
		return -ENODATA;
	/* lspci reads lines of up to 254 bytes. */
	fprintf(out, "00:00.0 %.80s: %.120s", pci->names.class_name, pci->names.device);
	if (pci->header.revision != 0)
		fprintf(out, " (rev %02x)", pci->header.revision);
	putc('\n', out);
	for (offset = 0; offset < len; offset += ROW) {
		vucctl_hex_row_print(out, offset, report->config.bytes + offset, ROW);
		putc('\n', out);
	}
	putc('\n', out);
	return 0;
}
