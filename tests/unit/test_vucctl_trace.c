/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "tap.h"
#include "vfio_user.h"

#define COMMAND VFIO_USER_F_TYPE_COMMAND
#define REPLY   VFIO_USER_F_TYPE_REPLY

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
	vucctl_message_print(out, &message);
	fclose(out);
	free(copy);
	end = strchr(text, '\n');
	CU_ASSERT_PTR_NOT_NULL_FATAL(end);
	CU_ASSERT_EQUAL(end[1], '\0');
	*end = '\0';
	return text;
}

static void
expect_line(const uint8_t *bytes, size_t len, struct vuc_trace_message message, size_t skip,
	const char *expected)
{
	char *line = line_of(bytes, len, message);

	CU_ASSERT_FATAL(strlen(line) >= skip);
	CU_ASSERT_STRING_EQUAL(line + skip, expected);
	if (strcmp(line + skip, expected) != 0)
		printf("# '%s' is not '%s'\n", line + skip, expected);
	free(line);
}

static void
test_headers(void)
{
	static const struct {
		struct vuc_trace_message message;
		uint16_t cmd;
		uint32_t flags, error;
		const char *body;
		const char *expected;
	} rows[] = {
		{{.sent = true}, VFIO_USER_DEVICE_RESET, COMMAND, 0, "",
			"-> #7     DEVICE_RESET             command     16 bytes"},
		{{.sent = false}, VFIO_USER_DEVICE_RESET, REPLY, 0, "",
			"<- #7     DEVICE_RESET             reply       16 bytes"},
		{{.sent = true, .twin = true, .nr_fds = 1}, VFIO_USER_DEVICE_RESET,
			COMMAND | VFIO_USER_F_NO_REPLY, 0, "",
			"=> #7     DEVICE_RESET             command     16 bytes 1 fd no_reply"},
		{{.twin = true, .nr_fds = 3}, VFIO_USER_DEVICE_RESET, 2 | 0x100, 0, "",
			"<= #7     DEVICE_RESET             unknown     16 bytes 3 fds flags "
			"0x100"},
		{{0}, VFIO_USER_DEVICE_RESET, REPLY | VFIO_USER_F_ERROR, 22, "",
			"<- #7     DEVICE_RESET             reply       16 bytes error 22 "
			"(Invalid argument)"},
		{{0}, VFIO_USER_DEVICE_RESET, REPLY | VFIO_USER_F_ERROR, UINT32_MAX, "",
			"<- #7     DEVICE_RESET             reply       16 bytes error 4294967295"},
		{{0}, 999, COMMAND, 0, "\x01\x02\x03",
			"<- #7     COMMAND_999              command     19 bytes more 01:02:03"},
		{{.sent = true}, 14, COMMAND, 0, "",
			"-> #7     COMMAND_14               command     16 bytes"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct {
			struct vfio_user_header header;
			char body[8];
		} m = {.header = {7, rows[i].cmd, 0, rows[i].flags, rows[i].error}};

		strcpy(m.body, rows[i].body);
		m.header.msg_size = (uint32_t)(sizeof(m.header) + strlen(m.body));
		expect_line((uint8_t *)&m, m.header.msg_size, rows[i].message, 0, rows[i].expected);
	}
	expect_line((uint8_t[16]){0}, 15, (struct vuc_trace_message){.sent = true}, 0,
		"-> 15 bytes: too short for a header");
}

/* A body is a struct, or the beginning of one, and bytes behind it. */
#define BODY(type, ...) \
	&(const struct vfio_user_##type){__VA_ARGS__}, sizeof(struct vfio_user_##type)
#define BYTES(string)    string, sizeof(string) - 1
#define FEATURE(how, nr) BODY(device_feature, 16, VFIO_DEVICE_FEATURE_##how | (nr))
#define ENTRY(count)              \
	"\x08\0\0\0\0\0\0\0"      \
	"\0\0\0\0" count "\0\0\0" \
	"\x34\x12\0\0\0\0\0\0"
#define SIX        "\x06\0\0\0\0\0\0\0", 8
#define NINE_BYTES "region 0 offset 0x8 count 9; "

static const struct {
	uint16_t cmd;
	uint32_t flags;
	const void *fixed;
	size_t fixed_len;
	const char *tail;
	size_t tail_len;
	const char *expected;
} bodies[] = {
	{VFIO_USER_VERSION, COMMAND, BODY(version, 0, 2), BYTES("{}\x1b\0"),
		" major 0 minor 2 {}\\x1b"},
	{VFIO_USER_VERSION, REPLY, BODY(version, 0, 2), BYTES(""), " major 0 minor 2"},
	{VFIO_USER_VERSION, REPLY, BODY(version, 0, 2), BYTES("{"),
		" major 0 minor 2 { (without a NUL)"},
	{VFIO_USER_VERSION, REPLY, BODY(version, 0, 2), BYTES("{}\0\x01\x02\x03"),
		" major 0 minor 2 {} more 01:02:03"},
	{VFIO_USER_DMA_MAP, COMMAND, BODY(dma_map, 32, 0x13, 0x1000, 0x100000000, 0x2000),
		BYTES(""),
		" argsz 32 flags (read write 0x10) addr 0x100000000 size 0x2000 offset "
		"0x1000"},
	{VFIO_USER_DMA_MAP, COMMAND, BYTES("\x20\0\0\0\x13\0\0\0\0\x10\0\0"), BYTES(""),
		" argsz 32 flags (read write 0x10) (12 of 32 bytes)"},
	{VFIO_USER_DMA_UNMAP, REPLY, BODY(dma_unmap, 40, 1, 0x1000, 0x2000),
		BYTES("\0\x10\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"),
		" argsz 40 flags (get_dirty_bitmap) addr 0x1000 size 0x2000 pgsize 0x1000 "
		"bitmap 8 bytes data 0x0000000000000003"},
	{VFIO_USER_DMA_UNMAP, REPLY, BYTES(""), BYTES(""), " (0 of 24 bytes)"},
	{VFIO_USER_DEVICE_GET_INFO, COMMAND, BODY(device_info, 16, 0, 0, 0), BYTES(""),
		" argsz 16"},
	{VFIO_USER_DEVICE_GET_INFO, REPLY, BODY(device_info, 16, 3, 9, 5), BYTES(""),
		" argsz 16 flags (reset pci) num_regions 9 num_irqs 5"},
	{VFIO_USER_DEVICE_GET_REGION_INFO, REPLY, BODY(region_info, 32, 7, 2, 0, 0x10000, 0x3000),
		BYTES("\x01\x02\x03\x04"),
		" argsz 32 index 2 flags (read write mmap) size 0x10000 offset 0x3000 "
		"cap_offset 0 more 0x04030201"},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, REPLY, BODY(irq_info, 16, 0x7, 0, 1), BYTES(""),
		" argsz 16 index 0 flags (eventfd maskable automasked) count 1"},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, COMMAND, BODY(region_io_fds, 16, 0, 2, 1), BYTES(""),
		" argsz 16 flags 0x0 index 2 count 1"},
	{VFIO_USER_DEVICE_SET_IRQS, COMMAND, BODY(irq_set, 20, 0x24, 2, 1, 3), BYTES(""),
		" argsz 20 flags (eventfd trigger) index 2 start 1 count 3"},
	{VFIO_USER_DEVICE_SET_IRQS, COMMAND, BODY(irq_set, 23, 0x0a, 2, 0, 3), BYTES("\x01\0\x01"),
		" argsz 23 flags (bool mask) index 2 start 0 count 3 which 01:00:01"},
	{VFIO_USER_DEVICE_SET_IRQS, REPLY, BYTES(""), BYTES(""), ""},
	{VFIO_USER_REGION_READ, COMMAND, BODY(region_access, 0x10, 7, 4), BYTES(""),
		" region 7 offset 0x10 count 4"},
	{VFIO_USER_REGION_READ, REPLY, BODY(region_access, 0x10, 7, 4), BYTES("xV4\x12"),
		" region 7 offset 0x10 count 4 data 0x12345678"},
	{VFIO_USER_REGION_WRITE, COMMAND, BODY(region_access, 0x10, 7, 4), BYTES("x"),
		" region 7 offset 0x10 count 4 data 0x78"},
	{VFIO_USER_REGION_WRITE, REPLY, BODY(region_access, 0x10, 7, 4), BYTES(""),
		" region 7 offset 0x10 count 4"},
	{VFIO_USER_DMA_READ, COMMAND, BODY(dma_region_access, 0x1000, 20), BYTES(""),
		" addr 0x1000 count 20"},
	{VFIO_USER_DMA_WRITE, COMMAND, BODY(dma_region_access, 0x1000, 20),
		BYTES("abcdefghijklmnopqrst"),
		" addr 0x1000 count 20 data "
		"61:62:63:64:65:66:67:68:69:6a:6b:6c:6d:6e:6f:70... (20 bytes)"},
	{VFIO_USER_REGION_WRITE_MULTI, COMMAND, SIX,
		BYTES(ENTRY("\x02") ENTRY("\x08") ENTRY("\x09")),
		" wr_cnt 6; region 0 offset 0x8 count 2 data 0x1234; region 0 offset 0x8 "
		"count 8 data 0x0000000000001234; region 0 offset 0x8 count 9"},
	{VFIO_USER_REGION_WRITE_MULTI, COMMAND, SIX,
		BYTES(ENTRY("\x09") ENTRY("\x09") ENTRY("\x09") ENTRY("\x09") ENTRY("\x09")
				ENTRY("\x09")),
		" wr_cnt 6; " NINE_BYTES NINE_BYTES NINE_BYTES NINE_BYTES "2 more"},
	{VFIO_USER_REGION_WRITE_MULTI, REPLY, SIX, BYTES(""), " wr_cnt 6"},
	{VFIO_USER_DEVICE_FEATURE, COMMAND, FEATURE(PROBE, VFIO_DEVICE_FEATURE_GET | 1), BYTES(""),
		" argsz 16 flags (get probe) MIGRATION"},
	{VFIO_USER_DEVICE_FEATURE, REPLY, FEATURE(GET, 1), BYTES("\x05\0\0\0\0\0\0\0"),
		" argsz 16 flags (get) MIGRATION migration (stop_copy pre_copy)"},
	{VFIO_USER_DEVICE_FEATURE, REPLY, FEATURE(GET, 1), BYTES("\x05\0\0\0\x01\0\0\0"),
		" argsz 16 flags (get) MIGRATION migration (stop_copy pre_copy) and "
		"0x100000000"},
	{VFIO_USER_DEVICE_FEATURE, REPLY, FEATURE(GET, 1), BYTES("\x05\0\0\0\0\0\0\0\0"),
		" argsz 16 flags (get) MIGRATION more 05:00:00:00:00:00:00:00:00"},
	{VFIO_USER_DEVICE_FEATURE, COMMAND, FEATURE(SET, 2), BYTES("\x03\0\0\0\0\0\0\0"),
		" argsz 16 flags (set) MIG_DEVICE_STATE state 3 STOP_COPY"},
	{VFIO_USER_DEVICE_FEATURE, COMMAND, FEATURE(SET, 6),
		BYTES("\0\x10\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x30\0\0\0\0\0\0"),
		" argsz 16 flags (set) DMA_LOGGING_START page_size 0x1000 num_ranges 1; "
		"iova 0x2000 length 0x3000"},
	{VFIO_USER_DEVICE_FEATURE, COMMAND, FEATURE(SET, 7), BYTES(""),
		" argsz 16 flags (set) DMA_LOGGING_STOP"},
	{VFIO_USER_DEVICE_FEATURE, COMMAND, FEATURE(GET, 8),
		BYTES("\0\x20\0\0\0\0\0\0\0\x30\0\0\0\0\0\0\0\x10\0\0\0\0\0\0"),
		" argsz 16 flags (get) DMA_LOGGING_REPORT iova 0x2000 length 0x3000 "
		"page_size 0x1000"},
	{VFIO_USER_DEVICE_FEATURE, REPLY, FEATURE(GET, 77), BYTES("\x01"),
		" argsz 16 flags (get) feature 77 more 0x01"},
	{VFIO_USER_MIG_DATA_READ, COMMAND, BODY(mig_data, 10, 2), BYTES(""), " argsz 10 size 2"},
	{VFIO_USER_MIG_DATA_READ, REPLY, BODY(mig_data, 10, 2), BYTES("\x01\x02"),
		" argsz 10 size 2 data 0x0201"},
	{VFIO_USER_MIG_DATA_WRITE, COMMAND, BODY(mig_data, 10, 2), BYTES("\x01\x02"),
		" argsz 10 size 2 data 0x0201"},
};

/* What the fields read like, behind the header. Every shorter message has to be printed as well, by
 * a decoder that reads no byte behind its end. */
static void
test_bodies(void)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		const struct vuc_trace_message message = {.sent = bodies[i].flags == COMMAND};
		size_t len = sizeof(struct vfio_user_header);
		uint8_t bytes[256];

		memcpy(bytes + len, bodies[i].fixed, bodies[i].fixed_len);
		len += bodies[i].fixed_len;
		memcpy(bytes + len, bodies[i].tail, bodies[i].tail_len);
		len += bodies[i].tail_len;
		memcpy(bytes,
			&(struct vfio_user_header){
				7, bodies[i].cmd, (uint32_t)len, bodies[i].flags, 0},
			sizeof(struct vfio_user_header));
		expect_line(bytes, len, message,
			strlen("-> #7     DEVICE_RESET             command     16 bytes"),
			bodies[i].expected);
		for (size_t shorter = 0; shorter < len; shorter++)
			free(line_of(bytes, shorter, message));
	}
}

const struct tap_suite tap_suite = {"vucctl_trace", NULL, NULL,
	{
		{"headers", test_headers},
		{"bodies", test_bodies},
	}};
