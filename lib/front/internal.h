/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_INTERNAL_H
#define VUC_FRONT_INTERNAL_H

#include <assert.h>
#include <string.h>

#include <vuc/error.h>

#include "fds.h"
#include "machine.h"

#define FRONT_HEADER_SIZE sizeof(struct vfio_user_header)

/* Bytes that are received ahead of the current message. They bound the number of messages (16 bytes
 * or more) that are answered at once while a poller's other devices wait. */
#define FRONT_READ_AHEAD 4096u

/* Descriptors of messages behind the current one. */
#define FRONT_MAX_PENDING 128u

/* These, those of one receive, and descriptors of regions. */
#define FRONT_MAX_STRAY (FRONT_MAX_PENDING + VUC_FDS_MAX + 64u)

/* Resolution of arrival times: the number of distinct times within reply_ms. */
#define FRONT_MARKS 32u

/* Longest fixed part of a reply: struct vfio_user_region_info. */
#define FRONT_MAX_FIXED 32u

#define FRONT_NR_BARS 6u

/* A request that has been handed out. */
struct front_slot {
	struct vfio_user_header header;
	unsigned int token;
	bool owed;
	uint32_t body_len; /* of the reply in full */
	uint32_t fixed_len;
	uint8_t fixed[FRONT_MAX_FIXED]; /* first bytes of the reply, from the request */
	uint64_t due_ms;
};

/* Messages whose last byte is before end in the stream arrived at ms. */
struct front_mark {
	uint64_t end, ms;
};

/* Descriptors of the message that begins at pos in the stream. */
struct front_batch {
	uint64_t pos;
	unsigned int nr_fds;
};

/*
 * All state is in this struct and in buffers that the machine owns, so that it can be saved.
 */
struct front {
	uint32_t max_data, reply_ms, max_dma_maps;
	uint64_t pgsizes, migration_pgsize;
	uint32_t max_message;

	bool negotiated;
	uint64_t hello_ms; /* deadline of VERSION; 0: none */
	bool takes_fds;    /* the client accepts a region's descriptor */
	bool short_errors; /* an error reply is the header alone */

	bool ended;
	int error;
	char why[VUC_ERROR_MAX];

	/* Received bytes: in_len of them from in_head on, which is in_pos of the stream. */
	uint8_t *in;
	size_t in_size, in_head, in_len;
	uint64_t in_pos;
	uint64_t in_last; /* position in the stream of the last message whose header has been
			     received */
	uint64_t in_next; /* position of the message after it */
	struct front_mark marks[FRONT_MARKS];
	unsigned int nr_marks;
	struct front_batch batches[FRONT_MAX_PENDING];
	unsigned int nr_batches;
	int pending[FRONT_MAX_PENDING];
	unsigned int nr_pending;
	int taken[FRONT_MAX_FDS]; /* of the request that was returned last */
	int stray[FRONT_MAX_STRAY];
	unsigned int nr_stray;

	struct front_slot slots[FRONT_MAX_REQUESTS];
	uint64_t used; /* one bit each */
	unsigned int nr_tokens;
	enum front_kind kind; /* of what is outstanding */

	/* Replies: out_len bytes from out_head on, and room reserved for more. */
	uint8_t *out;
	size_t out_size, out_head, out_len, out_kept;
	size_t out_rest;   /* of a reply that has been sent in part */
	int out_fd;        /* -1: none */
	size_t out_fd_at;  /* bytes before its reply */
	uint64_t stall_ms; /* the client must read some by then; 0: it has read all */
	bool no_room;      /* a reply that is due waits for room */

	uint32_t bar_mask[FRONT_NR_BARS + 1]; /* the last one is the ROM's */
	uint32_t bar_type[FRONT_NR_BARS + 1];
	uint32_t bar[FRONT_NR_BARS + 1];
	bool has_bars;

	/* The device. */
	uint32_t flags;
	uint32_t nr_regions, nr_irqs;
	struct front_irq irqs[FRONT_MAX_IRQS];
	struct front_region regions[FRONT_MAX_REGIONS]; /* their areas point into areas */
	struct vfio_user_sparse_area *areas;
};

/* The current message, which is complete. */
struct front_message {
	struct vfio_user_header header;
	const uint8_t *body;
	uint32_t len;
	unsigned int nr_fds;
};

/* stream.c */

/* Descriptors that nobody wants: they are stray then. */
void front_drop_fd(struct front *f, int fd);
void front_drop_fds(struct front *f, const int *fds, unsigned int nr_fds);

/* End the connection for this reason, unless it has ended. Returns the error of its end. */
int front_fail(struct front *f, int error, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* The message in turn. Returns whether all of it is there. */
bool front_head_message(const struct front *f, struct front_message *m);

/* When the message in turn, which is whole, has to be answered. */
uint64_t front_head_due_ms(const struct front *f, const struct front_message *m);

/* Go on to the next message; descriptors of this one are in taken. */
void front_consume(struct front *f, const struct front_message *m);

/* request.c */

enum front_verdict {
	FRONT_REFUSE,  /* *status says why */
	FRONT_ANSWER,  /* the machine answers itself */
	FRONT_FORWARD, /* *r is filled in, except for token, owed and descriptors */
};

/* Check a message of a client that has negotiated. */
enum front_verdict front_decode(
	const struct front *f, const struct front_message *m, struct front_request *r, int *status);

/* reply.c */

/* What the reply to a message has behind its header, in full. */
void front_reply_shape(const struct front *f, const struct front_message *m, uint32_t *fixed_len,
	uint32_t *body_len);

/* Whether there is room for a reply with that body, besides the reserved room. */
bool front_has_room(const struct front *f, uint32_t body_len);

/*
 * Append a reply: the fixed part, then data up to body_len; NULL: bytes of fill. With a status it
 * is an error reply of the same length, or of the header alone.
 */
struct front_body {
	const void *fixed;
	uint32_t fixed_len;
	const void *data;
	uint32_t body_len;
	uint8_t fill;
};
void front_put_reply(struct front *f, const struct vfio_user_header *request, int status,
	const struct front_body *body);

/* Refuse a message. */
void front_put_refusal(struct front *f, const struct front_message *m, int status);

/* info.c */

/* Answer VERSION. Returns 0 or -EPROTO with the reason in err. */
int front_answer_version(struct front *f, const struct front_message *m, struct vuc_error *err);

/* Answer a message for which front_decode() has returned FRONT_ANSWER. */
void front_answer_info(struct front *f, const struct front_message *m);

/* Size of the full description of a region; and append that reply, for a region that can be mapped
 * or not. */
uint32_t front_region_info_len(const struct front *f, uint32_t index, bool mapped);
void front_put_region_info(struct front *f, const struct vfio_user_header *request,
	const struct vfio_user_region_info *ask, bool mapped);

/* The maximum of that size over all regions. */
uint32_t front_max_region_info(const struct front *f);

/* config.c */

void front_config_init(struct front *f, const uint8_t config[FRONT_CONFIG_HEADER]);

#endif /* VUC_FRONT_INTERNAL_H */
