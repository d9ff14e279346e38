/* SPDX-License-Identifier: BSD-3-Clause */
#include <sys/eventfd.h>

#include "transport_end.h"

const struct vuc_transport_ops *ops;
struct vuc_transport_group *group;
int wake_fd;

static SLIST_HEAD(, end) ends = SLIST_HEAD_INITIALIZER(ends);

static void
on_sent(struct vuc_conn *conn)
{
	((struct end *)conn->owner)->sent++;
}

static void
on_received(struct vuc_conn *conn, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	struct end *e = conn->owner;
	size_t room;
	const uint8_t *into = vuc_view_receive_into(conn->view, &room);

	CU_ASSERT_FATAL(e->len + len <= sizeof(e->bytes));
	CU_ASSERT(into == NULL || bytes == into);
	memcpy(e->bytes + e->len, bytes, len);
	e->len += len;
	e->view.part_len = 0;
	for (unsigned int i = 0; i < nr_fds; i++) {
		CU_ASSERT_FATAL(e->nr_fds < MAX_FDS);
		e->fds[e->nr_fds++] = fds[i];
	}
	if (e->close_on_data != NULL && e->close_on_data->conn != NULL) {
		ops->close(e->close_on_data->conn);
		e->close_on_data->conn = NULL;
	}
}

static void
on_lost(struct vuc_conn *conn, int error)
{
	struct end *e = conn->owner;

	e->lost++;
	e->error = error;
}

static const struct vuc_conn_events events = {
	.sent = on_sent,
	.received = on_received,
	.lost = on_lost,
};

struct end *
open_end(void)
{
	struct vuc_transport_address address = {.fd = -1};
	struct end *e = calloc(1, sizeof(*e));
	int pair[2];

	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	address.fd = pair[0];
	e->peer = pair[1];
	CU_ASSERT_EQUAL_FATAL(ops->open(group, &address, &events, e, &e->conn, NULL), 0);
	e->conn->view = &e->view;
	SLIST_INSERT_HEAD(&ends, e, entry);
	return e;
}

void
close_end(struct end *e)
{
	SLIST_REMOVE(&ends, e, end, entry);
	if (e->conn != NULL)
		ops->close(e->conn);
	if (e->peer >= 0)
		close(e->peer);
	for (unsigned int i = 0; i < e->nr_fds; i++)
		close(e->fds[i]);
	free(e);
}

void
poll_times(unsigned int n)
{
	while (n-- > 0)
		ops->poll(group, 1);
}

void
poll_until_len(const struct end *e, size_t len)
{
	for (unsigned int n = 0; n < WAIT_POLLS && e->len < len; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->len, len);
}

void
poll_until_lost(const struct end *e)
{
	for (unsigned int n = 0; n < WAIT_POLLS && e->lost == 0; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->lost, 1);
}

void
send_bytes(struct end *e, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	const struct vuc_segment segment = {
		.bytes = bytes, .len = len, .fds = fds, .nr_fds = nr_fds};
	unsigned int before = e->sent;
	int rc = ops->send(e->conn, &segment);

	CU_ASSERT_FATAL(rc == 0 || rc == 1);
	for (unsigned int n = 0; rc == 0 && n < WAIT_POLLS && e->sent == before; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->sent, before + (rc == 0));
}

void
send_byte(struct end *e)
{
	send_bytes(e, "x", 1, NULL, 0);
}

void
ask(struct end *e)
{
	e->view.outstanding = true;
	send_byte(e);
}

void
send_to(struct end *e, const void *bytes, size_t len)
{
	CU_ASSERT_EQUAL(send(e->peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

void
send_fds_to(struct end *e, const char *text, const int *fds, unsigned int nr_fds)
{
	ssize_t len = (ssize_t)strlen(text);

	CU_ASSERT_EQUAL(vuc_fds_send(e->peer, text, (size_t)len, fds, nr_fds, 0), len);
}

ssize_t
receive_at_peer(struct end *e, void *bytes, size_t len, int *nr_fds)
{
	struct iovec iov = {.iov_base = bytes, .iov_len = len};
	int fds[MAX_FDS];
	ssize_t n = vuc_fds_receive(e->peer, &iov, 1, fds, MAX_FDS, nr_fds, MSG_DONTWAIT, NULL);

	CU_ASSERT_FATAL(*nr_fds >= 0);
	vuc_fds_close(fds, (unsigned int)*nr_fds);
	return n;
}

static void
open_group(const struct vuc_transport_ops *transport, bool several)
{
	ops = transport;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ops->group_create(&group, NULL, NULL, NULL) != 0)
		group = NULL;
	else
		group->several = several;
}

void
open_posix(void)
{
	open_group(&vuc_transport_posix, false);
}

void
open_uring(void)
{
	open_group(&vuc_transport_uring, false);
}

void
open_uring_several(void)
{
	open_group(&vuc_transport_uring, true);
}

void
close_group(void)
{
	while (!SLIST_EMPTY(&ends))
		close_end(SLIST_FIRST(&ends));
	if (group != NULL)
		ops->group_destroy(group);
	close(wake_fd);
}

void
transport_test(const void *test)
{
	if (group == NULL)
		vuc_tap_skip("io_uring is not allowed here");
	else
		((const CU_TestInfo *)test)->pTestFunc();
}
