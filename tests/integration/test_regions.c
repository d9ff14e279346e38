/* SPDX-License-Identifier: BSD-3-Clause */

/* Regions of the reference device, mapped and by their sub-regions' descriptors, by the transport
 * that the command line names. */

#include <sys/mman.h>
#include <sys/stat.h>

#include <vuc/io_fds.h>
#include <vuc/region_map.h>

#include "peer.h"
#include "outcome.h"

#define NONE VFIO_PCI_NUM_REGIONS
#define PAGE REFDEV_PAGE_SIZE

static struct peer *peer;
static struct vuc_device *dev;
static const struct vuc_region_mapping *m;

static void
set_up(void)
{
	peer = peer_start(1, NULL);
	dev = peer_open(peer, 0);
	m = NULL;
}

static void
tear_down(void)
{
	vuc_device_close(dev);
	peer_stop(peer);
}

/* Open the device again, as a client that takes so many descriptors. */
static void
reopen(uint16_t max_msg_fds)
{
	struct vuc_device_opts opts;

	vuc_device_close(dev);
	peer_opts(peer, 0, &opts);
	opts.max_msg_fds = max_msg_fds;
	dev = open_well(&opts);
}

/* Something else, as a ring or a stack, may be at its address once it is gone. */
static bool
is_mapped(const struct vuc_region_mapping *mapping)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char start[32], line[512];
	bool found = false;

	CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)mapping->addr);
	while (!found && fgets(line, sizeof(line), maps) != NULL)
		found = strncmp(line, start, strlen(start)) == 0 && strstr(line, "/memfd:") != NULL;
	fclose(maps);
	return found;
}

static void
test_whole(void)
{
	const struct vuc_region_mapping *again;
	uint32_t value = 0x12345678, got = 0;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	CU_ASSERT_EQUAL(m[0].offset, 0);
	CU_ASSERT_EQUAL(m[0].size, REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0x100, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(memcmp((char *)m[0].addr + 0x100, &value, sizeof(value)), 0);
	memset((char *)m[0].addr + REFDEV_BAR2_SIZE - 4, 0x5a, 4);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, REFDEV_BAR2_SIZE - 4, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, 0x5a5a5a5a);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, &again), 1);
	CU_ASSERT_PTR_EQUAL(again, m);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), 1);
}

static void
test_areas(void)
{
	static const uint64_t offsets[] = {REFDEV_BAR4_AREA_0, REFDEV_BAR4_AREA_1};
	uint8_t out[PAGE];

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR4, &m), 2);
	for (size_t area = 0; area < 2; area++) {
		CU_ASSERT_EQUAL(m[area].offset, offsets[area]);
		CU_ASSERT_EQUAL(m[area].size, PAGE);
		for (size_t i = 0; i < PAGE; i++)
			out[i] = (uint8_t)(i * 7 + area);
		CU_ASSERT_EQUAL(vuc_device_write(dev, BAR4, offsets[area], out, PAGE), 0);
		CU_ASSERT_EQUAL(memcmp(m[area].addr, out, PAGE), 0);
	}
}

static void
test_unmap(void)
{
	struct vuc_region_mapping kept;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	kept = m[0];
	CU_ASSERT_TRUE(is_mapped(&kept));
	vuc_region_unmap(dev, BAR2);
	CU_ASSERT_FALSE(is_mapped(&kept));
	vuc_region_unmap(dev, BAR2);
	vuc_region_unmap(dev, BAR0);
	vuc_region_unmap(dev, NONE);
	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	kept = m[0];
	CU_ASSERT_TRUE(is_mapped(&kept));
	reopen(8);
	CU_ASSERT_FALSE(is_mapped(&kept));
}

static void
test_not_mappable(void)
{
	static const struct vuc_region_mapping none;

	m = &none;
	CU_ASSERT(is_refused(dev, vuc_region_map(dev, BAR0, &m), -EOPNOTSUPP,
		"region 0 cannot be mapped: its flags are 0x3, and it has 0 file descriptors"));
	CU_ASSERT_PTR_NULL(m);
	CU_ASSERT(is_refused(dev, vuc_region_map(dev, VFIO_PCI_ROM_REGION_INDEX, &m), -EINVAL,
		"there is no region 6"));
	CU_ASSERT_EQUAL(vuc_region_map(dev, NONE, NULL), -EINVAL);
	reopen(0);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), -EOPNOTSUPP);
}

/* Loads and stores of all sizes and alignments arrive, and cost no system call. */
static void
test_accesses(void)
{
	struct vuc_poll_group *group = vuc_device_poll_group(dev);
	uint8_t out[40], in[40];
	uint64_t syscalls;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, NULL), 1);
	for (size_t size = 1; size <= sizeof(out); size++) {
		for (uint64_t offset = 0x1000; offset < 0x1010; offset++) {
			memset(out, (int)(size * 16 + offset % 16), sizeof(out));
			memset(in, 0, sizeof(in));
			syscalls = vuc_poll_group_syscalls(group);
			CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, offset, out, size), 0);
			CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, offset, in, size), 0);
			CU_ASSERT_EQUAL(vuc_poll_group_syscalls(group), syscalls);
			CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
			memset(in, 0, sizeof(in));
			CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, offset, in, size), 0);
			CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
		}
	}
}

/* What is not mapped goes by message, and an access to both goes both ways. */
static void
test_straddling(void)
{
	uint8_t out[4 * PAGE], in[4 * PAGE];
	uint64_t value = 0x1122334455667788, got = 0;
	uint32_t id = 0;

	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, REFDEV_REG_SCRATCH, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, value);

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR4, NULL), 2);
	memset(out, 0xa5, sizeof(out));
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR4, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR4, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(in[0], 0xa4); /* the table's lowest bits stay 0 */
	CU_ASSERT_EQUAL(in[PAGE - 1], 0);
	CU_ASSERT_EQUAL(memcmp(in + REFDEV_BAR4_AREA_0, out, PAGE), 0);
	CU_ASSERT_EQUAL(in[REFDEV_BAR4_PBA], 0);
	CU_ASSERT_EQUAL(memcmp(in + REFDEV_BAR4_AREA_1, out, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR4, REFDEV_BAR4_AREA_1 - 4, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, 0xa5a5a5a500000000);
}

static void
test_bad_accesses(void)
{
	uint8_t bytes[8] = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, NULL), 1);
	CU_ASSERT(is_refused(dev, vuc_region_load(dev, BAR2, REFDEV_BAR2_SIZE - 4, bytes, 8),
		-EINVAL, "region 2: 8 bytes at offset 0xfffc are beyond its 65536 bytes"));
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, UINT64_MAX, bytes, 8), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, 0, bytes, SIZE_MAX), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, 0, bytes, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_load(dev, NONE, 0, bytes, 1), -EINVAL);
}

static void
access_from_callback(struct vuc_device *device)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL(vuc_region_load(device, BAR2, 0, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(device, BAR0, 0, &value, sizeof(value)), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_region_map(device, BAR4, NULL), -EDEADLK);
}

static void
test_from_callback(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, NULL), 1);
	peer_call_back(dev, access_from_callback);
}

/* The mapping outlives the server, but accesses tell that it is gone once that is known. */
static void
test_server_dies(void)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	peer_kill(peer);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 0, &value, sizeof(value)), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, 0, &value, sizeof(value)), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, 0, &value, sizeof(value)), -ECONNRESET);
	memset(m->addr, 0, m->size);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR4, NULL), -ECONNRESET);
}

/* What comes of them is shown by test_io_fds and test_refdev_device.py. */
static void
test_sub_regions(void)
{
	static const struct {
		enum vuc_io_fd_type type;
		uint64_t offset, size;
	} rows[] = {
		{VUC_IO_FD_IOEVENTFD, REFDEV_REG_DOORBELL, 4},
		{VUC_IO_FD_IOREGIONFD, REFDEV_RAM_OFFSET, REFDEV_RAM_SIZE},
		{VUC_IO_FD_IOEVENTFD_SHADOW, REFDEV_REG_DOORBELL2, 4},
	};
	struct vuc_io_fds *io;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR0, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 3);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, 4);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(io->sub_regions[i].type, rows[i].type);
		CU_ASSERT_EQUAL(io->sub_regions[i].offset, rows[i].offset);
		CU_ASSERT_EQUAL(io->sub_regions[i].size, rows[i].size);
	}
	CU_ASSERT_EQUAL_FATAL(fstat(io->fds[io->sub_regions[1].fd_index], &st), 0);
	CU_ASSERT(S_ISSOCK(st.st_mode));
	CU_ASSERT_EQUAL_FATAL(fstat(io->fds[io->sub_regions[2].shadow_fd_index], &st), 0);
	CU_ASSERT(S_ISREG(st.st_mode));
	vuc_io_fds_free(io);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR2, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	vuc_io_fds_free(io);
}

static void
open_in_group(struct vuc_poll_group **group, uint32_t timeout_ms)
{
	struct vuc_device_opts opts;

	*group = peer_create_group();
	vuc_device_close(dev);
	peer_opts(peer, 0, &opts);
	opts.transport = NULL;
	opts.group = *group;
	opts.timeout_ms = timeout_ms;
	dev = open_well(&opts);
}

static void
close_in_group(struct vuc_poll_group *group)
{
	vuc_device_close(dev);
	dev = NULL;
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
}

/* It is told of by a poll, also where it is mapped already. */
static void
test_started(void)
{
	const struct vuc_region_mapping *again;
	struct vuc_poll_group *group;
	struct outcome e = {0};
	uint32_t nr;

	open_in_group(&group, 5000);
	CU_ASSERT_EQUAL(vuc_region_map_start(dev, NONE, &m, &nr, note, &e), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_map_start(dev, VFIO_PCI_CONFIG_REGION_INDEX, &m, &nr, note, &e),
		-EOPNOTSUPP);
	for (unsigned int i = 1; i <= 2; i++) {
		CU_ASSERT_EQUAL_FATAL(vuc_region_map_start(dev, BAR2, &m, &nr, note, &e), 0);
		CU_ASSERT_EQUAL(e.calls, i - 1);
		CU_ASSERT_PTR_NULL(m);
		while (e.calls < i)
			vuc_poll_group_poll(group);
		CU_ASSERT_EQUAL(e.status, 0);
		CU_ASSERT_STRING_EQUAL(e.text, "");
		CU_ASSERT_EQUAL_FATAL(nr, 1);
		CU_ASSERT_TRUE(is_mapped(m));
	}
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, &again), 1);
	CU_ASSERT_PTR_EQUAL(again, m);
	close_in_group(group);
	CU_ASSERT_EQUAL(e.calls, 2);
}

/* Once it is started, it ends once: in time, or with the device. */
static void
test_started_unanswered(void)
{
	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("the loopback's server answers everything");
		return;
	}
	for (unsigned int closed = 0; closed < 2; closed++) {
		struct vuc_poll_group *group;
		struct outcome e = {0};
		uint32_t nr;

		vuc_device_close(dev);
		dev = NULL;
		peer_stop(peer);
		peer = peer_start(1, "--fault=drop@region_read#7", NULL);
		open_in_group(&group, closed ? 60000 : 100);
		CU_ASSERT_EQUAL_FATAL(vuc_region_map_start(dev, BAR2, &m, &nr, note, &e), 0);
		while (!closed && e.calls == 0)
			vuc_poll_group_poll(group);
		/* Nobody waits for what is unanswered. */
		if (closed)
			CU_ASSERT_EQUAL(vuc_device_close_start(dev, NULL, NULL), 0);
		CU_ASSERT_EQUAL(e.calls, 1);
		CU_ASSERT_EQUAL(e.status, closed ? -ECANCELED : -ETIMEDOUT);
		CU_ASSERT_STRING_NOT_EQUAL(e.text, "");
		CU_ASSERT_PTR_NULL(m);
		close_in_group(group);
		CU_ASSERT_EQUAL(e.calls, 1);
	}
}

const struct tap_suite tap_suite = {"regions", set_up, tear_down,
	{
		{"whole", test_whole},
		{"areas", test_areas},
		{"unmap", test_unmap},
		{"not mappable", test_not_mappable},
		{"accesses", test_accesses},
		{"straddling", test_straddling},
		{"bad accesses", test_bad_accesses},
		{"from a callback", test_from_callback},
		{"server dies", test_server_dies},
		{"sub-regions", test_sub_regions},
		{"started", test_started},
		{"started, and unanswered", test_started_unanswered},
	},
	.begin = peer_begin};
