/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_VFIO_USER_H
#define VUC_WIRE_VFIO_USER_H

/*
 * The messages of the vfio-user protocol as they are on the wire, under the names of the
 * specification (QEMU's docs/interop/vfio-user.rst) and, where that has no name, of
 * <linux/vfio.h>. All fields are in the byte order of the host. Nothing but layout lives here.
 */

#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

#define VFIO_USER_PACKED __attribute__((packed))

/* The version that vuc speaks. */
#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 2

/* What a peer may assume of capabilities that were not announced ("Version", capabilities). */
#define VFIO_USER_DEFAULT_MAX_MSG_FDS        1
#define VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE 1048576
#define VFIO_USER_DEFAULT_MAX_DMA_MAPS       65535
#define VFIO_USER_DEFAULT_PGSIZES            4096

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_DEVICE_RESET = 13,
	/* 14 is not in use. */
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
	VFIO_USER_MAX = 19,
};

/* "Header" */
struct vfio_user_header {
	uint16_t msg_id;
	uint16_t cmd;
	uint32_t msg_size; /* of the whole message, this header included */
	uint32_t flags;
	uint32_t error_no; /* valid in a reply with VFIO_USER_F_ERROR; may be 0 even then */
} VFIO_USER_PACKED;

#define VFIO_USER_F_TYPE_MASK    0xfu
#define VFIO_USER_F_TYPE_COMMAND 0x0u
#define VFIO_USER_F_TYPE_REPLY   0x1u
#define VFIO_USER_F_NO_REPLY     0x10u
#define VFIO_USER_F_ERROR        0x20u
#define VFIO_USER_F_KNOWN        0x3fu

/* "VFIO_USER_VERSION"; data is JSON with its terminating NUL */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	char data[];
} VFIO_USER_PACKED;

/* "VFIO_USER_DMA_MAP" */
struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t addr;
	uint64_t size;
} VFIO_USER_PACKED;

#define VFIO_USER_F_DMA_REGION_READ    (1u << 0)
#define VFIO_USER_F_DMA_REGION_WRITE   (1u << 1)
#define VFIO_USER_F_DMA_REGION_MMAP    (1u << 2) /* newer servers: map the fd */
#define VFIO_USER_F_DMA_REGION_FILE_IO (1u << 3) /* newer servers: pread and pwrite the fd */

/* "VFIO_USER_DMA_UNMAP"; with VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP a vfio_user_bitmap follows */
struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
} VFIO_USER_PACKED;

struct vfio_user_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes of data */
	uint8_t data[];
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_GET_INFO" */
struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FLAGS_* */
	uint32_t num_regions;
	uint32_t num_irqs;
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_GET_REGION_INFO"; capabilities follow at cap_offset */
struct vfio_user_region_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_REGION_INFO_FLAG_* */
	uint32_t index;
	uint32_t cap_offset; /* from the start of this structure */
	uint64_t size;
	uint64_t offset;
} VFIO_USER_PACKED;

/* "VFIO cap header format" */
struct vfio_user_cap_header {
	uint16_t id; /* VFIO_REGION_INFO_CAP_* */
	uint16_t version;
	uint32_t next; /* from the start of vfio_user_region_info; 0 at the last one */
} VFIO_USER_PACKED;

struct vfio_user_sparse_area {
	uint64_t offset;
	uint64_t size;
} VFIO_USER_PACKED;

/* "VFIO sparse mmap cap header", header included */
struct vfio_user_cap_sparse_mmap {
	struct vfio_user_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_user_sparse_area areas[];
} VFIO_USER_PACKED;

/* VFIO_REGION_INFO_CAP_TYPE of <linux/vfio.h>, header included */
struct vfio_user_cap_type {
	struct vfio_user_cap_header header;
	uint32_t type;
	uint32_t subtype;
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_GET_REGION_IO_FDS"; in a reply, count sub-regions follow */
struct vfio_user_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} VFIO_USER_PACKED;

#define VFIO_USER_IO_FD_TYPE_IOEVENTFD        0
#define VFIO_USER_IO_FD_TYPE_IOREGIONFD       1
#define VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW 2

struct vfio_user_sub_region_ioeventfd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t shadow_mem_fd_index; /* padding in servers without shadow ioeventfds */
	uint64_t shadow_offset;
	uint64_t datamatch;
} VFIO_USER_PACKED;

struct vfio_user_sub_region_ioregionfd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t user_data;
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_GET_IRQ_INFO" */
struct vfio_user_irq_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t index;
	uint32_t count;
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_SET_IRQS"; with VFIO_IRQ_SET_DATA_BOOL, count bytes follow */
struct vfio_user_irq_set {
	uint32_t argsz;
	uint32_t flags; /* VFIO_IRQ_SET_* */
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
} VFIO_USER_PACKED;

/* "VFIO_USER_REGION_READ", "VFIO_USER_REGION_WRITE" */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[];
} VFIO_USER_PACKED;

/* "VFIO_USER_DMA_READ", "VFIO_USER_DMA_WRITE". The specification gives the count in the reply of
 * a write 4 bytes, every implementation 8. */
struct vfio_user_dma_region_access {
	uint64_t addr;
	uint64_t count;
	uint8_t data[];
} VFIO_USER_PACKED;

/* "VFIO_USER_REGION_WRITE_MULTI" */
struct vfio_user_write_multi_entry {
	uint64_t offset;
	uint32_t region;
	uint32_t count; /* at most 8 */
	uint8_t data[8];
} VFIO_USER_PACKED;

struct vfio_user_write_multi {
	uint64_t wr_cnt;
	struct vfio_user_write_multi_entry wrs[]; /* not in the reply */
} VFIO_USER_PACKED;

/* "VFIO_USER_DEVICE_FEATURE" */
struct vfio_user_device_feature {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FEATURE_* and the index */
	uint8_t data[];
} VFIO_USER_PACKED;

/* Kernel headers before 6.1 and 6.2 lack these. */
#ifndef VFIO_DEVICE_FEATURE_MIGRATION
#define VFIO_DEVICE_FEATURE_MIGRATION        1
#define VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE 2
#define VFIO_MIGRATION_STOP_COPY             (1 << 0)
#define VFIO_MIGRATION_P2P                   (1 << 1)
#endif
#ifndef VFIO_MIGRATION_PRE_COPY
#define VFIO_MIGRATION_PRE_COPY (1 << 2)
#endif
#ifndef VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_START  6
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP   7
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT 8
#endif

/* "VFIO_DEVICE_FEATURE_MIGRATION" */
struct vfio_user_device_feature_migration {
	uint64_t flags; /* VFIO_MIGRATION_* */
} VFIO_USER_PACKED;

/* "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE" */
struct vfio_user_device_feature_mig_state {
	uint32_t device_state; /* enum vfio_user_device_mig_state */
	uint32_t data_fd;      /* not used */
} VFIO_USER_PACKED;

enum vfio_user_device_mig_state {
	VFIO_USER_DEVICE_STATE_ERROR = 0,
	VFIO_USER_DEVICE_STATE_STOP = 1,
	VFIO_USER_DEVICE_STATE_RUNNING = 2,
	VFIO_USER_DEVICE_STATE_STOP_COPY = 3,
	VFIO_USER_DEVICE_STATE_RESUMING = 4,
	VFIO_USER_DEVICE_STATE_RUNNING_P2P = 5,
	VFIO_USER_DEVICE_STATE_PRE_COPY = 6,
	VFIO_USER_DEVICE_STATE_PRE_COPY_P2P = 7,
};

/* "VFIO_DEVICE_FEATURE_DMA_LOGGING_START" */
struct vfio_user_device_feature_dma_logging_range {
	uint64_t iova;
	uint64_t length;
} VFIO_USER_PACKED;

struct vfio_user_device_feature_dma_logging_control {
	uint64_t page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	struct vfio_user_device_feature_dma_logging_range ranges[];
} VFIO_USER_PACKED;

/* "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT"; the bitmap is in the reply only */
struct vfio_user_device_feature_dma_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint8_t bitmap[];
} VFIO_USER_PACKED;

/* "VFIO_USER_MIG_DATA_READ", "VFIO_USER_MIG_DATA_WRITE" */
struct vfio_user_mig_data {
	uint32_t argsz;
	uint32_t size;
	uint8_t data[];
} VFIO_USER_PACKED;

#define VFIO_USER_ASSERT_SIZE(type, size) \
	_Static_assert(sizeof(struct type) == (size), "size of struct " #type)

VFIO_USER_ASSERT_SIZE(vfio_user_header, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_version, 4);
VFIO_USER_ASSERT_SIZE(vfio_user_dma_map, 32);
VFIO_USER_ASSERT_SIZE(vfio_user_dma_unmap, 24);
VFIO_USER_ASSERT_SIZE(vfio_user_bitmap, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_device_info, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_region_info, 32);
VFIO_USER_ASSERT_SIZE(vfio_user_cap_header, 8);
VFIO_USER_ASSERT_SIZE(vfio_user_sparse_area, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_cap_sparse_mmap, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_cap_type, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_region_io_fds, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_sub_region_ioeventfd, 48);
VFIO_USER_ASSERT_SIZE(vfio_user_sub_region_ioregionfd, 40);
VFIO_USER_ASSERT_SIZE(vfio_user_irq_info, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_irq_set, 20);
VFIO_USER_ASSERT_SIZE(vfio_user_region_access, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_dma_region_access, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_write_multi_entry, 24);
VFIO_USER_ASSERT_SIZE(vfio_user_write_multi, 8);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature, 8);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature_migration, 8);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature_mig_state, 8);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature_dma_logging_range, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature_dma_logging_control, 16);
VFIO_USER_ASSERT_SIZE(vfio_user_device_feature_dma_logging_report, 24);
VFIO_USER_ASSERT_SIZE(vfio_user_mig_data, 8);

#endif /* VUC_WIRE_VFIO_USER_H */
