/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINES_PER_TURN 16 /* then others have theirs */

static void client_serve_line(struct vucd_client *client);

bool
vucd_client_busy(const struct vucd_client *client)
{
	return client->answering;
}

/* The end of the first line that is there, NULL when it is not. */
static char *
line_end(struct vucd_client *client)
{
	return memchr(client->in + client->in_start, '\n', client->in_end - client->in_start);
}

/* What the client is waited for next. It is not read from while it has an answer to come: what it
 * sends meanwhile stays in the socket. */
static uint32_t
wanted_events(struct vucd_client *client)
{
	if (client->answering)
		return 0;
	/* Lines that are there already wait for their turn: the socket can be written to at once.
	 */
	return client->out != NULL || line_end(client) != NULL ? EPOLLOUT : EPOLLIN;
}

/* ---- answers ---- */

static void
take_answer(void *arg, const char *text, size_t len)
{
	struct vucd_client *client = arg;

	client->request = NULL;
	client->answering = false;
	client->owner->active(client->owner->arg, client);
	if (text != NULL) {
		client->out = malloc(len + 1);
		if (client->out == NULL) {
			client->last = true; /* hanging up is all that is left to say */
		} else {
			memcpy(client->out, text, len);
			client->out[len] = '\n';
			client->out_len = len + 1;
			client->out_sent = 0;
		}
	}
	if (!client->serving)
		client_serve_line(client);
}

/* Send what there is to send. Returns 0, also when the client takes no more for now; -errno when
 * it has gone. */
static int
send_answer(struct vucd_client *client)
{
	while (client->out_sent < client->out_len) {
		ssize_t n = send(client->watch.fd, client->out + client->out_sent,
			client->out_len - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		client->out_sent += (size_t)n;
		client->owner->active(client->owner->arg, client);
	}
	free(client->out);
	client->out = NULL;
	client->out_len = 0;
	return 0;
}

/* ---- lines ---- */

static bool
is_blank_line(const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r' || line[len - 1] == '\t'))
		len--;
	return len == 0;
}

/* Carry out the first line that is there. Returns whether there was one. */
static bool
take_line(struct vucd_client *client)
{
	char *line = client->in + client->in_start;
	char *end = line_end(client);
	struct vucd_rpc_request *request;
	size_t len;

	if (end == NULL)
		return false;
	len = (size_t)(end - line);
	client->in_start += len + 1;
	if (is_blank_line(line, len))
		return true;
	client->answering = true;
	request = vucd_rpc_line(client->owner->rpc, client->who, line, len, take_answer, client);
	if (client->answering)
		client->request = request;
	return true;
}

static void
refuse_long_line(struct vucd_client *client)
{
	client->last = true;
	client->answering = true;
	vucd_rpc_refuse(VUCD_RPC_INVALID_REQUEST, 0, "a line of more than 65536 bytes", take_answer,
		client);
}

/* Read once. Returns how many bytes came, 0 at the end, or a negative errno. */
static ssize_t
client_receive(struct vucd_client *client)
{
	ssize_t n;

	client->in_end -= client->in_start;
	memmove(client->in, client->in + client->in_start, client->in_end);
	client->in_start = 0;
	do {
		n = recv(client->watch.fd, client->in + client->in_end,
			sizeof(client->in) - client->in_end, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	client->in_end += (size_t)n;
	if (n > 0)
		client->owner->active(client->owner->arg, client);
	return n;
}

/* Whether the next line can be looked at. */
static bool
is_free(const struct vucd_client *client)
{
	return client->out == NULL && !client->answering && !client->last;
}

/* Answer line by line, until an answer takes its time, the client does not take one, or there are
 * no more lines. Returns 0, or -errno when the client has to go. */
static int
answer_lines(struct vucd_client *client)
{
	unsigned int lines = 0;
	int rc = client->out != NULL ? send_answer(client) : 0;

	while (rc == 0 && is_free(client) && lines < LINES_PER_TURN && take_line(client)) {
		lines++;
		if (client->out != NULL)
			rc = send_answer(client);
	}
	if (rc == 0 && is_free(client) && client->in_end - client->in_start == sizeof(client->in) &&
		line_end(client) == NULL) {
		refuse_long_line(client);
		rc = send_answer(client);
	}
	if (rc == 0 && client->last && client->out == NULL && !client->answering)
		rc = -ECONNRESET;
	return rc;
}

/* May destroy the client. */
static void
client_serve_line(struct vucd_client *client)
{
	int rc;

	client->serving = true;
	rc = answer_lines(client);
	client->serving = false;
	if (rc == 0)
		rc = vucd_loop_change(client->owner->loop, &client->watch, wanted_events(client));
	if (rc != 0)
		client->owner->gone(client->owner->arg, client);
}

static void
client_ready(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_client *client = watch->arg;

	if ((events & EPOLLIN) != 0) {
		ssize_t n = client_receive(client);

		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			client->owner->gone(client->owner->arg, client);
			return;
		}
	} else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		client->owner->gone(client->owner->arg, client);
		return;
	}
	client_serve_line(client);
}

static void
client_identify(struct vucd_client *client, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		snprintf(client->who, sizeof(client->who), "user %u, pid %d", peer.uid,
			(int)peer.pid);
	else
		snprintf(client->who, sizeof(client->who), "unknown user");
}

struct vucd_client *
vucd_client_create(const struct vucd_client_owner *owner, int fd)
{
	struct vucd_client *client = malloc(sizeof(*client));

	if (client == NULL) {
		close(fd);
		return NULL;
	}
	memset(client, 0, offsetof(struct vucd_client, in));
	client->owner = owner;
	client_identify(client, fd);
	client->watch = (struct vucd_watch){.fd = fd, .ready = client_ready, .arg = client};
	if (vucd_loop_add(owner->loop, &client->watch, EPOLLIN) == 0)
		return client;
	close(fd);
	free(client);
	return NULL;
}

void
vucd_client_destroy(struct vucd_client *client)
{
	if (client->request != NULL)
		vucd_rpc_abandon(client->request);
	vucd_loop_remove(client->owner->loop, &client->watch);
	close(client->watch.fd);
	free(client->out);
	free(client);
}
