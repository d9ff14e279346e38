/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "internal.h"

static uint32_t
min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The text as it came, for whoever wants to show it. */
static int
keep_peer_json(struct vuc_session *s, const struct vuc_session_reply *reply)
{
	size_t fixed = sizeof(struct vfio_user_version);
	char *json;

	if (reply->len <= fixed)
		return 0;
	json = strndup((const char *)reply->body + fixed, reply->len - fixed);
	if (json == NULL)
		return -ENOMEM;
	free(s->peer_json);
	s->peer_json = json;
	return 0;
}

/* The socket for the server's commands, which the check has found to be among those that came. */
static void
keep_twin(struct vuc_session *s, const struct vuc_session_reply *reply)
{
	int *fd;

	if (!s->peer.twin_socket.supported)
		return;
	fd = &reply->fds[s->peer.twin_socket.fd_index];
	s->twin_fd = *fd;
	*fd = -1;
}

int
vuc_session_take_twin(struct vuc_session *s)
{
	int fd = s->twin_fd;

	s->twin_fd = -1;
	return fd;
}

/* Descriptors come for one purpose only; that the twin's is there has been checked. */
static int
check_version_fds(
	const struct vuc_session *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	unsigned int expected = s->peer.twin_socket.supported ? 1 : 0;

	if (reply->nr_fds == expected)
		return 0;
	return vuc_error_set(err, -EPROTO,
		"VFIO_USER_VERSION reply: carried %u unexpected file descriptors",
		reply->nr_fds - expected);
}

static void
version_done(void *arg, const struct vuc_session_reply *reply)
{
	struct vuc_session *s = arg;
	struct vuc_error err = {0};
	int rc;

	if (s->view.state != VUC_SESSION_NEGOTIATING)
		return;
	if (reply->status != 0) {
		vuc_session_end(s, reply->status, "%s", reply->reason);
		return;
	}
	rc = vuc_wire_version_decode(reply->body, reply->len, &s->peer, &err);
	if (rc == 0)
		rc = vuc_wire_version_check(&s->config.version, &s->peer, reply->nr_fds, &err);
	if (rc == 0)
		rc = check_version_fds(s, reply, &err);
	if (rc == 0)
		rc = keep_peer_json(s, reply);
	if (rc != 0) {
		vuc_session_end(s, rc, "%s", err.text[0] != '\0' ? err.text : strerror(-rc));
		return;
	}
	s->view.max_data =
		min_u32(s->config.version.max_data_xfer_size, s->peer.max_data_xfer_size);
	keep_twin(s, reply);
	s->view.state = VUC_SESSION_READY;
}

int
session_negotiate(struct vuc_session *s)
{
	char body[sizeof(struct vfio_user_version) + 1024];
	int len = vuc_wire_version_encode(body, sizeof(body), &s->config.version);
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_VERSION,
		.body = body,
		.len = (size_t)len,
		.done = version_done,
		.arg = s,
	};

	if (len < 0)
		return len;
	return session_queue(s, &req);
}
