/* SPDX-License-Identifier: BSD-3-Clause */

/* Mapping what servers offer: files that are too short, areas of all kinds, MSI-X in the middle. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vuc/region_map.h>

#include "fake_server.h"
#include "fd_count.h"
#include "tap.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define PAGE   0x1000u
#define SIZE   (8u * PAGE)
#define READ   VFIO_REGION_INFO_FLAG_READ
#define WRITE  VFIO_REGION_INFO_FLAG_WRITE

/* A server whose BAR0 is a file of SIZE bytes, all 0x11, and by message 0x22. */
struct setup {
	struct fake_server server;
	struct fake_region *bar; /* BAR0 */
	struct vuc_device *dev;
	int file;
	uint8_t config[PCI_CFG_SPACE_SIZE];
	uint8_t bytes[SIZE];
};

static unsigned int fds_before;

static int
make_file(uint8_t byte, size_t size)
{
	int fd = memfd_create("bar", MFD_CLOEXEC);
	uint8_t bytes[SIZE];

	CU_ASSERT_FATAL(fd >= 0 && size <= sizeof(bytes));
	memset(bytes, byte, size);
	CU_ASSERT_EQUAL_FATAL(write(fd, bytes, size), (ssize_t)size);
	return fd;
}

static void
prepare(struct setup *s)
{
	struct fake_region *config = &s->server.regions[CONFIG];

	*s = (struct setup){.server = {.max_msg_fds = 8}, .file = make_file(0x11, SIZE)};
	memset(s->bytes, 0x22, sizeof(s->bytes));
	s->bar = &s->server.regions[BAR0];
	*s->bar = (struct fake_region){
		.size = SIZE,
		.flags = READ | WRITE | VFIO_REGION_INFO_FLAG_MMAP,
		.nr_fds = 1,
		.fds = {s->file},
		.bytes = s->bytes,
	};
	*config =
		(struct fake_region){.size = sizeof(s->config), .flags = READ, .bytes = s->config};
}

static void
finish(struct setup *s)
{
	vuc_device_close(s->dev);
	CU_ASSERT_EQUAL(close(s->file), 0);
}

static void
put_long(struct setup *s, size_t offset, uint32_t value)
{
	memcpy(s->config + offset, &value, sizeof(value));
}

/* Config space with MSI-X behind another capability; the registers as PCI has them. */
static void
put_msix(struct setup *s, uint32_t vectors, uint32_t table, uint32_t pending)
{
	s->config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	s->config[PCI_CAPABILITY_LIST] = 0x40;
	s->config[0x40] = PCI_CAP_ID_VNDR;
	s->config[0x41] = 0xf4;
	s->config[0xf4] = PCI_CAP_ID_MSIX;
	s->config[0xf6] = (uint8_t)(vectors - 1);
	s->config[0xf7] = (uint8_t)((vectors - 1) >> 8);
	put_long(s, 0xf4 + PCI_MSIX_TABLE, table);
	put_long(s, 0xf4 + PCI_MSIX_PBA, pending);
}

static int
map(struct setup *s, const struct vuc_region_mapping **m)
{
	s->dev = fake_server_open(&s->server);
	return vuc_region_map(s->dev, BAR0, m);
}

static void
put_area(struct setup *s, uint64_t offset, uint64_t size)
{
	s->bar->areas[s->bar->nr_areas++] = (struct vfio_user_sparse_area){offset, size};
}

static bool
is_at(const struct vuc_region_mapping *m, uint64_t offset, uint64_t size)
{
	return m->offset == offset && m->size == size;
}

/* Open, map, and be refused with nothing mapped. */
static void
refused(struct setup *s, int error, const char *reason)
{
	const struct vuc_region_mapping *m;
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(map(s, &m), error);
	CU_ASSERT_PTR_NULL(m);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s->dev), reason);
	if (vuc_device_connected(s->dev) && (s->bar->flags & READ) != 0)
		CU_ASSERT_EQUAL(vuc_region_load(s->dev, BAR0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(byte, (s->bar->flags & READ) != 0 ? 0x22 : 0);
	finish(s);
}

static void
test_short_file(void)
{
	struct setup s;

	prepare(&s);
	CU_ASSERT_EQUAL_FATAL(ftruncate(s.file, SIZE - 1), 0);
	refused(&s, -EPROTO,
		"region 0: 0x8000 bytes at 0x0, 0x0 in their file, cannot be mapped: beyond the end "
		"of the file");
	prepare(&s);
	s.bar->offset = PAGE;
	refused(&s, -EPROTO,
		"region 0: 0x8000 bytes at 0x0, 0x1000 in their file, cannot be mapped: beyond the "
		"end of the file");
	prepare(&s);
	s.bar->offset = UINT64_MAX - SIZE - PAGE + 1;
	refused(&s, -EPROTO,
		"region 0: 0x8000 bytes at 0x0, 0xffffffffffff7000 in their file, cannot be mapped: "
		"beyond the end of the file");
}

/* The areas before the bad one are unmapped again. */
static void
test_short_area(void)
{
	struct setup s;

	prepare(&s);
	put_area(&s, 0, PAGE);
	put_area(&s, 2 * PAGE, PAGE);
	put_area(&s, 6 * PAGE, 2 * PAGE);
	CU_ASSERT_EQUAL_FATAL(ftruncate(s.file, 7 * PAGE), 0);
	refused(&s, -EPROTO,
		"region 0: 0x2000 bytes at 0x6000, 0x6000 in their file, cannot be mapped: beyond "
		"the end of the file");
}

static void
test_misaligned(void)
{
	struct setup s;

	prepare(&s);
	put_area(&s, 0x800, PAGE);
	refused(&s, -EPROTO,
		"region 0: 0x1000 bytes at 0x800, 0x800 in their file, cannot be mapped: not "
		"aligned to pages");
	prepare(&s);
	put_area(&s, PAGE, 0x200);
	refused(&s, -EPROTO,
		"region 0: 0x200 bytes at 0x1000, 0x1000 in their file, cannot be mapped: not "
		"aligned to pages");
	prepare(&s);
	s.bar->offset = 0x800;
	put_area(&s, PAGE, PAGE);
	refused(&s, -EPROTO,
		"region 0: 0x1000 bytes at 0x1000, 0x1800 in their file, cannot be mapped: not "
		"aligned to pages");
	prepare(&s);
	s.bar->offset = 0x800;
	put_area(&s, 0x800, PAGE);
	refused(&s, -EPROTO,
		"region 0: 0x1000 bytes at 0x800, 0x1000 in their file, cannot be mapped: not "
		"aligned to pages");
}

/* Not a file at all. */
static void
test_pipe(void)
{
	struct setup s;
	int ends[2];

	prepare(&s);
	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	s.bar->fds[0] = ends[0];
	refused(&s, -EPROTO,
		"region 0: 0x8000 bytes at 0x0, 0x0 in their file, cannot be mapped: beyond the end "
		"of the file");
	close(ends[0]);
	close(ends[1]);
}

static void
test_read_only(void)
{
	const struct vuc_region_mapping *m;
	uint32_t value = 0;
	char path[64];
	struct setup s;

	prepare(&s);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s.file);
	s.bar->fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(s.bar->fds[0] >= 0);
	CU_ASSERT_EQUAL(map(&s, &m), -EACCES);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"region 0: 0x8000 bytes at 0x0, 0x0 in their file, cannot be mapped: Permission "
		"denied");
	vuc_device_close(s.dev);
	s.bar->flags = READ | VFIO_REGION_INFO_FLAG_MMAP;
	CU_ASSERT_EQUAL(map(&s, &m), 1);
	CU_ASSERT_EQUAL(vuc_region_load(s.dev, BAR0, 4, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(value, 0x11111111);
	CU_ASSERT_EQUAL(vuc_region_store(s.dev, BAR0, 4, &value, sizeof(value)), -EACCES);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev), "region 0 cannot be written");
	CU_ASSERT_EQUAL(s.bar->reads + s.bar->writes, 0);
	close(s.bar->fds[0]);
	finish(&s);
}

/* A descriptor per area, each of a file of its own, and all of them from the same offset on. */
static void
test_files(void)
{
	const struct vuc_region_mapping *m;
	uint8_t page[PAGE];
	struct setup s;

	prepare(&s);
	s.bar->offset = PAGE;
	for (uint32_t i = 0; i < 3; i++) {
		put_area(&s, (2 * i + 1) * PAGE, PAGE);
		s.bar->fds[i] = make_file(0, SIZE);
		memset(page, (int)(0x31 + i), sizeof(page));
		CU_ASSERT_EQUAL(pwrite(s.bar->fds[i], page, PAGE, (2 * i + 2) * PAGE), PAGE);
	}
	s.bar->nr_fds = 3;
	CU_ASSERT_EQUAL_FATAL(map(&s, &m), 3);
	for (uint32_t i = 0; i < 3; i++) {
		uint64_t value = 0;

		CU_ASSERT(is_at(&m[i], (2 * i + 1) * PAGE, PAGE));
		CU_ASSERT_EQUAL(vuc_region_load(s.dev, BAR0, (2 * i + 2) * PAGE - 4, &value, 8), 0);
		CU_ASSERT_EQUAL(value, 0x2222222200000000 + 0x01010101u * (0x31 + i));
		close(s.bar->fds[i]);
	}
	CU_ASSERT_EQUAL(s.bar->reads, 3);
	finish(&s);
}

/* What is stored where, of one access over all that is mapped and all that is not. */
static void
test_store(void)
{
	static uint8_t out[SIZE], file[SIZE];
	struct setup s;

	prepare(&s);
	put_area(&s, PAGE, 2 * PAGE);
	put_area(&s, 5 * PAGE, PAGE);
	CU_ASSERT_EQUAL_FATAL(map(&s, NULL), 2);
	memset(out, 0x77, sizeof(out));
	CU_ASSERT_EQUAL(vuc_region_store(s.dev, BAR0, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(s.bar->writes, 3);
	CU_ASSERT_EQUAL(pread(s.file, file, SIZE, 0), (ssize_t)SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		bool mapped = i / PAGE == 1 || i / PAGE == 2 || i / PAGE == 5;

		CU_ASSERT_EQUAL(file[i], mapped ? 0x77 : 0x11);
		CU_ASSERT_EQUAL(s.bytes[i], mapped ? 0x22 : 0x77);
	}
	finish(&s);
}

/* An error in the middle of an access, where it takes a message. */
static void
test_message_fails(void)
{
	uint8_t bytes[16];
	struct setup s;

	prepare(&s);
	put_area(&s, PAGE, PAGE);
	s.bar->bytes = NULL;
	CU_ASSERT_EQUAL_FATAL(map(&s, NULL), 1);
	CU_ASSERT_EQUAL(vuc_region_load(s.dev, BAR0, 2 * PAGE - 8, bytes, 8), 0);
	CU_ASSERT_EQUAL(vuc_region_load(s.dev, BAR0, 2 * PAGE - 8, bytes, 16), -EIO);
	CU_ASSERT_EQUAL(vuc_region_store(s.dev, BAR0, PAGE - 8, bytes, 16), -EIO);
	finish(&s);
}

static void
test_msix_one_page(void)
{
	const struct vuc_region_mapping *m;
	struct setup s;

	prepare(&s);
	put_msix(&s, 100, 2 * PAGE | BAR0, (2 * PAGE + 0x800) | BAR0);
	CU_ASSERT_EQUAL_FATAL(map(&s, &m), 2);
	CU_ASSERT(is_at(&m[0], 0, 2 * PAGE));
	CU_ASSERT(is_at(&m[1], 3 * PAGE, 5 * PAGE));
	finish(&s);
}

/* In the opposite order, at the region's end, and a table of more than a page. */
static void
test_msix_two_places(void)
{
	const struct vuc_region_mapping *m;
	uint64_t value = 0;
	struct setup s;

	prepare(&s);
	put_msix(&s, 257, (3 * PAGE + 0x800) | BAR0, PAGE | BAR0);
	CU_ASSERT_EQUAL_FATAL(map(&s, &m), 3);
	CU_ASSERT(is_at(&m[0], 0, PAGE));
	CU_ASSERT(is_at(&m[1], 2 * PAGE, PAGE));
	CU_ASSERT(is_at(&m[2], 5 * PAGE, 3 * PAGE));
	CU_ASSERT_EQUAL(vuc_region_load(s.dev, BAR0, 3 * PAGE - 4, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(value, 0x2222222211111111);
	finish(&s);
	prepare(&s);
	put_msix(&s, 8, BAR0, (7 * PAGE + 0xff8) | BAR0);
	CU_ASSERT_EQUAL_FATAL(map(&s, &m), 1);
	CU_ASSERT(is_at(&m[0], PAGE, 6 * PAGE));
	finish(&s);
}

/* Only where there are areas, and perhaps nothing is left of them. */
static void
test_msix_and_areas(void)
{
	const struct vuc_region_mapping *m;
	struct setup s;

	prepare(&s);
	put_area(&s, 0, 3 * PAGE);
	put_area(&s, 4 * PAGE, PAGE);
	put_msix(&s, 2048, PAGE | BAR0, 0xfffffff8 | BAR0);
	CU_ASSERT_EQUAL_FATAL(map(&s, &m), 1);
	CU_ASSERT(is_at(&m[0], 0, PAGE));
	finish(&s);
	prepare(&s);
	put_area(&s, PAGE, PAGE);
	put_msix(&s, 8, PAGE | BAR0, (PAGE + 0x800) | BAR0);
	CU_ASSERT_EQUAL(map(&s, &m), 0);
	CU_ASSERT_EQUAL(vuc_region_map(s.dev, BAR0, NULL), 0);
	finish(&s);
}

/* MSI-X of another BAR, and one that names a BAR that there is not. */
static void
test_msix_elsewhere(void)
{
	struct setup s;

	prepare(&s);
	put_msix(&s, 8, PAGE | VFIO_PCI_BAR2_REGION_INDEX, PAGE | 7);
	CU_ASSERT_EQUAL(map(&s, NULL), 1);
	finish(&s);
	prepare(&s);
	put_msix(&s, 8, PAGE | BAR0, BAR0);
	s.server.regions[CONFIG].size = 0;
	CU_ASSERT_EQUAL(map(&s, NULL), 1);
	finish(&s);
	prepare(&s);
	put_msix(&s, 8, PAGE | BAR0, BAR0);
	s.config[PCI_STATUS] = 0;
	CU_ASSERT_EQUAL(map(&s, NULL), 1);
	finish(&s);
}

/* When config space cannot be understood, nobody knows where MSI-X is. */
static void
test_bad_config_space(void)
{
	struct setup s;

	prepare(&s);
	put_msix(&s, 8, BAR0, BAR0);
	s.config[0x41] = 0x40;
	refused(&s, -EPROTO, "config space: the list of capabilities has a loop at 0x40");
	prepare(&s);
	s.server.regions[CONFIG].bytes = NULL;
	refused(&s, -EIO,
		"the server answered VFIO_USER_REGION_READ with error 5 (Input/output error)");
}

static void
set_up(void)
{
	fds_before = fd_count();
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

/* A capability that lists nothing: the descriptor is closed, and nothing can be mapped. */
static void
test_sparse_without_areas(void)
{
	struct setup s;

	prepare(&s);
	s.bar->sparse = true;
	refused(&s, -EOPNOTSUPP,
		"region 0 cannot be mapped: its flags are 0xb, and it has 0 file descriptors");
}

/* A write to an I/O BAR is answered: the server's refusal is heard. */
static void
test_io_bar(void)
{
	static const struct {
		uint32_t type;
		int result;
	} rows[] = {
		{PCI_BASE_ADDRESS_SPACE_MEMORY, 0},
		{PCI_BASE_ADDRESS_SPACE_IO, -EIO},
	};
	struct setup s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		prepare(&s);
		put_long(&s, PCI_BASE_ADDRESS_0, rows[i].type);
		s.bar->bytes = NULL;
		s.dev = fake_server_open(&s.server);
		CU_ASSERT_EQUAL(vuc_device_write_pci(s.dev, BAR0, 0, "x", 1), rows[i].result);
		finish(&s);
	}
}

static CU_TestInfo tests[] = {
	{"short file", test_short_file},
	{"short area", test_short_area},
	{"misaligned", test_misaligned},
	{"pipe", test_pipe},
	{"read-only", test_read_only},
	{"files", test_files},
	{"store", test_store},
	{"message fails", test_message_fails},
	{"MSI-X in one page", test_msix_one_page},
	{"MSI-X in two places", test_msix_two_places},
	{"MSI-X and areas", test_msix_and_areas},
	{"MSI-X elsewhere", test_msix_elsewhere},
	{"sparse without areas", test_sparse_without_areas},
	{"I/O BAR", test_io_bar},
	{"bad config space", test_bad_config_space},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("region offers", set_up, tear_down, tests);
}
