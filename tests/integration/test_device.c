/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * libvuc against the reference device, by the transport that the command line names: what a VMM
 * does with a device, and what it may do wrong.
 */

#include <sys/mman.h>
#include <sys/resource.h>

#include <vuc/io_fds.h>
#include <vuc/region_map.h>

#include "peer.h"
#include "outcome.h"
#include "vfio_user.h"

#define NR_REQUESTS 2000u

static struct peer *server;
static struct vuc_device *dev;

static void
set_up(void)
{
	server = peer_start(1, NULL);
	dev = peer_open(server, 0);
}

static void
tear_down(void)
{
	vuc_device_close(dev);
	peer_stop(server);
}

/* Start the server anew, with an option, without opening its device. */
static void
restart(const char *option, struct vuc_device_opts *opts)
{
	tear_down();
	dev = NULL;
	server = peer_start(1, option, NULL);
	peer_opts(server, 0, opts);
}

static uint64_t
read_reg(uint64_t offset, size_t size)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, offset, &value, size), 0);
	return value;
}

static void
write_reg(uint64_t offset, uint64_t value, size_t size)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, offset, &value, size), 0);
}

static void
post_scratch(uint64_t n)
{
	for (uint64_t i = 1; i <= n; i++)
		CU_ASSERT_EQUAL(
			vuc_device_write_posted(dev, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i)), 0);
}

static void
test_info(void)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR4);

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
	CU_ASSERT_EQUAL_FATAL(r->nr_areas, 2);
	CU_ASSERT_EQUAL(r->areas[0].offset, REFDEV_BAR4_AREA_0);
	CU_ASSERT_EQUAL(r->areas[0].size, REFDEV_PAGE_SIZE);
	CU_ASSERT_EQUAL(r->areas[1].offset, REFDEV_BAR4_AREA_1);
	CU_ASSERT_EQUAL(r->areas[1].size, REFDEV_PAGE_SIZE);
	CU_ASSERT(r->nr_fds == 1 || r->nr_fds == 2);
}

static void
test_register_sizes(void)
{
	const uint64_t value = 0x8877665544332211;

	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	write_reg(REFDEV_REG_SCRATCH, value, 8);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), value);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 4), 0x44332211);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH + 2, 2), 0x4433);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH + 7, 1), 0x88);
	write_reg(REFDEV_REG_SCRATCH + 4, 0xaa, 1);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 0x887766aa44332211);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_COUNTER, 8), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_COUNTER, 8), 1);
}

/* What is written is read. */
static void
check_access(uint32_t region, uint64_t offset, size_t size, bool posted)
{
	static uint8_t out[REFDEV_BAR2_SIZE], in[REFDEV_BAR2_SIZE];

	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(i * 13 + i / 256 + size + posted);
	CU_ASSERT_EQUAL(posted ? vuc_device_write_posted(dev, region, offset, out, size)
			       : vuc_device_write(dev, region, offset, out, size),
		0);
	memset(in, 0, size);
	CU_ASSERT_EQUAL(vuc_device_read(dev, region, offset, in, size), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
}

/* An access longer than a message may be is split, whatever its size and alignment. */
static void
test_split_accesses(void)
{
	struct vuc_device_opts opts;

	/* More than one segment, and more than one message each way. */
	check_access(BAR2, 0, REFDEV_BAR2_SIZE, false);
	check_access(BAR2, 0, REFDEV_BAR2_SIZE, true);
	restart("--max-data-xfer-size=64", &opts);
	dev = open_well(&opts);
	CU_ASSERT_EQUAL(vuc_device_version(dev)->max_data_xfer_size, 64);
	for (size_t size = 1; size < 200; size += 7)
		check_access(BAR0, REFDEV_RAM_OFFSET + size, size, false);
}

/* The descriptor of a region and the messages lead to the same memory. */
static void
test_region_fd(void)
{
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
}

/* Posted writes arrive, all of them, in order, before a read that follows them, and also when the
 * device is closed at once; the device keeps its state while nobody is connected. */
static void
test_posted_writes(void)
{
	post_scratch(20000);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 20000);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_WRITES, 8), 20000);
	for (uint64_t i = 1; i < 10; i++) {
		post_scratch(3000);
		vuc_device_close(dev);
		dev = peer_open(server, 0);
		CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 3000);
		CU_ASSERT_EQUAL(read_reg(REFDEV_REG_WRITES, 8), 20000 + i * 3000);
	}
}

/* ---- requests ---- */

struct record {
	struct vuc_request req;
	uint64_t data;
	unsigned int calls;
	int status;
	unsigned int resubmit;
};

static struct record records[NR_REQUESTS];
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
		CU_ASSERT_EQUAL(vuc_device_submit(dev, req), 0);
	}
}

static void
submit(struct record *r, enum vuc_op op, uint64_t offset, uint64_t data)
{
	*r = (struct record){.req = {.op = op,
				     .region = BAR0,
				     .offset = offset,
				     .data = &r->data,
				     .count = sizeof(r->data),
				     .done = record_done,
				     .arg = r},
		.data = data,
		.resubmit = r->resubmit};
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &r->req), 0);
}

static void
submit_reads(void)
{
	completions = 0;
	for (unsigned int i = 0; i < NR_REQUESTS; i++)
		submit(&records[i], VUC_OP_READ, REFDEV_REG_SCRATCH, 0);
}

static void
poll_until(unsigned int n)
{
	while (completions < n)
		CU_ASSERT_FATAL(vuc_poll_group_poll(vuc_device_poll_group(dev)) >= 0);
}

/* Many more than the session has room for, reads and writes mixed: each completes once, and the
 * device sees them in the order of submission. */
static void
test_submit_many(void)
{
	static const enum vuc_op ops[] = {VUC_OP_WRITE, VUC_OP_READ, VUC_OP_WRITE_POSTED};

	completions = 0;
	for (unsigned int i = 0; i < NR_REQUESTS; i++)
		submit(&records[i], ops[i % 3], REFDEV_REG_SCRATCH, i % 3 == 1 ? 0 : i);
	poll_until(NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		CU_ASSERT_EQUAL(records[i].calls, 1);
		CU_ASSERT_EQUAL(records[i].status, 0);
		if (i % 3 == 1)
			CU_ASSERT_EQUAL(records[i].data, i - 1);
	}
}

static void
test_submit_from_callback(void)
{
	struct record r = {.resubmit = 99};

	completions = 0;
	submit(&r, VUC_OP_READ, REFDEV_REG_COUNTER, 0);
	poll_until(100);
	CU_ASSERT_EQUAL(r.calls, 100);
	CU_ASSERT_EQUAL(r.data, 99);
}

static void
call_inside(struct vuc_device *d)
{
	uint32_t value;

	CU_ASSERT_EQUAL(vuc_device_read(d, BAR0, 0, &value, sizeof(value)), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_poll_group_poll(vuc_device_poll_group(d)), -EDEADLK);
}

static void
test_sync_from_callback(void)
{
	peer_call_back(dev, call_inside);
	CU_ASSERT(vuc_device_connected(dev));
}

/* One request at a time is the least that there can be. */
static void
test_least_room(void)
{
	struct vuc_device_opts opts;
	struct record r[3] = {{.calls = 0}};

	vuc_device_close(dev);
	peer_opts(server, 0, &opts);
	opts.max_requests = 1;
	opts.max_data_xfer_size = VUC_MIN_DATA_XFER_SIZE;
	dev = open_well(&opts);
	completions = 0;
	submit(&r[0], VUC_OP_WRITE, REFDEV_RAM_OFFSET, 0x0123456789abcdef);
	submit(&r[1], VUC_OP_READ, REFDEV_RAM_OFFSET, 0);
	submit(&r[2], VUC_OP_READ, REFDEV_RAM_OFFSET, 0);
	poll_until(3);
	CU_ASSERT_EQUAL(r[1].data, 0x0123456789abcdef);
	CU_ASSERT_EQUAL(r[2].data, 0x0123456789abcdef);
}

/* What is outstanding when a device is closed completes, exactly once. */
static void
test_close_with_requests(void)
{
	submit_reads();
	vuc_device_close(dev);
	dev = NULL;
	CU_ASSERT_EQUAL(completions, NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++)
		CU_ASSERT_EQUAL(records[i].calls, 1);
}

static void
test_server_dies(void)
{
	uint32_t value;

	submit_reads();
	peer_kill(server);
	poll_until(NR_REQUESTS);
	for (unsigned int i = 0; i < NR_REQUESTS; i++) {
		CU_ASSERT_EQUAL(records[i].calls, 1);
		CU_ASSERT(records[i].status == 0 || records[i].status == -ECONNRESET);
	}
	CU_ASSERT_EQUAL(records[NR_REQUESTS - 1].status, -ECONNRESET);
	CU_ASSERT_FALSE(vuc_device_connected(dev));
	CU_ASSERT_EQUAL(vuc_device_submit(dev, &records[0].req), -ECONNRESET);
	CU_ASSERT(is_refused(dev, vuc_device_read(dev, BAR0, 0, &value, 4), -ECONNRESET,
		"*closed the connection*"));
}

/* The end of the connection is told by whatever call or poll it comes, not an older failure. */
static void
test_reason_of_end(void)
{
	struct record r = {.calls = 0};
	uint32_t value;

	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), "");
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO);
	completions = 0;
	peer_kill(server);
	submit(&r, VUC_OP_READ, REFDEV_REG_SCRATCH, 0);
	poll_until(1);
	CU_ASSERT(is_refused(dev, r.status, -ECONNRESET, "*the server closed the connection*"));
}

/* ---- refusals ---- */

/* An error of the device is the request's, and the session goes on. */
static void
test_device_error(void)
{
	uint32_t value = 0;

	CU_ASSERT(is_refused(dev, vuc_device_read(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO,
		"*VFIO_USER_REGION_READ*"));
	write_reg(REFDEV_REG_ERRNO, ENOSPC, 4);
	CU_ASSERT(is_refused(dev, vuc_device_write(dev, BAR0, REFDEV_REG_ERROR, &value, 4), -ENOSPC,
		"*VFIO_USER_REGION_WRITE*"));
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR0, REFDEV_REG_ERROR, &value, 4), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
}

/* Writes as PCI does them: nobody waits for those to memory BARs, so nobody hears of an error; by
 * default only while the device has no other way past which a write could be late. */
static void
test_pci_writes(void)
{
	static const struct {
		const char *name;
		enum vuc_posted_writes posted;
		bool maps, takes_fds;
		int result;
	} rows[] = {
		{"auto", VUC_POSTED_WRITES_AUTO, false, false, 0},
		{"auto, mapped", VUC_POSTED_WRITES_AUTO, true, false, -EIO},
		{"auto, with fds", VUC_POSTED_WRITES_AUTO, false, true, -EIO},
		{"on", VUC_POSTED_WRITES_ON, true, true, 0},
		{"off", VUC_POSTED_WRITES_OFF, false, false, -EIO},
	};
	const uint32_t value = 7;

	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_io_fds *io = NULL;
		struct vuc_device_opts opts;
		uint32_t id = 0;

		vuc_tap_row("%s", rows[i].name);
		restart(NULL, &opts);
		opts.posted_writes = rows[i].posted;
		dev = open_well(&opts);
		if (rows[i].maps)
			CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), 1);
		if (rows[i].takes_fds)
			CU_ASSERT_EQUAL(vuc_io_fds_get(dev, BAR0, &io), 0);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, BAR0, REFDEV_REG_ERROR, &value, 4),
			rows[i].result);
		CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 4), value);
		CU_ASSERT_EQUAL(vuc_device_write_pci(dev, CONFIG, 0, &value, 4), 0);
		CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, 4), 0);
		CU_ASSERT_EQUAL(id, REFDEV_DEVICE_ID << 16 | REFDEV_VENDOR_ID);
		vuc_io_fds_free(io);
	}
}

static void
test_bad_accesses(void)
{
	static const struct {
		uint32_t region;
		uint64_t offset;
		size_t count;
		const char *reason;
	} rows[] = {
		{VFIO_PCI_NUM_REGIONS, 0, 1, "there is no region 9"},
		{VFIO_PCI_ROM_REGION_INDEX, 0, 1, "there is no region 6"},
		{BAR0, 0, 0, "region 0: an access of 0 bytes"},
		{BAR0, 0xfff, 2, "region 0: 2 bytes at offset 0xfff are beyond its 4096 bytes"},
		{BAR0, UINT64_MAX, 2,
			"region 0: 2 bytes at offset 0xffffffffffffffff are beyond its 4096 bytes"},
		{BAR0, 0, SIZE_MAX,
			"region 0: 18446744073709551615 bytes at offset 0x0 are beyond its 4096 "
			"bytes"},
	};
	struct vuc_request req = {.op = (enum vuc_op)99};
	uint8_t byte;

	for (size_t i = 0; i < NR(rows); i++)
		CU_ASSERT(is_refused(dev,
			vuc_device_read(dev, rows[i].region, rows[i].offset, &byte, rows[i].count),
			-EINVAL, rows[i].reason));
	CU_ASSERT(is_refused(dev, vuc_device_submit(dev, &req), -EINVAL, "unknown request 99"));
}

/* A server that goes while the device is being opened leaves no device behind. */
static void
test_server_goes_at_last(void)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("faults are for servers that are processes");
		return;
	}
	restart("--fault=close@region_read", &opts);
	CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -ECONNRESET);
	CU_ASSERT_PTR_NULL(dev);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the server closed the connection"));
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
	struct vuc_error err = {0};
	struct vuc_device_opts opts;
	int rc;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("the loopback receives no descriptors");
		return;
	}
	restart(NULL, &opts);
	opts.trace = leave_no_room;
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &nofile), 0);
	rc = vuc_device_open(&opts, &dev, &err);
	setrlimit(RLIMIT_NOFILE, &nofile);
	CU_ASSERT_EQUAL(rc, -EMFILE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(RLIMIT_NOFILE)"));
}

/* ---- the device and its group ---- */

static void
test_reset(void)
{
	write_reg(REFDEV_REG_SCRATCH, 0x55, 8);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_RESETS, 4), 1);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 0);
}

static uint64_t
swap_scratch(struct vuc_device *d, uint64_t value)
{
	uint64_t old = 0;

	CU_ASSERT_EQUAL(vuc_device_read(d, BAR0, REFDEV_REG_SCRATCH, &old, sizeof(old)), 0);
	CU_ASSERT_EQUAL(vuc_device_write(d, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value)), 0);
	return old;
}

static void
test_two_devices_one_group(void)
{
	struct peer *two = peer_start(2, NULL);
	struct vuc_poll_group *group = peer_create_group();
	struct vuc_device *devs[2];

	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_device_opts opts;

		peer_opts(two, i, &opts);
		opts.group = group;
		devs[i] = open_well(&opts);
	}
	for (uint64_t i = 0; i < 500; i++) {
		CU_ASSERT_EQUAL(swap_scratch(devs[0], i + 1), i);
		CU_ASSERT_EQUAL(swap_scratch(devs[1], (i + 1) << 32), i << 32);
	}
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	vuc_device_close(devs[0]);
	CU_ASSERT_EQUAL(swap_scratch(devs[1], 0), (uint64_t)500 << 32);
	vuc_device_close(devs[1]);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(two);
}

const struct tap_suite tap_suite = {"device", set_up, tear_down,
	{
		{"info", test_info},
		{"register sizes", test_register_sizes},
		{"split accesses", test_split_accesses},
		{"region fd", test_region_fd},
		{"posted writes", test_posted_writes},
		{"submit many", test_submit_many},
		{"submit from a callback", test_submit_from_callback},
		{"synchronous call from a callback", test_sync_from_callback},
		{"least room", test_least_room},
		{"close with requests", test_close_with_requests},
		{"server dies", test_server_dies},
		{"reason of the end", test_reason_of_end},
		{"device error", test_device_error},
		{"PCI writes", test_pci_writes},
		{"bad accesses", test_bad_accesses},
		{"server goes at last", test_server_goes_at_last},
		{"no descriptors", test_no_descriptors},
		{"reset", test_reset},
		{"two devices in one group", test_two_devices_one_group},
	},
	.begin = peer_begin};
