/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "trace.h"
#include "vfio_user.h"

#define COMMAND VFIO_USER_F_TYPE_COMMAND
#define REPLY   VFIO_USER_F_TYPE_REPLY

/* Bodies are built here, as large as the largest one. */
static uint8_t body[256];
static size_t body_len;

static void
put(const void *bytes, size_t len)
{
	CU_ASSERT_FATAL(len <= sizeof(body) - body_len);
	memcpy(body + body_len, bytes, len);
	body_len += len;
}

/* The line of bytes that lie at the end of their allocation, without its newline; to be freed. */
static char *
line_of(const uint8_t *bytes, size_t len, struct vuc_trace_message message)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	char *text = NULL, *end;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	memcpy(copy, bytes, len);
	message.bytes = copy;
	message.len = len;
	vucctl_trace_line_print(out, &message);
	fclose(out);
	free(copy);
	end = strchr(text, '\n');
	CU_ASSERT_PTR_NOT_NULL_FATAL(end);
	CU_ASSERT_EQUAL(end[1], '\0');
	*end = '\0';
	return text;
}

static size_t
build(uint8_t message[512], uint16_t cmd, uint32_t flags, uint32_t error_no)
{
	const struct vfio_user_header header = {
		.msg_id = 7,
		.cmd = cmd,
		.msg_size = (uint32_t)(sizeof(header) + body_len),
		.flags = flags,
		.error_no = error_no,
	};

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, body_len);
	return header.msg_size;
}

/* Assert what the body that was put reads like, and forget it. Every shorter message has to be
 * printed as well, by a decoder that reads no byte behind its end. */
static void
expect(uint16_t cmd, uint32_t flags, const char *expected)
{
	const struct vuc_trace_message message = {.sent = (flags & 1) == COMMAND};
	uint8_t bytes[512];
	size_t len = build(bytes, cmd, flags, 0), i;
	char *line = line_of(bytes, len, message);
	const char *fields = strstr(line, " bytes");

	CU_ASSERT_PTR_NOT_NULL_FATAL(fields);
	CU_ASSERT_STRING_EQUAL(fields + strlen(" bytes"), expected);
	if (strcmp(fields + strlen(" bytes"), expected) != 0)
		printf("# '%s' is not '%s'\n", fields, expected);
	free(line);
	for (i = 0; i < len; i++)
		free(line_of(bytes, i, message));
	body_len = 0;
}

static void
expect_line(struct vuc_trace_message message, uint16_t cmd, uint32_t flags, uint32_t error_no,
	const char *expected)
{
	uint8_t bytes[512];
	size_t len = build(bytes, cmd, flags, error_no);
	char *line = line_of(bytes, len, message);

	CU_ASSERT_STRING_EQUAL(line, expected);
	free(line);
	body_len = 0;
}

static void
test_headers(void)
{
	const struct vuc_trace_message sent = {.sent = true}, received = {.sent = false};
	const struct vuc_trace_message twin = {.sent = true, .twin = true, .nr_fds = 1};
	const struct vuc_trace_message twin_received = {.twin = true, .nr_fds = 3};

	expect_line(sent, VFIO_USER_DEVICE_RESET, COMMAND, 0,
		"-> #7     DEVICE_RESET             command     16 bytes");
	expect_line(received, VFIO_USER_DEVICE_RESET, REPLY, 0,
		"<- #7     DEVICE_RESET             reply       16 bytes");
	expect_line(twin, VFIO_USER_DEVICE_RESET, COMMAND | VFIO_USER_F_NO_REPLY, 0,
		"=> #7     DEVICE_RESET             command     16 bytes 1 fd no_reply");
	expect_line(twin_received, VFIO_USER_DEVICE_RESET, 2 | 0x100, 0,
		"<= #7     DEVICE_RESET             unknown     16 bytes 3 fds flags 0x100");
	expect_line(received, VFIO_USER_DEVICE_RESET, REPLY | VFIO_USER_F_ERROR, 22,
		"<- #7     DEVICE_RESET             reply       16 bytes error 22 "
		"(Invalid argument)");
	expect_line(received, VFIO_USER_DEVICE_RESET, REPLY | VFIO_USER_F_ERROR, UINT32_MAX,
		"<- #7     DEVICE_RESET             reply       16 bytes error 4294967295");
	put("\x01\x02\x03", 3);
	expect_line(received, 999, COMMAND, 0,
		"<- #7     COMMAND_999              command     19 bytes more 01:02:03");
	expect_line(
		sent, 14, COMMAND, 0, "-> #7     COMMAND_14               command     16 bytes");
}

static void
test_no_header(void)
{
	const struct vuc_trace_message message = {.sent = true};
	const uint8_t bytes[16] = {0};
	char *line = line_of(bytes, 15, message);

	CU_ASSERT_STRING_EQUAL(line, "-> 15 bytes: too short for a header");
	free(line);
}

static void
test_version(void)
{
	const struct vfio_user_version version = {.major = 0, .minor = 2};

	put(&version, sizeof(version));
	put("{}\x1b", 4);
	expect(VFIO_USER_VERSION, COMMAND, " major 0 minor 2 {}\\x1b");
	put(&version, sizeof(version));
	expect(VFIO_USER_VERSION, REPLY, " major 0 minor 2");
	put(&version, sizeof(version));
	put("{", 1);
	expect(VFIO_USER_VERSION, REPLY, " major 0 minor 2 { (without a NUL)");
	put(&version, sizeof(version));
	put("{}\0\x01\x02\x03", 6);
	expect(VFIO_USER_VERSION, REPLY, " major 0 minor 2 {} more 01:02:03");
}

static void
test_dma_map(void)
{
	const struct vfio_user_dma_map map = {32, 0x13, 0x1000, 0x100000000, 0x2000};
	const struct vfio_user_dma_unmap unmap = {40, 1, 0x1000, 0x2000};
	const struct vfio_user_bitmap bitmap = {0x1000, 8};

	put(&map, sizeof(map));
	expect(VFIO_USER_DMA_MAP, COMMAND,
		" argsz 32 flags (read write 0x10) addr 0x100000000 size 0x2000 offset 0x1000");
	put(&unmap, sizeof(unmap));
	put(&bitmap, sizeof(bitmap));
	put("\x03\0\0\0\0\0\0\0", 8);
	expect(VFIO_USER_DMA_UNMAP, REPLY,
		" argsz 40 flags (get_dirty_bitmap) addr 0x1000 size 0x2000 pgsize 0x1000 bitmap 8 "
		"bytes data 0x0000000000000003");
	expect(VFIO_USER_DMA_UNMAP, REPLY, " (0 of 24 bytes)");
	put(&map, 12);
	expect(VFIO_USER_DMA_MAP, COMMAND, " argsz 32 flags (read write 0x10) (12 of 32 bytes)");
}

static void
test_infos(void)
{
	const struct vfio_user_device_info device = {16, 3, 9, 5};
	const struct vfio_user_region_info region = {32, 7, 2, 0, 0x10000, 0x3000};
	const struct vfio_user_irq_info irq = {16, 0x7, 0, 1};
	const struct vfio_user_region_io_fds io_fds = {16, 0, 2, 1};

	put(&device, sizeof(device));
	expect(VFIO_USER_DEVICE_GET_INFO, COMMAND, " argsz 16");
	put(&device, sizeof(device));
	expect(VFIO_USER_DEVICE_GET_INFO, REPLY,
		" argsz 16 flags (reset pci) num_regions 9 num_irqs 5");
	put(&region, sizeof(region));
	put("\x01\x02\x03\x04", 4);
	expect(VFIO_USER_DEVICE_GET_REGION_INFO, REPLY,
		" argsz 32 index 2 flags (read write mmap) size 0x10000 offset 0x3000 cap_offset 0 "
		"more 0x04030201");
	put(&irq, sizeof(irq));
	expect(VFIO_USER_DEVICE_GET_IRQ_INFO, REPLY,
		" argsz 16 index 0 flags (eventfd maskable automasked) count 1");
	put(&io_fds, sizeof(io_fds));
	expect(VFIO_USER_DEVICE_GET_REGION_IO_FDS, COMMAND, " argsz 16 flags 0x0 index 2 count 1");
}

static void
test_irqs(void)
{
	const struct vfio_user_irq_set eventfds = {20, 0x24, 2, 1, 3};
	const struct vfio_user_irq_set which = {23, 0x0a, 2, 0, 3};

	put(&eventfds, sizeof(eventfds));
	expect(VFIO_USER_DEVICE_SET_IRQS, COMMAND,
		" argsz 20 flags (eventfd trigger) index 2 start 1 count 3");
	put(&which, sizeof(which));
	put("\x01\x00\x01", 3);
	expect(VFIO_USER_DEVICE_SET_IRQS, COMMAND,
		" argsz 23 flags (bool mask) index 2 start 0 count 3 which 01:00:01");
	expect(VFIO_USER_DEVICE_SET_IRQS, REPLY, "");
}

static void
test_accesses(void)
{
	const struct vfio_user_region_access access = {.offset = 0x10, .region = 7, .count = 4};
	const struct vfio_user_dma_region_access dma = {.addr = 0x1000, .count = 20};

	put(&access, sizeof(access));
	expect(VFIO_USER_REGION_READ, COMMAND, " region 7 offset 0x10 count 4");
	put(&access, sizeof(access));
	put("\x78\x56\x34\x12", 4);
	expect(VFIO_USER_REGION_READ, REPLY, " region 7 offset 0x10 count 4 data 0x12345678");
	put(&access, sizeof(access));
	put("\x78", 1);
	expect(VFIO_USER_REGION_WRITE, COMMAND, " region 7 offset 0x10 count 4 data 0x78");
	put(&access, sizeof(access));
	expect(VFIO_USER_REGION_WRITE, REPLY, " region 7 offset 0x10 count 4");
	put(&dma, sizeof(dma));
	expect(VFIO_USER_DMA_READ, COMMAND, " addr 0x1000 count 20");
	put(&dma, sizeof(dma));
	put("abcdefghijklmnopqrst", 20);
	expect(VFIO_USER_DMA_WRITE, COMMAND,
		" addr 0x1000 count 20 data "
		"61:62:63:64:65:66:67:68:69:6a:6b:6c:6d:6e:6f:70... (20 bytes)");
}

static void
test_write_multi(void)
{
	struct vfio_user_write_multi_entry entry = {.offset = 8, .region = 0, .count = 2};
	const uint64_t six = 6;
	int i;

	entry.data[0] = 0x34;
	entry.data[1] = 0x12;
	put(&six, sizeof(six));
	put(&entry, sizeof(entry));
	entry.count = 9;
	put(&entry, sizeof(entry));
	expect(VFIO_USER_REGION_WRITE_MULTI, COMMAND,
		" wr_cnt 6; region 0 offset 0x8 count 2 data 0x1234; region 0 offset 0x8 count 9");
	put(&six, sizeof(six));
	for (i = 0; i < 6; i++)
		put(&entry, sizeof(entry));
	expect(VFIO_USER_REGION_WRITE_MULTI, COMMAND,
		" wr_cnt 6; region 0 offset 0x8 count 9; region 0 offset 0x8 count 9; region 0 "
		"offset 0x8 count 9; region 0 offset 0x8 count 9; 2 more");
	put(&six, sizeof(six));
	expect(VFIO_USER_REGION_WRITE_MULTI, REPLY, " wr_cnt 6");
}

static void
put_feature(uint32_t flags, const void *data, size_t len)
{
	const struct vfio_user_device_feature feature = {.argsz = 16, .flags = flags};

	put(&feature, sizeof(feature));
	put(data, len);
}

static void
test_features(void)
{
	const uint64_t migration = 5;
	const struct vfio_user_device_feature_mig_state state = {3, 0};
	const struct vfio_user_device_feature_dma_logging_control control = {
		.page_size = 0x1000, .num_ranges = 1};
	const struct vfio_user_device_feature_dma_logging_range range = {0x2000, 0x3000};
	const struct vfio_user_device_feature_dma_logging_report report = {
		.iova = 0x2000, .length = 0x3000, .page_size = 0x1000};
	uint8_t start[sizeof(control) + sizeof(range)];

	put_feature(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | 1, "", 0);
	expect(VFIO_USER_DEVICE_FEATURE, COMMAND, " argsz 16 flags (get probe) MIGRATION");
	put_feature(VFIO_DEVICE_FEATURE_GET | 1, &migration, sizeof(migration));
	expect(VFIO_USER_DEVICE_FEATURE, REPLY,
		" argsz 16 flags (get) MIGRATION migration (stop_copy pre_copy)");
	put_feature(VFIO_DEVICE_FEATURE_SET | 2, &state, sizeof(state));
	expect(VFIO_USER_DEVICE_FEATURE, COMMAND,
		" argsz 16 flags (set) MIG_DEVICE_STATE state 3 STOP_COPY");
	memcpy(start, &control, sizeof(control));
	memcpy(start + sizeof(control), &range, sizeof(range));
	put_feature(VFIO_DEVICE_FEATURE_SET | 6, start, sizeof(start));
	expect(VFIO_USER_DEVICE_FEATURE, COMMAND,
		" argsz 16 flags (set) DMA_LOGGING_START page_size 0x1000 num_ranges 1; iova "
		"0x2000 length 0x3000");
	put_feature(VFIO_DEVICE_FEATURE_SET | 7, "", 0);
	expect(VFIO_USER_DEVICE_FEATURE, COMMAND, " argsz 16 flags (set) DMA_LOGGING_STOP");
	put_feature(VFIO_DEVICE_FEATURE_GET | 8, &report, sizeof(report));
	expect(VFIO_USER_DEVICE_FEATURE, COMMAND,
		" argsz 16 flags (get) DMA_LOGGING_REPORT iova 0x2000 length 0x3000 page_size "
		"0x1000");
	put_feature(VFIO_DEVICE_FEATURE_GET | 77, "\x01", 1);
	expect(VFIO_USER_DEVICE_FEATURE, REPLY, " argsz 16 flags (get) feature 77 more 0x01");
}

static void
test_migration_data(void)
{
	const struct vfio_user_mig_data data = {.argsz = 10, .size = 2};

	put(&data, sizeof(data));
	expect(VFIO_USER_MIG_DATA_READ, COMMAND, " argsz 10 size 2");
	put(&data, sizeof(data));
	put("\x01\x02", 2);
	expect(VFIO_USER_MIG_DATA_READ, REPLY, " argsz 10 size 2 data 0x0201");
	put(&data, sizeof(data));
	put("\x01\x02", 2);
	expect(VFIO_USER_MIG_DATA_WRITE, COMMAND, " argsz 10 size 2 data 0x0201");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"headers", test_headers},
		{"no header", test_no_header},
		{"version", test_version},
		{"DMA mappings", test_dma_map},
		{"infos", test_infos},
		{"interrupts", test_irqs},
		{"accesses", test_accesses},
		{"writes in one message", test_write_multi},
		{"features", test_features},
		{"migration data", test_migration_data},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_trace", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
