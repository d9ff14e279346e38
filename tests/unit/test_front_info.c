/* SPDX-License-Identifier: BSD-3-Clause */
#include "front_fixture.h"

#define VERSION     VFIO_USER_VERSION
#define REGION_INFO VFIO_USER_DEVICE_GET_REGION_INFO

/* The body of the reply to these version data of a client, which the test fails without. */
static const struct front_reply *
propose(uint16_t minor, const char *json)
{
	struct {
		struct vfio_user_version version;
		char json[256];
	} body = {.version = {0, minor}};
	size_t len = json != NULL ? strlen(json) + 1 : 0;

	if (len > 0)
		memcpy(body.json, json, len);
	CU_ASSERT_EQUAL_FATAL(send_message(1, VERSION, 0, &body, 4 + len), 0);
	CU_ASSERT_FATAL(nothing_next());
	return take_reply();
}

static const struct front_reply *
negotiate(uint16_t minor, const char *json)
{
	front_rig_create();
	return propose(minor, json);
}

#define REPLY_JSON                                                                                 \
	"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":8192,\"max_dma_maps\":1000," \
	"\"pgsizes\":4096}}"

/* What the three clients propose, and more; the reply is the same but for the minor version. */
static const struct {
	uint16_t minor, replied;
	const char *json;
} proposals[] = {
	{0, 0, NULL},
	{0, 0,
		"{\"capabilities\": {\"max_msg_fds\": 8, \"max_data_xfer_size\": 1048576, \"migration\": "
		"{\"pgsize\": 4096, \"max_bitmap_size\": 33554432}, \"write_multiple\": true, "
		"\"max_dma_maps\": 65535, \"pgsizes\": 4096}}"},
	{1, 1,
		"{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,\"migration\":{"
		"\"pgsize\":4096}}}"},
	{2, 1, "{\"capabilities\":{\"max_fds\":32,\"max_data_xfer_size\":1048576}}"},
	{2, 1, "{\"capabilities\":{\"twin_socket\":{\"supported\":true},\"write_multiple\":true}}"},
	{65535, 1, "{}"},
};

/* QEMU's bounds, and Cloud Hypervisor's page size; to nobody who does not propose it. */
static void
test_version_migration(void)
{
	static const struct front_shape shape = {0};
	static const struct {
		uint64_t pgsize;
		const char *proposal, *reply;
	} rows[] = {
		{4096, "{\"capabilities\":{\"migration\":{\"pgsize\":4096}}}",
			"\"migration\":{\"pgsize\":4096}}}"},
		{512, "{\"capabilities\":{\"migration\":{}}}", "\"migration\":{\"pgsize\":4096}}}"},
		{65536, "{\"capabilities\":{\"migration\":{\"max_bitmap_size\":100}}}",
			"\"migration\":{\"pgsize\":65536,\"max_bitmap_size\":100}}}"},
		{INT64_MAX - 4095,
			"{\"capabilities\":{\"migration\":{\"max_bitmap_size\":268435456}}}",
			"\"migration\":{\"pgsize\":9223372036854771712,\"max_bitmap_size\":"
			"67108864}}}"},
		{4096, "{\"capabilities\":{}}", NULL},
		{0, "{\"capabilities\":{\"migration\":{\"pgsize\":4096}}}", NULL},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		const struct front_opts opts = {
			.max_data = UINT32_MAX,
			.max_dma_maps = UINT32_MAX,
			.pgsizes = UINT64_MAX,
			.migration_pgsize = rows[i].pgsize,
			.shape = &shape,
		};
		const struct front_reply *reply;
		const char *found;

		vuc_tap_row("row %zu", i);
		front_rig_create_with(&opts);
		reply = propose(0, rows[i].proposal);
		CU_ASSERT(reply->len <= 4 + 194);
		found = strstr((const char *)reply->body + 4, "\"migration\"");
		CU_ASSERT((found != NULL) == (rows[i].reply != NULL));
		if (found != NULL && rows[i].reply != NULL)
			CU_ASSERT_STRING_EQUAL(found, rows[i].reply);
	}
}

static void
test_version(void)
{
	for (size_t i = 0; i < NR(proposals); i++) {
		const struct front_reply *reply = negotiate(proposals[i].minor, proposals[i].json);
		struct vfio_user_version version;

		vuc_tap_row("proposal %zu", i);
		memcpy(&version, reply->body, 4);
		CU_ASSERT_EQUAL(reply->header.flags, VFIO_USER_F_TYPE_REPLY);
		CU_ASSERT(version.major == 0 && version.minor == proposals[i].replied);
		CU_ASSERT_EQUAL(reply->len, 4 + sizeof(REPLY_JSON));
		CU_ASSERT_EQUAL(memcmp(reply->body + 4, REPLY_JSON, sizeof(REPLY_JSON)), 0);
		CU_ASSERT_EQUAL(reply->fd, -1);
	}
}

/* QEMU has room for 194 bytes of data, and bounds to what the numbers may be. */
static void
test_version_bounds(void)
{
	static const struct front_shape shape = {0};
	struct front_opts opts = {.max_data = UINT32_MAX,
		.max_dma_maps = UINT32_MAX,
		.pgsizes = UINT64_MAX,
		.shape = &shape};
	static const char most[] =
		"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":67108864,"
		"\"max_dma_maps\":65535,\"pgsizes\":18446744073709547520}}";
	static const char least[] =
		"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":4096,"
		"\"max_dma_maps\":1,\"pgsizes\":4096}}";
	const struct front_reply *reply;

	for (int i = 0; i < 2; i++) {
		front_rig_create_with(&opts);
		reply = front_rig_negotiate(0);
		CU_ASSERT(reply->len <= 4 + 194 && reply->body[reply->len - 1] == '\0');
		CU_ASSERT_STRING_EQUAL((const char *)reply->body + 4, i == 0 ? most : least);
		opts = (struct front_opts){.shape = &shape};
	}
}

static void
test_version_refused(void)
{
	static const struct {
		struct vfio_user_version version;
		const char *json;
		size_t len; /* with the NUL, or without */
		const char *why;
	} rows[] = {
		{{1, 0}, NULL, 0, "client has version 1.0, supported is 0.1"},
		{{0, 0}, "{", 2,
			"VFIO_USER_VERSION: version data is not JSON at byte 1: unexpected end of data"},
		{{0, 0}, "{}", 2,
			"VFIO_USER_VERSION: version data of 2 bytes has no NUL at its end"},
		{{0, 0}, "{\"capabilities\":{\"max_msg_fds\":-1}}", 36,
			"VFIO_USER_VERSION: capability max_msg_fds is -1, expected 0 to 65535"},
	};
	struct front_request r;
	uint8_t body[64];

	for (size_t i = 0; i < NR(rows); i++) {
		vuc_tap_row("%s", rows[i].why);
		front_rig_create();
		memcpy(body, &rows[i].version, 4);
		if (rows[i].len > 0)
			memcpy(body + 4, rows[i].json, rows[i].len);
		CU_ASSERT_EQUAL(send_message(1, VERSION, 0, body, 4 + rows[i].len), 0);
		CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
		CU_ASSERT(has_ended(rows[i].why));
		CU_ASSERT(is_silent());
	}
	front_rig_create();
	CU_ASSERT_EQUAL(send_message(1, VERSION, 0, body, 3), 0);
	CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
	CU_ASSERT(has_ended("VFIO_USER_VERSION: body of 3 bytes, expected at least 4"));
}

/* Cloud Hypervisor says 32 as the size of 16 bytes and reads 32 of the reply, header included. */
static void
test_device_info(void)
{
	static const struct vfio_user_device_info told = {
		16, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, 9, 5};

	for (uint32_t argsz = 16; argsz <= 32; argsz += 16) {
		CU_ASSERT_EQUAL(send_message(1, VFIO_USER_DEVICE_GET_INFO, 0,
					&(struct vfio_user_device_info){argsz}, 16),
			0);
		CU_ASSERT(is_answered(1, VFIO_USER_DEVICE_GET_INFO, 0, &told, 16));
	}
}

static void
test_irq_info(void)
{
	static const struct vfio_user_irq_info told[] = {
		{16, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE, 0, 1},
		{16, 0, 1, 0},
		{16, VFIO_IRQ_INFO_EVENTFD, 2, 8},
		{16, VFIO_IRQ_INFO_EVENTFD, 3, 1},
		{16, VFIO_IRQ_INFO_EVENTFD, 4, 1},
	};

	for (uint32_t i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(send_message(1, VFIO_USER_DEVICE_GET_IRQ_INFO, 0,
					&(struct vfio_user_irq_info){16, 0, i, 77}, 16),
			0);
		CU_ASSERT(is_answered(1, VFIO_USER_DEVICE_GET_IRQ_INFO, 0, &told[i], 16));
	}
}

static void
test_io_fds(void)
{
	CU_ASSERT_EQUAL(send_message(1, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0,
				&(struct vfio_user_region_io_fds){1552, 0, 2, 9}, 16),
		0);
	CU_ASSERT(is_answered(1, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0,
		&(struct vfio_user_region_io_fds){16, 0, 2, 0}, 16));
}

#define RW   (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define MMAP (VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS)

/* A region's description with one or two areas. */
struct described {
	struct vfio_user_region_info info;
	struct vfio_user_cap_sparse_mmap sparse;
	struct vfio_user_sparse_area areas[2];
} VFIO_USER_PACKED;

static const struct described bar0 = {
	{80, RW | MMAP, 0, 32, BAR0_SIZE, 0},
	{{VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0}, 2, 0},
	{{0, 4096}, {4096, 4096}},
};

/* It has no areas of its own: one stands for all of it. */
static const struct described bar2 = {
	{64, RW | MMAP, 2, 32, BAR2_SIZE, 4096},
	{{VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0}, 1, 0},
	{{0, BAR2_SIZE}},
};

static int
ask_region(uint16_t id, uint32_t index, uint32_t argsz)
{
	return send_message(
		id, REGION_INFO, 0, &(struct vfio_user_region_info){argsz, 0, index}, 32);
}

/* Regions without a descriptor are described at once. */
static void
test_region_info(void)
{
	static const struct vfio_user_region_info told[] = {
		{32, 0, 1},
		{32, 0, 3},
		{32, RW, 4, 0, BAR4_SIZE},
		{32, 0, 5},
		{32, 0, VFIO_PCI_ROM_REGION_INDEX},
		{32, RW, VFIO_PCI_CONFIG_REGION_INDEX, 0, 4096},
		{32, 0, VFIO_PCI_VGA_REGION_INDEX},
	};

	for (size_t i = 0; i < NR(told); i++) {
		CU_ASSERT_EQUAL(ask_region(1, told[i].index, 32 + 100 * (uint32_t)(i % 2)), 0);
		CU_ASSERT(is_answered(1, REGION_INFO, 0, &told[i], 32));
	}
}

/* The region's descriptor goes with each reply, also with one that has no room for the areas. */
static void
test_region_fd(void)
{
	static const struct {
		uint32_t index, argsz;
		const struct described *told;
		size_t len;
	} rows[] = {
		{0, 32, &bar0, 32},
		{0, 79, &bar0, 32},
		{0, 80, &bar0, 80},
		{0, UINT32_MAX, &bar0, 80},
		{2, 32, &bar2, 32},
		{2, 64, &bar2, 64},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		struct front_request r;
		size_t size;
		int fd;

		vuc_tap_row("row %zu", i);
		CU_ASSERT_EQUAL(ask_region(1, rows[i].index, rows[i].argsz), 0);
		r = next_request(FRONT_REGION_FD);
		CU_ASSERT_EQUAL(r.region, rows[i].index);
		front_reply_fd(front, r.token, 0, 700);
		CU_ASSERT(are_stray(NULL, 0));
		front_output(front, &size, &fd);
		CU_ASSERT_EQUAL(fd, 700);
		CU_ASSERT(is_reply(1, REGION_INFO, 0, rows[i].told, rows[i].len));
		CU_ASSERT(are_stray(&(int){700}, 1));
	}
}

/* Cloud Hypervisor panics when a region that can be mapped has no descriptor. */
static void
test_region_without_fd(void)
{
	static const struct vfio_user_region_info told = {32, RW, 0, 0, BAR0_SIZE};

	CU_ASSERT_EQUAL(ask_region(1, 0, 100), 0);
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, -EIO, -1);
	CU_ASSERT(is_reply(1, REGION_INFO, 0, &told, 32));
	CU_ASSERT_EQUAL(ask_region(2, 0, 100), 0);
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, -EIO, 701);
	CU_ASSERT(is_reply(2, REGION_INFO, 0, &told, 32));
	CU_ASSERT(are_stray(&(int){701}, 1));
	/* A client that takes no descriptors. */
	negotiate(0, "{\"capabilities\":{\"max_msg_fds\":0}}");
	CU_ASSERT_EQUAL(ask_region(3, 0, 100), 0);
	CU_ASSERT(is_answered(3, REGION_INFO, 0, &told, 32));
}

static void
test_region_expires(void)
{
	struct front_request r;

	CU_ASSERT_EQUAL(ask_region(1, 0, 100), 0);
	r = next_request(FRONT_REGION_FD);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS), 0);
	CU_ASSERT(is_reply(1, REGION_INFO, ETIMEDOUT, &(struct vfio_user_region_info){100}, 32));
	front_reply_fd(front, r.token, 0, 702);
	CU_ASSERT(are_stray(&(int){702}, 1));
	CU_ASSERT(is_silent());
}

/* A device with nothing, and one with more than can be told. */
static void
test_shapes(void)
{
	static struct front_region regions[200];
	static struct front_irq irqs[200];
	struct front_shape shape = {0};
	const struct front_opts opts = {.shape = &shape, .reply_ms = REPLY_MS};

	for (int i = 0; i < 2; i++) {
		struct vfio_user_device_info told = {16, 0, i == 0 ? 9 : 100, i == 0 ? 5 : 50};

		front_rig_create_with(&opts);
		front_rig_negotiate(0);
		CU_ASSERT_EQUAL(send_message(2, VFIO_USER_DEVICE_GET_INFO, 0,
					&(struct vfio_user_device_info){16}, 16),
			0);
		CU_ASSERT(is_answered(2, VFIO_USER_DEVICE_GET_INFO, 0, &told, 16));
		shape = (struct front_shape){
			.nr_regions = 200, .nr_irqs = 200, .regions = regions, .irqs = irqs};
	}
}

const struct tap_suite tap_suite = {"front_info", front_rig_open, front_rig_destroy,
	{
		{"the version, as QEMU, Cloud Hypervisor and Alioth ask", test_version},
		{"bounds of what is announced", test_version_bounds},
		{"migration is announced to who proposes it", test_version_migration},
		{"versions that are refused", test_version_refused},
		{"device", test_device_info},
		{"interrupts", test_irq_info},
		{"no descriptors for regions' notifications", test_io_fds},
		{"regions", test_region_info},
		{"regions with a descriptor", test_region_fd},
		{"regions whose descriptor cannot be sent", test_region_without_fd},
		{"a region's descriptor that comes too late", test_region_expires},
		{"devices of no and of many regions", test_shapes},
	}};
