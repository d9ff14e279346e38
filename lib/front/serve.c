/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accesses.h"
#include "attend.h"
#include "clock.h"
#include "fds.h"
#include "post.h"

#define RESULTS     16u /* taken at once */
#define BUSY_LOOKS  8u  /* loops between looks at the socket while results are awaited */
#define STRAY_BURST 64u

struct front_server {
	struct front_server_opts opts;
	_Atomic bool thread;          /* it is the thread's turn, or nobody's */
	bool attends;                 /* the attendant has been added to the poller */
	struct front_request pending; /* handed over with the turn */
	int pending_fds[FRONT_MAX_FDS];
	bool has_pending;
	int error; /* of the socket, if that has ended the connection */
	unsigned int looks;
	struct poller_attendant attendant;
	struct vuc_post resume;
	struct front_accesses accesses;
};

/* ---- the socket: used by the poller or the thread, in its turn ---- */

static void
server_close_strays(struct front_server *s)
{
	int fds[STRAY_BURST];
	unsigned int n;

	while ((n = front_take_stray_fds(s->opts.front, fds, STRAY_BURST)) > 0)
		vuc_closer_close(s->opts.closer, fds, n);
}

/* End the connection because of an error of the socket, which is returned. */
static int
server_fail(struct front_server *s, int error)
{
	if (error == -EPIPE)
		error = -ECONNRESET;
	if (error == -ECONNRESET)
		front_end(s->opts.front, "the VMM has closed the connection");
	else if (error == -EMFILE)
		front_end(s->opts.front,
			"file descriptors were lost: the daemon is at its limit (RLIMIT_NOFILE)");
	else
		front_end(s->opts.front, strerror(-error));
	s->error = error;
	return error;
}

/* Returns 1 if bytes were received; 0 if there are none, or no room for them; or the error that has
 * ended the connection. */
static int
server_receive(struct front_server *s)
{
	struct front *f = s->opts.front;
	int fds[VUC_FDS_MAX], nr_fds;
	struct iovec part;
	ssize_t n;
	int rc;

	/* There is no room until they are taken, and what is refused without a reply leaves some.
	 */
	server_close_strays(s);
	part.iov_base = front_room(f, &part.iov_len);
	if (part.iov_len == 0)
		return 0;
	n = vuc_fds_receive(
		s->opts.fd, &part, 1, fds, VUC_FDS_MAX, &nr_fds, MSG_DONTWAIT, s->opts.closer);
	if (n == -EAGAIN)
		s->attendant.event = false;
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == 0)
		return server_fail(s, -ECONNRESET);
	if (n < 0)
		return server_fail(s, (int)n);
	if (nr_fds < 0)
		return server_fail(s, nr_fds);
	rc = front_received(f, (size_t)n, fds, (unsigned int)nr_fds, vuc_clock_coarse_ms());
	return rc < 0 ? rc : 1;
}

static int
server_send(struct front_server *s)
{
	struct front *f = s->opts.front;
	const void *bytes;
	size_t size;
	ssize_t n;
	int fd;

	while ((bytes = front_output(f, &size, &fd)) != NULL) {
		n = vuc_fds_send(s->opts.fd, bytes, size, &fd, fd >= 0, MSG_DONTWAIT);
		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return server_fail(s, (int)n);
		front_sent(f, n > 0 ? (size_t)n : 0, vuc_clock_coarse_ms());
		server_close_strays(s);
		if (n == -EAGAIN)
			return -EAGAIN;
	}
	return 0;
}

/* Called before replies, since the caller may not have run for a while. */
void
front_server_expire(struct front_server *s)
{
	uint64_t due = front_deadline_ms(s->opts.front), now = vuc_clock_coarse_ms();

	if (due != 0 && due <= now)
		front_expire(s->opts.front, now);
}

/* ---- the poller's turn ---- */

/* Pairs with front_server_has_turn(), which the thread calls when it is woken. */
static void
server_hand_over(struct front_server *s)
{
	const uint64_t one = 1;
	ssize_t n;

	s->attendant.busy = false;
	vuc_poller_pause_attendant(&s->attendant);
	atomic_store_explicit(&s->thread, true, memory_order_release);
	n = write(s->opts.wake_fd, &one, sizeof(one));
	(void)n;
}

/* Returns whether the connection has ended. The thread takes over then. */
static bool
server_look_at_end(struct front_server *s)
{
	if (front_why(s->opts.front) == NULL)
		return false;
	server_hand_over(s);
	return true;
}

/* Returns as front_next(). The machine keeps descriptors of one request, which may soon be one that
 * it refuses, so those of what is pending are copied. */
static int
server_next(struct front_server *s)
{
	struct front_request *r = &s->pending;
	int rc = front_next(s->opts.front, r);

	s->has_pending = rc == 1;
	if (rc == 1 && r->nr_fds > 0) {
		memcpy(s->pending_fds, r->fds, r->nr_fds * sizeof(*r->fds));
		r->fds = s->pending_fds;
	}
	return rc;
}

static void
server_take_requests(struct front_server *s)
{
	int rc = s->has_pending ? 1 : server_next(s);

	while (rc == 1 && s->pending.kind == FRONT_ACCESS &&
		front_accesses_begin(&s->accesses, &s->pending))
		rc = server_next(s);
}

/* Carry out the requests that have arrived, up to one for the thread. Sending replies makes room
 * for more of them. */
static void
server_carry_out(struct front_server *s)
{
	bool sends;
	size_t size;
	int rc, fd;

	do {
		server_take_requests(s);
		sends = front_output(s->opts.front, &size, &fd) != NULL;
		rc = server_send(s);
	} while (sends && rc == 0 && !s->has_pending);
	if (server_look_at_end(s))
		return;
	if (s->has_pending && s->pending.kind != FRONT_ACCESS) {
		server_hand_over(s);
		return;
	}
	s->attendant.busy = s->accesses.nr_busy > 0;
	vuc_poller_await_output(&s->attendant, rc == -EAGAIN);
}

static bool
server_look(void *arg)
{
	struct front_server *s = arg;
	int rc = 0;

	/* Receiving would overwrite the data of a pending write. */
	if (!s->has_pending &&
		(s->accesses.nr_busy == 0 || s->attendant.event || ++s->looks % BUSY_LOOKS == 0))
		rc = server_receive(s);
	if (rc != 0 || s->attendant.output)
		server_carry_out(s);
	return rc != 0;
}

static void
server_results(void *arg)
{
	struct front_server *s = arg;
	struct vuc_queue_result results[RESULTS];
	unsigned int n = vuc_queue_poll(s->opts.queue, results, RESULTS);

	if (n > 0)
		front_server_expire(s);
	for (unsigned int i = 0; i < n; i++)
		front_accesses_take(&s->accesses, &results[i]);
	if (n > 0)
		server_carry_out(s);
}

static uint64_t
server_due_ms(void *arg)
{
	struct front_server *s = arg;

	/* Not `thread`, which is cleared before server_resume() runs. */
	if (s->attendant.paused)
		return 0;
	return front_deadline_ms(s->opts.front);
}

static void
server_tick(void *arg, uint64_t now_ms)
{
	struct front_server *s = arg;

	front_expire(s->opts.front, now_ms);
	server_carry_out(s);
}

static const struct poller_attendant_ops server_ops = {
	.look = server_look,
	.results = server_results,
	.due_ms = server_due_ms,
	.tick = server_tick,
};

/* ---- the thread ---- */

struct front_server *
front_server_create(const struct front_server_opts *opts)
{
	struct front_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->opts = *opts;
	atomic_store_explicit(&s->thread, true, memory_order_relaxed);
	s->attendant.fd = opts->fd;
	s->attendant.ops = &server_ops;
	s->attendant.arg = s;
	if (front_accesses_init(&s->accesses, opts->front, opts->dev, opts->queue) == 0)
		return s;
	front_accesses_free(&s->accesses);
	free(s);
	return NULL;
}

/* On the poller's thread. */
static int
server_end(void *arg)
{
	struct front_server *s = arg;

	if (s->attends)
		vuc_poller_unattend(&s->attendant);
	return 0;
}

void
front_server_destroy(struct front_server *s)
{
	if (s == NULL)
		return;
	vuc_poller_call(s->opts.poller, server_end, s);
	if (s->has_pending)
		vuc_closer_close(s->opts.closer, s->pending.fds, s->pending.nr_fds);
	front_accesses_free(&s->accesses);
	free(s);
}

bool
front_server_has_turn(struct front_server *s)
{
	/* Pairs with server_hand_over(). */
	return atomic_load_explicit(&s->thread, memory_order_acquire);
}

/* On the poller's thread. */
static void
server_resume(void *arg)
{
	struct front_server *s = arg;

	atomic_store_explicit(&s->thread, false, memory_order_relaxed);
	vuc_poller_resume_attendant(&s->attendant);
	server_carry_out(s);
}

/* On the poller's thread. */
static int
server_begin(void *arg)
{
	struct front_server *s = arg;
	int rc = vuc_poller_attend(s->opts.poller, &s->attendant);

	if (rc != 0)
		return rc;
	s->attends = true;
	server_resume(s);
	return 0;
}

int
front_server_pass(struct front_server *s)
{
	if (!s->attends)
		return vuc_poller_call(s->opts.poller, server_begin, s);
	/* Neither has the turn until server_resume() runs. */
	atomic_store_explicit(&s->thread, false, memory_order_relaxed);
	s->resume = (struct vuc_post){.fn = server_resume, .arg = s};
	vuc_poller_post(s->opts.poller, &s->resume);
	return 0;
}

void
front_server_receive(struct front_server *s)
{
	while (!s->has_pending && server_receive(s) > 0)
		continue;
}

void
front_server_drop_late(struct front_server *s)
{
	struct front_request *r = &s->pending;

	if (!s->has_pending || r->kind == FRONT_ACCESS)
		return;
	front_server_expire(s);
	/* It is the only outstanding request. */
	if (front_outstanding(s->opts.front) > 0)
		return;
	vuc_closer_close(s->opts.closer, r->fds, r->nr_fds);
	s->has_pending = false;
}

/* Requests that have been received are carried out before more bytes are received. */
int
front_server_next(struct front_server *s, struct front_request *r)
{
	int rc;

	front_server_drop_late(s);
	rc = s->has_pending ? 1 : 0;

	while (rc == 0) {
		rc = server_next(s);
		if (rc != 0)
			break;
		rc = server_receive(s);
		if (rc <= 0)
			return rc;
		rc = 0;
	}
	if (rc < 0)
		return s->error != 0 ? s->error : rc;
	if (s->pending.kind == FRONT_ACCESS)
		return 0;
	*r = s->pending;
	s->has_pending = false;
	return 1;
}

int
front_server_send(struct front_server *s)
{
	int rc = server_send(s);

	return rc == -EAGAIN ? 0 : rc;
}
