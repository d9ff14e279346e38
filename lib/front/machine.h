/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_MACHINE_H
#define VUC_FRONT_MACHINE_H

/*
 * One connection of a stock VMM, which is a vfio-user client, as a state machine: bytes come in,
 * requests go out to the machine's user, the user's answers come in, replies go out as bytes. The
 * machine makes no system calls, and has no threads and no locks: one thread at a time uses it. It
 * alone knows what a client may expect of a server, and what QEMU, Cloud Hypervisor and Alioth do
 * expect. The client is as untrusted as any VMM.
 *
 * The user's loop:
 *
 *	when its deadline has passed: front_expire()  answers what has waited too long
 *	at = front_room(); recvmsg(at); front_received()
 *	while (front_next(&r) == 1) carry out r       or begin to
 *	as results come: front_reply...()
 *	while (front_output()) sendmsg(); front_sent()
 *	front_take_stray_fds()                        and close them
 *
 * An error of front_received(), front_next() or front_expire() ends the connection: front_end() has
 * been called; what remains is to take the descriptors and to destroy the machine.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "irq.h"
#include "vfio_user.h"

struct front;

/* The minimum of a PCI device, as VMMs expect it: BARs, ROM, configuration space, VGA; INTx, MSI,
 * MSI-X, ERR, REQ. Those that a shape lacks are reported as empty, except for ERR and REQ, which
 * have one interrupt each. */
#define FRONT_MIN_REGIONS VFIO_PCI_NUM_REGIONS
#define FRONT_MIN_IRQS    VFIO_PCI_NUM_IRQS

/* The maximum that QEMU accepts. */
#define FRONT_MAX_REGIONS 100u
#define FRONT_MAX_IRQS    50u

/* Maximum number of descriptors in a message. 16 are announced, because QEMU accepts no larger
 * number; Cloud Hypervisor sends 16, and Alioth 32, whatever was negotiated. */
#define FRONT_MAX_FDS 32u

/* Maximum number of requests that are carried out at a time. */
#define FRONT_MAX_REQUESTS 64u

/* Size of the part of configuration space with emulated registers: its standard header. */
#define FRONT_CONFIG_HEADER 64u

struct front_region {
	uint64_t size;
	uint32_t flags;     /* VFIO_REGION_INFO_FLAG_READ, _WRITE; _MMAP: it has a descriptor */
	uint64_t fd_offset; /* of the region's first byte in that */
	uint32_t nr_areas;  /* that can be mapped; 0 with _MMAP: the whole region */
	const struct vfio_user_sparse_area *areas;
};

struct front_irq {
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t count;
};

/* The device as a client sees it. */
struct front_shape {
	uint32_t flags; /* VFIO_DEVICE_FLAGS_* */
	uint32_t nr_regions, nr_irqs;
	const struct front_region *regions;
	const struct front_irq *irqs;
	uint8_t config[FRONT_CONFIG_HEADER]; /* provides the type bits of BARs */
};

struct front_opts {
	uint32_t max_data;     /* most bytes of an access, announced as max_data_xfer_size: 4 KiB to
				  64 MiB, other values are taken for the next of these */
	uint32_t reply_ms;     /* each request is answered within this time of its arrival */
	uint64_t now_ms;       /* VERSION must arrive within reply_ms from then on; 0: no limit */
	uint32_t max_dma_maps; /* announced; at most 65,535 */
	uint64_t pgsizes;      /* announced */
	uint64_t migration_pgsize; /* announced to clients that propose migration, 4 KiB unless it
				      is a multiple of that; 0: it is not announced */
	const struct front_shape *shape; /* is copied */
};

enum front_kind {
	FRONT_ACCESS, /* a read or a write of a region, inside its bounds */
	FRONT_DMA_MAP,
	FRONT_DMA_UNMAP,
	FRONT_SET_IRQS,
	FRONT_REGION_FD, /* the reply carries the descriptor of a region: front_reply_fd() */
	FRONT_RESET,
	FRONT_FEATURE,        /* of migration or the log of DMA writes: front_reply_data() */
	FRONT_MIGRATION_READ, /* likewise */
	FRONT_MIGRATION_WRITE,
};

/* Region, offset and count are in bounds, but whether a region takes this size or alignment is for
 * the device to say. */
struct front_access {
	bool write;
	uint32_t region;
	uint32_t count; /* 1 to max_data */
	uint64_t offset;
	const uint8_t *data; /* of a write, inside the machine's buffer */
};

/* size is not 0, and the range ends within 64 bits. A request without a descriptor is for memory
 * that cannot be shared: a ROM, or another device's BAR. */
struct front_map {
	uint64_t addr, size;
	uint64_t offset; /* in the descriptor; with size it ends within 64 bits */
	uint32_t flags;  /* VFIO_USER_F_DMA_REGION_*, no others */
};

struct front_unmap {
	bool all; /* addr and size are 0 */
	uint64_t addr, size;
};

enum front_irq_data {
	FRONT_IRQ_NONE,    /* on all interrupts of the range */
	FRONT_IRQ_BOOL,    /* on those whose byte in flags is not 0 */
	FRONT_IRQ_EVENTFD, /* assign descriptors: front_irq_fd() */
};

/* The range is within its index, and the index is not empty. A count of 0 comes with
 * VUC_WIRE_IRQ_TRIGGER and FRONT_IRQ_NONE only: disable the index. */
struct front_set_irqs {
	struct vuc_wire_irq_range range;
	enum vuc_wire_irq_action action;
	enum front_irq_data data;
	const uint8_t *flags;   /* FRONT_IRQ_BOOL: one byte each */
	const uint8_t *indexes; /* see front_irq_fd() */
};

/* The feature has the method. A probe has no data: it asks whether there are all its methods. */
struct front_feature {
	uint32_t flags;    /* as in VFIO's struct vfio_device_feature */
	uint32_t data_len; /* most bytes of data in the reply */
	union {
		struct vfio_user_device_feature_mig_state state; /* to be set */
		struct {
			struct vfio_user_device_feature_dma_logging_control control;
			/* control.num_ranges of struct vfio_user_device_feature_dma_logging_range,
			 * inside the machine's buffer */
			const uint8_t *ranges;
		} start;
		struct vfio_user_device_feature_dma_logging_report report;
	};
};

struct front_migration_data {
	uint32_t size;       /* at most max_data */
	const uint8_t *data; /* of a write, inside the machine's buffer */
};

struct front_request {
	unsigned int token; /* names it in the answer */
	enum front_kind kind;
	bool owed;      /* the client waits for a reply: not of a posted write */
	const int *fds; /* that came with it: the caller owns all of them now */
	unsigned int nr_fds;
	union {
		struct front_access access;
		struct front_map map;
		struct front_unmap unmap;
		struct front_set_irqs irqs;
		uint32_t region; /* FRONT_REGION_FD */
		struct front_feature feature;
		struct front_migration_data migration;
	};
};

/* The descriptor of interrupt i of the range, i < count; -1: none, deassign it. */
int front_irq_fd(const struct front_request *r, uint32_t i);

/* Returns NULL if there is no memory. */
struct front *front_create(const struct front_opts *opts);

/* Its descriptors have been taken before: front_end(), front_take_stray_fds(). */
void front_destroy(struct front *f);

/*
 * The buffer for bytes of the client. size is set to its size: 0 if requests must be answered,
 * replies sent or stray descriptors taken first; this is not an error, but do not poll the socket
 * for reading meanwhile. Valid until the next call.
 */
void *front_room(struct front *f, size_t *size);

/*
 * One recvmsg(2) has received that many bytes there, with these descriptors, at most VUC_FDS_MAX,
 * which the machine owns now. Descriptors belong to the last message that begins in the bytes; more
 * than FRONT_MAX_FDS violate the protocol.
 */
int front_received(
	struct front *f, size_t bytes, const int *fds, unsigned int nr_fds, uint64_t now_ms);

/*
 * Get the next request. The machine itself answers: VERSION, GET_INFO, GET_IRQ_INFO,
 * GET_REGION_INFO without a descriptor, and whatever is refused.
 *
 * An access may be returned while other accesses are outstanding, a map while maps are, an unmap
 * while unmaps are; everything else is returned when nothing is outstanding, and excludes other
 * requests until it is answered. Returns 1: *r is valid until the next call and must get exactly
 * one answer, even if no reply is owed; 0 if there is no complete request, or it must wait for
 * answers or for the client to read replies; -EPROTO.
 */
int front_next(struct front *f, struct front_request *r);

/*
 * Answers. status is 0 or a negative errno. An answer to a request that front_expire() has answered
 * is dropped, and so are those of a connection that has ended.
 *
 * front_reply_read(): for a FRONT_ACCESS that reads; count bytes of data, ignored on failure: ones
 * are sent then. front_reply_fd(): for a FRONT_REGION_FD; the machine owns the descriptor, which
 * becomes stray when it has been sent; on failure, the region is described as one that cannot be
 * mapped. front_reply_data(): for a FRONT_FEATURE, with its data, at most data_len bytes, or for a
 * FRONT_MIGRATION_READ, with at most as many bytes as were asked for. front_reply(): of all others;
 * with their data, where there is any, zero.
 */
void front_reply(struct front *f, unsigned int token, int status);
void front_reply_read(struct front *f, unsigned int token, int status, const void *data);
void front_reply_fd(struct front *f, unsigned int token, int status, int fd);
void front_reply_data(
	struct front *f, unsigned int token, int status, const void *data, uint32_t len);

/*
 * The bytes to be sent next, by one send; fd is set to the descriptor to send with them, or to -1.
 * NULL and a size of 0 if there are none. Valid until the next call.
 */
const void *front_output(struct front *f, size_t *size, int *fd);

/*
 * The socket has accepted that many of these bytes, with the descriptor; 0: the socket is full. The
 * connection of a client that reads nothing for reply_ms ends.
 */
void front_sent(struct front *f, size_t bytes, uint64_t now_ms);

/* When front_expire() is to be called next; 0 if nothing waits. */
uint64_t front_deadline_ms(const struct front *f);

/*
 * Answer, with -ETIMEDOUT, every request that is due, including those that have not been returned
 * yet. Call this before answering requests once the deadline has passed: an answer that is late by
 * a quarter of reply_ms may arrive after the client has given up, and the client would take it for
 * the answer to another request. Returns 0; -ETIMEDOUT if a request is already that late, because
 * this process did not run, or if the client does not read its replies.
 */
int front_expire(struct front *f, uint64_t now_ms);

/* Maximum number of bytes of an access. */
uint32_t front_max_data(const struct front *f);

/* Number of requests that have been returned and not answered. */
unsigned int front_outstanding(const struct front *f);

/* End the connection for the caller's reason, or NULL: from now on nothing is received, returned or
 * sent, and all descriptors are stray. The first reason is kept. */
void front_end(struct front *f, const char *why);

/* Why the connection has ended; NULL while it has not. */
const char *front_why(const struct front *f);

/* Take up to max descriptors that are no longer needed, to close them. Returns their number. */
unsigned int front_take_stray_fds(struct front *f, int *fds, unsigned int max);

/*
 * Configuration space: BARs and the ROM's register of a type 0 header are kept here, for clients
 * that size regions by writing ones; everything else goes to the device.
 */

/* A part of an access that goes to the device. */
struct front_piece {
	uint32_t at; /* in the data */
	uint32_t count;
	uint64_t offset;
};

/* Maximum number of pieces of an access: before the BARs, between the BARs and the ROM's register,
 * after it. */
#define FRONT_MAX_PIECES 3u

/* Find the parts of an access that go to the device. Returns their number; 0 if the registers
 * answer all of it. */
unsigned int front_config_pieces(const struct front *f, uint64_t offset, uint32_t count,
	struct front_piece pieces[FRONT_MAX_PIECES]);

/* Apply a write to the emulated registers. Returns as front_config_pieces(). */
unsigned int front_config_write(struct front *f, uint64_t offset, uint32_t count, const void *data,
	struct front_piece pieces[FRONT_MAX_PIECES]);

/* Put the emulated registers into data that was read from the device. */
void front_config_merge(const struct front *f, uint64_t offset, uint32_t count, void *data);

#endif /* VUC_FRONT_MACHINE_H */
