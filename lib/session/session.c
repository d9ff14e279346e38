/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "closers.h"
#include "error.h"
#include "internal.h"

void
vuc_session_prefetch(const struct vuc_session *s)
{
	__builtin_prefetch(s);
	__builtin_prefetch(&s->tx);
	__builtin_prefetch(&s->slots[s->first_free & s->index_mask]);
	__builtin_prefetch(s->tx.buf);
}

uint32_t
vuc_session_moves(const struct vuc_session *s)
{
	return s->view.received + s->tx.first;
}

const char *
vuc_session_reason(const struct vuc_session *s)
{
	return s->reason.text;
}

int
vuc_session_error(const struct vuc_session *s)
{
	return s->error;
}

const struct vuc_wire_version *
vuc_session_peer(const struct vuc_session *s)
{
	return &s->peer;
}

const char *
vuc_session_peer_json(const struct vuc_session *s)
{
	return s->peer_json;
}

void
vuc_session_watch_fds(struct vuc_session *s, bool watch)
{
	s->view.watches_fds = watch;
}

bool
vuc_session_owes_reply(const struct vuc_session *s)
{
	return s->view.commands > 0 || s->timed_out > 0;
}

bool
vuc_session_has_deadline(const struct vuc_session *s)
{
	return s->view.outstanding > 0 || vuc_session_has_segment(s);
}

static uint64_t
sending_due(const struct vuc_session *s)
{
	if (!vuc_session_has_segment(s))
		return UINT64_MAX;
	return s->send_watched && s->send_first == s->tx.first ? s->send_deadline_ms : 0;
}

uint64_t
vuc_session_due(const struct vuc_session *s)
{
	unsigned int left = s->view.outstanding;
	/* The tick is also to note when something was heard. */
	uint64_t due = left > 0 && s->heard != s->view.received ? 0 : sending_due(s);

	for (unsigned int i = 0; left > 0 && due > 0 && i <= s->index_mask; i++) {
		const struct slot *slot = &s->slots[i];

		if (slot->state == SLOT_FREE || slot->state == SLOT_TIMED_OUT)
			continue;
		left--;
		if (slot->state == SLOT_WAITING)
			due = 0;
		else if (session_rest(s, slot)->deadline_ms < due)
			due = session_rest(s, slot)->deadline_ms;
	}
	return due;
}

bool
session_is_new_fault(struct vuc_session *s, enum vuc_server_fault fault)
{
	uint32_t bit = UINT32_C(1) << fault;
	bool is_new = (s->config.faults->warned & bit) == 0;

	s->config.faults->warned |= bit;
	return is_new;
}

void
session_warn(struct vuc_session *s, const char *fmt, ...)
{
	char line[VUC_ERROR_MAX];
	va_list args;

	if (s->config.warn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	s->config.warn(s->config.warn_arg, line);
}

void
session_drop_fds(struct vuc_session *s, int *fds, unsigned int nr_fds)
{
	vuc_closer_close(s->config.closer, fds, nr_fds);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = -1;
}

/* The request no longer counts as outstanding. */
static void
settle_slot(struct vuc_session *s, const struct slot *slot)
{
	s->view.outstanding--;
	if (!slot->access)
		s->view.commands--;
}

void
session_complete(struct vuc_session *s, struct slot *slot, struct vuc_session_reply *reply)
{
	vuc_session_fn done = slot->done;
	void *arg = slot->arg;

	if (slot->state == SLOT_TIMED_OUT) {
		s->timed_out--;
		session_free_slot(s, slot);
		return;
	}
	settle_slot(s, slot);
	session_free_slot(s, slot);
	done(arg, reply);
}

void
vuc_session_drain(struct vuc_session *s)
{
	if (s->view.state == VUC_SESSION_NEGOTIATING) {
		vuc_session_end(s, -ECANCELED, "closed while negotiating");
		return;
	}
	if (s->view.state == VUC_SESSION_READY)
		s->view.state = VUC_SESSION_DRAINING;
	session_settle(s);
}

/* A server that has lost one reply of many is not silent. */
static void
note_silence(struct vuc_session *s, const struct slot_rest *rest)
{
	uint64_t sent_ms = rest->deadline_ms - rest->timeout_ms;

	if (s->silent || s->heard_ms + rest->timeout_ms / 2 > rest->deadline_ms)
		return;
	s->silent = true;
	s->silent_ms = sent_ms > s->heard_ms ? sent_ms : s->heard_ms;
}

bool
vuc_session_silent(const struct vuc_session *s, uint64_t *since_ms)
{
	*since_ms = s->silent_ms;
	return s->silent && s->view.received == s->heard && s->error == 0;
}

/* A server that refuses a command without having read all of it takes the rest for commands. */
static void
add_suspect(const struct vuc_session *s, char *text, size_t size)
{
	size_t len = strlen(text);
	char suffix[96];

	snprintf(suffix, sizeof(suffix), ", after the server had refused %s",
		vuc_wire_command_name(s->suspect));
	/* The text may be that of a request which has said so already. */
	if (strstr(text, suffix) == NULL)
		snprintf(text + len, size - len, "%s", suffix);
}

/* Its owner is told, and its id stays taken until the late reply has come. */
static void
give_up_slot(struct vuc_session *s, struct slot *slot, struct vuc_session_reply *reply)
{
	slot->state = SLOT_TIMED_OUT;
	slot->reply = 0;
	settle_slot(s, slot);
	s->timed_out++;
	slot->done(slot->arg, reply);
}

void
vuc_session_cancel(struct vuc_session *s, vuc_session_fn done, int error, const char *reason)
{
	struct vuc_session_reply reply = {.status = error, .reason = reason};
	unsigned int left = s->view.outstanding;

	for (unsigned int i = 0; left > 0 && i <= s->index_mask; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->state != SLOT_WAITING && slot->state != SLOT_WATCHED)
			continue;
		left--;
		if (done == NULL || slot->done == done)
			give_up_slot(s, slot, &reply);
	}
	session_settle(s);
}

static void
expire_request(struct vuc_session *s, struct slot *slot)
{
	struct vuc_error line = {0};
	struct vuc_session_reply reply = {.status = -ETIMEDOUT, .reason = line.text};
	const struct slot_rest *rest = session_rest(s, slot);

	vuc_error_set(&line, 0, "no answer to %s within %u ms", vuc_wire_command_name(slot->cmd),
		rest->timeout_ms);
	if (s->suspect != 0)
		add_suspect(s, line.text, sizeof(line.text));
	if (s->view.state == VUC_SESSION_NEGOTIATING ||
		vuc_wire_command(slot->cmd)->answer_is_vital) {
		vuc_session_end(s, -ETIMEDOUT, "%s", line.text);
		return;
	}
	note_silence(s, rest);
	give_up_slot(s, slot, &reply);
	if (s->timed_out == s->config.max_requests)
		vuc_session_end(
			s, -ETIMEDOUT, "the server has left %u requests unanswered", s->timed_out);
}

static void
watch_request(const struct vuc_session *s, struct slot *slot, uint64_t now_ms)
{
	struct slot_rest *rest = session_rest(s, slot);

	if (slot->access || rest->timeout_ms == 0)
		rest->timeout_ms = s->config.timeout_ms;
	rest->deadline_ms = now_ms + rest->timeout_ms;
	slot->state = SLOT_WATCHED;
}

static void
listen_for_server(struct vuc_session *s, uint64_t now_ms)
{
	if (s->heard == s->view.received)
		return;
	s->heard = s->view.received;
	s->heard_ms = now_ms;
	s->silent = false;
}

/* Nobody notes when something is queued: the first tick that sees it wait does. */
static void
check_sending(struct vuc_session *s, uint64_t now_ms)
{
	if (!vuc_session_has_segment(s)) {
		s->send_watched = false;
	} else if (!s->send_watched || s->send_first != s->tx.first) {
		s->send_watched = true;
		s->send_first = s->tx.first;
		s->send_deadline_ms = now_ms + s->config.timeout_ms;
	} else if (now_ms >= s->send_deadline_ms) {
		vuc_session_end(s, -ETIMEDOUT, "the server has read nothing for %u ms",
			s->config.timeout_ms);
	}
}

/* Slots are taken from a stack, so those in use lie near the beginning: the look at them ends
 * behind the last one. */
static void
check_requests(struct vuc_session *s, uint64_t now_ms)
{
	unsigned int left = s->view.outstanding;

	for (unsigned int i = 0; left > 0 && s->view.outstanding > 0 && i <= s->index_mask; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->state == SLOT_FREE || slot->state == SLOT_TIMED_OUT)
			continue;
		left--;
		if (slot->state == SLOT_WAITING)
			watch_request(s, slot, now_ms);
		else if (now_ms >= session_rest(s, slot)->deadline_ms)
			expire_request(s, slot);
	}
}

void
vuc_session_tick(struct vuc_session *s, uint64_t now_ms)
{
	listen_for_server(s, now_ms);
	check_sending(s, now_ms);
	check_requests(s, now_ms);
	session_settle(s);
}

/* A server that leaves while nothing is asked of it is stopped by somebody, as to be replaced. */
static bool
was_left_alone(const struct vuc_session *s, int error)
{
	return error == -ECONNRESET && s->view.outstanding == 0 && s->view.part_len == 0;
}

void
vuc_session_end(struct vuc_session *s, int error, const char *fmt, ...)
{
	struct vuc_session_reply reply = {.status = error, .reason = s->reason.text};
	char text[VUC_ERROR_MAX];
	va_list args;

	if (s->view.state == VUC_SESSION_LOST || s->view.state == VUC_SESSION_CLOSED)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (s->suspect != 0 && error != -ECANCELED && !was_left_alone(s, error)) {
		s->config.faults->broke_on |= UINT32_C(1) << s->suspect;
		add_suspect(s, text, sizeof(text));
	}
	s->error = vuc_error_set(&s->reason, error, "%s", text);
	s->view.state = VUC_SESSION_LOST;
	session_drop_fds(s, s->part_fds, s->nr_part_fds);
	s->nr_part_fds = 0;

	for (unsigned int i = 0; i <= s->index_mask; i++) {
		if (s->slots[i].state != SLOT_FREE)
			session_complete(s, &s->slots[i], &reply);
	}
}

/* The request that has waited longest; NULL when there is none. */
static const struct slot *
oldest_request(const struct vuc_session *s)
{
	const struct slot *oldest = NULL;

	for (unsigned int i = 0; i <= s->index_mask; i++) {
		const struct slot *slot = &s->slots[i];

		if ((slot->state == SLOT_WAITING || slot->state == SLOT_WATCHED) &&
			!session_is_queued(s, slot) &&
			(oldest == NULL || (int32_t)(slot->segment - oldest->segment) < 0))
			oldest = slot;
	}
	return oldest;
}

static void
end_closed(struct vuc_session *s)
{
	const struct slot *slot = oldest_request(s);

	if (slot == NULL) {
		vuc_session_end(s, -ECONNRESET, "the server closed the connection");
		return;
	}
	/* It may be what the server died of, and the device does without. */
	if (slot->cmd == VFIO_USER_DEVICE_GET_REGION_IO_FDS)
		s->config.faults->broke_on |= UINT32_C(1) << slot->cmd;
	vuc_session_end(s, -ECONNRESET, "the server closed the connection instead of answering %s",
		vuc_wire_command_name(slot->cmd));
}

void
vuc_session_lost(struct vuc_session *s, int error)
{
	if (error != 0)
		vuc_session_end(s, error, "the connection broke: %s", strerror(-error));
	else if (s->view.part_len > 0)
		vuc_session_end(s, -ECONNRESET,
			"the server closed the connection %u bytes into a message",
			s->view.part_len);
	else
		end_closed(s);
}
