/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "attend.h"
#include "clock.h"
#include "fds.h"
#include "post.h"
#include "record.h"
#include "source.h"

#define SMALL       64u /* bytes of an access that need no memory of their own */
#define RESULTS     16u /* taken at once */
#define BUSY_LOOKS  8u  /* while results are awaited, the socket is looked at as seldom */
#define STRAY_BURST 64u

#define STANDARD_CONFIG 256u /* bytes of config space that a record has */

/* An access that the device works on, in one part after the other. */
struct front_access_slot {
	unsigned int token;
	bool write;
	uint32_t region;
	uint64_t offset;
	uint32_t count;
	struct front_piece pieces[FRONT_MAX_PIECES];
	unsigned int nr_pieces;
	unsigned int piece; /* that is in turn */
	uint32_t done;      /* bytes of it */
	uint32_t part;      /* bytes that are under way */
	uint8_t *data;      /* small, or memory of its own */
	uint8_t small[SMALL];
	struct front_access_slot *next; /* that is free */
};

struct front_server {
	struct front_server_opts opts;
	_Atomic bool thread;          /* whose turn it is */
	bool attends;                 /* the poller looks after it */
	struct front_request pending; /* handed over with the turn */
	int pending_fds[FRONT_MAX_FDS];
	bool has_pending;
	int error; /* of the socket, that has ended the connection */
	unsigned int looks;
	unsigned int nr_busy;
	struct poller_attendant attendant;
	struct vuc_post resume;
	struct front_access_slot *free;
	struct front_access_slot slots[FRONT_MAX_REQUESTS];
};

/* ---- the socket, for whose turn it is ---- */

static void
server_close_strays(struct front_server *s)
{
	int fds[STRAY_BURST];
	unsigned int n;

	while ((n = front_take_stray_fds(s->opts.front, fds, STRAY_BURST)) > 0)
		vuc_closer_close(s->opts.closer, fds, n);
}

/* Returns the error. */
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

/* Returns 1 when something has come, 0 when nothing has or can be taken, or what has ended the
 * connection. */
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

/* A thread that did not run for long does not answer too late. */
void
front_server_expire(struct front_server *s)
{
	uint64_t due = front_deadline_ms(s->opts.front), now = vuc_clock_coarse_ms();

	if (due != 0 && due <= now)
		front_expire(s->opts.front, now);
}

/* ---- accesses, on the poller's thread ---- */

static struct front_access_slot *
slot_take(struct front_server *s, const struct front_request *r)
{
	const struct front_access *a = &r->access;
	struct front_access_slot *slot = s->free;
	uint8_t *data;

	/* Reads that have expired keep theirs until the device has answered. */
	if (slot == NULL)
		return NULL;
	data = a->count <= SMALL ? slot->small : malloc(a->count);
	if (data == NULL)
		return NULL;
	slot->data = data;
	s->free = slot->next;
	slot->token = r->token;
	slot->write = a->write;
	slot->region = a->region;
	slot->offset = a->offset;
	slot->count = a->count;
	slot->piece = 0;
	slot->done = 0;
	if (a->write)
		memcpy(slot->data, a->data, a->count);
	return slot;
}

static void
slot_free(struct front_server *s, struct front_access_slot *slot)
{
	if (slot->data != slot->small)
		free(slot->data);
	slot->data = slot->small;
	slot->next = s->free;
	s->free = slot;
}

static void
slot_find_pieces(struct front_server *s, struct front_access_slot *slot)
{
	struct front *f = s->opts.front;

	if (slot->region != VFIO_PCI_CONFIG_REGION_INDEX) {
		slot->pieces[0] =
			(struct front_piece){.count = slot->count, .offset = slot->offset};
		slot->nr_pieces = 1;
	} else if (slot->write) {
		slot->nr_pieces =
			front_config_write(f, slot->offset, slot->count, slot->data, slot->pieces);
	} else {
		slot->nr_pieces = front_config_pieces(f, slot->offset, slot->count, slot->pieces);
	}
}

static void
slot_answer(struct front_server *s, struct front_access_slot *slot, int status)
{
	struct front *f = s->opts.front;

	if (slot->write) {
		front_reply(f, slot->token, status);
	} else {
		if (status == 0 && slot->region == VFIO_PCI_CONFIG_REGION_INDEX)
			front_config_merge(f, slot->offset, slot->count, slot->data);
		front_reply_read(f, slot->token, status, slot->data);
	}
	slot_free(s, slot);
}

/* A write is complete when PCI's would be: it is posted where the device posts. */
static int
slot_submit(struct front_server *s, struct front_access_slot *slot)
{
	const struct front_piece *piece = &slot->pieces[slot->piece];
	struct vuc_queue_request request = {
		.op = slot->write ? VUC_QUEUE_WRITE_PCI : VUC_QUEUE_READ,
		.region = slot->region,
		.offset = piece->offset + slot->done,
		.count = piece->count - slot->done,
		.data = slot->data + piece->at + slot->done,
		.arg = slot,
	};
	int rc;

	if (request.count > vuc_queue_max_data(s->opts.queue))
		request.count = vuc_queue_max_data(s->opts.queue);
	slot->part = request.count;
	rc = vuc_queue_submit(s->opts.queue, &request, 1);
	if (rc == 1)
		s->nr_busy++;
	return rc == 1 ? 0 : rc == 0 ? -EBUSY : rc;
}

/* Put what was known last into a read of config space. Returns whether it is one, and is known. A
 * VMM that reads more than the standard part finds no extended capabilities, of which nothing is
 * kept: that is better than 960 registers, each of which takes the device's timeout. */
static bool
slot_recall(struct front_server *s, struct front_access_slot *slot)
{
	uint32_t known = slot->count;

	if (slot->write || slot->region != VFIO_PCI_CONFIG_REGION_INDEX)
		return false;
	memset(slot->data, 0, slot->count);
	if (slot->offset >= STANDARD_CONFIG)
		return true;
	if (slot->count > STANDARD_CONFIG - slot->offset)
		known = (uint32_t)(STANDARD_CONFIG - slot->offset);
	return vuc_device_record_read_config(s->opts.dev, slot->offset, slot->data, known) == 0;
}

static void
slot_go_on(struct front_server *s, struct front_access_slot *slot)
{
	int rc;

	if (slot->piece == slot->nr_pieces) {
		slot_answer(s, slot, 0);
		return;
	}
	rc = slot_submit(s, slot);
	if (rc != 0)
		slot_answer(s, slot, rc);
}

/*
 * While the device is away, or its server does not answer, what was known of config space answers
 * without waiting: QEMU stands still meanwhile, and a vendor id of ones is a device that is gone.
 * One read at a time is sent to a silent server nevertheless, whose reply shows that it is back.
 */
static bool
slot_answer_from_record(struct front_server *s, struct front_access_slot *slot)
{
	bool away = vuc_device_is_away(s->opts.dev);
	uint64_t since_ms;

	if ((!away && !vuc_device_is_silent(s->opts.dev, &since_ms)) || !slot_recall(s, slot))
		return false;
	if (away || s->nr_busy > 0) {
		slot_answer(s, slot, 0);
		return true;
	}
	front_config_merge(s->opts.front, slot->offset, slot->count, slot->data);
	front_reply_read(s->opts.front, slot->token, 0, slot->data);
	slot_go_on(s, slot);
	return true;
}

static void
server_access(struct front_server *s, const struct front_request *r)
{
	struct front_access_slot *slot = slot_take(s, r);

	if (slot == NULL) {
		if (r->access.write)
			front_reply(s->opts.front, r->token, -ENOMEM);
		else
			front_reply_read(s->opts.front, r->token, -ENOMEM, NULL);
		return;
	}
	slot_find_pieces(s, slot);
	if (!slot_answer_from_record(s, slot))
		slot_go_on(s, slot);
}

static void
server_result(struct front_server *s, const struct vuc_queue_result *result)
{
	struct front_access_slot *slot = result->arg;

	/* The thread has given it up. */
	if (slot == NULL)
		return;
	s->nr_busy--;
	if (result->status != 0) {
		bool known = result->status == -ETIMEDOUT && slot_recall(s, slot);

		slot_answer(s, slot, known ? 0 : result->status);
		return;
	}
	slot->done += slot->part;
	if (slot->done == slot->pieces[slot->piece].count) {
		slot->piece++;
		slot->done = 0;
	}
	slot_go_on(s, slot);
}

/* ---- the poller's turn ---- */

/* The thread looks at the flag when it is woken: front_server_has_turn(). */
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

/* Whether the connection has ended, which the thread is told. */
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

	while (rc == 1 && s->pending.kind == FRONT_ACCESS) {
		server_access(s, &s->pending);
		rc = server_next(s);
	}
}

/* Carry out what there is, up to what is the thread's. What is sent makes room for more. */
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
	if (s->has_pending) {
		server_hand_over(s);
		return;
	}
	s->attendant.busy = s->nr_busy > 0;
	vuc_poller_await_output(&s->attendant, rc == -EAGAIN);
}

static bool
server_look(void *arg)
{
	struct front_server *s = arg;
	int rc = 0;

	if (s->nr_busy == 0 || s->attendant.event || ++s->looks % BUSY_LOOKS == 0)
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
		server_result(s, &results[i]);
	if (n > 0)
		server_carry_out(s);
}

static uint64_t
server_due_ms(void *arg)
{
	struct front_server *s = arg;

	/* Not `thread`: that is false before the turn has come here. */
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
	for (unsigned int i = 0; i < FRONT_MAX_REQUESTS; i++) {
		s->slots[i].next = s->free;
		s->slots[i].data = s->slots[i].small;
		s->free = &s->slots[i];
	}
	return s;
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
	server_close_strays(s);
	if (s->has_pending)
		vuc_closer_close(s->opts.closer, s->pending.fds, s->pending.nr_fds);
	for (unsigned int i = 0; i < FRONT_MAX_REQUESTS; i++) {
		if (s->slots[i].data != s->slots[i].small)
			free(s->slots[i].data);
	}
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
	/* Until it is run, it is nobody's turn. */
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
	/* Nothing but this one was outstanding. */
	if (front_outstanding(s->opts.front) > 0)
		return;
	vuc_closer_close(s->opts.closer, r->fds, r->nr_fds);
	s->has_pending = false;
}

/* What was received last is carried out before more is. */
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
