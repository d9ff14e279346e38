/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_DEVICE_H
#define REFDEV_DEVICE_H

/*
 * The inside of the server; refdev.h is what others see. A kind of device is a const struct
 * refdev_model (reference.c and nvme/controller.c); all else serves any kind.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/vfio.h>

#include "refdev.h"
#include "vfio_user.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"registers and config space are kept in host order, and PCI is little-endian");

#define REFDEV_NR_REGIONS     ((uint32_t)VFIO_PCI_NUM_REGIONS)
#define REFDEV_NR_IRQ_INDEXES ((uint32_t)VFIO_PCI_NUM_IRQS)
#define REFDEV_MAX_VECTORS    64u
#define REFDEV_CONFIG_SIZE    4096u

static inline uint32_t
refdev_smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- message.c, reply.c: messages ---- */

/* The part of a message after its header. */
struct refdev_body {
	uint8_t *bytes;
	size_t len;
	size_t size; /* of bytes */
	int *fds;
	unsigned int nr_fds;
};

/* What a handler returns when the client must be disconnected. */
#define REFDEV_HANG_UP 1

/*
 * The handler of a command: the size of the request's body is within the bounds of the command's
 * row. Returns 0, a negative errno for an error reply, or REFDEV_HANG_UP.
 */
typedef int refdev_handler(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);

refdev_handler refdev_version_handle, refdev_device_info_handle, refdev_region_info_handle,
	refdev_irq_info_handle, refdev_set_irqs_handle, refdev_region_read_handle,
	refdev_region_write_handle, refdev_dma_map_handle, refdev_dma_unmap_handle,
	refdev_io_fds_handle, refdev_write_multi_handle, refdev_feature_handle,
	refdev_mig_data_read_handle, refdev_mig_data_write_handle, refdev_reset_handle;

/* Note why the client is disconnected; returns REFDEV_HANG_UP. */
int refdev_hang_up(struct refdev *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append to a reply; the second repeats the struct that the request begins with, as the reply's own
 * begins. Returns 0 or, without room for it, -EMSGSIZE. */
int refdev_body_append(struct refdev_body *out, const void *bytes, size_t len);
/* Set a reply to len bytes, cut to argsz. -EINVAL if argsz is below min, which every reply has. */
int refdev_body_put(
	struct refdev_body *out, const void *bytes, size_t len, size_t min, uint32_t argsz);
/* Set the reply to a DEVICE_FEATURE: its struct, with the argsz of the whole reply, and data. */
int refdev_feature_reply(
	struct refdev_body *out, const struct refdev_body *in, const void *data, size_t data_len);
/* Let the reply carry a duplicate of a descriptor. */
int refdev_body_attach(struct refdev_body *out, int fd);

/* ---- memory.c: memory with a descriptor, and files ---- */

struct refdev_memory {
	int fd; /* sealed against resizing, so that no client can make an access fault, unless it is
		 * a file of --bar-file */
	uint8_t *bytes;
	size_t size;
};

int refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size);
/* The memory of a region: a file in config.bar_folder, if there is one. */
int refdev_memory_open_region(
	const struct refdev *dev, struct refdev_memory *mem, uint32_t region, size_t size);
void refdev_memory_close(struct refdev_memory *mem);
/* Open a regular file to read and write it, with more flags of open(2). Returns the descriptor or a
 * negative errno. */
int refdev_file_open(const char *path, int flags, struct stat *st, struct vuc_error *err);

/* ---- region.c: regions and accesses to them ---- */

typedef int refdev_read_fn(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
typedef int refdev_write_fn(
	struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

#define REFDEV_MAX_AREAS 2u

struct refdev_region {
	uint32_t size;        /* 0: there is no such region */
	bool mappable;        /* has memory: refdev.memory */
	refdev_read_fn *read; /* accesses are within the size */
	refdev_write_fn *write;
	uint32_t nr_areas; /* that can be mapped; 0: all of the region */
	struct vfio_user_sparse_area areas[REFDEV_MAX_AREAS];
};

/* The intersection of an access and a range; count is 0 when there is none. */
struct refdev_overlap {
	uint32_t in_access;
	uint32_t in_range;
	uint32_t count;
};

static inline struct refdev_overlap
refdev_overlap(uint32_t offset, uint32_t count, uint32_t base, uint32_t size)
{
	uint32_t begin = offset > base ? offset : base;
	uint32_t end = refdev_smaller(offset + count, base + size);

	if (begin >= end)
		return (struct refdev_overlap){0};
	return (struct refdev_overlap){begin - offset, begin - base, end - begin};
}

/* ---- pci.c: config space and the MSI-X table ---- */

/* A field of config space: its value after a reset, and the bits that a write changes. */
struct refdev_field {
	uint16_t offset;
	uint8_t bytes;
	uint32_t value;
	uint32_t writable;
};

struct refdev_config_space {
	uint8_t bytes[REFDEV_CONFIG_SIZE];
	uint8_t writable[REFDEV_CONFIG_SIZE]; /* bits that a write changes */
};

#define REFDEV_MSIX_ENTRY_SIZE 16u

/* Config space and the MSI-X table as after power-on. */
void refdev_pci_reset(struct refdev *dev);
refdev_read_fn refdev_config_space_read;
refdev_write_fn refdev_config_space_write;
/* What an access to the region of the MSI-X table has of the table and the pending bits. */
void refdev_msix_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
void refdev_msix_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* ---- irq.c ---- */

enum refdev_irq_event {
	REFDEV_IRQ_TRIGGERED,
	REFDEV_IRQ_MASKED,
	REFDEV_IRQ_UNMASKED,
	REFDEV_IRQ_NR_EVENTS,
};

struct refdev_irq {
	int eventfd[REFDEV_IRQ_NR_EVENTS]; /* the client's, or -1 */
	bool client_masked;                /* by VFIO_USER_DEVICE_SET_IRQS, or by automasking */
	bool masked;                       /* by client or device, as last told to the client */
	bool pending;                      /* raised while masked */
};

void refdev_irq_init(struct refdev *dev);
/* Drop pending interrupts. */
void refdev_irq_reset(struct refdev *dev);
/* Drop what the client has set for an index. */
void refdev_irq_release(struct refdev *dev, uint32_t index);
void refdev_irq_raise(struct refdev *dev, uint32_t index, uint32_t n);
/* What masks interrupts may have changed. */
void refdev_irq_refresh(struct refdev *dev);
/* The level of INTx. */
void refdev_irq_set_intx(struct refdev *dev, bool level);
/* The pending bit array of MSI-X. */
uint64_t refdev_irq_pending_bits(const struct refdev *dev);
/* Whether config space enables MSI-X. */
bool refdev_irq_msix_is_enabled(const struct refdev *dev);

/* ---- dirty.c: lists of addresses, and the log of writes through mappings ---- */

/* Addresses from first to last, both included. */
struct refdev_interval {
	uint64_t first;
	uint64_t last;
};

/* A set of addresses: ascending intervals that neither overlap nor touch. All zero: empty. */
struct refdev_intervals {
	struct refdev_interval *list;
	size_t nr;
	size_t capacity;
};

/* The first of nr elements that ends at addr or after it; nr: none. They ascend, and each of them
 * begins with its interval. */
size_t refdev_list_find(const void *list, size_t nr, size_t each, uint64_t addr);
/* Make room for one more element; NULL without memory, and the list is as it was then. */
void *refdev_list_grow(void *list, size_t nr, size_t *capacity, size_t each);

struct refdev_dirty {
	bool started;
	bool incomplete; /* memory ran out: everything counts as written */
	uint64_t page_size;
	struct refdev_intervals ranges; /* that are logged */
	struct refdev_intervals written;
};

/* len is not 0. */
void refdev_dirty_mark(struct refdev *dev, uint64_t addr, uint64_t len);

/* Bytes of a bitmap with one bit for each page of size bytes. 0: a page size that is not a power of
 * two, or more than 4 GiB of bitmap. */
uint64_t refdev_dirty_bitmap_size(uint64_t size, uint64_t page_size);

/* Write the bitmap of an interval, and clear the interval in the log. Returns 0, -EINVAL for an
 * interval that is not logged, or -ENOMEM. */
int refdev_dirty_take(
	struct refdev *dev, struct refdev_interval interval, uint64_t page_size, uint8_t *bitmap);

/* Stop logging and empty the log. */
void refdev_dirty_stop(struct refdev *dev);

/* ---- dma.c: the DMA table, and the client's memory through its descriptors ---- */

struct refdev_dma_map {
	struct refdev_interval at;
	uint64_t offset;
	uint32_t flags;
	int fd; /* or -1 */
};

/* Ascending by address, never overlapping. */
struct refdev_dma {
	struct refdev_dma_map *maps;
	size_t nr_maps;
	size_t capacity;
};

/* Client memory, and the part of a buffer that it is copied to or from. */
struct refdev_dma_range {
	uint64_t addr;
	uint32_t len;
	uint32_t at; /* offset in the buffer */
	bool write;  /* to the client's memory */
};

/* Remove all mappings. */
void refdev_dma_release(struct refdev *dev);
/* Whether mappings allow an access to all of a range: 0, -EFAULT or -EACCES. */
int refdev_dma_check(const struct refdev *dev, const struct refdev_dma_range *range);
/* Copy through mappings: by mmap, or else by file I/O. done is set to the bytes copied. */
int refdev_dma_copy(struct refdev *dev, const struct refdev_memory *buffer,
	const struct refdev_dma_range *range, bool by_mmap, uint32_t *done);

/* ---- feature.c: getting and setting features ---- */

refdev_handler refdev_dirty_report_get, refdev_migration_flags_get, refdev_migration_state_get;

/* data follows the fixed part, in the request and, changed, in the reply. */
typedef int refdev_feature_set(struct refdev *dev, uint8_t *data, size_t len);
refdev_feature_set refdev_dirty_start_set, refdev_dirty_stop_set, refdev_migration_state_set;

/* ---- migration.c ---- */

struct refdev_migration {
	enum vfio_user_device_mig_state state;
	struct refdev_save *save; /* in PRE_COPY and STOP_COPY */
	struct refdev_load *load; /* in RESUMING */
};

void refdev_migration_reset(struct refdev *dev);
/* The client has left: end transfers, keep the device's contents. */
void refdev_migration_release(struct refdev *dev);

/* ---- command.c: commands to the client ---- */

/* A power of two: the low bits of a message id are the index in the table. */
#define REFDEV_MAX_COMMANDS 256u

/* A VFIO_USER_DMA_READ or VFIO_USER_DMA_WRITE. */
struct refdev_command {
	enum {
		REFDEV_COMMAND_NONE, /* the entry is free */
		REFDEV_COMMAND_SENT,
		REFDEV_COMMAND_GONE, /* nobody waits for the answer any more */
	} state;
	bool raw;
	uint16_t id;
	uint16_t cmd;
	uint32_t at; /* where its data is in the buffer of the transfer */
	uint64_t addr;
	uint64_t count;
};

struct refdev_outgoing {
	struct refdev_command commands[REFDEV_MAX_COMMANDS];
	unsigned int nr; /* outstanding */
	uint16_t next_id;
	uint32_t raw_left; /* raw commands to be sent by the model */
};

/* A transfer by message. */
struct refdev_transfer {
	bool active;
	struct refdev_dma_range range;
	const struct refdev_memory *buffer;
	uint32_t chunk;  /* maximum number of bytes in a message */
	uint32_t window; /* maximum number of outstanding messages */
	uint32_t asked;  /* bytes that messages were sent for */
	uint32_t answered;
	unsigned int in_flight;
	int error; /* the first one, negative */
};

/* An answer to a command: its fields, zeros where it is too short, and len bytes after its header.
 */
struct refdev_answer {
	struct vfio_user_header header;
	struct vfio_user_dma_region_access access;
	const uint8_t *data;
	size_t len;
};

/* Most bytes of data in a message that both sides take. */
uint32_t refdev_max_data(const struct refdev *dev);
/* Begin a transfer by message, whose range was checked; transferred() of the model is called at its
 * end. Returns 0 or, where nobody sends commands, -EOPNOTSUPP. */
int refdev_transfer_start(struct refdev *dev, const struct refdev_memory *buffer,
	const struct refdev_dma_range *range, uint32_t chunk, uint32_t window);
/* Make a message of a command, with data or, if that is NULL, zeros. */
void refdev_command_put(struct refdev *dev, struct refdev_command command, uint32_t flags,
	const void *data, size_t len, struct vuc_loopback_msg *msg);
/* End the transfer without transferred(); answers that are still to come mean nothing. */
void refdev_commands_forget(struct refdev *dev);
/* A reply of the client. Returns 0 or REFDEV_HANG_UP. */
int refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg);

/* ---- device.c ---- */

/* A kind of device. Its own state is refdev.state. */
struct refdev_model {
	struct refdev_region regions[REFDEV_NR_REGIONS];
	uint32_t vectors;                  /* of MSI-X */
	const struct refdev_field *fields; /* of config space, beside those that all kinds have */
	size_t nr_fields;
	uint16_t pcie_cap; /* where its PCI Express capability is in config space */
	uint16_t msix_cap;
	uint32_t msix_table; /* its offset in its BAR, and the number of that */
	uint32_t msix_pending;
	/* Make the state, as after power-on. Returns 0 or a negative errno; destroy() is called
	 * then, too. */
	int (*create)(struct refdev *dev);
	void (*destroy)(struct refdev *dev);
	/* To the state of power-on; or only pretend to. */
	void (*reset)(struct refdev *dev, bool pretend);
	/* The client has left: end what waits for it. */
	void (*disconnect)(struct refdev *dev);
	/* The transfer by message has ended, as dev->transfer says. */
	void (*transferred)(struct refdev *dev);
	/* Make a message of the next of the raw_left commands; and its answer. */
	void (*raw_next)(struct refdev *dev, struct vuc_loopback_msg *msg);
	void (*raw_answered)(struct refdev *dev, const struct refdev_answer *answer);
	/* VFIO_USER_DEVICE_GET_REGION_IO_FDS; NULL: there are none, and no events. */
	refdev_handler *io_fds;
	/* The descriptor of an event is readable. */
	void (*take_event)(struct refdev *dev, unsigned int event);
	/* Do some of what the device does by itself, without waiting. And how many nanoseconds to
	 * wait at most before the next call; -1: until a message arrives. NULL: it does nothing by
	 * itself. */
	void (*poll)(struct refdev *dev);
	int64_t (*poll_ns)(const struct refdev *dev);
	/* What migration moves, and its size; 0: there is no migration. apply() returns 0 or, and
	 * has changed nothing then, -EINVAL. */
	size_t image_size;
	void (*capture)(const struct refdev *dev, void *image);
	int (*apply)(struct refdev *dev, const void *image);
};

extern const struct refdev_model refdev_reference, refdev_nvme;

struct refdev {
	const struct refdev_model *model;
	void *state; /* the model's */
	struct refdev_config config;
	bool negotiated;
	bool twin;         /* negotiated: a socket for commands */
	uint32_t features; /* that this client can use: REFDEV_F_* */
	bool reset_due;    /* by the write to config space that is being executed */
	bool intx_level;
	int twin_fd;        /* until it is taken, else -1 */
	size_t max_message; /* longest message in either direction */
	uint32_t client_max_msg_fds;
	uint32_t client_max_data_xfer_size;
	struct refdev_memory memory[REFDEV_NR_REGIONS]; /* of mappable regions */
	struct refdev_config_space config_space;
	uint8_t msix_table[REFDEV_MAX_VECTORS * REFDEV_MSIX_ENTRY_SIZE];
	struct refdev_irq irq[REFDEV_NR_IRQ_INDEXES][REFDEV_MAX_VECTORS];
	struct refdev_dma dma;
	struct refdev_outgoing outgoing;
	struct refdev_transfer transfer;
	struct refdev_dirty dirty;
	struct refdev_migration migration;
	int event_fds[REFDEV_MAX_EVENT_FDS]; /* -1: not in use */
	char reason[256];
};

/* Whether migration keeps the device from changing anything by itself. */
static inline bool
refdev_is_stopped(const struct refdev *dev)
{
	return dev->migration.state != VFIO_USER_DEVICE_STATE_RUNNING &&
		dev->migration.state != VFIO_USER_DEVICE_STATE_PRE_COPY;
}

void refdev_reset(struct refdev *dev);

#endif /* REFDEV_DEVICE_H */
