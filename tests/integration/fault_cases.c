/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault_cases.h"

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)

/* What reasons begin with, or are; '#' stands for a digit of a message id. */
#define NO_ANSWER(cmd) "no answer to VFIO_USER_" cmd " within " STRING(FAULT_TIMEOUT_MS) " ms"
#define NO_LONG_ANSWER(cmd) \
	"no answer to VFIO_USER_" cmd " within " STRING(FAULT_LONG_TIMEOUT_MS) " ms"
#define MESSAGE(cmd)    "message 0x#### (VFIO_USER_" cmd "): "
#define REPLY(cmd)      "VFIO_USER_" cmd " reply: "
#define ANSWERED(cmd)   "the server answered VFIO_USER_" cmd " with error "
#define CLOSED          "the server closed the connection"
#define INSTEAD_OF(cmd) CLOSED " instead of answering VFIO_USER_" cmd
#define UNKNOWN_ID      "no request has this message id"
#define NO_COMMAND      "not a command that a server may send"
#define TOO_MANY_FDS    "a message carried more than 8 file descriptors"

/* Longer than any test takes: what waits for it waits for the next reply alone. */
#define NEVER "3600000"

/* clang-format off */
static const struct fault_case opening[] = {
	{"delay=60@version", call_read_id, 0, GOES_ON, .least_ms = 60},
	{"delay=1500@version", NULL, -ETIMEDOUT, ENDS, NO_ANSWER("VERSION")},
	{"drop@version", NULL, -ETIMEDOUT, ENDS, NO_ANSWER("VERSION")},
	{"drop@device_get_info", NULL, -ETIMEDOUT, ENDS, NO_ANSWER("DEVICE_GET_INFO")},
	{"drop@device_get_region_info#3", NULL, -ETIMEDOUT, ENDS,
		NO_ANSWER("DEVICE_GET_REGION_INFO")},
	{"never", NULL, -ETIMEDOUT, ENDS, NO_ANSWER("VERSION")},
	{"duplicate@version", NULL, -EPROTO, ENDS, MESSAGE("VERSION 1, reply") UNKNOWN_ID},
	{"duplicate@device_get_region_info#3", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_REGION_INFO 5, reply") UNKNOWN_ID},
	{"truncate=0@version", NULL, -ECONNRESET, ENDS, INSTEAD_OF("VERSION")},
	{"truncate=20@version", NULL, -ECONNRESET, ENDS, CLOSED " 20 bytes into a message"},
	{"truncate=20@device_get_info", NULL, -ECONNRESET, ENDS, CLOSED " 20 bytes into a message"},
	{"split", call_read_much, 0, GOES_ON},
	{"wrong-id", NULL, -EPROTO, ENDS, MESSAGE("VERSION 1, reply") UNKNOWN_ID},
	{"wrong-id@device_get_region_info#3", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_REGION_INFO 5, reply") UNKNOWN_ID},
	{"wrong-size=8", NULL, -EPROTO, ENDS,
		MESSAGE("VERSION 1") "msg_size 8, expected 20 to 4116"},
	{"wrong-size=0xffffffff", NULL, -EPROTO, ENDS,
		MESSAGE("VERSION 1") "msg_size 4294967295, expected 20 to 4116"},
	{"wrong-size=40@device_get_info", NULL, -ETIMEDOUT, ENDS, NO_ANSWER("DEVICE_GET_INFO")},
	{"length=16@version", NULL, -EPROTO, ENDS,
		MESSAGE("VERSION 1") "msg_size 16, expected 20 to 4116"},
	{"length=28@device_get_info", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_INFO 4") "msg_size 28, expected 32 to 1040"},
	{"length=8192@device_get_info", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_INFO 4") "msg_size 8192, expected 32 to 1040"},
	{"length=40@device_get_region_info#3", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_REGION_INFO 5") "msg_size 40, expected 48 to 1040"},
	{"length=36@device_get_irq_info", call_read_id, 0, GOES_ON},
	{"length=28@device_get_irq_info", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_IRQ_INFO 7") "msg_size 28, expected 32 to 1040"},
	{"wrong-type", NULL, -EPROTO, ENDS, MESSAGE("VERSION 1, command") NO_COMMAND},
	{"wrong-cmd", NULL, -EPROTO, ENDS,
		"message 0x####: a reply to command 9, sent was VFIO_USER_VERSION 1"},
	{"wrong-version", NULL, -EPROTO, ENDS, REPLY("VERSION") "major 1, expected 0"},
	{"wrong-version=minor", NULL, -EPROTO, ENDS,
		REPLY("VERSION") "minor 65535, expected at most 2"},
	{"bad-json={", NULL, -EPROTO, ENDS,
		REPLY("VERSION") "version data is not JSON at byte 1: unexpected end of data"},
	{"bad-json={\"capabilities\":{\"max_msg_fds\":-1}}", NULL, -EPROTO, ENDS,
		REPLY("VERSION") "capability max_msg_fds is -1, expected 0 to 65535"},
	{"bad-json={\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":1}}}",
		NULL, -EPROTO, ENDS,
		REPLY("VERSION")
		"capability twin_socket.fd_index is 1, but 1 file descriptors were received",
		.twin = true},
	{"extra-fds=1@version", NULL, -EPROTO, ENDS,
		REPLY("VERSION") "carried 1 unexpected file descriptors"},
	{"extra-fds=1@version", NULL, -EPROTO, ENDS,
		REPLY("VERSION") "carried 1 unexpected file descriptors", .twin = true},
	{"extra-fds=250@version", NULL, -EPROTO, ENDS, TOO_MANY_FDS},
	{"extra-fds=1@device_get_info", NULL, -EPROTO, ENDS,
		MESSAGE("DEVICE_GET_INFO") "carried 1 unexpected file descriptors"},
	{"extra-fds=2@device_get_region_info#1", NULL, -EPROTO, ENDS,
		"VFIO_USER_DEVICE_GET_REGION_INFO: region 0 carried 2 file descriptors, "
		"for flags 0x3 and 0 sparse areas"},
	{"extra-fds=2@device_get_region_info#3", NULL, -EPROTO, ENDS,
		"VFIO_USER_DEVICE_GET_REGION_INFO: region 2 carried 3 file descriptors, "
		"for flags 0x7 and 0 sparse areas"},
	{"argsz=8@device_get_info", call_read_id, 0, GOES_ON,
		.warning = "VFIO_USER_DEVICE_GET_INFO: argsz 8, expected at least 16"},
	{"argsz=8@device_get_region_info", call_read_id, 0, GOES_ON,
		.warning = "VFIO_USER_DEVICE_GET_REGION_INFO: region 0: argsz 8, and a body of 32 "
			"bytes"},
	{"argsz=1000000@device_get_region_info#3", NULL, -EPROTO, ENDS,
		REPLY("DEVICE_GET_REGION_INFO") "argsz 1000000, expected at most 65536"},
	{"argsz=2000@device_get_region_info", call_read_id, 0, GOES_ON,
		.warning = "VFIO_USER_DEVICE_GET_REGION_INFO: region 0: argsz 2000, and a body of "
			"32 bytes"},
	{"argsz=8@device_get_irq_info", call_read_id, 0, GOES_ON,
		.warning = "VFIO_USER_DEVICE_GET_IRQ_INFO: index 0: argsz 8, expected at least 16"},
	{"cap-loop", NULL, -EPROTO, ENDS,
		REPLY("DEVICE_GET_REGION_INFO")
		"region 4: capability at offset 32, but the last one ends at 80 of 80 bytes"},
	{"error=1@version", NULL, -EPERM, ENDS, ANSWERED("VERSION") "1 (Operation not permitted)"},
	{"error=0@device_get_info", NULL, -EIO, ENDS,
		ANSWERED("DEVICE_GET_INFO") "0 (Input/output error)"},
	{"error=12@device_get_region_info#3", NULL, -ENOMEM, ENDS,
		"region 2: " ANSWERED("DEVICE_GET_REGION_INFO") "12 (Cannot allocate memory)"},
	{"error=22@device_get_region_info#9", call_read_id, 0, GOES_ON,
		.warning = "region 8: " ANSWERED("DEVICE_GET_REGION_INFO")
			"22 (Invalid argument): treated as absent"},
	{"error=22@device_get_irq_info", call_read_id, 0, GOES_ON,
		.warning = "IRQ index 0 and 4 more: " ANSWERED("DEVICE_GET_IRQ_INFO")
			"22 (Invalid argument): treated as absent"},
	{"error=13@region_read#1", call_read_id, 0, GOES_ON},
	{"close@version", NULL, -ECONNRESET, ENDS, INSTEAD_OF("VERSION")},
	{"close@device_get_info", NULL, -ECONNRESET, ENDS, INSTEAD_OF("DEVICE_GET_INFO")},
	{"close@device_get_irq_info#5", NULL, -ECONNRESET, ENDS, INSTEAD_OF("DEVICE_GET_IRQ_INFO")},
	{"close@region_read#1", NULL, -ECONNRESET, ENDS, INSTEAD_OF("REGION_READ")},
	{"close-on-accept", NULL, -ECONNRESET, ENDS, INSTEAD_OF("VERSION")},
};

/* Opening reads the BARs of config space: six messages. */
static const struct fault_case accesses[] = {
	{"delay=60@region_read#7", call_read_id, 0, GOES_ON, .least_ms = 60},
	{"delay=1500@region_read#7", call_read_id, -ETIMEDOUT, GOES_ON, NO_ANSWER("REGION_READ")},
	{"reorder=60@region_read#7", call_read_id, 0, GOES_ON, .least_ms = 60},
	{"reorder=" NEVER "@region_read#7", call_read_at_once, 0, GOES_ON},
	{"reorder=" NEVER "@region_read#7", call_read_id, -ETIMEDOUT, GOES_ON,
		NO_ANSWER("REGION_READ")},
	{"drop@region_read#7", call_read_id, -ETIMEDOUT, GOES_ON, NO_ANSWER("REGION_READ")},
	{"drop@region_write", call_write_scratch, -ETIMEDOUT, GOES_ON, NO_ANSWER("REGION_WRITE")},
	{"drop@device_reset", vuc_device_reset, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DEVICE_RESET")},
	{"never@region_read#7", call_read_id, -ETIMEDOUT, MUTE, NO_ANSWER("REGION_READ")},
	{"duplicate@region_read#7", call_read_id_again, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9, reply") UNKNOWN_ID},
	{"truncate=0@region_read#7", call_read_id, -ECONNRESET, ENDS, INSTEAD_OF("REGION_READ")},
	{"truncate=5@region_read#7", call_read_id, -ECONNRESET, ENDS,
		CLOSED " 5 bytes into a message"},
	{"truncate=33@region_read#7", call_read_id, -ECONNRESET, ENDS,
		CLOSED " 33 bytes into a message"},
	{"wrong-id@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9, reply") UNKNOWN_ID},
	{"wrong-size=0@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9") "msg_size 0, expected 32 to 36"},
	{"wrong-size=37@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9") "msg_size 37, expected 32 to 36"},
	{"wrong-size=33@region_read#7", call_read_id_twice, -EPROTO, ENDS,
		"message 0x#### ((unknown) *",
		.warning = MESSAGE("REGION_READ")
			"count 4 and 1 bytes of data, requested count 4"},
	{"length=16@region_read#7", call_read_id, -EPROTO, GOES_ON,
		MESSAGE("REGION_READ") "a reply without data to a request of count 4",
		.warning = MESSAGE("REGION_READ") "a reply without data to a request of count 4"},
	{"length=20@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9") "msg_size 20, expected 32 to 36"},
	{"length=35@region_read#7", call_read_id, -EPROTO, GOES_ON,
		MESSAGE("REGION_READ") "count 4 and 3 bytes of data, requested count 4",
		.warning = MESSAGE("REGION_READ")
			"count 4 and 3 bytes of data, requested count 4"},
	{"length=16@region_write", call_write_scratch, 0, GOES_ON,
		.warning = MESSAGE("REGION_WRITE") "a reply of 0 bytes with count 0, requested 8"},
	{"length=33@region_write", call_write_scratch, -EPROTO, ENDS,
		MESSAGE("REGION_WRITE 10") "msg_size 33, expected 32 to 32"},
	{"length=20@device_reset", vuc_device_reset, -EPROTO, ENDS,
		MESSAGE("DEVICE_RESET 13") "msg_size 20, expected 16 to 16"},
	{"wrong-count@region_read#7", call_read_id, 0, GOES_ON,
		.warning = MESSAGE("REGION_READ") "a reply of 20 bytes with count 5, requested 4"},
	{"wrong-count@region_write", call_write_scratch, 0, GOES_ON,
		.warning = MESSAGE("REGION_WRITE")
			"a reply of 16 bytes with count 9, requested 8"},
	{"error=0@device_reset", vuc_device_reset, -EOPNOTSUPP, GOES_ON,
		ANSWERED("DEVICE_RESET") "0 (Operation not supported)",
		.warning = "flags have VFIO_DEVICE_FLAGS_RESET, but " ANSWERED("DEVICE_RESET")
			"0 (Operation not supported): the device is treated as one without reset"},
	{"wrong-count@region_write_multi", call_write_posted, 0, GOES_ON},
	{"wrong-type@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9, command") NO_COMMAND},
	{"wrong-cmd@region_read#7", call_read_id, -EPROTO, ENDS,
		"message 0x####: a reply to command 10, sent was VFIO_USER_REGION_READ 9"},
	{"extra-fds=1@region_read#7", call_read_id, -EPROTO, ENDS,
		MESSAGE("REGION_READ") "carried 1 unexpected file descriptors", .refused = true},
	{"extra-fds=250@region_read#7", call_read_id, -EPROTO, ENDS, TOO_MANY_FDS, .refused = true},
	{"error=5@region_read#7", call_read_id, -EIO, GOES_ON,
		ANSWERED("REGION_READ") "5 (Input/output error)"},
	{"error=0@region_read#7", call_read_id, -EIO, GOES_ON,
		ANSWERED("REGION_READ") "0 (Input/output error)"},
	{"error=0xffffffff@region_read#7", call_read_id, -EIO, GOES_ON,
		ANSWERED("REGION_READ") "4294967295 (Input/output error)"},
	{"error=28@region_write", call_write_scratch, -ENOSPC, GOES_ON,
		ANSWERED("REGION_WRITE") "28 (No space left on device)"},
	{"error=16@device_reset", vuc_device_reset, -EBUSY, GOES_ON,
		ANSWERED("DEVICE_RESET") "16 (Device or resource busy)"},
	{"close@region_read#7", call_read_id, -ECONNRESET, ENDS, INSTEAD_OF("REGION_READ")},
	{"close@region_write", call_write_scratch, -ECONNRESET, ENDS, INSTEAD_OF("REGION_WRITE")},
};

static const struct fault_case dma[] = {
	{"reorder=" NEVER "@dma_map#1", call_map, 0, GOES_ON},
	{"reorder=60@dma_unmap", call_unmap, 0, GOES_ON, .least_ms = 60},
	{"drop@dma_map#2", call_map, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DMA_MAP")},
	{"delay=1500@dma_map#1", call_map, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DMA_MAP")},
	{"drop@dma_unmap", call_unmap, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DMA_UNMAP")},
	{"drop@dma_unmap", call_unmap_dirty, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DMA_UNMAP")},
	{"error=28@dma_map#3", call_unmap_middle, -ENOSPC, GOES_ON,
		"DMA mapping of 0x102000 + 0x1000, which was mapped before and is lost: "
		ANSWERED("DMA_MAP") "28 (No space left on device)"},
	{"error=28@dma_map#4", call_unmap_middle, -ENOSPC, GOES_ON,
		"DMA mapping of 0x80000 + 0x1000: "
		ANSWERED("DMA_MAP") "28 (No space left on device)"},
	{"error=22@dma_unmap", call_unmap, -EINVAL, GOES_ON,
		"DMA unmapping of 0x100000 + 0x1000: "
		ANSWERED("DMA_UNMAP") "22 (Invalid argument)"},
	{"error=38@dma_unmap#3", call_unmap_all, 0, GOES_ON},
	{"drop@dma_unmap#3", call_unmap_all, -ETIMEDOUT, ENDS, NO_LONG_ANSWER("DMA_UNMAP")},
	{"duplicate@dma_map", call_map, -EPROTO, ENDS, MESSAGE("DMA_MAP 2, reply") UNKNOWN_ID},
	{"length=20@dma_map", call_map, -EPROTO, ENDS,
		MESSAGE("DMA_MAP 2") "msg_size 20, expected 16 to 16"},
	{"length=20@dma_unmap", call_unmap, -EPROTO, GOES_ON,
		"DMA unmapping of 0x100000 + 0x1000: "
		REPLY("DMA_UNMAP") "body of 4 bytes, expected at least 24"},
	{"length=41@dma_unmap", call_unmap, -EPROTO, GOES_ON,
		"DMA unmapping of 0x100000 + 0x1000: "
		REPLY("DMA_UNMAP") "body of 25 bytes, expected 24"},
	{"length=20@dma_unmap", call_unmap_dirty, -EPROTO, GOES_ON,
		REPLY("DMA_UNMAP") "body of 4 bytes, expected at least 40"},
	{"length=60@dma_unmap", call_unmap_dirty, -EPROTO, GOES_ON,
		REPLY("DMA_UNMAP") "body of 44 bytes, expected 48"},
	{"length=8192@dma_unmap", call_unmap_dirty, -EPROTO, ENDS,
		MESSAGE("DMA_UNMAP 3") "msg_size 8192, expected 16 to 64"},
	{"argsz=8@dma_unmap", call_unmap, -EPROTO, GOES_ON,
		"DMA unmapping of 0x100000 + 0x1000: "
		REPLY("DMA_UNMAP") "argsz 8, expected at least 24"},
	{"error=14@dma_map#1", call_map, -EFAULT, GOES_ON,
		"DMA mapping of 0x100000 + 0x1000: " ANSWERED("DMA_MAP") "14 (Bad address)"},
	{"error=2@dma_unmap", call_unmap, 0, GOES_ON},
	{"close@dma_map#2", call_map, -ECONNRESET, ENDS, INSTEAD_OF("DMA_MAP")},
	{"delay=60@dma_read", call_transfer, 0, GOES_ON, .least_ms = 60},
	{"split@dma_read", call_transfer, 0, GOES_ON, .twin = true},
	{"duplicate@dma_read", call_transfer, -ECONNRESET, ENDS, CLOSED "*"},
	{"truncate=20@dma_read", call_transfer, -ECONNRESET, ENDS,
		CLOSED " 20 bytes into a message"},
	{"wrong-id@dma_read", call_transfer, -ECONNRESET, ENDS, CLOSED "*"},
	{"wrong-size=8@dma_read", call_transfer, -EPROTO, ENDS,
		MESSAGE("DMA_READ 11") "msg_size 8, expected 32 to 32"},
	{"wrong-size=8@dma_read", call_transfer, -EPROTO, ENDS,
		"twin socket: " MESSAGE("DMA_READ 11") "msg_size 8, expected 32 to 32",
		.twin = true},
	{"length=40@dma_read", call_transfer, -EPROTO, ENDS,
		MESSAGE("DMA_READ 11") "msg_size 40, expected 32 to 32"},
	{"wrong-count@dma_read", call_transfer, -ECONNRESET, ENDS, CLOSED "*"},
	{"wrong-cmd@dma_read", call_transfer, -EPROTO, ENDS,
		MESSAGE("REGION_READ 9, command") NO_COMMAND},
	{"extra-fds=1@dma_read", call_transfer, -EPROTO, ENDS,
		MESSAGE("DMA_READ 11, command") "carried unexpected file descriptors",
		.refused = true},
	{"extra-fds=1@dma_read", call_transfer, -EPROTO, ENDS,
		"twin socket: "
		MESSAGE("DMA_READ 11, command") "carried unexpected file descriptors",
		.twin = true},
	{"error=5@dma_read", call_transfer, -EPROTO, ENDS,
		MESSAGE("DMA_READ 11, command") "a command with the error flag"},
	{"close@dma_read", call_transfer, -ECONNRESET, ENDS, CLOSED "*"},
};

static const struct fault_case others[] = {
	{"length=20@device_set_irqs", call_disable_msix, -EPROTO, ENDS,
		MESSAGE("DEVICE_SET_IRQS 8") "msg_size 20, expected 16 to 16"},
	{"error=22@device_set_irqs", call_disable_msix, -EINVAL, GOES_ON,
		"IRQ index 2, interrupts 0 to 7: "
		ANSWERED("DEVICE_SET_IRQS") "22 (Invalid argument)"},
	{"fd-index=9", call_get_io_fds, -EPROTO, GOES_ON,
		REPLY("DEVICE_GET_REGION_IO_FDS")
		"region 0: sub-region 0: fd_index 9, expected the index of a received fd"},
	{"argsz=8@device_get_region_io_fds", call_get_io_fds, -EPROTO, GOES_ON,
		REPLY("DEVICE_GET_REGION_IO_FDS") "region 0: argsz 8, expected 16 to 65536"},
	{"argsz=1000@device_get_region_io_fds", call_get_io_fds, -EPROTO, GOES_ON,
		REPLY("DEVICE_GET_REGION_IO_FDS") "body of 160 bytes, expected 1000"},
	{"length=40@device_get_region_io_fds#2", call_get_io_fds, -EPROTO, GOES_ON,
		REPLY("DEVICE_GET_REGION_IO_FDS") "body of 24 bytes, expected 160"},
	{"extra-fds=5@device_get_region_io_fds#2", call_get_io_fds, -EPROTO, ENDS, TOO_MANY_FDS},
	{"close@device_get_region_io_fds", call_get_io_fds, -ECONNRESET, ENDS,
		INSTEAD_OF("DEVICE_GET_REGION_IO_FDS")},
	{"error=12@device_get_region_io_fds#2", call_get_io_fds, -ENOMEM, GOES_ON,
		ANSWERED("DEVICE_GET_REGION_IO_FDS") "12 (Cannot allocate memory)"},
	{"argsz=8@device_feature", call_ask_migration, -EPROTO, GOES_ON,
		REPLY("DEVICE_FEATURE") "argsz 8, expected 16"},
	{"length=24@device_feature", call_ask_migration, -EPROTO, GOES_ON,
		REPLY("DEVICE_FEATURE") "body of 8 bytes, expected 16"},
	{"error=5@device_feature", call_ask_migration, -EIO, GOES_ON,
		ANSWERED("DEVICE_FEATURE") "5 (Input/output error)"},
	{"wrong-count@mig_data_read", call_read_migration, -EPROTO, GOES_ON,
		REPLY("MIG_DATA_READ") "size 65, requested at most 64"},
	{"argsz=8@mig_data_read", call_read_migration, -EPROTO, GOES_ON,
		REPLY("MIG_DATA_READ") "argsz 8, expected 72"},
	{"length=20@mig_data_read", call_read_migration, -EPROTO, ENDS,
		MESSAGE("MIG_DATA_READ 17") "msg_size 20, expected 24 to 88"},
	{"close@mig_data_read", call_read_migration, -ECONNRESET, ENDS,
		INSTEAD_OF("MIG_DATA_READ")},
};

/* clang-format on */

const struct fault_table fault_tables[4] = {
	{"opening", opening, NR(opening)},
	{"accesses", accesses, NR(accesses)},
	{"DMA", dma, NR(dma)},
	{"everything else", others, NR(others)},
};
