/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_MIGRATION_H
#define REFDEV_MIGRATION_H

/* Migration: the states of the device, and its inner state as a stream of bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "refdev.h"
#include "refdev_regs.h"
#include "vfio_user.h"

struct refdev_body;

/* ---- migration_image.c: all that is moved, in one piece ---- */

struct refdev_image {
	uint64_t regs[REFDEV_REGS_SIZE / 4u];
	uint8_t ram[REFDEV_RAM_SIZE];
	uint8_t config[REFDEV_CONFIG_SIZE];
	uint8_t bar2[REFDEV_BAR2_SIZE];
	uint8_t bar4[REFDEV_BAR4_SIZE];
	uint8_t msix_table[REFDEV_MSIX_VECTORS * 16u];
	uint64_t intx_level;
	uint64_t pending; /* bits of MSI-X vectors */
};

void refdev_image_capture(const struct refdev *dev, struct refdev_image *image);
/* Returns 0, or -EINVAL for what can't be the state of a device; then nothing has changed. */
int refdev_image_apply(struct refdev *dev, const struct refdev_image *image);

/*
 * ---- The stream ----
 *
 * Records one after another. The first has REFDEV_RECORD_BEGIN, the last REFDEV_RECORD_END, in
 * between pieces of the image, later ones over earlier ones.
 */

#define REFDEV_STREAM_MAGIC   0x4d637576u /* "vucM" in memory */
#define REFDEV_STREAM_VERSION 1u
#define REFDEV_RECORD_DATA    1024u

enum refdev_record_kind {
	REFDEV_RECORD_BEGIN = 1, /* offset: REFDEV_STREAM_VERSION, length: size of the image */
	REFDEV_RECORD_PIECE = 2, /* offset, length: where in the image; as many bytes follow */
	REFDEV_RECORD_END = 3,   /* 8 bytes follow: checksum of everything before them */
};

struct refdev_record {
	uint32_t magic;
	uint32_t kind;
	uint32_t offset;
	uint32_t length;
};

/* A checksum as it goes: FNV-1a of 64 bits. */
#define REFDEV_CHECKSUM_START 0xcbf29ce484222325ull
uint64_t refdev_checksum(uint64_t sum, const void *bytes, size_t len);

/* ---- migration_save.c ---- */

struct refdev_save {
	struct refdev_image now;   /* as it was captured last */
	struct refdev_image known; /* as the reader knows it */
	bool begun;                /* everything is new to the reader before */
	bool all;                  /* the first round sends all pieces */
	bool ended;
	uint32_t next;                                                    /* piece to look at */
	uint64_t sum;                                                     /* of the stream so far */
	uint8_t bytes[sizeof(struct refdev_record) + REFDEV_RECORD_DATA]; /* a record */
	size_t len;                                                       /* of the record */
	size_t taken; /* of its bytes by the reader */
};

/* A saver, or NULL. */
struct refdev_save *refdev_save_new(void);
/* Up to size bytes; fewer when there is no more, for now unless final. */
size_t refdev_save_read(
	struct refdev_save *save, const struct refdev *dev, bool final, uint8_t *data, size_t size);

/* ---- migration_load.c ---- */

struct refdev_load {
	struct refdev_image image;
	uint64_t sum;
	bool begun;
	bool ended;
	bool broken;
	uint8_t bytes[sizeof(struct refdev_record) + REFDEV_RECORD_DATA]; /* a record */
	size_t len; /* bytes of it that have come */
};

struct refdev_load *refdev_load_new(void);
/* Take bytes of the stream. Returns 0 or, once something was wrong, -EINVAL. */
int refdev_load_write(struct refdev_load *load, const uint8_t *data, size_t size);
/* The stream is over: put what it said into the device. Returns 0 or -EINVAL. */
int refdev_load_finish(const struct refdev_load *load, struct refdev *dev);

/* ---- migration.c ---- */

struct refdev_migration {
	enum vfio_user_device_mig_state state;
	struct refdev_save *save; /* in PRE_COPY and STOP_COPY */
	struct refdev_load *load; /* in RESUMING */
};

void refdev_migration_reset(struct refdev *dev);
/* The client has gone: transfers end, the device stays as it is. */
void refdev_migration_release(struct refdev *dev);
/* Whether the device must not change anything by itself. */
bool refdev_migration_is_stopped(const struct refdev *dev);

int refdev_migration_flags_get(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_migration_state_get(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);
int refdev_migration_state_set(struct refdev *dev, uint8_t *data, size_t len);

#endif /* REFDEV_MIGRATION_H */
