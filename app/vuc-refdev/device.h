/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_DEVICE_H
#define REFDEV_DEVICE_H

/*
 * The inside of the server; refdev.h is what others see. A kind of device is a const struct
 * refdev_model (reference.c, and nvme/controller.c); the rest serves any kind: messages, regions,
 * interrupts, the DMA table, the log of writes, migration.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/vfio.h>

#include "refdev.h"
#include "vfio_user.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"registers and config space are kept in host order, and PCI is little-endian");

/* ---- message.c, reply.c: messages ---- */

/* The part of a message behind its header. */
struct refdev_body {
	uint8_t *bytes;
	size_t len;
	size_t size; /* bytes that there is room for */
	int *fds;
	unsigned int nr_fds;
};

/* What a handler returns when the client must be disconnected. */
#define REFDEV_HANG_UP 1

/*
 * A command's handler: the body of the request has a size within the bounds of the command's row.
 * Returns 0, a negative errno for an error reply, or REFDEV_HANG_UP.
 */
typedef int refdev_handler(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);

refdev_handler refdev_version_handle, refdev_device_info_handle, refdev_region_info_handle,
	refdev_irq_info_handle, refdev_set_irqs_handle, refdev_region_read_handle,
	refdev_region_write_handle, refdev_dma_map_handle, refdev_dma_unmap_handle,
	refdev_io_fds_handle, refdev_write_multi_handle, refdev_feature_handle,
	refdev_mig_data_read_handle, refdev_mig_data_write_handle, refdev_reset_handle;

/* Note why a client is disconnected; returns REFDEV_HANG_UP. */
int refdev_hang_up(struct refdev *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put a reply body of len bytes, of which the client takes at most argsz. -EINVAL when that is
 * less than min, the part without which there is no reply. */
int refdev_body_put(
	struct refdev_body *out, const void *bytes, size_t len, size_t min, uint32_t argsz);

/* Answer a feature's request by its fixed part and data; argsz becomes the bytes of both. */
int refdev_feature_reply(
	struct refdev_body *out, const struct refdev_body *in, const void *data, size_t data_len);

/* ---- descriptor.c: memory, events, and what replies carry ---- */

/* Memory with a descriptor. */
struct refdev_memory {
	/* Sealed against resizing, so that no client can make an access to it fault; unless it is a
	 * file in a folder. */
	int fd;
	uint8_t *bytes;
	size_t size;
};

int refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size);
/* That of a region of the device: a file in config.bar_folder, if there is one. */
int refdev_memory_open_region(
	const struct refdev *dev, struct refdev_memory *mem, uint32_t region, size_t size);
void refdev_memory_close(struct refdev_memory *mem);

/* Descriptors that something happens on. */
struct refdev_events {
	int fds[REFDEV_MAX_EVENT_FDS]; /* -1: not in use */
	unsigned int nr;               /* in use */
};

/* Take a descriptor for an event. */
void refdev_event_add(struct refdev *dev, unsigned int event, int fd);
/* Close all of them. */
void refdev_events_close(struct refdev *dev);

/* Have the reply carry a descriptor of its own for the same file. */
int refdev_body_attach(struct refdev_body *out, int fd);

/* ---- region.c: regions and accesses to them ---- */

typedef int refdev_read_fn(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
typedef int refdev_write_fn(
	struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* Accesses are within the size. */
struct refdev_region {
	uint32_t size; /* 0: there is no such region */
	uint32_t flags;
	refdev_read_fn *read;
	refdev_write_fn *write;
	const void *caps; /* with VFIO_REGION_INFO_FLAG_CAPS: its capabilities */
	uint32_t caps_size;
};

#define REFDEV_NR_REGIONS ((uint32_t)VFIO_PCI_NUM_REGIONS)
#define REFDEV_MAX_CAPS   64u

/* The part of an access that lies in a range; count is 0 when there is none. */
struct refdev_overlap {
	uint32_t in_access;
	uint32_t in_range;
	uint32_t count;
};

static inline struct refdev_overlap
refdev_overlap(uint32_t offset, uint32_t count, uint32_t base, uint32_t size)
{
	uint32_t begin = offset > base ? offset : base;
	uint32_t end = offset + count < base + size ? offset + count : base + size;

	if (begin >= end)
		return (struct refdev_overlap){0};
	return (struct refdev_overlap){begin - offset, begin - base, end - begin};
}

/* ---- irq.c ---- */

#define REFDEV_NR_IRQ_INDEXES ((uint32_t)VFIO_PCI_NUM_IRQS)
#define REFDEV_MAX_VECTORS    64u

struct refdev_irq_index {
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t count; /* 0 ... 1, of MSI-X 0 ... REFDEV_MAX_VECTORS */
};

enum refdev_irq_event {
	REFDEV_IRQ_TRIGGERED,
	REFDEV_IRQ_MASKED,
	REFDEV_IRQ_UNMASKED,
	REFDEV_IRQ_NR_EVENTS,
};

struct refdev_irq {
	int eventfd[REFDEV_IRQ_NR_EVENTS]; /* the client's, or -1 */
	bool client_masked;                /* by VFIO_USER_DEVICE_SET_IRQS, or by automasking */
	bool masked;                       /* by whomever, as last told to the client */
	bool pending;                      /* raised while masked */
};

void refdev_irq_init(struct refdev *dev);
/* Drop what is pending. */
void refdev_irq_reset(struct refdev *dev);
/* Forget the client of one index. */
void refdev_irq_release(struct refdev *dev, uint32_t index);
void refdev_irq_raise(struct refdev *dev, uint32_t index, uint32_t n);
/* Something that masks interrupts may have changed. */
void refdev_irq_refresh(struct refdev *dev);
/* The level of INTx. */
void refdev_irq_set_intx(struct refdev *dev, bool level);
/* The pending bit array of MSI-X. */
uint64_t refdev_irq_pending_bits(const struct refdev *dev);

/* ---- dma.c: the DMA table, and the client's memory through the descriptors in it ---- */

struct refdev_dma_map {
	uint64_t addr;
	uint64_t size;
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

/* Remove all maps. */
void refdev_dma_release(struct refdev *dev);
/* Whether all of a range may be accessed so: 0, -EFAULT or -EACCES. */
int refdev_dma_check(const struct refdev *dev, uint64_t addr, uint64_t len, bool write);
/* A part of the client's memory, and where a buffer has the same bytes. */
struct refdev_dma_range {
	uint64_t addr;
	uint32_t len;
	uint32_t at;
	bool write; /* to the client's memory */
};

/*
 * Copy between a buffer and the client's memory, through its mappings: by mapping them, else by
 * reading and writing their files. done is set to the bytes that were copied.
 */
int refdev_dma_copy(struct refdev *dev, const struct refdev_memory *buffer,
	const struct refdev_dma_range *range, bool by_mmap, uint32_t *done);

/* ---- dirty.c: the log of what was written through mappings ---- */

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

/* Returns 0 or -ENOMEM, after which the set is as it was. */
int refdev_intervals_add(struct refdev_intervals *set, struct refdev_interval added);
int refdev_intervals_remove(struct refdev_intervals *set, struct refdev_interval removed);
/* Whether all of it, or any of it, is in the set. */
bool refdev_intervals_contain(const struct refdev_intervals *set, struct refdev_interval interval);
bool refdev_intervals_touch(const struct refdev_intervals *set, struct refdev_interval interval);
/* Empty it and free its memory. */
void refdev_intervals_clear(struct refdev_intervals *set);

/* A list of nr elements with room for one more: NULL without memory, and the list is as it was. */
void *refdev_list_grow(void *list, size_t nr, size_t *capacity, size_t each);

struct refdev_dirty {
	bool started;
	bool incomplete; /* memory ran out: all that is logged counts as written */
	uint64_t page_size;
	struct refdev_intervals ranges; /* all addresses, when none were given */
	struct refdev_intervals written;
};

/* This much was written; len is not 0. */
void refdev_dirty_mark(struct refdev *dev, uint64_t addr, uint64_t len);

/* Bytes of a bitmap for size bytes at a bit for each page_size; 0 for what can't be: a page size
 * that is no power of two, or more than 4 GiB of bitmap. */
uint64_t refdev_dirty_bitmap_size(uint64_t size, uint64_t page_size);

/* Write the bitmap of an interval, as many bytes as it takes, and forget what it says. Returns 0,
 * -EINVAL when that is not logged, or -ENOMEM. */
int refdev_dirty_take(
	struct refdev *dev, struct refdev_interval interval, uint64_t page_size, uint8_t *bitmap);

/* Stop logging and forget everything. */
void refdev_dirty_stop(struct refdev *dev);

/* ---- feature.c: what DEVICE_FEATURE gets and sets ---- */

refdev_handler refdev_dirty_report_get, refdev_migration_flags_get, refdev_migration_state_get;

/* data is what comes behind the fixed part, and becomes what the answer says. */
typedef int refdev_feature_set(struct refdev *dev, uint8_t *data, size_t len);
refdev_feature_set refdev_dirty_start_set, refdev_dirty_stop_set, refdev_migration_state_set;

/* ---- migration.c ---- */

struct refdev_migration {
	enum vfio_user_device_mig_state state;
	struct refdev_save *save; /* in PRE_COPY and STOP_COPY */
	struct refdev_load *load; /* in RESUMING */
};

void refdev_migration_reset(struct refdev *dev);
/* The client has gone: transfers end, the device stays as it is. */
void refdev_migration_release(struct refdev *dev);

/* ---- config_space.c ---- */

#define REFDEV_CONFIG_SIZE 4096u

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

refdev_read_fn refdev_config_space_read;
refdev_write_fn refdev_config_space_write;
void refdev_config_space_reset(struct refdev *dev);
/* By the bit of the command register. */
bool refdev_intx_is_disabled(const struct refdev *dev);

/* ---- command.c: commands that the device sends to its client ---- */

/* A power of two; the low bits of a message id are its place in the table. */
#define REFDEV_MAX_COMMANDS 256u

/* A VFIO_USER_DMA_READ or VFIO_USER_DMA_WRITE. */
struct refdev_command {
	enum {
		REFDEV_COMMAND_NONE, /* the place is free */
		REFDEV_COMMAND_SENT,
		REFDEV_COMMAND_GONE, /* nobody waits for the answer any more */
	} state;
	uint16_t id;
	uint16_t cmd;
	uint32_t tag; /* the model's */
	uint64_t addr;
	uint64_t count;
};

struct refdev_answer;

struct refdev_outgoing {
	struct refdev_command commands[REFDEV_MAX_COMMANDS];
	unsigned int nr; /* without an answer */
	uint16_t next_id;
};

/* Make a message of a command, with data behind it; data NULL: zeros. Its reply comes to the model,
 * unless flags have VFIO_USER_F_NO_REPLY. */
void refdev_command_put(struct refdev *dev, struct refdev_command command, uint32_t flags,
	const void *data, size_t len, struct vuc_loopback_msg *msg);
/* Whether an answer repeats what its command asked for and has the data: 0, the negative errno that
 * it has instead, or REFDEV_HANG_UP. */
int refdev_answer_check(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer);
/* Nobody waits for answers any more; they may still come. */
void refdev_commands_forget(struct refdev *dev);
/* A reply of the client. Returns 0 or REFDEV_HANG_UP. */
int refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg);

/* ---- device.c ---- */

/* A reply to a command: what it has in the place of the command's fields, and len bytes behind its
 * header. */
struct refdev_answer {
	struct vfio_user_header header;
	struct vfio_user_dma_region_access access; /* zeros where the reply is too short */
	const uint8_t *data;
	size_t len;
};

/* A kind of device. What it has for itself is in refdev.state, its own. */
struct refdev_model {
	struct refdev_region regions[REFDEV_NR_REGIONS];
	struct refdev_irq_index irqs[REFDEV_NR_IRQ_INDEXES];
	const struct refdev_field *fields; /* of config space, the rest of which is 0 */
	size_t nr_fields;
	uint16_t pcie_cap; /* where its PCI Express capability lies in config space */
	/* Make the state, as after power-on. Returns 0 or a negative errno, after which destroy()
	 * is due as well. */
	int (*create)(struct refdev *dev);
	void (*destroy)(struct refdev *dev);
	/* To the state of power-on; or pretend to. */
	void (*reset)(struct refdev *dev, bool pretend);
	/* The client has gone: end what waits for it. */
	void (*disconnect)(struct refdev *dev);
	/* The memory behind a region that can be mapped, or NULL. */
	const struct refdev_memory *(*memory)(const struct refdev *dev, uint32_t region);
	/* Whether the device itself masks an interrupt. */
	bool (*is_masked)(const struct refdev *dev, uint32_t index, uint32_t n);
	/* Whether it waits for its client, and can't be stopped. */
	bool (*is_busy)(const struct refdev *dev);
	/* VFIO_USER_DEVICE_GET_REGION_IO_FDS; NULL: there are none, and no events. */
	refdev_handler *io_fds;
	/* Something has happened on the descriptor of an event. */
	void (*take_event)(struct refdev *dev, unsigned int event);
	/* Commands to the client: whether there is one, make a message of it by
	 * refdev_command_put(), and take the answer: 0 or REFDEV_HANG_UP. */
	bool (*has_command)(const struct refdev *dev);
	void (*next_command)(struct refdev *dev, struct vuc_loopback_msg *msg);
	int (*answer)(struct refdev *dev, const struct refdev_command *command,
		const struct refdev_answer *answer);
	/* Do some of what the device does by itself, without waiting, and how many nanoseconds to
	 * wait at most before that is called again; -1: until the client says something. NULL: it
	 * does nothing by itself. */
	void (*poll)(struct refdev *dev);
	int64_t (*poll_ns)(const struct refdev *dev);
	/* What migration moves, of a size; 0: there is no migration. Applying returns 0 or, and has
	 * changed nothing, -EINVAL.
	 */
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
	bool write_multi; /* negotiated */
	bool twin;        /* likewise: commands of the device have a socket of their own */
	bool reset_due;   /* by the write of configuration space that is carried out */
	bool intx_level;
	int twin_fd;        /* until it is taken, else -1 */
	size_t max_message; /* that it takes or answers */
	uint32_t client_max_msg_fds;
	uint32_t client_max_data_xfer_size;
	struct refdev_config_space config_space;
	struct refdev_irq irq[REFDEV_NR_IRQ_INDEXES][REFDEV_MAX_VECTORS];
	struct refdev_dma dma;
	struct refdev_outgoing outgoing;
	struct refdev_dirty dirty;
	struct refdev_migration migration;
	struct refdev_events events;
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
