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

struct refdev;

/* What the server announces, and what tells one device from another. */
struct refdev_config {
	uint16_t minor;              /* highest minor version that is spoken */
	uint16_t max_msg_fds;        /* 0 ... REFDEV_MAX_MSG_FDS */
	uint32_t max_data_xfer_size; /* 1 ... REFDEV_MAX_DATA_XFER_SIZE */
	uint32_t max_dma_maps;       /* at least 1 */
	uint64_t pgsizes; /* powers of two or'ed together, at least one, none below 4096 */
	uint64_t serial;  /* the device serial number in config space */
	bool commands;    /* whoever runs the device sends its commands and watches its events */
	bool twin_socket; /* a socket for commands, where there are any and the client asks */
	bool write_multi; /* what may be switched off, each of it on by default */
	bool migration;
	bool dirty_log;
	bool io_fds;
	bool pretend_reset;     /* a reset is only answered; the state goes with the client */
	bool pretend_unmap_all; /* likewise UNMAP_ALL; the mappings go with the client */
	/* An NVMe controller instead of the reference device, and the size of this file, which has
	 * its blocks; 0: that it has. Neither migration nor I/O descriptors go with it. */
	const char *nvme_file;
	uint64_t nvme_size;
	/* Where the memory of mappable regions is in files, which stay; NULL: in memory that goes
	 * with the device. Read by refdev_create() only. */
	const char *bar_folder;
	struct vuc_error *err; /* filled when one of the files cannot be used, or NULL */
};

void refdev_config_init(struct refdev_config *config);

/* A device after power-on, or NULL with errno: EINVAL for a config out of bounds, or what the
 * system said. The config is copied. */
struct refdev *refdev_create(const struct refdev_config *config);

/* Closes all that a client left. NULL does nothing. */
void refdev_destroy(struct refdev *dev);

/*
 * Handle one whole message of the client; see struct vuc_loopback_server for who owns what.
 * Returns 0; a negative errno when the client must be disconnected, refdev_reason() says why.
 */
int refdev_handle(struct refdev *dev, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply);

/* The client has gone: its DMA maps and interrupt eventfds are dropped, the device stays as it is
 * unless it pretends resets, and the next message must be VFIO_USER_VERSION. */
void refdev_disconnect(struct refdev *dev);

/* Why a message made its sender lose the connection: one line, valid until the next call. */
const char *refdev_reason(const struct refdev *dev);

/* Longest message that the device takes or answers. */
size_t refdev_max_message(const struct refdev *dev);

/*
 * Size of the message that begins with these len bytes of a stream. Returns 0 while the header is
 * not whole; -EPROTO for a header after which the stream can't be understood.
 */
ssize_t refdev_message_size(struct refdev *dev, const uint8_t *bytes, size_t len);

/*
 * Commands of the device, for those who said so in the config. A reply to one comes to
 * refdev_handle() or, with a twin socket, to refdev_handle_twin().
 */
bool refdev_has_command(const struct refdev *dev);
/* Put the next one into msg, which has room for refdev_max_message() bytes; false: there is none.
 */
bool refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg);
/* Whether replies are to come. */
bool refdev_awaits_answers(const struct refdev *dev);
/* The device's end of a twin socket that was just negotiated, for the caller to close; or -1. */
int refdev_take_twin(struct refdev *dev);
/* A whole message that came by the twin socket. Returns as refdev_handle(). */
int refdev_handle_twin(struct refdev *dev, const struct vuc_loopback_msg *msg);

/* Do some of what the device does by itself, without waiting. And how many nanoseconds to wait at
 * most before the next call; -1: until a message has come. */
void refdev_poll(struct refdev *dev);
int64_t refdev_poll_ns(const struct refdev *dev);

/* Descriptors that something happens on: those of fds that are not -1. Returns how many. */
#define REFDEV_MAX_EVENT_FDS 3u
unsigned int refdev_event_fds(const struct refdev *dev, int *fds);
/* Look at all of them, without waiting. */
void refdev_take_events(struct refdev *dev);

/* Whether the specification lets the command that begins with a whole header carry descriptors. */
bool refdev_message_takes_fds(const uint8_t *bytes);

/* The specification's name of a command in lower case, without the prefix: "region_read";
 * "unknown" for numbers that it does not assign. And the command of a name; 0: there is none. */
const char *refdev_command_name(uint16_t cmd);
uint16_t refdev_command_find(const char *name);

/* The device as an in-process server; dev must outlive its use. */
void refdev_loopback(struct refdev *dev, struct vuc_loopback_server *out);

#endif /* REFDEV_H */
