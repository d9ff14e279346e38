/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SESSION_SESSION_H
#define VUC_SESSION_SESSION_H

/*
 * One vfio-user connection as a state machine without any I/O: bytes and descriptors in at the
 * bottom, segments of bytes and descriptors out, requests in and replies out at the top. Nothing
 * here reads a clock, a socket or a file, so that tests and fuzzers can feed it what they like.
 *
 *   NEGOTIATING --reply to VERSION--> READY --drain--> DRAINING --nothing left--> CLOSED
 *        \_____________________________ | _______________/
 *                                       v   a broken rule, the peer's close, an error below
 *                                     LOST
 *
 * Callbacks may make requests. They may not destroy the session.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vuc/error.h>

#include "version.h"
#include "view.h"

struct vuc_session;

/* What a server does wrong and can be lived with; each draws one warning. */
enum vuc_server_fault {
	VUC_FAULT_ANSWERS_POSTED, /* replies to commands that asked for none */
	VUC_FAULT_ERROR_TYPE,     /* error replies that have the type of a command */
	VUC_FAULT_ERROR_BODY,     /* error replies that are longer than the reply itself */
	VUC_FAULT_ACCESS_REPLY,   /* replies to accesses with a wrong count or size */
	VUC_FAULT_DEVICE,         /* the first of those that lib/device knows */
};

/* What is known of a server, also from connections before. */
struct vuc_server_faults {
	uint32_t warned;   /* a bit for each enum vuc_server_fault */
	uint32_t broke_on; /* a bit for each command that broke a connection */
	bool answers_posted;
};

/* Takes the warning of a fault, one line. */
typedef void (*vuc_session_warn_fn)(void *arg, const char *line);

/* A command of the server; valid during the call. */
struct vuc_session_command {
	uint16_t id;
	uint16_t cmd;
	bool no_reply;
	const uint8_t *body;
	size_t len;
};

/*
 * Takes a command of the server, and answers it by vuc_session_answer() or vuc_session_refuse()
 * before it returns, unless it wants no reply.
 */
typedef void (*vuc_session_command_fn)(
	void *arg, struct vuc_session *s, const struct vuc_session_command *command);

/* Sees each message as it is about to be sent, or has been received. One whose header is refused is
 * the header alone. */
typedef void (*vuc_session_trace_fn)(
	void *arg, bool sent, const uint8_t *message, size_t len, unsigned int nr_fds);

struct vuc_session_config {
	struct vuc_wire_version version; /* what to propose; also the bounds of what is accepted */
	uint16_t max_requests;           /* a power of two, 1 … 4096 */
	uint32_t timeout_ms;             /* of a request, and of sending */
	uint32_t segment_max;            /* longest segment, and so longest request */
	bool twin; /* the server's command channel: ready at once, no requests */
	vuc_session_command_fn command; /* NULL: commands of the server are refused */
	void *command_arg;
	vuc_session_trace_fn trace; /* NULL: none */
	void *trace_arg;
	struct vuc_server_faults *faults; /* must outlive the session; NULL: nothing is known */
	vuc_session_warn_fn warn;         /* NULL: no warnings */
	void *warn_arg;
	struct vuc_closer *closer; /* of descriptors that came; NULL: they are closed here */
};

/* What a request got. */
struct vuc_session_reply {
	int status;          /* 0; what the server answered; or what ended session or request */
	bool refused;        /* the server answered with an error */
	const char *reason;  /* one line unless status is 0; valid during the callback */
	const uint8_t *body; /* valid during the callback; NULL unless status is 0 */
	size_t len;
	int *fds; /* the callback takes one by setting it to -1; the rest is closed */
	unsigned int nr_fds;
};

/* A request is complete; called exactly once for each request that was accepted with a reply. */
typedef void (*vuc_session_fn)(void *arg, const struct vuc_session_reply *reply);

/* A command, without its header. */
struct vuc_session_request {
	uint16_t cmd;
	bool no_reply;
	uint16_t nr_fds;
	const int *fds;   /* stay the caller's: duplicates are sent */
	const void *body; /* copied */
	size_t len;
	const void *data; /* copied, behind body */
	size_t data_len;
	uint32_t reply_max; /* most bytes of body that are accepted; 0: as the command table says */
	uint32_t timeout_ms;  /* 0: that of the session */
	uint64_t deadline_ms; /* by the clock of the ticks, for one whose time runs already; its
				 timeout_ms is for the text then. 0: the time begins with a tick */
	vuc_session_fn done;  /* not called with no_reply */
	void *arg;
};

/* Returns a session with VERSION queued, or NULL when out of memory. */
struct vuc_session *vuc_session_create(const struct vuc_session_config *config);

/* What of its config belongs to the owner of a session, which may change. */
struct vuc_session_owner {
	void *command_arg;
	void *warn_arg;
	struct vuc_server_faults *faults;
	struct vuc_closer *closer;
};

/* A session without requests gets another owner. */
void vuc_session_set_owner(struct vuc_session *s, const struct vuc_session_owner *owner);

/* Trace messages from now on; NULL: no more. */
void vuc_session_set_trace(struct vuc_session *s, vuc_session_trace_fn trace, void *arg);

/* An access is about to be made: let what it needs come into the cache meanwhile. */
void vuc_session_prefetch(const struct vuc_session *s);

/* Requests still outstanding are not told: end the session first. NULL does nothing. */
void vuc_session_destroy(struct vuc_session *s);

/* What can be looked at without a call; valid as long as the session. */
static inline const struct vuc_session_view *
vuc_session_view(const struct vuc_session *s)
{
	return (const struct vuc_session_view *)s;
}

static inline enum vuc_session_state
vuc_session_state(const struct vuc_session *s)
{
	return vuc_session_view(s)->state;
}

/* Changes with each message that comes, and with each segment that has gone out. */
uint32_t vuc_session_moves(const struct vuc_session *s);

/* Why the session ended, one line; "" while it has not. */
const char *vuc_session_reason(const struct vuc_session *s);

/* What ended the session, a negative errno; 0 while it has not. */
int vuc_session_error(const struct vuc_session *s);

/* The server's version and capabilities; valid from READY on. */
const struct vuc_wire_version *vuc_session_peer(const struct vuc_session *s);

/* The server's version data as text, "" when there was none; valid from READY on. */
const char *vuc_session_peer_json(const struct vuc_session *s);

/* Most bytes of data in one message to or from the server: the smaller of both sides' limits. */
static inline uint32_t
vuc_session_max_data(const struct vuc_session *s)
{
	return vuc_session_view(s)->max_data;
}

/* Requests awaiting a reply; those timed out are not counted. */
static inline unsigned int
vuc_session_outstanding(const struct vuc_session *s)
{
	return vuc_session_view(s)->outstanding;
}

/* Whether descriptors that come have to be seen; see vuc_view_watches_fds(). */
static inline bool
vuc_session_watches_fds(const struct vuc_session *s)
{
	return vuc_view_watches_fds(vuc_session_view(s));
}

/* Whether descriptors have to be seen whatever is outstanding: true at first. Once nobody can send
 * any, they need not. */
void vuc_session_watch_fds(struct vuc_session *s, bool watch);

/* Whether the server may still answer a request other than a region access, or one that has timed
 * out. */
bool vuc_session_owes_reply(const struct vuc_session *s);

/* ---- the top: requests ---- */

/*
 * Queue a command. Returns 0; -EAGAIN when the request table or the send buffer is full;
 * -EMSGSIZE when it is longer than segment_max or the command table allows, -EINVAL for fds or
 * flags that the table does not allow; -ENOTCONN while negotiating and from DRAINING on, or what
 * ended the session.
 */
int vuc_session_request(struct vuc_session *s, const struct vuc_session_request *req);

/* A region access that is one message. */
struct vuc_session_access {
	uint32_t region;
	uint32_t count;
	uint64_t offset;
	void *data; /* read into, so it lives until done; or written from, at once */
	vuc_session_fn done;
	void *arg;
};

/*
 * The two that MMIO is made of, without the detour of the general form. done gets no body: a read
 * has its bytes in data when status is 0. Count is at most vuc_session_max_data() and, for a write,
 * vuc_session_max_write(). With no_reply done is not called; the write is awaited inside the
 * session when the server answers those, too. Returns as vuc_session_request().
 */
int vuc_session_region_read(struct vuc_session *s, const struct vuc_session_access *access);
int vuc_session_region_write(
	struct vuc_session *s, const struct vuc_session_access *access, bool no_reply);
uint32_t vuc_session_max_write(const struct vuc_session *s);

/*
 * Answer a command of the server: a body of len bytes and, behind it, room for data_len bytes,
 * which the caller fills at once. Returns where that room is, never NULL with data_len 0, or NULL
 * when the session has ended, which it also does when the server does not take its replies.
 */
uint8_t *vuc_session_answer(struct vuc_session *s, const struct vuc_session_command *command,
	const void *body, size_t len, size_t data_len);

/*
 * For one who sends a reply himself, from where its data lies, while nothing waits to be sent and
 * nobody traces: its header, of VUC_SESSION_HEADER bytes, with len bytes behind it; and room for
 * what did not go out of it, as vuc_session_answer() has it for data.
 */
#define VUC_SESSION_HEADER 16
void vuc_session_reply_header(
	const struct vuc_session_command *command, size_t len, uint8_t header[VUC_SESSION_HEADER]);
uint8_t *vuc_session_answer_rest(struct vuc_session *s, size_t len);

/* Answer a command of the server with an error, an errno value. */
void vuc_session_refuse(
	struct vuc_session *s, const struct vuc_session_command *command, int error);

/* The socket for the server's commands that came with the reply to VERSION, the caller's from now
 * on; -1 when there is none, or it was taken. */
int vuc_session_take_twin(struct vuc_session *s);

/* Take no more requests; CLOSED once all are sent and answered. */
void vuc_session_drain(struct vuc_session *s);

/* Complete all requests, or unless done is NULL those that call it, with error (a negative errno)
 * now. What is queued is sent all the same, and late replies are dropped. Only the last one's
 * callback may make another one. */
void vuc_session_cancel(struct vuc_session *s, vuc_session_fn done, int error, const char *reason);

/* Whether anything here depends on time: a request is outstanding, or something is unsent. */
bool vuc_session_has_deadline(const struct vuc_session *s);

/* When a tick has something to do, by the clock of the ticks; 0: now, since there is something that
 * no tick has seen yet; UINT64_MAX: never. What comes meanwhile may be due earlier. */
uint64_t vuc_session_due(const struct vuc_session *s);

/*
 * Time passes: requests older than the timeout complete with -ETIMEDOUT. A request's time begins
 * with the first tick after it was queued, so that none expires early and none needs a clock. Its
 * id stays taken until the late reply comes, which is then dropped. Two things end the session
 * with -ETIMEDOUT: a request that the server may still carry out to somebody's harm (a row of the
 * command table says so), and a server that has read nothing for the timeout while something waits
 * to be sent.
 */
void vuc_session_tick(struct vuc_session *s, uint64_t now_ms);

/*
 * Whether the server has stopped answering: a request has timed out, and nothing has come from the
 * server for at least half of that time. The next message of the server ends it. since_ms: the last
 * sign of the server, or when the request was sent if that was later; by the clock of the ticks.
 */
bool vuc_session_silent(const struct vuc_session *s, uint64_t *since_ms);

/* End the session for a reason from outside, completing every request with error (a negative
 * errno). Nothing happens when it has ended already. */
void vuc_session_end(struct vuc_session *s, int error, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* ---- the bottom: bytes ---- */

/*
 * The next segment to send; NULL when there is none. It stays the next one, unchanged, until
 * vuc_session_sent() says that it is out.
 */
const struct vuc_segment *vuc_session_next_segment(struct vuc_session *s);
void vuc_session_sent(struct vuc_session *s);

/* A part of it is out: the server reads. */
void vuc_session_sent_part(struct vuc_session *s);

/* Whether there is something to send. */
static inline bool
vuc_session_has_segment(const struct vuc_session *s)
{
	return vuc_view_has_segment(vuc_session_view(s));
}

/*
 * Bytes came, with the descriptors that came in the same receive: they belong to the last message
 * that these bytes are a part of, since the kernel ends a receive behind the send that carried
 * descriptors. The descriptors are the session's from now on.
 */
void vuc_session_received(struct vuc_session *s, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds);

/* Where the rest of a message is best received; see vuc_view_receive_into(). */
static inline uint8_t *
vuc_session_receive_into(const struct vuc_session *s, size_t *len)
{
	return vuc_view_receive_into(vuc_session_view(s), len);
}

/* The connection below ended: 0 for the peer's close, else a negative errno. */
void vuc_session_lost(struct vuc_session *s, int error);

#endif /* VUC_SESSION_SESSION_H */
