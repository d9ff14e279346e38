/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tap.h"
#include "vucctl_sample.h"

static char *text;
static size_t text_len;

static struct vucctl_report *
sample(void)
{
	struct vucctl_report *report = sample_report_create();

	CU_ASSERT_PTR_NOT_NULL_FATAL(report);
	return report;
}

/* Print a report and destroy it; the text is to be freed. */
static void
print(struct vucctl_report *report, bool verbose)
{
	FILE *out = open_memstream(&text, &text_len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	vucctl_report_print_text(out, report, verbose);
	CU_ASSERT_EQUAL(fclose(out), 0);
	vucctl_report_destroy(report);
}

static bool
has(const char *part)
{
	return strstr(text, part) != NULL;
}

/* All of it, so that order and alignment are seen too. */
static const char whole[] =
	"Device\n"
	"  socket          /run/dev.sock\n"
	"  transport       posix\n"
	"  flags           reset pci\n"
	"\n"
	"Protocol\n"
	"  version         0.1\n"
	"  message fds     at most 8\n"
	"  message data    at most 1 MiB\n"
	"  DMA maps        at most 65535\n"
	"  page sizes      4 KiB, 2 MiB\n"
	"  twin socket     no\n"
	"  write multiple  yes\n"
	"  server's data   {\"capabilities\":{\"max_msg_fds\":8}}\n"
	"\n"
	"Regions\n"
	"  index  name       size                      flags  to map\n"
	"      0  BAR0       4 KiB      0x1000         rw-\n"
	"      2  BAR2       8 EiB      0x8000000000000000 rwm    1 fd, offset 0x10000\n"
	"      4  BAR4       16 KiB     0x4000         rwm    1 fd, offset 0x0\n"
	"         area 0x1000-0x1fff, 4 KiB\n"
	"         area 0x3000-0x3fff, 4 KiB\n"
	"      7  config     4 KiB      0x1000         rw-\n"
	"      9  region 9   100 bytes  0x64           r-- 0x100    type 0x80001af4.0x1\n"
	"  none:  BAR1, BAR3, BAR5, ROM, VGA\n"
	"\n"
	"Interrupts\n"
	"  index  name       count  flags\n"
	"      0  INTx           1  eventfd maskable\n"
	"      2  MSI-X          8  eventfd noresize\n"
	"  none:  MSI\n"
	"\n"
	"PCI\n"
	"  device          7675:7663\n"
	"  subsystem       fffd:0042\n"
	"  class           088000\n"
	"  revision        01\n"
	"  header type     00         device\n"
	"  command         0006       memory bus-master\n"
	"  status          0010       capabilities\n"
	"  interrupt       pin A      line 11\n"
	"  BAR0            memory, 32 bits at 0xfebf0000, 4 KiB\n"
	"  BAR2            memory, 64 bits at 0x3800000000, prefetchable, 8 EiB\n"
	"  BAR4            memory, 32 bits at 0x0, 16 KiB\n"
	"  BAR5            I/O ports at 0xc000, no region\n"
	"\n"
	"Capabilities\n"
	"  [40]  Power management: version 3, in D3hot, no soft reset\n"
	"  [48]  MSI: vectors 8, 64 bits, maskable, disabled\n"
	"  [60]  PCI Express: version 2, endpoint, function level reset, 8 GT/s x4\n"
	"  [a0]  MSI-X: vectors 8, table BAR4+0x0, PBA BAR4+0x2000, enabled\n"
	"  [b0]  Vendor specific: length 16\n"
	"  [100] Advanced error reporting\n"
	"  [148] Device serial number: 11223344-55667788\n"
	"\n"
	"Config space, 64 of 4096 bytes\n"
	"  00: 75 76 63 76 06 00 10 00 01 00 80 08 00 00 00 00\n"
	"  10: 00 00 bf fe 00 00 00 00 0c 00 00 00 38 00 00 00\n"
	"  20: 00 00 00 00 01 c0 00 00 00 00 00 00 fd ff 42 00\n"
	"  30: 00 00 00 00 40 00 00 00 00 00 00 00 0b 01 00 00\n";

static void
test_whole(void)
{
	print(sample(), false);
	CU_ASSERT_STRING_EQUAL(text, whole);
	free(text);
}

static void
test_verbose(void)
{
	print(sample(), true);
	CU_ASSERT(has("Config space, 4096 of 4096 bytes\n"));
	CU_ASSERT(has("\n  b0: 09 00 10 00 "));
	CU_ASSERT(has("\n  140: 00 00 00 00 00 00 00 00 03 00 01 00 88 77 66 55\n"));
	CU_ASSERT(has("\n  *\n"));
	free(text);
}

static void
test_names(void)
{
	struct vucctl_report *report = sample();

	report->pci.names = (struct vucctl_pci_names){
		.class_name = "Class 0880",
		.device = "Device 7675:7663",
		.subsystem = "Device fffd:0042",
	};
	print(report, false);
	CU_ASSERT(has("  device          7675:7663  Device 7675:7663\n"));
	CU_ASSERT(has("  subsystem       fffd:0042  Device fffd:0042\n"));
	CU_ASSERT(has("  class           088000     Class 0880\n"));
	free(text);
}

static void
test_no_config(void)
{
	struct vucctl_report *report = sample();

	report->config = (struct vucctl_config){0};
	vucctl_report_decode_pci(report, true);
	print(report, false);
	CU_ASSERT(has("\nConfig space\n  none\n"));
	CU_ASSERT_FALSE(has("\nPCI\n"));
	CU_ASSERT_FALSE(has("\nCapabilities\n"));
	CU_ASSERT(has("\nInterrupts\n"));
	free(text);
}

static void
test_config_partly_read(void)
{
	struct vucctl_report *report = sample();

	report->config.len = 256;
	snprintf(report->config.error, sizeof(report->config.error), "%s", "Input/output error");
	vucctl_report_decode_pci(report, true);
	print(report, true);
	CU_ASSERT(has("Config space, 256 of 4096 bytes\n"
		      "  unreadable from 0x100 on: Input/output error\n"
		      "  00: 75 76 63 76"));
	CU_ASSERT(has("\n  [b0]  Vendor specific: length 16\n\n"));
	free(text);
}

static void
test_config_unreadable(void)
{
	struct vucctl_report *report = sample();

	report->config.len = 0;
	snprintf(report->config.error, sizeof(report->config.error), "%s", "Permission denied");
	vucctl_report_decode_pci(report, true);
	print(report, false);
	CU_ASSERT(has("Config space, 0 of 4096 bytes\n"
		      "  unreadable from 0x0 on: Permission denied\n"));
	CU_ASSERT_FALSE(has("\nPCI\n"));
	free(text);
}

static void
test_broken_lists(void)
{
	struct vucctl_report *report = sample();

	report->config.bytes[SAMPLE_VNDR] = 0x7e;
	report->config.bytes[SAMPLE_VNDR + 1] = SAMPLE_VNDR;
	sample_put_ext_cap(report->config.bytes, SAMPLE_AER, 0xabcd, 2, 0x10);
	vucctl_report_decode_pci(report, true);
	print(report, false);
	CU_ASSERT(has("  [b0]  unknown, id 0x7e\n"
		      "  [100] unknown, id 0xabcd\n"
		      "  list broken: loop, back to 0xb0\n"
		      "  extended list broken: link to 0x010, below 0x100\n"));
	free(text);
}

static void
test_no_caps(void)
{
	struct vucctl_report *report = sample();

	report->config.bytes[0x06] = 0;
	report->config.len = 256;
	vucctl_report_decode_pci(report, true);
	print(report, false);
	CU_ASSERT(has("\nCapabilities\n  none\n"));
	free(text);
}

/* It is offered, and there is nothing to map. */
static void
test_no_fd(void)
{
	struct vucctl_report *report = sample();

	report->regions[2].nr_fds = 0;
	print(report, false);
	CU_ASSERT(has(" rwm    no fd, cannot be mapped\n"));
	free(text);
}

static void
test_many_areas(void)
{
	struct vuc_region_area areas[10];
	struct vucctl_report *report = sample();
	unsigned int i;

	for (i = 0; i < 10; i++)
		areas[i] = (struct vuc_region_area){i * 0x1000, 0x800};
	report->regions[4].areas = areas;
	report->regions[4].nr_areas = 10;
	print(report, false);
	CU_ASSERT(has("         area 0x7000-0x77ff, 2 KiB\n         and 2 more areas\n"));
	CU_ASSERT_FALSE(has("area 0x8000"));
	free(text);
	report = sample();
	report->regions[4].areas = areas;
	report->regions[4].nr_areas = 10;
	print(report, true);
	CU_ASSERT(has("         area 0x9000-0x97ff, 2 KiB\n"));
	CU_ASSERT_FALSE(has("more areas"));
	free(text);
}

static void
test_page_sizes(void)
{
	struct vuc_device_version version = sample_version;
	struct vucctl_report *report = sample();

	version.pgsizes = ~UINT64_C(0xfff);
	report->version = &version;
	print(report, false);
	CU_ASSERT(has("4 KiB, 8 KiB, 16 KiB, 32 KiB, ... (0xfffffffffffff000)\n"));
	free(text);
}

static void
test_foreign_text(void)
{
	struct vuc_device_version version = sample_version;
	struct vucctl_report *report = sample();

	version.json = "{\"\x1b]0;title\x07\": 1}\n";
	report->version = &version;
	report->socket = "/tmp/a\nb";
	print(report, false);
	CU_ASSERT(has("  server's data   {\"\\x1b]0;title\\x07\": 1}\\x0a\n"));
	CU_ASSERT(has("  socket          /tmp/a\\x0ab\n"));
	CU_ASSERT_PTR_NULL(strchr(text, '\x1b'));
	free(text);
	report = sample();
	version.json = "";
	report->version = &version;
	print(report, false);
	CU_ASSERT(has("  server's data   none\n"));
	free(text);
}

static void
test_nothing_there(void)
{
	const struct vuc_device_info info = {.flags = VFIO_DEVICE_FLAGS_PCI};
	struct vucctl_report *report = sample();

	report->info = &info;
	print(report, false);
	CU_ASSERT(has("to map\n\nInterrupts\n  index  name       count  flags\n\nPCI\n"));
	CU_ASSERT(has("  BAR0            memory, 32 bits at 0xfebf0000, no region\n"));
	CU_ASSERT_FALSE(has("  BAR4 "));
	free(text);
}

static void
test_odd_header(void)
{
	struct vucctl_report *report = sample();

	report->config.bytes[0x0e] = 0x81;
	report->config.bytes[0x3d] = 9;
	report->regions[6].size = 0x10000;
	vucctl_report_decode_pci(report, true);
	print(report, false);
	CU_ASSERT(has("  header type     01         PCI bridge, multifunction\n"));
	CU_ASSERT(has("  interrupt       pin 9, which PCI does not have\n"));
	CU_ASSERT(has("  ROM             disabled at 0x0, 64 KiB\n"));
	CU_ASSERT_FALSE(has("subsystem"));
	free(text);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"whole", test_whole},
		{"verbose", test_verbose},
		{"names", test_names},
		{"no config space", test_no_config},
		{"config space partly read", test_config_partly_read},
		{"config space unreadable", test_config_unreadable},
		{"broken lists", test_broken_lists},
		{"no capabilities", test_no_caps},
		{"a region without a descriptor", test_no_fd},
		{"many areas", test_many_areas},
		{"page sizes", test_page_sizes},
		{"text from outside", test_foreign_text},
		{"nothing there", test_nothing_there},
		{"odd header", test_odd_header},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_report_text", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
