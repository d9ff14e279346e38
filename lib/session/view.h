/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SESSION_VIEW_H
#define VUC_SESSION_VIEW_H

/*
 * What the owner of a session and the driver below it look at all the time: the first part of a
 * session, read where it lies by the functions here. Only the session writes it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vuc_session_state {
	VUC_SESSION_NEGOTIATING,
	VUC_SESSION_READY,
	VUC_SESSION_DRAINING,
	VUC_SESSION_LOST,
	VUC_SESSION_CLOSED,
};

struct vuc_session_view {
	enum vuc_session_state state;
	unsigned int outstanding; /* requests awaiting a reply; those timed out are not counted */
	unsigned int commands;    /* those of them that are no region accesses */
	unsigned int received;    /* messages, modulo 2^32 */
	uint32_t nr_segments;     /* that wait to be sent */
	uint32_t part_len;        /* of a message that has come in part; 0: there is none */
	uint8_t *part;            /* what has come of it */
	uint32_t part_total;      /* its length; 0 until its header is complete */
	uint32_t max_data;        /* see vuc_session_max_data() */
	bool watches_fds;         /* see vuc_session_watch_fds() */
};

#define VUC_MAX_SEGMENT_FDS 16

/* A run of whole messages to be sent at once. */
struct vuc_segment {
	const uint8_t *bytes;
	size_t len;
	const int *fds; /* they ride on the first byte */
	unsigned int nr_fds;
};

/* Whether the peer owes an answer. */
static inline bool
vuc_view_is_owed(const struct vuc_session_view *v)
{
	return v->outstanding > 0;
}

/* Whether there is something to send. */
static inline bool
vuc_view_has_segment(const struct vuc_session_view *v)
{
	return v->nr_segments > 0 && v->state != VUC_SESSION_LOST;
}

/*
 * Whether descriptors that come have to be seen: while the owner says so, and whenever a request
 * other than a region access is outstanding. A reply to an access has none, and looking for them
 * costs time.
 */
static inline bool
vuc_view_watches_fds(const struct vuc_session_view *v)
{
	return v->commands > 0 || v->watches_fds;
}

/*
 * Where the rest of a message that has come in part is best received, so that it is not copied, and
 * in *len how long that is. NULL when there is no such message. What comes otherwise is right, too.
 */
static inline uint8_t *
vuc_view_receive_into(const struct vuc_session_view *v, size_t *len)
{
	if (v->part_len == 0 || v->part_total <= v->part_len)
		return NULL;
	*len = v->part_total - v->part_len;
	return v->part + v->part_len;
}

/* Whether the next bytes can be received in the plain way: by recv(2), into any buffer. */
static inline bool
vuc_view_receives_plainly(const struct vuc_session_view *v)
{
	return v->part_len == 0 && !vuc_view_watches_fds(v);
}

#endif /* VUC_SESSION_VIEW_H */
