/* SPDX-License-Identifier: BSD-3-Clause */

/* Mapping what servers offer: files that are too short, areas of all kinds, MSI-X in the middle. */

#include <fcntl.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include <vuc/region_map.h>

#include "fake_server.h"
#include "outcome.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define PAGE   0x1000u
#define SIZE   (8u * PAGE)
#define READ   VFIO_REGION_INFO_FLAG_READ
#define WRITE  VFIO_REGION_INFO_FLAG_WRITE

/* A server whose BAR0 is a file of SIZE bytes, all 0x11, and by message 0x22. */
static struct fake_server server;
static struct fake_region *const bar = &server.regions[BAR0];
static struct vuc_device *dev;
static int file;
static uint8_t config[PCI_CFG_SPACE_SIZE];
static uint8_t bytes[SIZE];

static int
make_file(uint8_t byte)
{
	static uint8_t content[SIZE];
	int fd = memfd_create("bar", MFD_CLOEXEC);

	memset(content, byte, SIZE);
	CU_ASSERT_EQUAL_FATAL(write(fd, content, SIZE), (ssize_t)SIZE);
	return fd;
}

static void
set_up(void)
{
	file = make_file(0x11);
	memset(bytes, 0x22, sizeof(bytes));
	memset(config, 0, sizeof(config));
	server = (struct fake_server){.max_msg_fds = 8};
	*bar = (struct fake_region){
		.size = SIZE,
		.flags = READ | WRITE | VFIO_REGION_INFO_FLAG_MMAP,
		.nr_fds = 1,
		.fds = {file},
		.bytes = bytes,
	};
	server.regions[CONFIG] =
		(struct fake_region){.size = sizeof(config), .flags = READ, .bytes = config};
	dev = NULL;
}

static void
tear_down(void)
{
	vuc_device_close(dev);
	CU_ASSERT_EQUAL(close(file), 0);
}

static int
map(const struct vuc_region_mapping **m)
{
	dev = fake_server_open(&server);
	return vuc_region_map(dev, BAR0, m);
}

static void
put_area(uint64_t offset, uint64_t size)
{
	bar->areas[bar->nr_areas++] = (struct vfio_user_sparse_area){offset, size};
}

/* Config space with MSI-X behind another capability; the registers as PCI has them. */
static void
put_msix(uint16_t vectors, uint32_t table, uint32_t pending)
{
	const uint16_t control = (uint16_t)(vectors - 1);

	config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = 0x40;
	config[0x40] = PCI_CAP_ID_VNDR;
	config[0x41] = 0xf4;
	config[0xf4] = PCI_CAP_ID_MSIX;
	memcpy(config + 0xf4 + PCI_MSIX_FLAGS, &control, sizeof(control));
	memcpy(config + 0xf4 + PCI_MSIX_TABLE, &table, sizeof(table));
	memcpy(config + 0xf4 + PCI_MSIX_PBA, &pending, sizeof(pending));
}

/* An offer that is refused. */
struct offer {
	off_t file_size; /* 0: SIZE */
	uint64_t offset; /* in the file */
	struct vfio_user_sparse_area areas[3];
	bool sparse;    /* with the capability, without areas */
	bool pipe;      /* instead of a file */
	uint8_t loop;   /* of the list of capabilities */
	bool no_config; /* config space cannot be read */
	int rc;
	const char *reason;
};

#define MAPPING(size, at, in_file, why)                                                   \
	"region 0: 0x" size " bytes at 0x" at ", 0x" in_file " in their file, cannot be " \
	"mapped: " why
#define BEYOND "beyond the end of the file"
#define ALIGN  "not aligned to pages"

static const struct offer offers[] = {
	{SIZE - 1, .rc = -EPROTO, .reason = MAPPING("8000", "0", "0", BEYOND)},
	{.offset = PAGE, .rc = -EPROTO, .reason = MAPPING("8000", "0", "1000", BEYOND)},
	{.offset = UINT64_MAX - SIZE - PAGE + 1,
		.rc = -EPROTO,
		.reason = MAPPING("8000", "0", "ffffffffffff7000", BEYOND)},
	/* The areas before the bad one are unmapped again. */
	{7 * PAGE, 0, {{0, PAGE}, {2 * PAGE, PAGE}, {6 * PAGE, 2 * PAGE}}, .rc = -EPROTO,
		.reason = MAPPING("2000", "6000", "6000", BEYOND)},
	{0, 0, {{0x800, PAGE}}, .rc = -EPROTO, .reason = MAPPING("1000", "800", "800", ALIGN)},
	{0, 0, {{PAGE, 0x200}}, .rc = -EPROTO, .reason = MAPPING("200", "1000", "1000", ALIGN)},
	{0, 0x800, {{PAGE, PAGE}}, .rc = -EPROTO, .reason = MAPPING("1000", "1000", "1800", ALIGN)},
	{0, 0x800, {{0x800, PAGE}}, .rc = -EPROTO, .reason = MAPPING("1000", "800", "1000", ALIGN)},
	{.pipe = true, .rc = -EPROTO, .reason = MAPPING("8000", "0", "0", BEYOND)},
	/* Its descriptor is closed, and nothing can be mapped. */
	{.sparse = true,
		.rc = -EOPNOTSUPP,
		.reason = "region 0 cannot be mapped: its flags are 0xb, and it has 0 file "
			  "descriptors"},
	/* When config space cannot be understood, nobody knows where MSI-X is. */
	{.loop = 0x40,
		.rc = -EPROTO,
		.reason = "config space: the list of capabilities has a loop at 0x40"},
	{.no_config = true,
		.rc = -EIO,
		.reason = "the server answered VFIO_USER_REGION_READ with error 5 (Input/output "
			  "error)"},
};

static void
put_offer(const struct offer *offer, int not_a_file)
{
	if (offer->file_size != 0)
		CU_ASSERT_EQUAL_FATAL(ftruncate(file, offer->file_size), 0);
	bar->offset = offer->offset;
	for (unsigned int i = 0; i < 3 && offer->areas[i].size > 0; i++)
		put_area(offer->areas[i].offset, offer->areas[i].size);
	bar->sparse = offer->sparse;
	if (offer->pipe)
		bar->fds[0] = not_a_file;
	if (offer->loop != 0) {
		put_msix(8, BAR0, BAR0);
		config[0x41] = offer->loop;
	}
	if (offer->no_config)
		server.regions[CONFIG].bytes = NULL;
}

/* Nothing is mapped, and accesses go by message. */
static void
test_bad_offers(void)
{
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	for (size_t i = 0; i < NR(offers); i++) {
		static const struct vuc_region_mapping none;
		const struct vuc_region_mapping *m = &none;
		uint8_t byte = 0;
		int rc;

		tear_down();
		set_up();
		put_offer(&offers[i], ends[0]);
		rc = map(&m);
		CU_ASSERT(is_refused(dev, rc, offers[i].rc, offers[i].reason));
		CU_ASSERT_PTR_NULL(m);
		CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 0, &byte, 1), 0);
		CU_ASSERT_EQUAL(byte, 0x22);
	}
	close(ends[0]);
	close(ends[1]);
}

/* The pages that hold MSI-X are not mapped, where it is in this BAR. */
static void
test_msix(void)
{
	static const struct {
		uint16_t vectors;
		uint32_t table, pending;
		struct vfio_user_sparse_area areas[2];
		bool no_config, no_list;
		const char *mapped; /* first page and number of each mapping */
	} rows[] = {
		/* In one page; in two in the opposite order; a table of more than a page; the end.
		 */
		{100, 2 * PAGE | BAR0, (2 * PAGE + 0x800) | BAR0, .mapped = "0+2 3+5 "},
		{257, (3 * PAGE + 0x800) | BAR0, PAGE | BAR0, .mapped = "0+1 2+1 5+3 "},
		{8, BAR0, (7 * PAGE + 0xff8) | BAR0, .mapped = "1+6 "},
		/* Only where there are areas, and perhaps nothing is left of them. */
		{2048, PAGE | BAR0, 0xfffffff8 | BAR0, {{0, 3 * PAGE}, {4 * PAGE, PAGE}},
			.mapped = "0+1 "},
		{8, PAGE | BAR0, (PAGE + 0x800) | BAR0, {{PAGE, PAGE}}, .mapped = ""},
		/* Of another BAR and of one that there is not; not there at all. */
		{8, PAGE | BAR2, PAGE | 7, .mapped = "0+8 "},
		{8, PAGE | BAR0, BAR0, .no_config = true, .mapped = "0+8 "},
		{8, PAGE | BAR0, BAR0, .no_list = true, .mapped = "0+8 "},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		const struct vuc_region_mapping *m;
		char mapped[64] = "";
		int n;

		tear_down();
		set_up();
		put_msix(rows[i].vectors, rows[i].table, rows[i].pending);
		for (unsigned int a = 0; a < 2 && rows[i].areas[a].size > 0; a++)
			put_area(rows[i].areas[a].offset, rows[i].areas[a].size);
		if (rows[i].no_config)
			server.regions[CONFIG].size = 0;
		if (rows[i].no_list)
			config[PCI_STATUS] = 0;
		n = map(&m);
		for (int k = 0; k < n; k++) {
			uint64_t offset = m[k].offset;
			uint32_t value = 0;

			snprintf(mapped + strlen(mapped), sizeof(mapped) - strlen(mapped), "%x+%x ",
				(unsigned int)(offset / PAGE), (unsigned int)(m[k].size / PAGE));
			CU_ASSERT_EQUAL(offset % PAGE + m[k].size % PAGE, 0);
			CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, offset, &value, 4), 0);
			CU_ASSERT_EQUAL(value, 0x11111111);
			if (offset > 0) {
				CU_ASSERT_EQUAL(
					vuc_region_load(dev, BAR0, offset - 4, &value, 4), 0);
				CU_ASSERT_EQUAL(value, 0x22222222);
			}
		}
		CU_ASSERT_STRING_EQUAL(mapped, rows[i].mapped);
		CU_ASSERT_EQUAL(vuc_region_map(dev, BAR0, NULL), n);
	}
}

static void
test_read_only(void)
{
	const struct vuc_region_mapping *m;
	uint32_t value = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	bar->fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(bar->fds[0] >= 0);
	CU_ASSERT_EQUAL(map(&m), -EACCES);
	CU_ASSERT_STRING_EQUAL(
		vuc_device_reason(dev), MAPPING("8000", "0", "0", "Permission denied"));
	vuc_device_close(dev);
	bar->flags = READ | VFIO_REGION_INFO_FLAG_MMAP;
	CU_ASSERT_EQUAL(map(&m), 1);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 4, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(value, 0x11111111);
	CU_ASSERT(is_refused(dev, vuc_region_store(dev, BAR0, 4, &value, sizeof(value)), -EACCES,
		"region 0 cannot be written"));
	CU_ASSERT_EQUAL(bar->reads + bar->writes, 0);
	close(bar->fds[0]);
}

/* A descriptor per area, each of a file of its own, and all of them from the same offset on. */
static void
test_files(void)
{
	const struct vuc_region_mapping *m;
	uint8_t page[PAGE];

	bar->offset = PAGE;
	for (uint32_t i = 0; i < 3; i++) {
		put_area((2 * i + 1) * PAGE, PAGE);
		bar->fds[i] = make_file(0);
		memset(page, (int)(0x31 + i), sizeof(page));
		CU_ASSERT_EQUAL(pwrite(bar->fds[i], page, PAGE, (2 * i + 2) * PAGE), PAGE);
	}
	bar->nr_fds = 3;
	CU_ASSERT_EQUAL_FATAL(map(&m), 3);
	for (uint32_t i = 0; i < 3; i++) {
		uint64_t value = 0;

		CU_ASSERT_EQUAL(m[i].offset, (2 * i + 1) * PAGE);
		CU_ASSERT_EQUAL(m[i].size, PAGE);
		CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, (2 * i + 2) * PAGE - 4, &value, 8), 0);
		CU_ASSERT_EQUAL(value, 0x2222222200000000 + 0x01010101u * (0x31 + i));
		close(bar->fds[i]);
	}
	CU_ASSERT_EQUAL(bar->reads, 3);
}

/* What is stored where, of one access over all that is mapped and all that is not. */
static void
test_store(void)
{
	static uint8_t out[SIZE], in_file[SIZE];

	put_area(PAGE, 2 * PAGE);
	put_area(5 * PAGE, PAGE);
	CU_ASSERT_EQUAL_FATAL(map(NULL), 2);
	memset(out, 0x77, sizeof(out));
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR0, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(bar->writes, 3);
	CU_ASSERT_EQUAL(pread(file, in_file, SIZE, 0), (ssize_t)SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		bool mapped = i / PAGE == 1 || i / PAGE == 2 || i / PAGE == 5;

		CU_ASSERT_EQUAL(in_file[i], mapped ? 0x77 : 0x11);
		CU_ASSERT_EQUAL(bytes[i], mapped ? 0x22 : 0x77);
	}
}

/* An error in the middle of an access, where it takes a message. */
static void
test_message_fails(void)
{
	uint8_t data[16];

	put_area(PAGE, PAGE);
	bar->bytes = NULL;
	CU_ASSERT_EQUAL_FATAL(map(NULL), 1);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 2 * PAGE - 8, data, 8), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 2 * PAGE - 8, data, 16), -EIO);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR0, PAGE - 8, data, 16), -EIO);
}

/* A write to an I/O BAR is answered: the server's refusal is heard. */
static void
test_io_bar(void)
{
	bar->bytes = NULL;
	dev = fake_server_open(&server);
	CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, 0, "x", 1), 0);
	vuc_device_close(dev);
	config[PCI_BASE_ADDRESS_0] = PCI_BASE_ADDRESS_SPACE_IO;
	dev = fake_server_open(&server);
	CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, 0, "x", 1), -EIO);
}

const struct tap_suite tap_suite = {"region offers", set_up, tear_down,
	{
		{"bad offers", test_bad_offers},
		{"MSI-X", test_msix},
		{"read-only", test_read_only},
		{"files", test_files},
		{"store", test_store},
		{"message fails", test_message_fails},
		{"I/O BAR", test_io_bar},
	}};
