/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>

#include <linux/vfio.h>

#include "format.h"
#include "report_text_pci.h"
#include "vfio_names.h"

/* How much is printed unless all is asked for. */
#define FEW_AREAS        8
#define FEW_CONFIG_BYTES 64

static void
print_page_sizes(FILE *out, uint64_t pgsizes)
{
	const char *separator = "";
	unsigned int bit, named = 0;

	for (bit = 0; bit < 64; bit++) {
		if ((pgsizes >> bit & 1) == 0)
			continue;
		if (++named > 4) {
			fprintf(out, ", ... (0x%" PRIx64 ")", pgsizes);
			break;
		}
		fprintf(out, "%s%s", separator, vucctl_size_format(UINT64_C(1) << bit).text);
		separator = ", ";
	}
	putc('\n', out);
}

static void
print_version(FILE *out, const struct vuc_device_version *version)
{
	fputs("\nProtocol\n", out);
	vucctl_label_print(out, "version");
	fprintf(out, "%u.%u\n", version->major, version->minor);
	vucctl_label_print(out, "message fds");
	fprintf(out, "at most %" PRIu32 "\n", version->max_msg_fds);
	vucctl_label_print(out, "message data");
	fprintf(out, "at most %s\n", vucctl_size_format(version->max_data_xfer_size).text);
	vucctl_label_print(out, "DMA maps");
	fprintf(out, "at most %" PRIu32 "\n", version->max_dma_maps);
	vucctl_label_print(out, "page sizes");
	print_page_sizes(out, version->pgsizes);
	vucctl_label_print(out, "twin socket");
	fputs(version->twin_socket ? "yes\n" : "no\n", out);
	vucctl_label_print(out, "write multiple");
	fputs(version->write_multiple ? "yes\n" : "no\n", out);
	vucctl_label_print(out, "server's data");
	vucctl_foreign_print(out, version->json[0] != '\0' ? version->json : "none");
	putc('\n', out);
}

/* "rwm" and the bits that none of these letters stands for; the caps bit only says that there are
 * capabilities, which are printed if they are of use. */
static void
print_region_flags(FILE *out, uint32_t flags)
{
	const uint32_t told = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;

	putc((flags & VFIO_REGION_INFO_FLAG_READ) != 0 ? 'r' : '-', out);
	putc((flags & VFIO_REGION_INFO_FLAG_WRITE) != 0 ? 'w' : '-', out);
	putc((flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 ? 'm' : '-', out);
	if ((flags & ~told) != 0)
		fprintf(out, " 0x%" PRIx32, flags & ~told);
}

static void
print_areas(FILE *out, const struct vuc_region *region, bool verbose)
{
	uint32_t i;

	for (i = 0; i < region->nr_areas; i++) {
		const struct vuc_region_area *area = &region->areas[i];

		if (i == FEW_AREAS && !verbose) {
			fprintf(out, "         and %" PRIu32 " more areas\n", region->nr_areas - i);
			return;
		}
		fprintf(out, "         area 0x%" PRIx64 "-0x%" PRIx64 ", %s\n", area->offset,
			area->offset + (area->size - 1), vucctl_size_format(area->size).text);
	}
}

static void
print_region(FILE *out, const struct vuc_region *region, bool verbose)
{
	fprintf(out, "  %5" PRIu32 "  %-10s %-10s 0x%-12" PRIx64 " ", region->index,
		vucctl_region_name(region->index).text, vucctl_size_format(region->size).text,
		region->size);
	print_region_flags(out, region->flags);
	if (region->nr_fds > 0)
		fprintf(out, "    %" PRIu32 " fd%s, offset 0x%" PRIx64, region->nr_fds,
			region->nr_fds == 1 ? "" : "s", region->offset);
	else if ((region->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0)
		fputs("    no fd, cannot be mapped", out);
	if (region->type != 0)
		fprintf(out, "    type 0x%" PRIx32 ".0x%" PRIx32, region->type, region->subtype);
	putc('\n', out);
	print_areas(out, region, verbose);
}

static void
print_regions(FILE *out, const struct vucctl_report *report, bool verbose)
{
	const char *separator = "  none:  ";
	uint32_t i;

	fputs("\nRegions\n  index  name       size                      flags  to map\n", out);
	for (i = 0; i < report->info->num_regions; i++) {
		if (report->regions[i].size > 0)
			print_region(out, &report->regions[i], verbose);
	}
	for (i = 0; i < report->info->num_regions; i++) {
		if (report->regions[i].size > 0)
			continue;
		fprintf(out, "%s%s", separator, vucctl_region_name(i).text);
		separator = ", ";
	}
	if (separator[0] == ',')
		putc('\n', out);
}

static void
print_irqs(FILE *out, const struct vucctl_report *report)
{
	const char *separator = "  none:  ";
	uint32_t i;

	fputs("\nInterrupts\n  index  name       count  flags\n", out);
	for (i = 0; i < report->info->num_irqs; i++) {
		const struct vuc_irq *irq = &report->irqs[i];

		if (irq->count == 0)
			continue;
		fprintf(out, "  %5" PRIu32 "  %-10s %5" PRIu32 "  ", irq->index,
			vucctl_irq_name(irq->index).text, irq->count);
		vucctl_flags_print(out, irq->flags, vucctl_irq_flags);
		putc('\n', out);
	}
	for (i = 0; i < report->info->num_irqs; i++) {
		if (report->irqs[i].count > 0)
			continue;
		fprintf(out, "%s%s", separator, vucctl_irq_name(i).text);
		separator = ", ";
	}
	if (separator[0] == ',')
		putc('\n', out);
}

static void
print_config(FILE *out, const struct vucctl_config *config, bool verbose)
{
	size_t len = config->len;

	fputs("\nConfig space", out);
	if (!config->present) {
		fputs("\n  none\n", out);
		return;
	}
	if (!verbose && len > FEW_CONFIG_BYTES)
		len = FEW_CONFIG_BYTES;
	fprintf(out, ", %zu of %" PRIu64 " bytes\n", len, config->size);
	if (config->error[0] != '\0')
		fprintf(out, "  unreadable from 0x%zx on: %s\n", config->len, config->error);
	vucctl_hexdump_print(out, "  ", config->bytes, len);
}

void
vucctl_report_print_text(FILE *out, const struct vucctl_report *report, bool verbose)
{
	fputs("Device\n", out);
	vucctl_label_print(out, "socket");
	vucctl_foreign_print(out, report->socket);
	putc('\n', out);
	vucctl_label_print(out, "transport");
	fprintf(out, "%s\n", report->transport);
	vucctl_label_print(out, "flags");
	vucctl_flags_print(out, report->info->flags, vucctl_device_flags);
	putc('\n', out);
	print_version(out, report->version);
	print_regions(out, report, verbose);
	print_irqs(out, report);
	if (report->pci.valid)
		vucctl_report_print_pci(out, report);
	print_config(out, &report->config, verbose);
}
