/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SESSION_INTERNAL_H
#define VUC_SESSION_INTERNAL_H

#include <errno.h>
#include <stddef.h>

#include "command.h"
#include "session.h"
#include "vfio_user.h"

#define MAX_MSG_FDS    (unsigned int)VUC_MAX_SEGMENT_FDS
#define MAX_SEGMENTS   64u /* a power of two */
#define TX_BUFFER_SIZE (128u * 1024u)
#define POSTED_ID      0xffffu /* of commands without a reply; no slot ever has it */
#define CACHE_LINE     64u
#define NO_SLOT        0xffffu /* index of none */

/* What requests leave free of the send buffer: room for replies to commands of the server. */
#define KEPT_BYTES    4096u
#define KEPT_SEGMENTS 4u

enum slot_state {
	SLOT_FREE,
	SLOT_WAITING,
	SLOT_WATCHED,   /* waiting, with a deadline since a tick has seen it */
	SLOT_TIMED_OUT, /* told to its owner; the id is free once the late reply has come */
};

/* A request that was sent, and what its reply must look like: a cache line. */
struct slot {
	uint16_t id; /* generation above, index below */
	uint16_t cmd;
	uint16_t next_free; /* index of another one; of a free slot */
	uint8_t state;
	bool access;        /* a region access: echoed fields are checked here */
	uint32_t segment;   /* that it went into, as tx.first counts them */
	uint32_t reply_max; /* of the body */
	uint64_t reply;     /* how the header of a right reply begins; 0 unless an access waits */
	struct {
		uint64_t offset;
		uint32_t region;
		uint32_t count;
	} asked;    /* by an access, as its message says it and the reply repeats it */
	void *data; /* where a region read goes */
	vuc_session_fn done;
	void *arg;
};

_Static_assert(sizeof(struct slot) == CACHE_LINE, "it has no neighbour to share it with");

/* What else there is of a request, by the index of its slot. */
struct slot_rest {
	uint64_t deadline_ms; /* of one that is watched */
	uint32_t timeout_ms;  /* 0: that of the session, as always for an access */
	uint32_t reply_min;   /* of the body of no access */
};

struct tx_segment {
	struct vuc_segment out; /* as it is given out */
	uint32_t start;         /* in the buffer */
	bool own;               /* out.bytes are its own: a reply too long for the buffer */
	bool handed;            /* it was given out, so nothing may be added */
};

/*
 * Messages to be sent. Segments lie behind each other in a buffer, in which they start over when
 * it has run empty, or when no room is left at its end and enough has become free at its beginning.
 */
struct tx {
	uint8_t *buf;
	uint32_t segment_max; /* bytes */
	uint32_t tail;
	uint32_t first; /* number of the first segment; counts on */
	uint32_t place; /* of that one in the ring; 0 again when it has run empty, which keeps one
			   warm */
	struct tx_segment segments[MAX_SEGMENTS]; /* view.nr_segments of them */
	int fds[MAX_SEGMENTS][MAX_MSG_FDS];       /* theirs */
};

_Static_assert(offsetof(struct tx, segments) + sizeof(struct tx_segment) <= CACHE_LINE,
	"a lone message touches one line of it");

/* The posted write that was last queued, which others may join; len 0: there is none. */
struct tail_write {
	uint32_t len;
	uint32_t start; /* in the send buffer */
	bool multi;
};

/*
 * What every access looks at lies in two cache lines, that of the state and that of tx with the
 * first of its segments: where one core drives many devices, the lines of all sessions compete for
 * its caches.
 */
struct vuc_session {
	_Alignas(CACHE_LINE) struct vuc_session_view view;
	uint16_t index_mask;
	uint16_t first_free; /* a stack, so that a lone request keeps one warm slot; NO_SLOT */
	bool traced;         /* config.trace is there */
	bool posted;         /* commands were sent that asked for no reply */
	bool awaits_posted;  /* the server answers those all the same: none is sent any more */
	uint8_t suspect;     /* command that was refused, while no other reply has come; 0: none */
	struct slot *slots;
	struct tail_write tail_write;
	struct slot_rest *rests;
	size_t part_size;         /* of view.part */
	unsigned int nr_part_fds; /* that came with the part of a message ... */
	int part_fds[MAX_MSG_FDS];
	struct vuc_session_config config;
	_Alignas(CACHE_LINE) struct tx tx;
	struct vuc_wire_version peer;
	char *peer_json;
	unsigned int timed_out;
	bool silent;               /* see vuc_session_silent() */
	unsigned int heard;        /* received, as the last tick saw it */
	uint64_t heard_ms;         /* the tick that saw it change */
	uint64_t silent_ms;        /* since when, if silent */
	bool send_watched;         /* a tick has seen segment send_first wait ... */
	uint32_t send_first;       /* ... which is that of tx.first, unless it is out by now */
	uint64_t send_deadline_ms; /* when it has to be out, or a part of it */
	struct vuc_server_faults own_faults; /* where config.faults points unless it is set */
	int twin_fd;
	int error;
	struct vuc_error reason;
};

/* request.c: as vuc_session_request(), in any state. */
int session_queue(struct vuc_session *s, const struct vuc_session_request *req);

/*
 * transmit.c: room for a message of len bytes at the end of the last segment; NULL when there is
 * none. Descriptors begin a segment of their own, so that they ride on the first byte of their
 * message; they are the segment's from then on. A reply that is too long for the buffer has one of
 * its own.
 */
uint8_t *session_reserve(
	struct vuc_session *s, uint32_t len, const int *fds, uint16_t nr_fds, bool reply);
uint8_t *session_reserve_own(struct vuc_session *s, uint32_t len);

/* transmit.c: the last segment is as good as given out: nothing is added, and it is not traced. */
void session_close_tail(struct vuc_session *s);

/* transmit.c: forget what was to be sent; nobody below may have it any more. */
void session_drop_segments(struct vuc_session *s);

/* A segment by its number, as tx.first counts them. */
static inline const struct tx_segment *
session_segment(const struct vuc_session *s, uint32_t n)
{
	return &s->tx.segments[(n - s->tx.first + s->tx.place) % MAX_SEGMENTS];
}

/* Whether a slot's command waits to be sent still, so that nobody can have seen it. */
static inline bool
session_is_queued(const struct vuc_session *s, const struct slot *slot)
{
	return slot->segment - s->tx.first < s->view.nr_segments &&
		!session_segment(s, slot->segment)->handed;
}

/* transmit.c: whether the last message ends at this place of the send buffer and can still change;
 * and make it longer, if there is room. */
bool session_tail_is(const struct vuc_session *s, uint32_t end);
bool session_grow_tail(struct vuc_session *s, uint32_t len);

/* write_multi.c: let a posted write join the one before it. Returns false when it cannot. */
bool session_join_write(struct vuc_session *s, const struct vuc_session_access *access);

/* negotiate.c: queue VERSION. */
int session_negotiate(struct vuc_session *s);

static inline struct slot_rest *
session_rest(const struct vuc_session *s, const struct slot *slot)
{
	return &s->rests[slot - s->slots];
}

/* Why no request is taken while the session is not ready. */
static inline int
session_not_ready(const struct vuc_session *s)
{
	return s->view.state == VUC_SESSION_LOST ? s->error : -ENOTCONN;
}

/* A slot can be used again, with the next id. */
static inline void
session_free_slot(struct vuc_session *s, struct slot *slot)
{
	uint16_t step = (uint16_t)(s->index_mask + 1);

	slot->state = SLOT_FREE;
	slot->reply = 0;
	slot->id = (uint16_t)(slot->id + step);
	if (slot->id == POSTED_ID)
		slot->id = s->index_mask;
	slot->next_free = s->first_free;
	s->first_free = slot->id & s->index_mask;
}

/*
 * access.c: take a reply to an access that repeats its request, as it must, and lies in these bytes
 * as a whole. Returns its size; 0 for anything else, which is still to be looked at.
 */
size_t session_take_expected(struct vuc_session *s, const uint8_t *bytes, size_t avail);

/* session.c: a slot's request is over; the slot can be used again before done is called. */
void session_complete(struct vuc_session *s, struct slot *slot, struct vuc_session_reply *reply);

/* DRAINING becomes CLOSED when nothing is left. */
static inline void
session_settle(struct vuc_session *s)
{
	if (s->view.state == VUC_SESSION_DRAINING && s->view.outstanding == 0 &&
		s->view.nr_segments == 0)
		s->view.state = VUC_SESSION_CLOSED;
}

/* session.c: whether this is the first time that the server has this fault; and the warning. */
bool session_is_new_fault(struct vuc_session *s, enum vuc_server_fault fault);
void session_warn(struct vuc_session *s, const char *fmt, ...)
	__attribute__((cold, format(printf, 2, 3)));

/* session.c: let go of descriptors that came; those that are -1 have been taken. */
void session_drop_fds(struct vuc_session *s, int *fds, unsigned int nr_fds);

#endif /* VUC_SESSION_INTERNAL_H */
