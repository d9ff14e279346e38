/* SPDX-License-Identifier: BSD-3-Clause */

/* Commands of any kind, and replies to those of the server. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fds.h"
#include "internal.h"
#include "outgoing.h"

static uint32_t
reply_bound(const struct vuc_session *s, const struct vuc_wire_command *row)
{
	if (row->reply_max == VUC_WIRE_DATA)
		return row->reply_min + s->view.max_data;
	return row->reply_max;
}

static int
check_request(const struct vuc_session *s, const struct vuc_wire_command *row,
	const struct vuc_session_request *req, size_t len)
{
	size_t max;

	if (s->config.twin || row == NULL || row->from_server || (req->no_reply && !row->no_reply))
		return -EINVAL;
	if (req->nr_fds > MAX_MSG_FDS || (req->nr_fds > 0 && !row->request_fds))
		return -EINVAL;
	if (s->view.state != VUC_SESSION_NEGOTIATING && req->nr_fds > s->peer.max_msg_fds)
		return -EINVAL;
	max = row->request_max == VUC_WIRE_DATA ? (size_t)row->request_min + s->view.max_data
						: row->request_max;
	if (len < row->request_min || len > max)
		return -EMSGSIZE;
	if (len + sizeof(struct vfio_user_header) > s->tx.segment_max)
		return -EMSGSIZE;
	return 0;
}

/* A request may be over, and the caller's descriptors closed, before they have been sent. */
static int
copy_fds(const struct vuc_session_request *req, int *fds)
{
	for (unsigned int i = 0; i < req->nr_fds; i++) {
		fds[i] = fcntl(req->fds[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] < 0) {
			int rc = -errno;

			vuc_fds_close(fds, i);
			return rc;
		}
	}
	return 0;
}

int
session_queue(struct vuc_session *s, const struct vuc_session_request *req)
{
	const struct vuc_wire_command *row = vuc_wire_command(req->cmd);
	size_t len = req->len + req->data_len;
	uint32_t size = (uint32_t)(sizeof(struct vfio_user_header) + len);
	uint32_t flags = VFIO_USER_F_TYPE_COMMAND;
	uint16_t id = POSTED_ID;
	int fds[MAX_MSG_FDS];
	uint8_t *at;
	int rc = check_request(s, row, req, len);

	if (rc != 0)
		return rc;
	if (!req->no_reply && s->first_free == NO_SLOT)
		return -EAGAIN;
	rc = copy_fds(req, fds);
	if (rc != 0)
		return rc;
	at = session_reserve(s, size, fds, req->nr_fds, false);
	if (at == NULL) {
		vuc_fds_close(fds, req->nr_fds);
		return -EAGAIN;
	}

	if (req->no_reply) {
		s->posted = true;
		flags |= VFIO_USER_F_NO_REPLY;
	} else {
		struct slot *slot = session_take_slot(s, req->cmd, req->done, req->arg);

		struct slot_rest *rest = session_rest(s, slot);

		s->view.commands++;
		rest->timeout_ms = req->timeout_ms;
		rest->deadline_ms = req->deadline_ms;
		if (req->deadline_ms != 0)
			slot->state = SLOT_WATCHED;
		rest->reply_min = row->reply_min;
		slot->reply_max = req->reply_max != 0 ? req->reply_max : reply_bound(s, row);
		id = slot->id;
	}
	put_header(at, id, req->cmd, size, flags, 0);
	at += sizeof(struct vfio_user_header);
	if (req->len > 0)
		memcpy(at, req->body, req->len);
	if (req->data_len > 0)
		memcpy(at + req->len, req->data, req->data_len);
	return 0;
}

int
vuc_session_request(struct vuc_session *s, const struct vuc_session_request *req)
{
	if (s->view.state != VUC_SESSION_READY)
		return session_not_ready(s);
	return session_queue(s, req);
}

static uint8_t *
reserve_reply(struct vuc_session *s, uint32_t len)
{
	uint8_t *at;

	if (s->view.state == VUC_SESSION_LOST || s->view.state == VUC_SESSION_CLOSED)
		return NULL;
	at = len <= KEPT_BYTES ? session_reserve(s, len, NULL, 0, true)
			       : session_reserve_own(s, len);
	if (at == NULL)
		vuc_session_end(s, -ENOBUFS,
			"the server sends commands faster than it takes their replies");
	return at;
}

uint8_t *
vuc_session_answer(struct vuc_session *s, const struct vuc_session_command *command,
	const void *body, size_t len, size_t data_len)
{
	uint32_t size = (uint32_t)(sizeof(struct vfio_user_header) + len + data_len);
	uint8_t *at = reserve_reply(s, size);

	if (at == NULL)
		return NULL;
	vuc_session_reply_header(command, len + data_len, at);
	at += sizeof(struct vfio_user_header);
	memcpy(at, body, len);
	return at + len;
}

void
vuc_session_reply_header(
	const struct vuc_session_command *command, size_t len, uint8_t header[VUC_SESSION_HEADER])
{
	_Static_assert(
		sizeof(struct vfio_user_header) == VUC_SESSION_HEADER, "as the interface says");
	put_header(header, command->id, command->cmd,
		(uint32_t)(sizeof(struct vfio_user_header) + len), VFIO_USER_F_TYPE_REPLY, 0);
}

uint8_t *
vuc_session_answer_rest(struct vuc_session *s, size_t len)
{
	uint8_t *at = reserve_reply(s, (uint32_t)len);

	/* Nobody takes it for a message, who traces from now on. */
	if (at != NULL)
		session_close_tail(s);
	return at;
}

void
vuc_session_refuse(struct vuc_session *s, const struct vuc_session_command *command, int error)
{
	uint8_t *at = reserve_reply(s, sizeof(struct vfio_user_header));

	if (at != NULL)
		put_header(at, command->id, command->cmd, sizeof(struct vfio_user_header),
			VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR, (uint32_t)error);
}
