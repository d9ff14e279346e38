/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "connection.h"
#include "fds.h"

/* Room for many small messages even where the longest one is short. */
#define MIN_BUFFER (64u * 1024u)

int
refdev_connection_init(struct refdev_connection *conn, size_t max_message)
{
	size_t size = max_message > MIN_BUFFER ? max_message : MIN_BUFFER;

	*conn = (struct refdev_connection){.fd = -1, .size = size, .buffer = malloc(size)};
	return conn->buffer != NULL ? 0 : -ENOMEM;
}

void
refdev_connection_destroy(struct refdev_connection *conn)
{
	if (conn->buffer == NULL)
		return;
	refdev_connection_close(conn);
	free(conn->buffer);
	conn->buffer = NULL;
}

void
refdev_connection_open(struct refdev_connection *conn, int fd)
{
	conn->fd = fd;
	conn->start = 0;
	conn->end = 0;
	conn->taken = 0;
	conn->nr_fds = 0;
}

void
refdev_connection_close(struct refdev_connection *conn)
{
	if (conn->fd < 0)
		return;
	close(conn->fd);
	conn->fd = -1;
	for (unsigned int i = 0; i < conn->nr_fds; i++)
		vuc_fds_close(conn->fds[i].fds, conn->fds[i].nr);
	conn->nr_fds = 0;
}

size_t
refdev_connection_left(const struct refdev_connection *conn)
{
	return conn->end - conn->start;
}

/*
 * The message that descriptors of the last receive belong to. The kernel ends a receive behind the
 * send that carried them, but says not where that began: take the last of the messages that the
 * receive brought and that may carry any, else the last of all.
 */
static size_t
find_owner(const struct refdev_connection *conn, struct refdev *dev, size_t old_end)
{
	size_t owner = conn->start;
	bool found = false;

	for (size_t at = conn->start; at < conn->end;) {
		ssize_t size = refdev_message_size(dev, conn->buffer + at, conn->end - at);
		bool whole = size > 0 && (size_t)size <= conn->end - at;

		if (size <= 0)
			return found ? owner : at;
		if (!whole || at + (size_t)size > old_end) {
			bool takes = refdev_message_takes_fds(conn->buffer + at);

			if (takes || !found)
				owner = at;
			found = found || takes;
		}
		if (!whole)
			break;
		at += (size_t)size;
	}
	return owner;
}

static struct refdev_fds *
fds_of(struct refdev_connection *conn, uint64_t owner)
{
	struct refdev_fds *last = conn->nr_fds > 0 ? &conn->fds[conn->nr_fds - 1] : NULL;

	if (last != NULL && last->owner == owner)
		return last;
	if (conn->nr_fds == REFDEV_MAX_PENDING_FDS)
		return NULL;
	conn->fds[conn->nr_fds] = (struct refdev_fds){.owner = owner};
	return &conn->fds[conn->nr_fds++];
}

static int
keep_fds(struct refdev_connection *conn, struct refdev *dev, size_t old_end, const int *fds,
	unsigned int nr)
{
	size_t owner = find_owner(conn, dev, old_end);
	struct refdev_fds *kept = fds_of(conn, conn->taken + (owner - conn->start));

	if (kept == NULL || nr > VUC_LOOPBACK_MAX_FDS - kept->nr) {
		vuc_fds_close(fds, nr);
		return -EPROTO;
	}
	memcpy(kept->fds + kept->nr, fds, nr * sizeof(fds[0]));
	kept->nr += nr;
	return 0;
}

/* What is left of the last receive goes to the front, so that the message that it begins fits. */
static void
make_room(struct refdev_connection *conn)
{
	if (conn->start == 0)
		return;
	memmove(conn->buffer, conn->buffer + conn->start, conn->end - conn->start);
	conn->end -= conn->start;
	conn->start = 0;
}

ssize_t
refdev_connection_receive(struct refdev_connection *conn, struct refdev *dev)
{
	int fds[VUC_LOOPBACK_MAX_FDS];
	struct iovec part;
	size_t old_end;
	ssize_t n;
	int nr_fds, rc = 0;

	make_room(conn);
	old_end = conn->end;
	part = (struct iovec){.iov_base = conn->buffer + old_end, .iov_len = conn->size - old_end};
	n = vuc_fds_receive(conn->fd, &part, 1, fds, VUC_LOOPBACK_MAX_FDS, &nr_fds, MSG_DONTWAIT);
	if (n < 0)
		return n;
	conn->end += (size_t)n;
	if (nr_fds < 0)
		return -EPROTO;
	if (nr_fds > 0)
		rc = keep_fds(conn, dev, old_end, fds, (unsigned int)nr_fds);
	return rc != 0 ? rc : n;
}

static void
take_fds(struct refdev_connection *conn, struct vuc_loopback_msg *msg)
{
	struct refdev_fds *first = &conn->fds[0];

	if (first->owner != conn->taken)
		return;
	memcpy(msg->fds, first->fds, first->nr * sizeof(first->fds[0]));
	msg->nr_fds = first->nr;
	conn->nr_fds--;
	if (conn->nr_fds > 0)
		conn->fds[0] = conn->fds[1];
}

int
refdev_connection_next(
	struct refdev_connection *conn, struct refdev *dev, struct vuc_loopback_msg *msg)
{
	uint8_t *bytes = conn->buffer + conn->start;
	ssize_t size = refdev_message_size(dev, bytes, conn->end - conn->start);

	if (size <= 0)
		return (int)size;
	if ((size_t)size > conn->end - conn->start)
		return 0;
	msg->bytes = bytes;
	msg->len = (size_t)size;
	msg->size = (size_t)size;
	msg->nr_fds = 0;
	if (conn->nr_fds > 0)
		take_fds(conn, msg);
	conn->start += (size_t)size;
	conn->taken += (uint64_t)size;
	return 1;
}
