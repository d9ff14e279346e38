/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fds.h"
#include "listener.h"
#include "peer.h"

#define BACKLOG        128
#define LINES_PER_TURN 16 /* then others have theirs */
#define WHY_SIZE       128

/* A connection. */
struct client {
	struct vucd_server *server;
	struct vucd_watch watch;
	TAILQ_ENTRY(client) next;
	struct vucd_rpc_caller who;
	struct vucd_rpc_request *request; /* under way: it waits for an answer of ours */
	bool last;                        /* nothing is read any more; closed after the answer */
	bool serving;                     /* its lines are being looked at */
	size_t in_start;                  /* of what has not been looked at */
	size_t in_end;
	void (*release)(void *arg); /* of what it keeps; NULL: nothing */
	void *kept;
	int fd;    /* to go with the next answer; -1: none */
	char *out; /* an answer on its way, or NULL */
	size_t out_len;
	size_t out_sent;
	char in[VUCD_MAX_LINE + 1];
};

struct vucd_server {
	struct vucd_log *log;
	struct vucd_loop *loop;
	const struct vucd_rpc *rpc;
	struct vucd_watch listener;
	struct vuc_listener socket;
	bool paused;            /* all clients wait for answers of ours: nobody is accepted */
	int spare;              /* given up to accept and hang up when there are no descriptors */
	gid_t monitors;         /* VUCD_NO_ID: nobody */
	char monitors_name[64]; /* of that group */
	unsigned int nr_clients[2];   /* by whether they are monitors */
	TAILQ_HEAD(, client) clients; /* quiet for longest first */
};

/* ---- clients come and go ---- */

static bool
client_is_monitor(const struct client *client)
{
	return client->who.group != NULL;
}

static void
server_pause(struct vucd_server *server, bool paused)
{
	if (server->paused == paused)
		return;
	server->paused = paused;
	vucd_loop_change(server->loop, &server->listener, paused ? 0 : EPOLLIN);
}

/* The client has sent or received something. It may be one that can go, now that its answer has
 * come. */
static void
client_is_active(struct client *client)
{
	struct vucd_server *server = client->server;

	TAILQ_REMOVE(&server->clients, client, next);
	TAILQ_INSERT_TAIL(&server->clients, client, next);
	server_pause(server, false);
}

/* Close its connection and abandon its request. */
static void
client_destroy(struct client *client)
{
	struct vucd_server *server = client->server;

	TAILQ_REMOVE(&server->clients, client, next);
	server->nr_clients[client_is_monitor(client)]--;
	if (client->request != NULL)
		vucd_rpc_abandon(client->request);
	if (client->release != NULL)
		client->release(client->kept);
	vucd_loop_remove(server->loop, &client->watch);
	close(client->watch.fd);
	free(client->out);
	free(client);
	server_pause(server, false);
}

/* The connection that has been quiet for longest, NULL when all are busy or keep something. */
static struct client *
server_find_idle(const struct vucd_server *server, bool monitor)
{
	struct client *client;

	TAILQ_FOREACH (client, &server->clients, next) {
		if (client->request == NULL && client->release == NULL &&
			client_is_monitor(client) == monitor)
			return client;
	}
	return NULL;
}

/* Make room for one more of a kind. */
static void
server_make_room(struct vucd_server *server, bool monitor)
{
	unsigned int max = monitor ? VUCD_MAX_MONITORS : VUCD_MAX_CLIENTS;
	struct client *client = server_find_idle(server, monitor);

	if (server->nr_clients[monitor] < max || client == NULL)
		return;
	vucd_log(server->log, VUC_LOG_DEBUG,
		"management: closed an idle connection to accept a new one");
	client_destroy(client);
}

int
vucd_server_keep(void *arg, int fd, void (*release)(void *arg), void *kept)
{
	struct client *client = arg;
	const struct client *other;
	unsigned int keepers = 0;

	if (client->release != NULL)
		return -EBUSY;
	TAILQ_FOREACH (other, &client->server->clients, next)
		keepers += other->release != NULL;
	if (keepers >= VUCD_MAX_KEEPERS)
		return -EUSERS;
	client->release = release;
	client->kept = kept;
	client->fd = fd;
	return 0;
}

/* ---- answers ---- */

static void client_serve(struct client *client);

/* The end of the first line that is there, NULL when it is not. */
static char *
line_end(struct client *client)
{
	return memchr(client->in + client->in_start, '\n', client->in_end - client->in_start);
}

static void
client_answer(void *arg, const char *text, size_t len)
{
	struct client *client = arg;

	client_is_active(client);
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
		client_serve(client);
}

/* Send what there is to send. Returns 0, also when the client takes no more for now; -errno when
 * it has gone. */
static int
client_send(struct client *client)
{
	while (client->out_sent < client->out_len) {
		ssize_t n = vuc_fds_send(client->watch.fd, client->out + client->out_sent,
			client->out_len - client->out_sent, &client->fd, client->fd >= 0,
			MSG_DONTWAIT);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		client->fd = -1;
		client->out_sent += (size_t)n;
		client_is_active(client);
	}
	free(client->out);
	client->out = NULL;
	client->out_len = 0;
	return 0;
}

/* ---- lines ---- */

/* Carry out the first line that is there. Returns whether there was one. */
static bool
client_take_line(struct client *client)
{
	const char *line = client->in + client->in_start;
	const char *end = line_end(client);
	size_t len;

	if (end == NULL)
		return false;
	len = (size_t)(end - line);
	client->in_start += len + 1;
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r' || line[len - 1] == '\t'))
		len--;
	if (len > 0)
		vucd_rpc_line(client->server->rpc, &client->who, line, len, client_answer, client,
			&client->request);
	return true;
}

/* Read once. Returns whether the connection is still there. */
static bool
client_receive(struct client *client)
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
		return errno == EAGAIN;
	client->in_end += (size_t)n;
	if (n > 0)
		client_is_active(client);
	return n > 0;
}

/* Whether the next line can be looked at. */
static bool
client_is_free(const struct client *client)
{
	return client->out == NULL && client->request == NULL && !client->last;
}

/* Answer line by line, until an answer takes its time, the client does not take one, or there are
 * no more lines. Returns 0, or -errno when the client has to go. */
static int
client_answer_lines(struct client *client)
{
	unsigned int lines = 0;
	int rc = client->out != NULL ? client_send(client) : 0;

	while (rc == 0 && client_is_free(client) && lines < LINES_PER_TURN &&
		client_take_line(client)) {
		lines++;
		if (client->out != NULL)
			rc = client_send(client);
	}
	if (rc == 0 && client_is_free(client) &&
		client->in_end - client->in_start == sizeof(client->in) &&
		line_end(client) == NULL) {
		client->last = true;
		vucd_rpc_refuse(VUCD_RPC_INVALID_REQUEST, 0, "a line of more than 65536 bytes",
			client_answer, client);
		rc = client_send(client);
	}
	if (rc == 0 && client->last && client->out == NULL && client->request == NULL)
		rc = -ECONNRESET;
	return rc;
}

/* What the client is waited for next. It is not read from while it has an answer to come: what it
 * sends meanwhile stays in the socket. */
static uint32_t
client_events(struct client *client)
{
	if (client->request != NULL)
		return 0;
	/* Lines that are there already wait for their turn: the socket can be written to at once.
	 */
	return client->out != NULL || line_end(client) != NULL ? EPOLLOUT : EPOLLIN;
}

/* May destroy the client. */
static void
client_serve(struct client *client)
{
	int rc;

	client->serving = true;
	rc = client_answer_lines(client);
	client->serving = false;
	if (rc == 0)
		rc = vucd_loop_change(client->server->loop, &client->watch, client_events(client));
	if (rc != 0)
		client_destroy(client);
}

static void
client_ready(struct vucd_watch *watch, uint32_t events)
{
	struct client *client = watch->arg;
	bool there = (events & EPOLLIN) != 0 ? client_receive(client)
					     : (events & (EPOLLHUP | EPOLLERR)) == 0;

	if (there)
		client_serve(client);
	else
		client_destroy(client);
}

/* ---- accepting ---- */

/* Say a line on a new connection, whose buffer is empty; nobody is waited for. */
static void
refusal_send(void *arg, const char *text, size_t len)
{
	const int *fd = arg;

	if (send(*fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		send(*fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Hang up on a new connection, and say why. */
static void
connection_refuse(int fd, int error, const char *why)
{
	vucd_rpc_refuse(VUCD_RPC_FAILED, error, why, refusal_send, &fd);
	close(fd);
}

/* Fill who by what the peer may do; when that is nothing, says why and returns false. */
static bool
peer_is_allowed(struct vucd_server *server, const struct vuc_peer *peer,
	struct vucd_rpc_caller *who, char why[WHY_SIZE])
{
	*who = (struct vucd_rpc_caller){.group = NULL};
	snprintf(who->text, sizeof(who->text), "user %u, pid %d", peer->uid, (int)peer->pid);
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	if (server->monitors == VUCD_NO_ID) {
		snprintf(why, WHY_SIZE, "user %u is neither root nor the daemon's user (%u)",
			peer->uid, geteuid());
	} else if (vuc_peer_is_member(peer, server->monitors)) {
		who->group = server->monitors_name;
		return true;
	} else {
		snprintf(why, WHY_SIZE,
			"user %u is neither root nor the daemon's user (%u), and not in group %.32s",
			peer->uid, geteuid(), server->monitors_name);
	}
	vucd_log(server->log, VUC_LOG_WARNING, "management: connection of process %d refused: %s",
		(int)peer->pid, why);
	return false;
}

static bool
fd_is_allowed(struct vucd_server *server, int fd, struct vucd_rpc_caller *who, char why[WHY_SIZE])
{
	struct vuc_peer peer;
	bool allowed;

	if (vuc_peer_of(fd, &peer) != 0) {
		snprintf(why, WHY_SIZE, "unknown user");
		return false;
	}
	allowed = peer_is_allowed(server, &peer, who, why);
	vuc_peer_fini(&peer);
	return allowed;
}

/* Serve a connected socket, which becomes the client's. */
static void
client_create(struct vucd_server *server, int fd)
{
	struct vucd_rpc_caller who;
	struct client *client;
	char why[WHY_SIZE];

	if (!fd_is_allowed(server, fd, &who, why)) {
		connection_refuse(fd, -EACCES, why);
		return;
	}
	/* There is an idle one: monitors are never busy, and others have been looked at. */
	server_make_room(server, who.group != NULL);
	client = malloc(sizeof(*client));
	if (client != NULL) {
		memset(client, 0, offsetof(struct client, in));
		client->server = server;
		client->fd = -1;
		client->who = who;
	}
	if (client == NULL ||
		vucd_loop_add(server->loop, &client->watch, fd, client_ready, client) != 0) {
		vucd_log(server->log, VUC_LOG_WARNING, "management: no memory for a connection");
		close(fd);
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&server->clients, client, next);
	server->nr_clients[client_is_monitor(client)]++;
}

/* There are no descriptors: hang up, as the listener would be ready for ever otherwise. */
static void
connection_refuse_without_fds(struct vucd_server *server)
{
	int fd;

	vucd_log(server->log, VUC_LOG_WARNING,
		"management: out of file descriptors for a connection: %s", strerror(errno));
	if (server->spare >= 0)
		close(server->spare);
	fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		connection_refuse(fd, -EMFILE, "the daemon is out of file descriptors");
	else
		server_pause(server, true);
	server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
accept_client(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_server *server = watch->arg;
	int fd;

	(void)events;
	if (server->nr_clients[false] >= VUCD_MAX_CLIENTS &&
		server_find_idle(server, false) == NULL) {
		server_pause(server, true);
		return;
	}
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		client_create(server, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		connection_refuse_without_fds(server);
}

/* ---- the socket ---- */

static int
server_listen(struct vucd_server *server, const char *path, struct vuc_error *err)
{
	mode_t mode = server->monitors != VUCD_NO_ID ? 0660 : 0600;
	int rc = vuc_listener_bind(&server->socket, path, SOCK_STREAM, mode, server->monitors, err);

	if (rc == 0)
		rc = vuc_listener_listen(&server->socket, BACKLOG, err);
	if (rc == 0) {
		rc = vucd_loop_add(
			server->loop, &server->listener, server->socket.fd, accept_client, server);
		if (rc != 0)
			vuc_error_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	if (rc != 0)
		vuc_listener_close(&server->socket);
	return rc;
}

int
vucd_server_create(struct vucd_loop *loop, const char *path, uint32_t monitors,
	const struct vucd_rpc *rpc, struct vucd_log *log, struct vucd_server **server,
	struct vuc_error *err)
{
	struct vucd_server *s = malloc(sizeof(*s));
	int rc;

	*server = NULL;
	if (s == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for the socket %s", path);
	*s = (struct vucd_server){.log = log, .loop = loop, .rpc = rpc, .monitors = monitors};
	vucd_group_name(monitors, s->monitors_name, sizeof(s->monitors_name));
	TAILQ_INIT(&s->clients);
	rc = server_listen(s, path, err);
	if (rc != 0) {
		free(s);
		return rc;
	}
	s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*server = s;
	return 0;
}

void
vucd_server_destroy(struct vucd_server *server)
{
	if (server == NULL)
		return;
	while (!TAILQ_EMPTY(&server->clients))
		client_destroy(TAILQ_FIRST(&server->clients));
	vucd_loop_remove(server->loop, &server->listener);
	vuc_listener_close(&server->socket);
	if (server->spare >= 0)
		close(server->spare);
	free(server);
}
