/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_MACHINE_H
#define VUC_FRONT_MACHINE_H

/*
 * One connection of a stock VMM, which is a vfio-user client, as a state machine: bytes come in,
 * requests go out to whoever carries them out, his answers come in, replies go out as bytes. The
 * machine makes no system call, has no thread and no lock: one thread at a time uses it. What a
 * client may expect of a server, and what QEMU, Cloud Hypervisor and Alioth do expect, is known
 * here only; the client is as untrusted as any VMM.
 *
 * The loop of whoever drives it:
 *
 *	when its deadline is over: front_expire()     answers what has waited too long
 *	at = front_room(); recvmsg(at); front_received()
 *	while (front_next(&r) == 1) carry out r       or begin to
 *	as results come: front_reply...()
 *	while (front_output()) sendmsg(); front_sent()
 *	front_take_stray_fds()                        and close them
 *
 * An error of front_received(), front_next() or front_expire() ends the connection: front_end()
 * has been called, and what is left to do is to take the descriptors and to destroy the machine.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "irq.h"
#include "vfio_user.h"

struct front;

/* What a PCI device has at least, as VMMs expect it: BARs, ROM, configuration space, VGA; INTx,
 * MSI, MSI-X, ERR, REQ. What a shape has less than that is answered as empty, but for ERR and REQ,
 * which have one interrupt each. */
#define FRONT_MIN_REGIONS VFIO_PCI_NUM_REGIONS
#define FRONT_MIN_IRQS    VFIO_PCI_NUM_IRQS

/* Most of them that QEMU takes. */
#define FRONT_MAX_REGIONS 100u
#define FRONT_MAX_IRQS    50u

/* Most descriptors of one message: 16 are announced, because QEMU takes no larger number, Cloud
 * Hypervisor sends that many and Alioth 32, whatever was agreed. */
#define FRONT_MAX_FDS 32u

/* Most requests that are carried out at a time. */
#define FRONT_MAX_REQUESTS 64u

/* Bytes of configuration space that registers are emulated in: its standard header. */
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
	uint8_t config[FRONT_CONFIG_HEADER]; /* type bits of BARs come from here */
};

struct front_opts {
	uint32_t max_data;     /* most bytes of an access, announced as max_data_xfer_size: 4 KiB to
				  64 MiB, other values are taken for the next of these */
	uint32_t reply_ms;     /* each request is answered within this time of its arrival */
	uint64_t now_ms;       /* VERSION has to come within reply_ms of it; 0: at any time */
	uint32_t max_dma_maps; /* announced; at most 65,535 */
	uint64_t pgsizes;      /* announced */
	const struct front_shape *shape; /* is copied */
};

enum front_kind {
	FRONT_ACCESS, /* a read or a write of a region, inside its bounds */
	FRONT_DMA_MAP,
	FRONT_DMA_UNMAP,
	FRONT_SET_IRQS,
	FRONT_REGION_FD, /* the reply carries the descriptor of a region: front_reply_fd() */
	FRONT_RESET,
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

/* addr and size are not empty and end within 64 bits. With no descriptor among the request's the
 * memory is none that can be shared: a ROM, or another device's BAR. */
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

/* The range lies inside its index, and the index is not empty. A count of 0 comes with
 * VUC_WIRE_IRQ_TRIGGER and FRONT_IRQ_NONE only: disable the index. */
struct front_set_irqs {
	struct vuc_wire_irq_range range;
	enum vuc_wire_irq_action action;
	enum front_irq_data data;
	const uint8_t *flags;   /* FRONT_IRQ_BOOL: one byte each */
	const uint8_t *indexes; /* see front_irq_fd() */
};

struct front_request {
	unsigned int token; /* names it in the answer */
	enum front_kind kind;
	bool owed;      /* the client waits for a reply: not of a posted write */
	const int *fds; /* that came with it: they are the caller's now, all of them */
	unsigned int nr_fds;
	union {
		struct front_access access;
		struct front_map map;
		struct front_unmap unmap;
		struct front_set_irqs irqs;
		uint32_t region; /* FRONT_REGION_FD */
	};
};

/* The descriptor of interrupt i of the range, i < count; -1: none, it is to be taken away. */
int front_irq_fd(const struct front_request *r, uint32_t i);

/* Returns NULL when there is no memory. */
struct front *front_create(const struct front_opts *opts);

/* Its descriptors have been taken: front_end(), front_take_stray_fds(). */
void front_destroy(struct front *f);

/*
 * Where bytes of the client are to be received. size is set to how many fit: 0 when requests have
 * to be answered, replies to be sent or stray descriptors to be taken first; that is no error, but
 * the socket is not to be polled for reading meanwhile. Valid until the next call.
 */
void *front_room(struct front *f, size_t *size);

/*
 * That many bytes have been received there by one recvmsg(2), with these descriptors, at most
 * VUC_FDS_MAX, which are the machine's now. Descriptors belong to the message that begins last in
 * the bytes; those beyond FRONT_MAX_FDS break the protocol.
 */
int front_received(
	struct front *f, size_t bytes, const int *fds, unsigned int nr_fds, uint64_t now_ms);

/*
 * What is to be done next. What the machine can answer it answers itself: VERSION, GET_INFO,
 * GET_IRQ_INFO, GET_REGION_INFO without a descriptor, and whatever is refused.
 *
 * An access may be returned while other accesses are outstanding, a map while maps are, an unmap
 * while unmaps are; everything else is returned when nothing is outstanding, and nothing while it
 * is. Returns 1, *r is valid until the next call and gets exactly one answer, also when it is not
 * owed; 0 when there is no whole request, or it has to wait for answers or for the client to take
 * replies; -EPROTO.
 */
int front_next(struct front *f, struct front_request *r);

/*
 * Answers. status is 0 or a negative errno. An answer to a request that front_expire() has answered
 * is dropped, so are those of a connection that has ended.
 *
 * front_reply_read(): of a FRONT_ACCESS that reads; count bytes of data, not looked at on failure:
 * ones are sent then. front_reply_fd(): of a FRONT_REGION_FD; the descriptor is the machine's, and
 * stray when it has been sent; with a status the region is described as one that cannot be mapped.
 * front_reply(): of all others; with their data, where there is any, zero.
 */
void front_reply(struct front *f, unsigned int token, int status);
void front_reply_read(struct front *f, unsigned int token, int status, const void *data);
void front_reply_fd(struct front *f, unsigned int token, int status, int fd);

/*
 * What is to be sent next, by one send; fd is set to the descriptor that goes with it, or to -1.
 * NULL and a size of 0 when there is nothing. Valid until the next call.
 */
const void *front_output(struct front *f, size_t *size, int *fd);

/*
 * That many bytes of it have been taken by the socket, with the descriptor. With 0 bytes the socket
 * takes none now; a client that takes none for reply_ms has its connection ended.
 */
void front_sent(struct front *f, size_t bytes, uint64_t now_ms);

/* When front_expire() is to be called next; 0 when nothing waits. */
uint64_t front_deadline_ms(const struct front *f);

/*
 * Answer, with -ETIMEDOUT, every request that is due, also those that have not been returned yet.
 * Whoever answers requests calls this first when the deadline is over: an answer that is later than
 * reply_ms by a quarter may come after the client has given up, so that it would take it for
 * another's. Returns 0; -ETIMEDOUT for a request that is so late already, because this process did
 * not run, or for a client that does not take its replies.
 */
int front_expire(struct front *f, uint64_t now_ms);

/* Requests that have been returned and not answered. */
unsigned int front_outstanding(const struct front *f);

/* End the connection for a reason of the caller's, or with NULL for none: from now on there is
 * nothing to be received, done or sent, and all descriptors are stray. The first reason stays. */
void front_end(struct front *f, const char *why);

/* Why the connection has ended; NULL while it has not. */
const char *front_why(const struct front *f);

/* Take descriptors that are of no use any more, at most max, to close them. Returns how many. */
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

/* Most pieces of one access: before the BARs, between them and the ROM's register, behind that. */
#define FRONT_MAX_PIECES 3u

/* Which parts of an access go to the device. Returns how many, 0 when it is answered here. */
unsigned int front_config_pieces(const struct front *f, uint64_t offset, uint32_t count,
	struct front_piece pieces[FRONT_MAX_PIECES]);

/* Keep what a write says of the registers here. Returns as front_config_pieces(). */
unsigned int front_config_write(struct front *f, uint64_t offset, uint32_t count, const void *data,
	struct front_piece pieces[FRONT_MAX_PIECES]);

/* Lay the registers over what has been read from the device. */
void front_config_merge(const struct front *f, uint64_t offset, uint32_t count, void *data);

#endif /* VUC_FRONT_MACHINE_H */
