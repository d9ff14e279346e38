/* SPDX-License-Identifier: BSD-3-Clause */
#include "front_fixture.h"

/* Numbers that stand for descriptors: the machine does not touch them. */
static const int some_fds[40] = {100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112,
	113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130,
	131, 132, 133, 134, 135, 136, 137, 138, 139};

#define MAX_BODY 96

#define SET_IRQS       VFIO_USER_DEVICE_SET_IRQS
#define REGION_INFO    VFIO_USER_DEVICE_GET_REGION_INFO
#define IRQ_INFO       VFIO_USER_DEVICE_GET_IRQ_INFO
#define DEVICE_FEATURE VFIO_USER_DEVICE_FEATURE

/* A body of a request that is refused. */
struct refused_row {
	const char *name;
	uint16_t cmd;
	const void *body;
	size_t len;
	unsigned int nr_fds;
	int error;          /* 0: EINVAL */
	uint32_t reply_len; /* of the body; 0: that of all of these commands */
};

static const uint32_t reply_lens[] = {
	[VFIO_USER_VERSION] = 4,
	[VFIO_USER_DMA_UNMAP] = 24,
	[VFIO_USER_DEVICE_GET_INFO] = 16,
	[REGION_INFO] = 32,
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = 16,
	[IRQ_INFO] = 16,
	[VFIO_USER_REGION_READ] = 16,
	[VFIO_USER_REGION_WRITE] = 16,
	[VFIO_USER_REGION_WRITE_MULTI] = 8,
	[DEVICE_FEATURE] = 8,
	[VFIO_USER_MIG_DATA_READ] = 8,
};

#define BODY(...) &(__VA_ARGS__), sizeof(__VA_ARGS__)
/* As many bytes of it. */
#define PART(len, ...) &(__VA_ARGS__), len

#define MAP(...)    BODY((const struct vfio_user_dma_map){32, __VA_ARGS__})
#define UNMAP(...)  BODY((const struct vfio_user_dma_unmap){24, __VA_ARGS__})
#define ACCESS(...) BODY((const struct vfio_user_region_access){__VA_ARGS__})
/* An access, with data of which there are len - 16 bytes. */
#define WRITE(len, ...) PART(len, (const struct vfio_user_write_multi_entry){__VA_ARGS__})
#define IRQS(...)       BODY((const struct vfio_user_irq_set){20, __VA_ARGS__})
#define REGION(...)     BODY((const struct vfio_user_region_info){__VA_ARGS__})
#define IRQ(...)        BODY((const struct vfio_user_irq_info){__VA_ARGS__})
#define IO_FDS(...)     BODY((const struct vfio_user_region_io_fds){__VA_ARGS__})
#define INFO(...)       BODY((const struct vfio_user_device_info){__VA_ARGS__})

#define GET       VFIO_DEVICE_FEATURE_GET
#define SET       VFIO_DEVICE_FEATURE_SET
#define PROBE     VFIO_DEVICE_FEATURE_PROBE
#define MIGRATION VFIO_DEVICE_FEATURE_MIGRATION
#define STATE     VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#define START     VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define STOP      VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP
#define REPORT    VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT

struct feature_with_state {
	struct vfio_user_device_feature feature;
	struct vfio_user_device_feature_mig_state state;
};

#define MAX_RANGES 2
struct feature_with_start {
	struct vfio_user_device_feature feature;
	struct {
		uint64_t page_size;
		uint32_t num_ranges, reserved;
	} control;
	struct vfio_user_device_feature_dma_logging_range ranges[MAX_RANGES];
};
/* With as many ranges as are given, of which n are announced. */
#define STARTED(n, ...)                                                                     \
	PART(24 +                                                                           \
			sizeof((const struct vfio_user_device_feature_dma_logging_range[]){ \
				__VA_ARGS__}),                                              \
		(const struct feature_with_start){{72, SET | START}, {4096, n, 0}, {__VA_ARGS__}})

struct feature_with_report {
	struct vfio_user_device_feature feature;
	struct vfio_user_device_feature_dma_logging_report report;
};
#define REPORTED(argsz, ...) \
	BODY((const struct feature_with_report){{argsz, GET | REPORT}, {__VA_ARGS__}})

struct data_with_bytes {
	struct vfio_user_mig_data data;
	uint8_t bytes[8];
};
#define FEATURE(...) BODY((const struct vfio_user_device_feature){__VA_ARGS__})
#define DATA(...)    BODY((const struct vfio_user_mig_data){__VA_ARGS__})

struct one_write_of_several {
	uint64_t n;
	struct vfio_user_write_multi_entry entry;
};

#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX

struct indexed_irqs {
	struct vfio_user_irq_set set;
	int32_t indexes[3];
} VFIO_USER_PACKED;
#define INDEXED(...) \
	BODY((const struct indexed_irqs){{32, EVENTFD | TRIGGER, MSIX, 0, 3}, {__VA_ARGS__}})

static const uint8_t zeros[128];

static const struct refused_row refused[] = {
	{"map: short", VFIO_USER_DMA_MAP, zeros, 31},
	{"map: no body", VFIO_USER_DMA_MAP, zeros, 0},
	{"map: long", VFIO_USER_DMA_MAP, zeros, 33},
	{"map: empty", VFIO_USER_DMA_MAP, MAP(3, 0, 0, 0)},
	{"map: beyond 64 bits", VFIO_USER_DMA_MAP, MAP(3, 0, UINT64_MAX - 4095, 8192)},
	{"map: offset beyond 64 bits", VFIO_USER_DMA_MAP, MAP(3, UINT64_MAX - 4095, 0, 8192)},
	{"map: unknown flag", VFIO_USER_DMA_MAP, MAP(3 | 16, 0, 0, 4096)},
	{"map: two descriptors", VFIO_USER_DMA_MAP, MAP(3, 0, 0, 4096), 2},

	{"unmap: short", VFIO_USER_DMA_UNMAP, zeros, 23},
	{"unmap: no body", VFIO_USER_DMA_UNMAP, zeros, 0},
	{"unmap: long", VFIO_USER_DMA_UNMAP, zeros, 25},
	{"unmap: empty", VFIO_USER_DMA_UNMAP, UNMAP(0, 0, 0)},
	{"unmap: beyond 64 bits", VFIO_USER_DMA_UNMAP, UNMAP(0, UINT64_MAX, 2)},
	{"unmap: all of a range", VFIO_USER_DMA_UNMAP, UNMAP(VFIO_DMA_UNMAP_FLAG_ALL, 0, 4096)},
	{"unmap: unknown flag", VFIO_USER_DMA_UNMAP, UNMAP(8, 0, 4096)},
	{"unmap: dirty pages", VFIO_USER_DMA_UNMAP,
		UNMAP(VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 4096), .error = EOPNOTSUPP},
	{"unmap: a descriptor", VFIO_USER_DMA_UNMAP, UNMAP(0, 0, 4096), 1},

	{"read: short", VFIO_USER_REGION_READ, zeros, 15},
	{"read: no body", VFIO_USER_REGION_READ, zeros, 0},
	{"read: data", VFIO_USER_REGION_READ, zeros, 17},
	{"read: nothing", VFIO_USER_REGION_READ, ACCESS(0, 0, 0)},
	{"read: no such region", VFIO_USER_REGION_READ, ACCESS(0, 9, 4), .reply_len = 20},
	{"read: highest region", VFIO_USER_REGION_READ, ACCESS(0, UINT32_MAX, 4), .reply_len = 20},
	{"read: empty region", VFIO_USER_REGION_READ, ACCESS(0, 1, 4), .reply_len = 20},
	{"read: across the end", VFIO_USER_REGION_READ, ACCESS(BAR4_SIZE - 3, 4, 4),
		.reply_len = 20},
	{"read: behind the end", VFIO_USER_REGION_READ, ACCESS(BAR4_SIZE, 4, 1), .reply_len = 17},
	{"read: highest offset", VFIO_USER_REGION_READ, ACCESS(UINT64_MAX, 0, 4), .reply_len = 20},
	{"read: more than max_data", VFIO_USER_REGION_READ, ACCESS(0, 2, MAX_DATA + 1)},
	{"read: 4 GiB", VFIO_USER_REGION_READ, ACCESS(0, 0, UINT32_MAX)},
	{"read: a descriptor", VFIO_USER_REGION_READ, ACCESS(0, 0, 4), 1, .reply_len = 20},

	{"write: short", VFIO_USER_REGION_WRITE, zeros, 15},
	{"write: no data", VFIO_USER_REGION_WRITE, ACCESS(0, 0, 4)},
	{"write: too little data", VFIO_USER_REGION_WRITE, WRITE(19, 0, 0, 4)},
	{"write: too much data", VFIO_USER_REGION_WRITE, WRITE(21, 0, 0, 4)},
	{"write: nothing", VFIO_USER_REGION_WRITE, ACCESS(0, 0, 0)},
	{"write: no such region", VFIO_USER_REGION_WRITE, WRITE(20, 0, 9, 4)},
	{"write: behind the end", VFIO_USER_REGION_WRITE, WRITE(20, BAR0_SIZE, 0, 4)},
	{"write: a descriptor", VFIO_USER_REGION_WRITE, WRITE(20, 0, 0, 4), 1},

	{"irqs: short", SET_IRQS, zeros, 19},
	{"irqs: no body", SET_IRQS, zeros, 0},
	{"irqs: no such index", SET_IRQS, IRQS(NONE | TRIGGER, 5, 0, 1)},
	{"irqs: disable no such index", SET_IRQS, IRQS(NONE | TRIGGER, UINT32_MAX, 0, 0)},
	{"irqs: no action", SET_IRQS, IRQS(NONE, MSIX, 0, 1)},
	{"irqs: two actions", SET_IRQS, IRQS(NONE | TRIGGER | MASK, MSIX, 0, 1)},
	{"irqs: no data", SET_IRQS, IRQS(TRIGGER, MSIX, 0, 1)},
	{"irqs: two kinds of data", SET_IRQS, IRQS(NONE | EVENTFD | TRIGGER, MSIX, 0, 1)},
	{"irqs: unknown flag", SET_IRQS, IRQS(NONE | TRIGGER | 64, MSIX, 0, 1)},
	{"irqs: across the end", SET_IRQS, IRQS(NONE | TRIGGER, MSIX, 7, 2)},
	{"irqs: behind the end", SET_IRQS, IRQS(NONE | TRIGGER, MSIX, 8, 1)},
	{"irqs: sum beyond 32 bits", SET_IRQS, IRQS(NONE | TRIGGER, MSIX, 4, UINT32_MAX)},
	{"irqs: of an empty index", SET_IRQS, IRQS(NONE | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1)},
	{"irqs: booleans that are not there", SET_IRQS,
		PART(22, (const struct indexed_irqs){{20, BOOL | MASK, MSIX, 0, 3}})},
	{"irqs: 2^32 - 1 booleans", SET_IRQS, IRQS(BOOL | MASK, MSIX, 0, UINT32_MAX)},
	{"irqs: a descriptor with booleans", SET_IRQS,
		PART(21, (const struct indexed_irqs){{20, BOOL | MASK, MSIX, 0, 1}}), 1},
	{"irqs: a descriptor with no data", SET_IRQS, IRQS(NONE | TRIGGER, MSIX, 0, 1), 1},
	{"irqs: fewer descriptors", SET_IRQS, IRQS(EVENTFD | TRIGGER, MSIX, 0, 3), 2},
	{"irqs: more descriptors", SET_IRQS, IRQS(EVENTFD | TRIGGER, MSIX, 0, 3), 4},
	{"irqs: a part of the indexes", SET_IRQS,
		PART(31, (const struct indexed_irqs){{32, EVENTFD | TRIGGER, MSIX, 0, 3}}), 1},
	{"irqs: an index beyond the descriptors", SET_IRQS, INDEXED(0, 1, 2), 2},
	{"irqs: an index of -2", SET_IRQS, INDEXED(0, -2, 1), 2},

	{"reset: body", VFIO_USER_DEVICE_RESET, zeros, 1},
	{"reset: a descriptor", VFIO_USER_DEVICE_RESET, zeros, 0, 1},

	{"info: short", VFIO_USER_DEVICE_GET_INFO, INFO(15)},
	{"info: short body", VFIO_USER_DEVICE_GET_INFO,
		PART(15, (const struct vfio_user_device_info){16})},
	{"info: no body", VFIO_USER_DEVICE_GET_INFO, zeros, 0},
	{"region info: small argsz", REGION_INFO, REGION(31)},
	{"region info: short", REGION_INFO, PART(31, (const struct vfio_user_region_info){32})},
	{"region info: no such region", REGION_INFO, REGION(32, 0, 9)},
	{"region info: highest region", REGION_INFO, REGION(32, 0, UINT32_MAX)},
	{"region info: a descriptor", REGION_INFO, REGION(32), 1},
	{"irq info: small argsz", IRQ_INFO, IRQ(15)},
	{"irq info: no such index", IRQ_INFO, IRQ(16, 0, 5)},
	{"irq info: short", IRQ_INFO, PART(12, (const struct vfio_user_irq_info){16})},
	{"io fds: no such region", VFIO_USER_DEVICE_GET_REGION_IO_FDS, IO_FDS(16, 0, 9)},
	{"io fds: small argsz", VFIO_USER_DEVICE_GET_REGION_IO_FDS, IO_FDS(8)},

	{"version again", VFIO_USER_VERSION, zeros, 4},
	{"several writes", VFIO_USER_REGION_WRITE_MULTI,
		BODY((const struct one_write_of_several){1, {0, 0, 4}}), .error = EOPNOTSUPP},
	{"several writes: short", VFIO_USER_REGION_WRITE_MULTI, zeros, 7, .error = EOPNOTSUPP},
	{"feature: no body", DEVICE_FEATURE, zeros, 0},
	{"feature: short", DEVICE_FEATURE, zeros, 7},
	{"feature: no method", DEVICE_FEATURE, FEATURE(8, STATE)},
	{"feature: two methods", DEVICE_FEATURE, FEATURE(24, GET | SET | STATE)},
	{"feature: unknown flag", DEVICE_FEATURE, FEATURE(8, PROBE | STATE | 1u << 19)},
	{"feature: unknown", DEVICE_FEATURE, FEATURE(24, GET | 3), .error = ENOTTY},
	{"feature: unknown, probed", DEVICE_FEATURE, FEATURE(8, PROBE | 0xffff), .error = ENOTTY},
	{"feature: a method that it does not have", DEVICE_FEATURE, FEATURE(24, SET | MIGRATION)},
	{"feature: probe of a method that it does not have", DEVICE_FEATURE,
		FEATURE(8, PROBE | GET | SET | REPORT)},
	{"feature: probe with data", DEVICE_FEATURE,
		PART(9, (const struct feature_with_state){{16, PROBE | STATE}})},
	{"feature: small argsz of a probe", DEVICE_FEATURE, FEATURE(7, PROBE | STATE)},
	{"feature: small argsz", DEVICE_FEATURE, FEATURE(15, GET | STATE)},
	{"feature: data to be got", DEVICE_FEATURE,
		BODY((const struct feature_with_state){{16, GET | STATE}})},
	{"feature: no data to be set", DEVICE_FEATURE, FEATURE(16, SET | STATE)},
	{"feature: small argsz of a state", DEVICE_FEATURE,
		BODY((const struct feature_with_state){{15, SET | STATE}, {2, 0}})},
	{"feature: a descriptor", DEVICE_FEATURE, FEATURE(16, GET | STATE), 1},
	{"log: part of a range", DEVICE_FEATURE,
		PART(39,
			(const struct feature_with_start){
				{40, SET | START}, {4096, 1, 0}, {{0, 4096}}})},
	{"log: fewer ranges", DEVICE_FEATURE, STARTED(1, {0, 4096}, {8192, 4096})},
	{"log: more ranges", DEVICE_FEATURE, STARTED(3, {0, 4096}, {8192, 4096})},
	{"log: 2^32 - 1 ranges", DEVICE_FEATURE, STARTED(UINT32_MAX, {0, 4096})},
	{"log: 2^28 ranges and one", DEVICE_FEATURE, STARTED((1u << 28) + 2, {0, 4096})},
	{"log: no page size to stop", DEVICE_FEATURE,
		PART(16, (const struct feature_with_start){{16, SET | STOP}})},
	{"report: short", DEVICE_FEATURE,
		PART(31, (const struct feature_with_report){{40, GET | REPORT}, {0, 4096, 4096}})},
	{"report: empty", DEVICE_FEATURE, REPORTED(40, 0, 0, 4096)},
	{"report: beyond 64 bits", DEVICE_FEATURE, REPORTED(40, UINT64_MAX - 4095, 8192, 4096)},
	{"report: no page size", DEVICE_FEATURE, REPORTED(40, 0, 4096, 0)},
	{"report: no power of two", DEVICE_FEATURE, REPORTED(40, 0, 4096, 4097)},
	{"report: no room for the bitmap", DEVICE_FEATURE, REPORTED(39, 0, 4096, 4096)},
	{"report: a bitmap over max_data", DEVICE_FEATURE,
		REPORTED(UINT32_MAX, 0, (MAX_DATA * UINT64_C(8) + 1) * 4096, 4096),
		.error = EMSGSIZE},
	{"report: a bitmap of 2^61 bytes", DEVICE_FEATURE, REPORTED(UINT32_MAX, 0, UINT64_MAX, 1),
		.error = EOVERFLOW},

	{"migration data: no body", VFIO_USER_MIG_DATA_READ, zeros, 0},
	{"migration data: short", VFIO_USER_MIG_DATA_READ, zeros, 7},
	{"migration data: read with data", VFIO_USER_MIG_DATA_READ,
		PART(9, (const struct data_with_bytes){{16, 8}})},
	{"migration data: small argsz", VFIO_USER_MIG_DATA_READ, DATA(15, 8)},
	{"migration data: more than max_data", VFIO_USER_MIG_DATA_READ,
		DATA(UINT32_MAX, MAX_DATA + 1)},
	{"migration data: 4 GiB", VFIO_USER_MIG_DATA_READ, DATA(7, UINT32_MAX)},
	{"migration data: a descriptor", VFIO_USER_MIG_DATA_READ, DATA(16, 8), 1},
	{"migration data: write without body", VFIO_USER_MIG_DATA_WRITE, zeros, 0},
	{"migration data: write of less", VFIO_USER_MIG_DATA_WRITE,
		BODY((const struct data_with_bytes){{16, 7}})},
	{"migration data: write of more", VFIO_USER_MIG_DATA_WRITE,
		BODY((const struct data_with_bytes){{16, 9}})},
	{"migration data: write of 4 GiB", VFIO_USER_MIG_DATA_WRITE,
		BODY((const struct data_with_bytes){{16, UINT32_MAX}})},
	{"a command of servers: read", VFIO_USER_DMA_READ, zeros, 16, .error = EOPNOTSUPP},
	{"a command of servers: write", VFIO_USER_DMA_WRITE, zeros, 24, .error = EOPNOTSUPP},
	{"command 0", 0, zeros, 0, .error = EOPNOTSUPP},
	{"command 14", 14, zeros, 100, .error = EOPNOTSUPP},
	{"command 19", 19, zeros, 8, .error = EOPNOTSUPP},
	{"command 65535", 65535, zeros, 8, .error = EOPNOTSUPP},
	{"command 65535: a descriptor", 65535, zeros, 8, 1},
};

static int
error_of(const struct refused_row *row)
{
	return row->error != 0 ? row->error : EINVAL;
}

/* What the reply repeats of the request: as much as it has room for, but no count of writes; and
 * ones for data that was to be read. Returns its length. */
static uint32_t
expect_body(const struct refused_row *row, uint8_t *body)
{
	uint32_t usual = row->cmd < NR(reply_lens) ? reply_lens[row->cmd] : 0;
	uint32_t len = row->reply_len != 0 ? row->reply_len : usual;
	size_t known = row->len < len ? row->len : len;

	memset(body, 0, MAX_BODY);
	if (known > 0 && row->cmd != VFIO_USER_REGION_WRITE_MULTI)
		memcpy(body, row->body, known);
	if (row->cmd == VFIO_USER_REGION_READ && len > 16)
		memset(body + 16, 0xff, len - 16);
	return len;
}

/* In full, because Cloud Hypervisor and QEMU read as much as they expect, whatever the flags. */
static void
test_refused(void)
{
	uint8_t body[MAX_BODY];

	for (size_t i = 0; i < NR(refused); i++) {
		const struct refused_row *row = &refused[i];

		vuc_tap_row("%s", row->name);
		CU_ASSERT_EQUAL(
			send_with_fds(7, row->cmd, row->body, row->len, some_fds, row->nr_fds), 0);
		CU_ASSERT(is_answered(7, row->cmd, error_of(row), body, expect_body(row, body)));
		CU_ASSERT(is_silent());
		CU_ASSERT(are_stray(some_fds, row->nr_fds));
		CU_ASSERT_EQUAL(front_outstanding(front), 0);
	}
}

/* The header alone is what Alioth reads of an error. */
static void
test_refused_short(void)
{
	front_rig_create();
	front_rig_negotiate(2);
	for (size_t i = 0; i < NR(refused); i++) {
		const struct refused_row *row = &refused[i];

		vuc_tap_row("%s", row->name);
		CU_ASSERT_EQUAL(send_message(7, row->cmd, 0, row->body, row->len), 0);
		if (row->nr_fds > 0) {
			/* Good without them, perhaps. */
			struct front_request r;

			if (front_next(front, &r) == 1)
				front_reply(front, r.token, -EIO);
			CU_ASSERT_EQUAL(take_reply()->header.cmd, row->cmd);
			continue;
		}
		CU_ASSERT(is_answered(7, row->cmd, error_of(row), NULL, 0));
		CU_ASSERT(is_silent());
	}
}

static void
test_flags(void)
{
	static const struct vfio_user_region_access access = {0, 0, 4};
	uint8_t body[20];

	memcpy(body, &access, 16);
	memset(body + 16, 0xff, 4);
	CU_ASSERT_EQUAL(send_message(1, VFIO_USER_REGION_READ, VFIO_USER_F_ERROR, &access, 16), 0);
	CU_ASSERT(is_answered(1, VFIO_USER_REGION_READ, EINVAL, body, 20));
	CU_ASSERT_EQUAL(send_message(2, VFIO_USER_REGION_READ, 0x80000040, &access, 16), 0);
	CU_ASSERT(is_answered(2, VFIO_USER_REGION_READ, EINVAL, body, 20));
	/* Refused without a word: the client waits for none. */
	CU_ASSERT_EQUAL(send_message(3, VFIO_USER_DMA_MAP, VFIO_USER_F_NO_REPLY, zeros, 32), 0);
	CU_ASSERT_EQUAL(send_message(4, 99, VFIO_USER_F_NO_REPLY, zeros, 32), 0);
	CU_ASSERT(nothing_next());
	CU_ASSERT(is_silent());
}

static void
test_access(void)
{
	struct front_request r;
	uint8_t data[4] = {1, 2, 3, 4};
	uint8_t body[16 + MAX_DATA];

	CU_ASSERT_EQUAL(send_read(5, 4, BAR4_SIZE - 4, 4), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(!r.access.write && r.owed && r.nr_fds == 0);
	CU_ASSERT_EQUAL(r.access.region, 4);
	CU_ASSERT_EQUAL(r.access.offset, BAR4_SIZE - 4);
	CU_ASSERT_EQUAL(r.access.count, 4);
	front_reply_read(front, r.token, 0, data);
	memcpy(body, &(struct vfio_user_region_access){BAR4_SIZE - 4, 4, 4}, 16);
	memcpy(body + 16, data, 4);
	CU_ASSERT(is_reply(5, VFIO_USER_REGION_READ, 0, body, 20));

	CU_ASSERT_EQUAL(send_read(6, 2, 0, MAX_DATA), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(r.access.count, MAX_DATA);
	front_reply_read(front, r.token, -EIO, NULL);
	memcpy(body, &(struct vfio_user_region_access){0, 2, MAX_DATA}, 16);
	memset(body + 16, 0xff, MAX_DATA);
	CU_ASSERT(is_reply(6, VFIO_USER_REGION_READ, EIO, body, sizeof(body)));

	CU_ASSERT_EQUAL(send_write(7, 0, 0, 8, data, 4), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(r.access.write && r.owed);
	CU_ASSERT_EQUAL(memcmp(r.access.data, data, 4), 0);
	front_reply(front, r.token, 0);
	memcpy(body, &(struct vfio_user_region_access){8, 0, 4}, 16);
	CU_ASSERT(is_reply(7, VFIO_USER_REGION_WRITE, 0, body, 16));

	CU_ASSERT_EQUAL(send_write(8, VFIO_USER_F_NO_REPLY, 0, 8, data, 4), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(r.access.write && !r.owed);
	front_reply(front, r.token, -EIO);
	CU_ASSERT(is_silent());
}

static void
test_dma(void)
{
	static const struct vfio_user_dma_map map = {0, 3, 4096, 0x100000000, 0x200000};
	static const struct vfio_user_dma_map last = {32, 1, 0, UINT64_MAX - 4095, 4096};
	static const struct vfio_user_dma_unmap unmap = {24, 0, 0x1000, 0x1000};
	static const struct vfio_user_dma_unmap all = {24, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0};
	struct front_request r;

	CU_ASSERT_EQUAL(send_with_fds(1, VFIO_USER_DMA_MAP, &map, 32, some_fds, 1), 0);
	r = next_request(FRONT_DMA_MAP);
	CU_ASSERT(r.nr_fds == 1 && r.fds[0] == some_fds[0]);
	CU_ASSERT(r.map.addr == map.addr && r.map.size == map.size && r.map.offset == 4096 &&
		r.map.flags == 3);
	front_reply(front, r.token, 0);
	CU_ASSERT(is_reply(1, VFIO_USER_DMA_MAP, 0, NULL, 0));
	/* A ROM, and the end of the address space. */
	CU_ASSERT_EQUAL(send_message(2, VFIO_USER_DMA_MAP, 0, &last, 32), 0);
	r = next_request(FRONT_DMA_MAP);
	CU_ASSERT(r.nr_fds == 0 && r.map.size == 4096);
	front_reply(front, r.token, -ENOSPC);
	CU_ASSERT(is_reply(2, VFIO_USER_DMA_MAP, ENOSPC, NULL, 0));
	CU_ASSERT_EQUAL(send_message(3, VFIO_USER_DMA_UNMAP, 0, &unmap, 24), 0);
	r = next_request(FRONT_DMA_UNMAP);
	CU_ASSERT(!r.unmap.all && r.unmap.addr == 0x1000 && r.unmap.size == 0x1000);
	front_reply(front, r.token, -ENOENT);
	CU_ASSERT(is_reply(3, VFIO_USER_DMA_UNMAP, ENOENT, &unmap, 24));
	CU_ASSERT_EQUAL(send_message(4, VFIO_USER_DMA_UNMAP, 0, &all, 24), 0);
	r = next_request(FRONT_DMA_UNMAP);
	CU_ASSERT(r.unmap.all);
	front_reply(front, r.token, 0);
	CU_ASSERT(is_reply(4, VFIO_USER_DMA_UNMAP, 0, &all, 24));
}

/* Forms of SET_IRQS that clients use. A row with fds has what front_irq_fd() says of each. */
static const struct irqs_row {
	const char *name;
	const void *body;
	size_t len;
	unsigned int nr_fds;
	enum front_irq_data data;
	uint32_t action, index, start, count;
	int fds[16];
} irqs_rows[] = {
	{"QEMU: 36 bytes", IRQS(NONE | UNMASK, 0, 0, 1), 0, FRONT_IRQ_NONE, UNMASK, 0, 0, 1},
	{"all of MSI-X", IRQS(EVENTFD | TRIGGER, MSIX, 0, 8), 8, FRONT_IRQ_EVENTFD, TRIGGER, MSIX,
		0, 8, {100, 101, 102, 103, 104, 105, 106, 107}},
	{"none of them", IRQS(EVENTFD | TRIGGER, MSIX, 2, 3), 0, FRONT_IRQ_EVENTFD, TRIGGER, MSIX,
		2, 3, {-1, -1, -1}},
	{"Alioth: an index for each", INDEXED(1, -1, 0), 2, FRONT_IRQ_EVENTFD, TRIGGER, MSIX, 0, 3,
		{101, -1, 100}},
	{"Alioth: none", INDEXED(-1, -1, -1), 0, FRONT_IRQ_EVENTFD, TRIGGER, MSIX, 0, 3,
		{-1, -1, -1}},
	{"Alioth: one twice", INDEXED(0, 0, 0), 1, FRONT_IRQ_EVENTFD, TRIGGER, MSIX, 0, 3,
		{100, 100, 100}},
	{"booleans", PART(23, (const struct indexed_irqs){{20, BOOL | MASK, MSIX, 5, 3}}), 0,
		FRONT_IRQ_BOOL, MASK, MSIX, 5, 3},
	{"unmask by an eventfd", IRQS(EVENTFD | UNMASK, 0, 0, 1), 1, FRONT_IRQ_EVENTFD, UNMASK, 0,
		0, 1, {100}},
	{"disable", IRQS(NONE | TRIGGER, MSIX, 0, 0), 0, FRONT_IRQ_NONE, TRIGGER, MSIX, 0, 0},
	{"disable, with eventfds", IRQS(EVENTFD | TRIGGER, MSIX, 3, 0), 0, FRONT_IRQ_NONE, TRIGGER,
		MSIX, 0, 0},
	{"ERR", IRQS(EVENTFD | TRIGGER, VFIO_PCI_ERR_IRQ_INDEX, 0, 1), 1, FRONT_IRQ_EVENTFD,
		TRIGGER, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, {100}},
	{"REQ", IRQS(EVENTFD | TRIGGER, VFIO_PCI_REQ_IRQ_INDEX, 0, 1), 1, FRONT_IRQ_EVENTFD,
		TRIGGER, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, {100}},
};

static void
test_irqs(void)
{
	for (size_t i = 0; i < NR(irqs_rows); i++) {
		const struct irqs_row *row = &irqs_rows[i];
		struct front_request r;

		vuc_tap_row("%s", row->name);
		CU_ASSERT_EQUAL(
			send_with_fds(1, SET_IRQS, row->body, row->len, some_fds, row->nr_fds), 0);
		r = next_request(FRONT_SET_IRQS);
		CU_ASSERT_EQUAL(r.irqs.data, row->data);
		CU_ASSERT_EQUAL((uint32_t)r.irqs.action, row->action);
		CU_ASSERT(r.irqs.range.index == row->index && r.irqs.range.start == row->start &&
			r.irqs.range.count == row->count);
		CU_ASSERT_EQUAL(r.nr_fds, row->nr_fds);
		for (uint32_t k = 0; row->data == FRONT_IRQ_EVENTFD && k < row->count; k++)
			CU_ASSERT_EQUAL(front_irq_fd(&r, k), row->fds[k]);
		if (row->data == FRONT_IRQ_BOOL)
			CU_ASSERT_EQUAL(memcmp(r.irqs.flags, zeros, row->count), 0);
		front_reply(front, r.token, 0);
		CU_ASSERT(is_reply(1, SET_IRQS, 0, NULL, 0));
	}
}

/* What asks for nothing succeeds at once, with the device none the wiser. */
static void
test_no_irqs(void)
{
	static const struct vfio_user_irq_set sets[] = {
		{20, NONE | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0},
		{20, EVENTFD | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0},
		{20, NONE | MASK, MSIX, 0, 0},
		{20, BOOL | UNMASK, MSIX, 0, 0},
	};

	for (size_t i = 0; i < NR(sets); i++) {
		CU_ASSERT_EQUAL(send_message(1, SET_IRQS, 0, &sets[i], 20), 0);
		CU_ASSERT(is_answered(1, SET_IRQS, 0, NULL, 0));
		CU_ASSERT_EQUAL(send_message(2, SET_IRQS, VFIO_USER_F_NO_REPLY, &sets[i], 20), 0);
		CU_ASSERT(nothing_next());
		CU_ASSERT(is_silent());
	}
}

static void
test_reset(void)
{
	CU_ASSERT_EQUAL(send_message(1, VFIO_USER_DEVICE_RESET, 0, NULL, 0), 0);
	front_reply(front, next_request(FRONT_RESET).token, -EIO);
	CU_ASSERT(is_reply(1, VFIO_USER_DEVICE_RESET, EIO, NULL, 0));
}

static bool
are_bytes(const void *bytes, const void *expected, size_t len)
{
	return memcmp(bytes, expected, len) == 0;
}

static const struct feature_with_state set_state = {{100, SET | STATE}, {3, 77}};
static const struct feature_with_start set_start = {
	{72, SET | START}, {4096, 2, 0}, {{0, 4096}, {8192, 4096}}};
static const struct feature_with_report get_report = {{100, GET | REPORT}, {4096, 65 * 64, 64}};

static void
check_feature(const struct front_feature *got, const void *body)
{
	if (body == &set_state)
		CU_ASSERT(are_bytes(&got->state, &set_state.state, sizeof(got->state)));
	if (body == &set_start)
		CU_ASSERT(are_bytes(&got->start.control, &set_start.control, 16) &&
			are_bytes(got->start.ranges, set_start.ranges, 32));
	if (body == &get_report)
		CU_ASSERT(are_bytes(&got->report, &get_report.report, sizeof(got->report)));
}

/* Data of a reply, and what argsz says of it: for what is got, its size; else it is repeated. */
static void
test_features(void)
{
	const struct {
		const void *body;
		size_t len;
		uint32_t data_len;
		uint32_t argsz; /* of the reply */
	} rows[] = {
		{FEATURE(8, PROBE | STATE | GET | SET), 0, 8},
		{FEATURE(100, PROBE | MIGRATION), 0, 100},
		{FEATURE(16, GET | MIGRATION), 8, 16},
		{FEATURE(UINT32_MAX, GET | STATE), 8, 16},
		{&set_state, sizeof(set_state), 8, 100},
		{&set_start, sizeof(set_start), 48, 72},
		{FEATURE(8, SET | STOP), 0, 8},
		{&get_report, sizeof(get_report), 24 + 16, 48},
	};
	static const uint8_t data[64] = {1, 2, 3, 4, 5, 6, 7, 8};

	for (size_t i = 0; i < NR(rows); i++) {
		struct vfio_user_device_feature feature;
		struct front_request r;
		uint8_t body[8 + 64];

		vuc_tap_row("row %zu", i);
		memcpy(&feature, rows[i].body, sizeof(feature));
		CU_ASSERT_EQUAL(send_message(1, DEVICE_FEATURE, 0, rows[i].body, rows[i].len), 0);
		r = next_request(FRONT_FEATURE);
		CU_ASSERT_EQUAL(r.feature.flags, feature.flags);
		CU_ASSERT_EQUAL(r.feature.data_len, rows[i].data_len);
		check_feature(&r.feature, rows[i].body);
		feature.argsz = rows[i].argsz;
		memcpy(body, &feature, 8);
		memcpy(body + 8, data, rows[i].data_len);
		front_reply_data(front, r.token, 0, data, rows[i].data_len);
		CU_ASSERT(is_reply(1, DEVICE_FEATURE, 0, body, 8 + rows[i].data_len));
	}
}

static const struct vfio_user_mig_data most_data = {8 + MAX_DATA, MAX_DATA};

static void
test_migration_data(void)
{
	static const struct vfio_user_mig_data end = {8 + 3, 3};
	static const struct data_with_bytes write = {{0, 8}, {1, 2, 3, 4, 5, 6, 7, 8}};
	static const struct {
		int status;
		const void *fixed;
		uint32_t len;
	} rows[] = {{0, &most_data, MAX_DATA}, {0, &end, 3}, {-EIO, &most_data, 0}};
	static uint8_t body[8 + MAX_DATA];
	struct front_request r;

	for (size_t i = 0; i < 3; i++) {
		vuc_tap_row("row %zu", i);
		memcpy(body, rows[i].fixed, 8);
		CU_ASSERT_EQUAL(send_message(1, VFIO_USER_MIG_DATA_READ, 0, &most_data, 8), 0);
		r = next_request(FRONT_MIGRATION_READ);
		CU_ASSERT_EQUAL(r.migration.size, MAX_DATA);
		front_reply_data(front, r.token, rows[i].status, body + 8, rows[i].len);
		CU_ASSERT(is_reply(
			1, VFIO_USER_MIG_DATA_READ, -rows[i].status, body, 8 + rows[i].len));
	}
	for (uint32_t flags = 0; flags <= VFIO_USER_F_NO_REPLY; flags += VFIO_USER_F_NO_REPLY) {
		CU_ASSERT_EQUAL(send_message(1, VFIO_USER_MIG_DATA_WRITE, flags, &write, 16), 0);
		r = next_request(FRONT_MIGRATION_WRITE);
		CU_ASSERT(r.migration.size == 8 && are_bytes(r.migration.data, write.bytes, 8));
		front_reply_data(front, r.token, 0, NULL, 0);
		CU_ASSERT(flags != 0 || is_reply(1, VFIO_USER_MIG_DATA_WRITE, 0, NULL, 0));
		CU_ASSERT(is_silent());
	}
}

/* One at a time, and answered in time. */
static void
test_late_feature(void)
{
	static const struct vfio_user_device_feature get_state = {16, GET | STATE};
	struct front_request r;

	CU_ASSERT_EQUAL(send_message(1, VFIO_USER_MIG_DATA_READ, 0, &most_data, 8), 0);
	CU_ASSERT_EQUAL(send_message(2, DEVICE_FEATURE, 0, &get_state, 8), 0);
	r = next_request(FRONT_MIGRATION_READ);
	CU_ASSERT(nothing_next());
	now_ms += REPLY_MS;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_reply(1, VFIO_USER_MIG_DATA_READ, ETIMEDOUT, &most_data, 8));
	CU_ASSERT(is_reply(2, DEVICE_FEATURE, ETIMEDOUT, &get_state, 8));
	front_reply_data(front, r.token, 0, zeros, 8);
	CU_ASSERT(is_silent());
}

const struct tap_suite tap_suite = {"front_request", front_rig_open, front_rig_destroy,
	{
		{"each malformed request is refused by a reply of full size", test_refused},
		{"a client of minor version 2 gets errors of a header", test_refused_short},
		{"flags of commands", test_flags},
		{"reads and writes", test_access},
		{"maps and unmaps", test_dma},
		{"interrupts in all forms", test_irqs},
		{"requests for no interrupts", test_no_irqs},
		{"reset", test_reset},
		{"features", test_features},
		{"migration data", test_migration_data},
		{"a late answer of a feature", test_late_feature},
	}};
