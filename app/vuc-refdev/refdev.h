/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_H
#define REFDEV_H

/*
 * The reference device, or an NVMe controller, and its side of the vfio-user protocol, written from
 * the specification (QEMU's docs/interop/vfio-user.rst) without any of the client's code. Messages
 * in, replies out: no I/O on sockets, no threads. docs/refdev.md tells what the device does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/error.h>
#include <vuc/loopback.h>

/* Bounds of struct refdev_config. */
#define REFDEV_MAX_MSG_FDS        VUC_LOOPBACK_MAX_FDS
#define REFDEV_MAX_DATA_XFER_SIZE (16u * 1024u * 1024u)

/* What a client can use, if the kind of device supports it and the client requests what it must. */
#define REFDEV_F_TWIN_SOCKET (1u << 0)
#define REFDEV_F_WRITE_MULTI (1u << 1)
#define REFDEV_F_MIGRATION   (1u << 2)
#define REFDEV_F_DIRTY_LOG   (1u << 3)
#define REFDEV_F_IO_FDS      (1u << 4)
#define REFDEV_F_ALL         31u

struct refdev;

/* What the server announces, and what tells one device from another. */
struct refdev_config {
	uint16_t minor;              /* highest minor version */
	uint16_t max_msg_fds;        /* 0 ... REFDEV_MAX_MSG_FDS */
	uint32_t max_data_xfer_size; /* 1 ... REFDEV_MAX_DATA_XFER_SIZE */
	uint32_t max_dma_maps;       /* at least 1 */
	uint64_t pgsizes;       /* powers of two or'ed together, at least one, none below 4096 */
	uint64_t serial;        /* the device serial number in config space */
	uint32_t features;      /* REFDEV_F_*; all by default */
	bool commands;          /* the program sends its commands and polls its events */
	bool pretend_reset;     /* only answer a reset; reset when the client disconnects */
	bool pretend_unmap_all; /* only answer UNMAP_ALL */
	/* An NVMe controller instead of the reference device: the file with its blocks, and the
	 * size of that; 0: as large as it is. */
	const char *nvme_file;
	uint64_t nvme_size;
	/* A folder for files with the memory of mappable regions; NULL: memory that goes with the
	 * device. Read by refdev_create() only. */
	const char *bar_folder;
	struct vuc_error *err; /* set when one of the files cannot be used, or NULL */
};

void refdev_config_init(struct refdev_config *config);

/* A device after power-on, or NULL with errno: EINVAL for a config out of bounds, or what the
 * system said. The config is copied. */
struct refdev *refdev_create(const struct refdev_config *config);

/* NULL does nothing. */
void refdev_destroy(struct refdev *dev);

/*
 * Handle one whole message of the client; see struct vuc_loopback_server for who owns what. reply
 * is NULL for a message of the twin socket. Returns 0, or a negative errno when the client must be
 * disconnected; refdev_reason() says why.
 */
int refdev_handle(struct refdev *dev, struct vuc_loopback_msg *msg, struct vuc_loopback_msg *reply);

/* The client has left: its DMA mappings and interrupt eventfds are dropped, the device stays as it
 * is unless it pretends resets, and the next message must be VFIO_USER_VERSION. */
void refdev_disconnect(struct refdev *dev);

/* Why a message made its sender lose the connection: one line, valid until the next call. */
const char *refdev_reason(const struct refdev *dev);

/* Size of the longest message that the device accepts or sends. */
size_t refdev_max_message(const struct refdev *dev);

/*
 * Size of the message that begins with these len bytes of a stream. Returns 0 while the header is
 * not complete; -EPROTO for an invalid header.
 */
ssize_t refdev_message_size(struct refdev *dev, const uint8_t *bytes, size_t len);

/* Whether the specification lets the command that begins with a whole header carry descriptors. */
bool refdev_message_takes_fds(const uint8_t *bytes);

/* Commands of the device, if the config says that they are sent. */
bool refdev_has_command(const struct refdev *dev);
/* Put the next one into msg, which has room for refdev_max_message() bytes; false: there is none.
 */
bool refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg);
/* Whether commands are outstanding. */
bool refdev_awaits_answers(const struct refdev *dev);
/* The device's end of a twin socket that was just negotiated, for the caller to close; or -1. */
int refdev_take_twin(struct refdev *dev);

/* Do some of what the device does by itself, without waiting. And how many nanoseconds to wait at
 * most before the next call; -1: until a message arrives. */
void refdev_poll(struct refdev *dev);
int64_t refdev_poll_ns(const struct refdev *dev);

/* Descriptors to be polled for POLLIN, -1 where there is none. And read all that are readable. */
#define REFDEV_MAX_EVENT_FDS 3u
const int *refdev_event_fds(const struct refdev *dev);
void refdev_take_events(struct refdev *dev);

/* The specification's name of a command in lower case, without the prefix: "region_read";
 * "unknown" for numbers that it does not assign. And the command of a name; 0: there is none. */
const char *refdev_command_name(uint16_t cmd);
uint16_t refdev_command_find(const char *name);

/* The device as an in-process server; dev must outlive its use. */
void refdev_loopback(struct refdev *dev, struct vuc_loopback_server *out);

#endif /* REFDEV_H */
