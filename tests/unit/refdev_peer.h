/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_REFDEV_PEER_H
#define VUC_TESTS_REFDEV_PEER_H

/*
 * A client of the reference device, without a socket: messages are put together here from the
 * structs of the wire, handed over, and what comes back is checked to be a reply.
 */

#include <stdint.h>

#include "refdev.h"
#include "refdev_regs.h"
#include "vfio_user.h"

#define PEER_MAX_MESSAGE (128u * 1024u)

struct refdev_peer {
	struct refdev *dev;
	struct vuc_loopback_msg request;
	struct vuc_loopback_msg reply;
	uint16_t last_id;
	unsigned int nr_open; /* descriptors of this process before the device was made */
};

/* Make a device; config may be NULL. Version is not negotiated. */
void refdev_peer_make(struct refdev_peer *p, const struct refdev_config *config);

/* Make a device and negotiate, with descriptors allowed in replies. */
void refdev_peer_open(struct refdev_peer *p);

/* Make a device and negotiate with these capabilities; data as the specification has it. */
void refdev_peer_negotiate(
	struct refdev_peer *p, const struct refdev_config *config, const char *data);

/* Close the descriptors of the last reply. */
void refdev_peer_drop_fds(struct refdev_peer *p);

/* Destroy it, and assert that no descriptor is left of it. */
void refdev_peer_close(struct refdev_peer *p);

/* A message. fds are taken: what the device leaves of them is closed. */
struct refdev_peer_message {
	uint16_t cmd;
	uint32_t flags;
	const void *body;
	size_t len;
	const int *fds;
	unsigned int nr_fds;
};

/* Hand a message over as it is; returns what refdev_handle() returned. */
int refdev_peer_send(struct refdev_peer *p, const struct refdev_peer_message *m);

/* Hand a command over and assert that the reply is one to it. Returns 0, or the negative errno of
 * an error reply. Descriptors in the reply are the caller's. */
int refdev_peer_ask(struct refdev_peer *p, uint16_t cmd, const void *body, size_t len);
int refdev_peer_ask_with_fds(struct refdev_peer *p, uint16_t cmd, const void *body, size_t len,
	const int *fds, unsigned int nr_fds);

/* The body of the last reply, as long as it must be; asserted. */
void refdev_peer_body(const struct refdev_peer *p, void *body, size_t len);

/* The body of an access to a region with up to 8 bytes of data. */
struct refdev_peer_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint64_t value;
};

/* Access a region by up to 8 bytes and assert that it works. */
uint64_t refdev_peer_read(struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count);
void refdev_peer_write(
	struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value);

/* Access a region; returns as refdev_peer_ask(). */
int refdev_peer_try_read(struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count);
int refdev_peer_try_write(
	struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count, const void *data);

/* Registers of BAR0. */
uint64_t refdev_peer_reg(struct refdev_peer *p, enum refdev_reg reg);
void refdev_peer_set_reg(struct refdev_peer *p, enum refdev_reg reg, uint64_t value);

/* A file of so many bytes. */
int refdev_peer_file(size_t size);

/* Map size bytes for flags; fd is taken, or -1. Returns as refdev_peer_ask(). */
int refdev_peer_map(struct refdev_peer *p, uint64_t addr, uint64_t size, uint32_t flags, int fd);

/* VFIO_USER_DEVICE_FEATURE with len bytes of data and room for reply_len bytes of data in the
 * answer. Returns as refdev_peer_ask(). */
int refdev_peer_feature(
	struct refdev_peer *p, uint32_t flags, const void *data, size_t len, size_t reply_len);

/* The data of a feature's answer, as long as it must be; asserted. */
void refdev_peer_feature_data(const struct refdev_peer *p, void *data, size_t len);

/* VFIO_USER_DEVICE_SET_IRQS with as many bytes or descriptors as count says; data may be NULL. */
struct refdev_peer_irqs {
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	const uint8_t *bools;
	const int *fds; /* taken */
	unsigned int nr_fds;
};

int refdev_peer_set_irqs(struct refdev_peer *p, const struct refdev_peer_irqs *irqs);

/* Give an interrupt an eventfd for one of VFIO_IRQ_SET_ACTION_*; returns the test's own end. */
int refdev_peer_eventfd(struct refdev_peer *p, uint32_t index, uint32_t n, uint32_t action);

/* Events since the last call. */
uint64_t refdev_peer_events(int eventfd);

#endif /* VUC_TESTS_REFDEV_PEER_H */
