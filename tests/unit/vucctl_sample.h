/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_VUCCTL_SAMPLE_H
#define TESTS_VUCCTL_SAMPLE_H

/* Config space and a report of a device made up for the tests of vucctl. */

#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "report.h"

#define SAMPLE_PM   0x40
#define SAMPLE_MSI  0x48
#define SAMPLE_EXP  0x60
#define SAMPLE_MSIX 0xa0
#define SAMPLE_VNDR 0xb0
#define SAMPLE_AER  0x100
#define SAMPLE_DSN  0x148

static inline void
sample_put16(uint8_t *bytes, size_t offset, unsigned int value)
{
	bytes[offset] = (uint8_t)value;
	bytes[offset + 1] = (uint8_t)(value >> 8);
}

static inline void
sample_put32(uint8_t *bytes, size_t offset, uint32_t value)
{
	sample_put16(bytes, offset, value & 0xffff);
	sample_put16(bytes, offset + 2, value >> 16);
}

static inline void
sample_put_cap(uint8_t *bytes, size_t offset, uint8_t id, uint8_t next)
{
	bytes[offset] = id;
	bytes[offset + 1] = next;
}

static inline void
sample_put_ext_cap(uint8_t *bytes, size_t offset, uint16_t id, unsigned int version, uint32_t next)
{
	sample_put32(bytes, offset, id | version << 16 | next << 20);
}

static inline void
sample_fill_header(uint8_t *bytes)
{
	sample_put16(bytes, 0x00, 0x7675);     /* vendor */
	sample_put16(bytes, 0x02, 0x7663);     /* device */
	sample_put16(bytes, 0x04, 0x0006);     /* memory, bus master */
	sample_put16(bytes, 0x06, 0x0010);     /* capabilities */
	sample_put32(bytes, 0x08, 0x08800001); /* class, revision */
	sample_put32(bytes, 0x10, 0xfebf0000); /* BAR0: 32 bits */
	sample_put32(bytes, 0x18, 0x0000000c); /* BAR2: 64 bits, prefetchable */
	sample_put32(bytes, 0x1c, 0x00000038);
	sample_put32(bytes, 0x24, 0x0000c001); /* BAR5: I/O */
	sample_put16(bytes, 0x2c, 0xfffd);
	sample_put16(bytes, 0x2e, 0x0042);
	bytes[0x34] = SAMPLE_PM;
	bytes[0x3c] = 11;
	bytes[0x3d] = 1;
}

static inline void
sample_fill_caps(uint8_t *bytes)
{
	sample_put_cap(bytes, SAMPLE_PM, 0x01, SAMPLE_MSI);
	sample_put16(bytes, SAMPLE_PM + 2, 0x0003);
	sample_put16(bytes, SAMPLE_PM + 4, 0x000b); /* D3hot, no soft reset */
	sample_put_cap(bytes, SAMPLE_MSI, 0x05, SAMPLE_EXP);
	sample_put16(bytes, SAMPLE_MSI + 2, 0x0186); /* 8 vectors, 64 bits, maskable */
	sample_put_cap(bytes, SAMPLE_EXP, 0x10, SAMPLE_MSIX);
	sample_put16(bytes, SAMPLE_EXP + 2, 0x0002);     /* version 2, endpoint */
	sample_put32(bytes, SAMPLE_EXP + 4, 0x10000000); /* FLR */
	sample_put32(bytes, SAMPLE_EXP + 12, 0x00000043);
	sample_put_cap(bytes, SAMPLE_MSIX, 0x11, SAMPLE_VNDR);
	sample_put16(bytes, SAMPLE_MSIX + 2, 0x8007); /* enabled, 8 vectors */
	sample_put32(bytes, SAMPLE_MSIX + 4, 0x00000004);
	sample_put32(bytes, SAMPLE_MSIX + 8, 0x00002004);
	sample_put_cap(bytes, SAMPLE_VNDR, 0x09, 0);
	bytes[SAMPLE_VNDR + 2] = 16;
	sample_put_ext_cap(bytes, SAMPLE_AER, 0x0001, 2, SAMPLE_DSN);
	sample_put_ext_cap(bytes, SAMPLE_DSN, 0x0003, 1, 0);
	sample_put32(bytes, SAMPLE_DSN + 4, 0x55667788);
	sample_put32(bytes, SAMPLE_DSN + 8, 0x11223344);
}

static inline void
sample_fill_config(uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE])
{
	memset(bytes, 0, VUCCTL_PCIE_CONFIG_SIZE);
	sample_fill_header(bytes);
	sample_fill_caps(bytes);
}

static const struct vuc_region_area sample_areas[] = {{0x1000, 0x1000}, {0x3000, 0x1000}};
static const int sample_fds[] = {-1};

static const struct vuc_device_version sample_version = {
	.major = 0,
	.minor = 1,
	.max_msg_fds = 8,
	.max_data_xfer_size = 1048576,
	.max_dma_maps = 65535,
	.pgsizes = 0x201000,
	.write_multiple = true,
	.json = "{\"capabilities\":{\"max_msg_fds\":8}}",
};

static const struct vuc_device_info sample_info = {
	.flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
	.num_regions = 10,
	.num_irqs = 3,
};

static inline void
sample_fill_regions(struct vuc_region *regions)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	uint32_t i;

	for (i = 0; i < sample_info.num_regions; i++)
		regions[i].index = i;
	regions[0].size = 4096;
	regions[0].flags = rw;
	regions[2].size = UINT64_C(0x8000000000000000);
	regions[2].flags = rw | VFIO_REGION_INFO_FLAG_MMAP;
	regions[2].offset = 0x10000;
	regions[2].nr_fds = 1;
	regions[2].fds = sample_fds;
	regions[4] = (struct vuc_region){
		.index = 4,
		.size = 16384,
		.flags = rw | VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
		.nr_areas = 2,
		.areas = sample_areas,
		.nr_fds = 1,
		.fds = sample_fds,
	};
	regions[7].size = VUCCTL_PCIE_CONFIG_SIZE;
	regions[7].flags = rw;
	regions[9].size = 100;
	regions[9].flags = VFIO_REGION_INFO_FLAG_READ | 0x100;
	regions[9].type = 0x80001af4;
	regions[9].subtype = 1;
}

/* A report as the library's device would give it, names in numbers; NULL when out of memory. */
static inline struct vucctl_report *
sample_report_create(void)
{
	struct vucctl_report *report = calloc(1, sizeof(*report));

	if (report == NULL)
		return NULL;
	report->socket = "/run/dev.sock";
	report->transport = "posix";
	report->version = &sample_version;
	report->info = &sample_info;
	report->regions = calloc(sample_info.num_regions, sizeof(*report->regions));
	report->irqs = calloc(sample_info.num_irqs, sizeof(*report->irqs));
	if (report->regions == NULL || report->irqs == NULL) {
		vucctl_report_destroy(report);
		return NULL;
	}
	sample_fill_regions(report->regions);
	report->irqs[0] = (struct vuc_irq){0, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE, 1};
	report->irqs[1] = (struct vuc_irq){1, 0, 0};
	report->irqs[2] = (struct vuc_irq){2, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 8};
	report->config.present = true;
	report->config.size = VUCCTL_PCIE_CONFIG_SIZE;
	report->config.len = VUCCTL_PCIE_CONFIG_SIZE;
	sample_fill_config(report->config.bytes);
	vucctl_report_decode_pci(report, true);
	return report;
}

#endif /* TESTS_VUCCTL_SAMPLE_H */
