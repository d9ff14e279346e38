/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_DEVICE_H
#define REFDEV_DEVICE_H

/* The inside of the reference device; refdev.h is what others see. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dirty.h"
#include "engine.h"
#include "events.h"
#include "memory.h"
#include "migration.h"
#include "refdev.h"
#include "refdev_regs.h"
#include "vfio_user.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"registers and config space are kept in host order, and PCI is little-endian");

/* ---- config_space.c ---- */

struct refdev_config_space {
	uint8_t bytes[REFDEV_CONFIG_SIZE];
	uint8_t writable[REFDEV_CONFIG_SIZE]; /* bits that a write changes */
};

void refdev_config_space_reset(struct refdev *dev);
int refdev_config_space_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
int refdev_config_space_write(
	struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* ---- bar0.c ---- */

#define REFDEV_NR_SLOTS (REFDEV_REGS_SIZE / 4u)

struct refdev_bar0 {
	uint64_t value[REFDEV_NR_SLOTS]; /* of the register at offset 4 * slot */
	uint8_t ram[REFDEV_RAM_SIZE];
};

void refdev_bar0_reset(struct refdev *dev);
int refdev_bar0_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
int refdev_bar0_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* A register of BAR0 by its name. */
#define REFDEV_REG(dev, name) ((dev)->bar0.value[REFDEV_REG_##name / 4])

/* ---- memory.c ---- */

int refdev_bar2_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
int refdev_bar2_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* ---- bar4.c ---- */

#define REFDEV_MSIX_ENTRY_SIZE 16u

struct refdev_bar4 {
	struct refdev_memory memory;
	uint8_t table[REFDEV_MSIX_VECTORS * REFDEV_MSIX_ENTRY_SIZE];
};

void refdev_bar4_reset(struct refdev *dev);
int refdev_bar4_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
int refdev_bar4_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);

/* ---- region.c ---- */

struct refdev_region {
	uint32_t size; /* 0: there is no such region */
	uint32_t flags;
	int (*read)(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count);
	int (*write)(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count);
};

#define REFDEV_NR_REGIONS 9u

extern const struct refdev_region refdev_regions[REFDEV_NR_REGIONS];

/* Write to a region, within its bounds or not: 0 or a negative errno. */
int refdev_region_write(
	struct refdev *dev, const struct vfio_user_region_access *access, const uint8_t *data);

/* The memory behind a mappable region, or NULL. */
const struct refdev_memory *refdev_region_memory(const struct refdev *dev, uint32_t index);

/* ---- irq.c ---- */

#define REFDEV_NR_IRQ_INDEXES 5u
#define REFDEV_NR_IRQS        (1u + REFDEV_MSIX_VECTORS + 1u + 1u)

/* The interrupts of one index lie in refdev.irq from first on. */
struct refdev_irq_index {
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t count;
	uint32_t first;
};

extern const struct refdev_irq_index refdev_irq_indexes[REFDEV_NR_IRQ_INDEXES];

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
void refdev_irq_reset(struct refdev *dev);
/* Forget the client of one index. */
void refdev_irq_release(struct refdev *dev, uint32_t index);
/* Takes fd, which may be -1. */
void refdev_irq_assign(
	struct refdev *dev, uint32_t index, uint32_t n, enum refdev_irq_event event, int fd);
void refdev_irq_raise(struct refdev *dev, uint32_t index, uint32_t n);
void refdev_irq_set_client_mask(struct refdev *dev, uint32_t index, uint32_t n, bool masked);
/* Something that masks interrupts may have changed. */
void refdev_irq_refresh(struct refdev *dev);
void refdev_irq_set_intx(struct refdev *dev, bool level);
/* The pending bit array of MSI-X. */
uint64_t refdev_irq_pending_bits(const struct refdev *dev);

/* ---- dma.c ---- */

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

void refdev_dma_release(struct refdev *dev);
/* The map that an address lies in, or NULL; valid until the table changes. */
const struct refdev_dma_map *refdev_dma_find(const struct refdev *dev, uint64_t addr);
void refdev_dma_remove(struct refdev *dev, const struct refdev_dma_map *map);

/* ---- device.c ---- */

struct refdev {
	struct refdev_config config;
	bool negotiated;
	uint32_t client_max_msg_fds;
	uint32_t client_max_data_xfer_size;
	bool write_multi; /* negotiated */
	bool twin;        /* likewise: commands of the device have a socket of their own */
	int twin_fd;      /* until it is taken, else -1 */
	struct refdev_bar0 bar0;
	struct refdev_config_space config_space;
	struct refdev_memory bar2;
	struct refdev_bar4 bar4;
	struct refdev_irq irq[REFDEV_NR_IRQS];
	bool intx_level;
	bool reset_due; /* by the write of configuration space that is carried out */
	struct refdev_dma dma;
	struct refdev_engine engine;
	struct refdev_outgoing outgoing;
	struct refdev_dirty dirty;
	struct refdev_migration migration;
	struct refdev_events events;
	char reason[256];
};

void refdev_reset(struct refdev *dev);

/* ---- body.c and the commands ---- */

/* The part of a message behind its header. */
struct refdev_body {
	uint8_t *bytes;
	size_t len;
	size_t size; /* bytes that there is room for */
	int *fds;
	unsigned int nr_fds;
};

/* What a command's handler returns when the client must be disconnected. */
#define REFDEV_HANG_UP 1

/* Note why a client is disconnected; returns REFDEV_HANG_UP. */
int refdev_hang_up(struct refdev *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put a reply body of len bytes, of which the client takes at most argsz. -EINVAL when that is
 * less than min, the part without which there is no reply. */
int refdev_body_put(
	struct refdev_body *out, const void *bytes, size_t len, size_t min, uint32_t argsz);

/*
 * A command's handler: the body of the request has a size within the bounds of the command's row.
 * Returns 0, a negative errno for an error reply, or REFDEV_HANG_UP.
 */
typedef int (*refdev_command_fn)(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);

int refdev_version_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_device_info_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_region_info_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_irq_info_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_set_irqs_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_region_read_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_region_write_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_dma_map_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_dma_unmap_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_io_fds_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_write_multi_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_feature_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_mig_data_read_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_mig_data_write_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_reset_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);

/* Answer a feature's request by its fixed part and data; argsz becomes the bytes of both. */
int refdev_feature_reply(
	struct refdev_body *out, const struct refdev_body *in, const void *data, size_t data_len);

/* A reply of the client. Returns 0 or REFDEV_HANG_UP. */
int refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg);

#endif /* REFDEV_DEVICE_H */
