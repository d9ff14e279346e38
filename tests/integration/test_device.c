/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * libvuc against the reference device, by the transport that the command line names: what a VMM
 * does with a device, and what it may do wrong.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/io_fds.h>
#include <vuc/region_map.h>

#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"
#include "tap.h"
#include "vfio_user.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define BAR4   VFIO_PCI_BAR4_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static unsigned int fds_before;

static uint64_t
read_reg(struct vuc_device *dev, uint64_t offset, size_t size)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, offset, &value, size), 0);
	return value;
}

static void
write_reg(struct vuc_device *dev, uint64_t offset, uint64_t value, size_t size)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, offset, &value, size), 0);
}

static void
fill(uint8_t *bytes, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 256 + seed);
}

static void
test_info(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	CU_ASSERT_EQUAL(vuc_device_version(dev)->major, 0);
	CU_ASSERT(vuc_device_version(dev)->max_data_xfer_size > 0);
	CU_ASSERT_EQUAL(vuc_device_info(dev)->flags & VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_PCI);
	CU_ASSERT_EQUAL(vuc_device_info(dev)->num_regions, VFIO_PCI_NUM_REGIONS);
	CU_ASSERT_EQUAL(vuc_device_info(dev)->num_irqs, VFIO_PCI_NUM_IRQS);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR0)->size, REFDEV_BAR0_SIZE);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR0)->nr_fds, 0);
	CU_ASSERT_EQUAL(vuc_device_region(dev, CONFIG)->size, REFDEV_CONFIG_SIZE);
	CU_ASSERT_EQUAL(vuc_device_region(dev, VFIO_PCI_BAR1_REGION_INDEX)->size, 0);
	CU_ASSERT_PTR_NULL(vuc_device_region(dev, VFIO_PCI_NUM_REGIONS));
	CU_ASSERT_EQUAL(vuc_device_irq(dev, VFIO_PCI_MSIX_IRQ_INDEX)->count, REFDEV_MSIX_VECTORS);
	CU_ASSERT_PTR_NULL(vuc_device_irq(dev, VFIO_PCI_NUM_IRQS));
	CU_ASSERT_STRING_EQUAL(
		vuc_poll_group_transport(vuc_device_poll_group(dev)), peer_transport());
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_sparse_region(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	const struct vuc_region *r = vuc_device_region(dev, BAR4);

	CU_ASSERT_EQUAL_FATAL(r->nr_areas, 2);
	CU_ASSERT_EQUAL(r->areas[0].offset, REFDEV_BAR4_AREA_0);
	CU_ASSERT_EQUAL(r->areas[0].size, REFDEV_PAGE_SIZE);
	CU_ASSERT_EQUAL(r->areas[1].offset, REFDEV_BAR4_AREA_1);
	CU_ASSERT_EQUAL(r->areas[1].size, REFDEV_PAGE_SIZE);
	CU_ASSERT(r->nr_fds == 1 || r->nr_fds == 2);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_register_sizes(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	const uint64_t value = 0x8877665544332211;

	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	write_reg(dev, REFDEV_REG_SCRATCH, value, 8);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 8), value);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 4), 0x44332211);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH + 2, 2), 0x4433);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH + 7, 1), 0x88);
	write_reg(dev, REFDEV_REG_SCRATCH + 4, 0xaa, 1);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 8), 0x887766aa44332211);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_COUNTER, 8), 0);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_COUNTER, 8), 1);
	vuc_device_close(dev);
	peer_stop(p);
}

/* An access longer than a message may be is split, whatever its size and alignment. */
static void
test_split_accesses(void)
{
	struct peer *p = peer_start(1, "--max-data-xfer-size=64", NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint8_t out[REFDEV_RAM_SIZE], in[REFDEV_RAM_SIZE];

	CU_ASSERT_EQUAL(vuc_device_version(dev)->max_data_xfer_size, 64);
	for (size_t size = 1; size < 200; size += 7) {
		fill(out, size, (unsigned int)size);
		memset(in, 0, sizeof(in));
		CU_ASSERT_EQUAL(
			vuc_device_write(dev, BAR0, REFDEV_RAM_OFFSET + size, out, size), 0);
		CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_RAM_OFFSET + size, in, size), 0);
		CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
	}
	vuc_device_close(dev);
	peer_stop(p);
}

/* More than one segment, and more than one message each way. */
static void
test_large_accesses(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	static uint8_t out[REFDEV_BAR2_SIZE], in[REFDEV_BAR2_SIZE];

	fill(out, sizeof(out), 1);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	fill(out, sizeof(out), 2);
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR2, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	vuc_device_close(dev);
	peer_stop(p);
}

/* The descriptor of a region and the messages lead to the same memory. */
static void
test_region_fd(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	const struct vuc_region *r = vuc_device_region(dev, BAR2);
	uint32_t value = 0x12345678, got = 0;
	uint8_t *map;

	CU_ASSERT_EQUAL_FATAL(r->nr_fds, 1);
	map = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0], (off_t)r->offset);
	CU_ASSERT_FATAL(map != MAP_FAILED);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0x100, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(memcmp(map + 0x100, &value, sizeof(value)), 0);
	memset(map + 0x200, 0x5a, sizeof(got));
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0x200, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, 0x5a5a5a5a);
	munmap(map, r->size);
	vuc_device_close(dev);
	peer_stop(p);
}

/* Posted writes arrive, all of them, in order, and before a read that follows them. */
static void
test_posted_writes(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	const uint64_t n = 20000;

	for (uint64_t i = 1; i <= n; i++)
		CU_ASSERT_EQUAL(
			vuc_device_write_posted(dev, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i)), 0);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 8), n);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_WRITES, 8), n);
	vuc_device_close(dev);
	peer_stop(p);
}

/* Posted writes that wait to be sent when the device is closed are not lost. */
static void
test_posted_writes_then_close(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	const uint64_t n = 3000;

	for (uint64_t i = 1; i <= n; i++)
		CU_ASSERT_EQUAL(
			vuc_device_write_posted(dev, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i)), 0);
	vuc_device_close(dev);
	dev = peer_open(p, 0);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_WRITES, 8), n);
	vuc_device_close(dev);
	peer_stop(p);
}

#define NR_REQUESTS 2000

struct record {
	struct vuc_request req;
	uint64_t data;
	unsigned int calls;
	int status;
	unsigned int resubmit;
	struct vuc_device *dev;
};

static unsigned int completions;

static void
record_done(struct vuc_request *req, int status)
{
	struct record *r = req->arg;

	completions++;
	r->calls++;
	r->status = status;
	if (r->resubmit > 0) {
		r->resubmit--;
		CU_ASSERT_EQUAL(vuc_device_submit(r->dev, req), 0);
	}
}

static void
init_record(struct record *r, struct vuc_device *dev, enum vuc_op op, uint64_t offset)
{
	*r = (struct record){
		.req = {.op = op,
			.region = BAR0,
			.offset = offset,
			.data = &r->data,
			.count = sizeof(r->data),
			.done = record_done,
			.arg = r},
		.dev = dev,
	};
}

static void
poll_until(struct vuc_device *dev, unsigned int n)
{
	while (completions < n)
		CU_ASSERT_FATAL(vuc_poll_group_poll(vuc_device_poll_group(dev)) >= 0);
}

/* Many more than the session has room for, reads and writes mixed: each completes once, and the
 * device sees them in the order of submission. */
static void
test_submit_many(void)
{
	static struct record records[NR_REQUESTS];
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	completions = 0;
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		enum vuc_op op = i % 3 == 0 ? VUC_OP_WRITE
			: i % 3 == 1        ? VUC_OP_READ
					    : VUC_OP_WRITE_POSTED;

		init_record(&records[i], dev, op, REFDEV_REG_SCRATCH);
		records[i].data = op == VUC_OP_READ ? 0 : i;
		CU_ASSERT_EQUAL(vuc_device_submit(dev, &records[i].req), 0);
	}
	poll_until(dev, NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		CU_ASSERT_EQUAL(records[i].calls, 1);
		CU_ASSERT_EQUAL(records[i].status, 0);
		if (records[i].req.op == VUC_OP_READ)
			CU_ASSERT_EQUAL(records[i].data, i - 1);
	}
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_submit_from_callback(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct record r;

	completions = 0;
	init_record(&r, dev, VUC_OP_READ, REFDEV_REG_COUNTER);
	r.resubmit = 99;
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &r.req), 0);
	poll_until(dev, 100);
	CU_ASSERT_EQUAL(r.calls, 100);
	CU_ASSERT_EQUAL(r.data, 99);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
call_from_callback(struct vuc_request *req, int status)
{
	struct record *r = req->arg;
	uint32_t value;

	r->status = status;
	CU_ASSERT_EQUAL(vuc_device_read(r->dev, BAR0, 0, &value, sizeof(value)), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_poll_group_poll(vuc_device_poll_group(r->dev)), -EDEADLK);
	completions++;
}

static void
test_sync_from_callback(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct record r;

	completions = 0;
	init_record(&r, dev, VUC_OP_READ, REFDEV_REG_SCRATCH);
	r.req.done = call_from_callback;
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &r.req), 0);
	poll_until(dev, 1);
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_TRUE(vuc_device_connected(dev));
	vuc_device_close(dev);
	peer_stop(p);
}

/* An error of the device is the request's, and the session goes on. */
static void
test_device_error(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint32_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), "VFIO_USER_REGION_READ"));
	write_reg(dev, REFDEV_REG_ERRNO, ENOSPC, 4);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), "VFIO_USER_REGION_WRITE"));
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR0, REFDEV_REG_ERROR, &value, 4), 0);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	vuc_device_close(dev);
	peer_stop(p);
}

/* Writes as PCI does them: nobody waits for those to memory BARs, so nobody hears of an error; by
 * default only while the device has no other way past which a write could be late. */
static void
test_pci_writes(void)
{
	static const struct {
		enum vuc_posted_writes posted;
		bool maps, takes_fds;
		int result;
	} rows[] = {
		{VUC_POSTED_WRITES_AUTO, false, false, 0},
		{VUC_POSTED_WRITES_AUTO, true, false, -EIO},
		{VUC_POSTED_WRITES_AUTO, false, true, -EIO},
		{VUC_POSTED_WRITES_ON, true, true, 0},
		{VUC_POSTED_WRITES_OFF, false, false, -EIO},
	};
	const uint32_t value = 7;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct peer *p = peer_start(1, NULL);
		struct vuc_io_fds *io = NULL;
		struct vuc_device_opts opts;
		struct vuc_device *dev;
		uint32_t id = 0;

		peer_opts(p, 0, &opts);
		opts.posted_writes = rows[i].posted;
		CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
		if (rows[i].maps)
			CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), 1);
		if (rows[i].takes_fds)
			CU_ASSERT_EQUAL(vuc_io_fds_get(dev, BAR0, &io), 0);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, REFDEV_REG_ERROR, &value, 4),
			rows[i].result);
		CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 4), value);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, CONFIG, 0, &value, 4), 0);
		CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, 4), 0);
		CU_ASSERT_EQUAL(id, REFDEV_DEVICE_ID << 16 | REFDEV_VENDOR_ID);
		vuc_io_fds_free(io);
		vuc_device_close(dev);
		peer_stop(p);
	}
}

static void
refused(struct vuc_device *dev, uint32_t region, uint64_t offset, size_t count, const char *reason)
{
	uint8_t byte;

	CU_ASSERT_EQUAL(vuc_device_read(dev, region, offset, &byte, count), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), reason);
}

static void
test_bad_accesses(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct vuc_request req = {.op = (enum vuc_op)99};

	refused(dev, VFIO_PCI_NUM_REGIONS, 0, 1, "there is no region 9");
	refused(dev, VFIO_PCI_ROM_REGION_INDEX, 0, 1, "there is no region 6");
	refused(dev, BAR0, 0, 0, "region 0: an access of 0 bytes");
	refused(dev, BAR0, 0xfff, 2, "region 0: 2 bytes at offset 0xfff are beyond its 4096 bytes");
	refused(dev, BAR0, UINT64_MAX, 2,
		"region 0: 2 bytes at offset 0xffffffffffffffff are beyond its 4096 bytes");
	refused(dev, BAR0, 0, SIZE_MAX,
		"region 0: 18446744073709551615 bytes at offset 0x0 are beyond its 4096 bytes");
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &req), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), "unknown request 99");
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_reset(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	write_reg(dev, REFDEV_REG_SCRATCH, 0x55, 8);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_RESETS, 4), 1);
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 8), 0);
	vuc_device_close(dev);
	peer_stop(p);
}

/* The device keeps its state while nobody is connected. */
static void
test_reopen(void)
{
	struct peer *p = peer_start(1, NULL);

	for (uint64_t i = 1; i < 10; i++) {
		struct vuc_device *dev = peer_open(p, 0);

		CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_SCRATCH, 8), i - 1);
		write_reg(dev, REFDEV_REG_SCRATCH, i, 8);
		vuc_device_close(dev);
	}
	peer_stop(p);
}

/* What is outstanding when a device is closed completes, exactly once. */
static void
test_close_with_requests(void)
{
	static struct record records[NR_REQUESTS];
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	completions = 0;
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		init_record(&records[i], dev, VUC_OP_READ, REFDEV_REG_SCRATCH);
		CU_ASSERT_EQUAL(vuc_device_submit(dev, &records[i].req), 0);
	}
	vuc_device_close(dev);
	CU_ASSERT_EQUAL(completions, NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++)
		CU_ASSERT_EQUAL(records[i].calls, 1);
	peer_stop(p);
}

static void
test_two_devices_one_group(void)
{
	struct vuc_poll_group_opts group_opts;
	struct vuc_poll_group *group;
	struct vuc_device *devs[2];
	struct peer *p = peer_start(2, NULL);

	vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
	group_opts.transport = peer_transport();
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&group_opts, &group, NULL), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_device_opts opts;

		peer_opts(p, i, &opts);
		opts.group = group;
		CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &devs[i], NULL), 0);
	}
	for (uint64_t i = 0; i < 500; i++) {
		write_reg(devs[0], REFDEV_REG_SCRATCH, i, 8);
		write_reg(devs[1], REFDEV_REG_SCRATCH, ~i, 8);
		CU_ASSERT_EQUAL(read_reg(devs[0], REFDEV_REG_SCRATCH, 8), i);
		CU_ASSERT_EQUAL(read_reg(devs[1], REFDEV_REG_SCRATCH, 8), ~i);
	}
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	vuc_device_close(devs[0]);
	CU_ASSERT_EQUAL(read_reg(devs[1], REFDEV_REG_SCRATCH, 8), ~(uint64_t)499);
	vuc_device_close(devs[1]);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(p);
}

static void
test_server_dies(void)
{
	static struct record records[NR_REQUESTS];
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint32_t value;

	completions = 0;
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		init_record(&records[i], dev, VUC_OP_READ, REFDEV_REG_SCRATCH);
		CU_ASSERT_EQUAL(vuc_device_submit(dev, &records[i].req), 0);
	}
	peer_kill(p);
	poll_until(dev, NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		CU_ASSERT_EQUAL(records[i].calls, 1);
		CU_ASSERT(records[i].status == 0 || records[i].status == -ECONNRESET);
	}
	CU_ASSERT_EQUAL(records[NR_REQUESTS - 1].status, -ECONNRESET);
	CU_ASSERT_FALSE(vuc_device_connected(dev));
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &records[0].req), -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), "closed the connection"));
	vuc_device_close(dev);
	peer_stop(p);
}

static void
bad_opts(struct vuc_device_opts *opts, const char *reason)
{
	struct vuc_error err = {0};
	struct vuc_device *dev;

	CU_ASSERT_EQUAL(vuc_device_open(opts, &dev, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(dev);
	CU_ASSERT_STRING_EQUAL(err.text, reason);
}

/* A server that goes while the device is being opened leaves no device behind. */
static void
test_server_goes_at_last(void)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;
	struct peer *p;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("faults are for servers that are processes");
		return;
	}
	p = peer_start(1, "--fault=close@region_read", NULL);
	peer_opts(p, 0, &opts);
	CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -ECONNRESET);
	CU_ASSERT_PTR_NULL(dev);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the server closed the connection"));
	peer_stop(p);
}

/* The end of the connection is told by whatever call or poll it comes, not an older failure. */
static void
test_reason_of_end(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct record r;
	uint32_t value;

	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), "");
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO);
	completions = 0;
	init_record(&r, dev, VUC_OP_READ, REFDEV_REG_SCRATCH);
	peer_kill(p);
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &r.req), 0);
	poll_until(dev, 1);
	CU_ASSERT_EQUAL(r.status, -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), "the server closed the connection"));
	vuc_device_close(dev);
	peer_stop(p);
}

static struct rlimit nofile;

/* From the first question about a region on there is no room for a descriptor. */
static void
leave_no_room(void *arg, const struct vuc_trace_message *m)
{
	struct vfio_user_header header;
	struct rlimit limit = nofile;
	int next;

	(void)arg;
	memcpy(&header, m->bytes, sizeof(header));
	if (!m->sent || header.cmd != VFIO_USER_DEVICE_GET_REGION_INFO)
		return;
	next = dup(0);
	close(next);
	limit.rlim_cur = next < 0 ? 0 : (rlim_t)next;
	if (next >= 0)
		setrlimit(RLIMIT_NOFILE, &limit);
}

static void
test_no_descriptors(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_error err = {0};
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	int rc;

	peer_opts(p, 0, &opts);
	opts.trace = leave_no_room;
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &nofile), 0);
	rc = strcmp(peer_transport(), "loopback") == 0 ? -EMFILE
						       : vuc_device_open(&opts, &dev, &err);
	setrlimit(RLIMIT_NOFILE, &nofile);
	CU_ASSERT_EQUAL(rc, -EMFILE);
	if (err.text[0] != '\0')
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(RLIMIT_NOFILE)"));
	peer_stop(p);
}

static void
test_bad_opts(void)
{
	struct vuc_device_opts good, opts;

	vuc_device_opts_init(&good, sizeof(good));
	bad_opts(&good, "exactly one of path, fd and loopback has to be set");
	good.path = "/nonexistent";
	opts = good;
	opts.fd = 0;
	bad_opts(&opts, "exactly one of path, fd and loopback has to be set");
	opts = good;
	opts.timeout_ms = 0;
	bad_opts(&opts, "timeout_ms is 0");
	opts = good;
	opts.max_data_xfer_size = 1048577;
	bad_opts(&opts, "max_data_xfer_size 1048577 is not in 8 to 1048576");
	opts = good;
	opts.max_data_xfer_size = 7;
	bad_opts(&opts, "max_data_xfer_size 7 is not in 8 to 1048576");
	opts = good;
	opts.max_dma_maps = 0;
	bad_opts(&opts, "max_dma_maps is 0");
	opts = good;
	opts.max_msg_fds = 17;
	bad_opts(&opts, "max_msg_fds 17 is over 16");
	opts = good;
	opts.max_requests = 100;
	bad_opts(&opts, "max_requests 100 is not a power of two in 1 to 4096");
	opts = good;
	opts.transport = "carrier pigeon";
	bad_opts(&opts,
		"/nonexistent: unknown transport 'carrier pigeon' (available: uring, "
		"posix, loopback)");
	opts = good;
	opts.transport = "loopback";
	bad_opts(&opts, "/nonexistent: transport loopback does not support a socket");
}

/* One request at a time is the least that there can be. */
static void
test_least_room(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	struct record r[3];

	peer_opts(p, 0, &opts);
	opts.max_requests = 1;
	opts.max_data_xfer_size = VUC_MIN_DATA_XFER_SIZE;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	completions = 0;
	for (unsigned int i = 0; i < 3; i++) {
		init_record(&r[i], dev, i == 0 ? VUC_OP_WRITE : VUC_OP_READ, REFDEV_RAM_OFFSET);
		r[i].data = i == 0 ? 0x0123456789abcdef : 0;
		CU_ASSERT_EQUAL(vuc_device_submit(dev, &r[i].req), 0);
	}
	poll_until(dev, 3);
	CU_ASSERT_EQUAL(r[1].data, 0x0123456789abcdef);
	CU_ASSERT_EQUAL(r[2].data, 0x0123456789abcdef);
	vuc_device_close(dev);
	peer_stop(p);
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

#define TEST(name)                 \
	{                          \
#name, test_##name \
	}

static CU_TestInfo tests[] = {
	TEST(info),
	TEST(sparse_region),
	TEST(register_sizes),
	TEST(split_accesses),
	TEST(large_accesses),
	TEST(region_fd),
	TEST(posted_writes),
	TEST(posted_writes_then_close),
	TEST(submit_many),
	TEST(submit_from_callback),
	TEST(sync_from_callback),
	TEST(device_error),
	TEST(pci_writes),
	TEST(bad_accesses),
	TEST(reset),
	TEST(reopen),
	TEST(close_with_requests),
	TEST(two_devices_one_group),
	TEST(server_dies),
	TEST(server_goes_at_last),
	TEST(reason_of_end),
	TEST(no_descriptors),
	TEST(bad_opts),
	TEST(least_room),
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};
	char why[VUC_ERROR_MAX];

	if (argc != 2) {
		fprintf(stderr, "usage: %s uring|posix|loopback\n", argv[0]);
		return 2;
	}
	peer_choose_transport(argv[1]);
	if (!peer_transport_works(why, sizeof(why))) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	return vuc_tap_run(suites);
}
