/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "error.h"
#include "listener.h"

#define BACKLOG  128
#define WHY_SIZE 96

struct vucd_server {
	struct vucd_log *log;
	struct vucd_watch listener;
	struct vucd_client_owner owner;
	bool paused; /* all clients wait for answers of ours: nobody is accepted */
	int spare;   /* given up to accept and hang up when there are no descriptors */
	unsigned int nr_clients;
	TAILQ_HEAD(, vucd_client) clients; /* quiet for longest first */
	struct vuc_listener socket;
};

/* ---- clients come and go ---- */

static void
set_paused(struct vucd_server *server, bool paused)
{
	if (server->paused == paused)
		return;
	server->paused = paused;
	vucd_loop_change(server->owner.loop, &server->listener, paused ? 0 : EPOLLIN);
}

static void
client_active(void *arg, struct vucd_client *client)
{
	struct vucd_server *server = arg;

	TAILQ_REMOVE(&server->clients, client, next);
	TAILQ_INSERT_TAIL(&server->clients, client, next);
	/* It may be one that can go, now that its answer has come. */
	set_paused(server, false);
}

static void
client_gone(void *arg, struct vucd_client *client)
{
	struct vucd_server *server = arg;

	TAILQ_REMOVE(&server->clients, client, next);
	server->nr_clients--;
	vucd_client_destroy(client);
	set_paused(server, false);
}

/* Close the connection that has been quiet for longest. Returns false when all are busy. */
static bool
make_room(struct vucd_server *server)
{
	struct vucd_client *client;

	TAILQ_FOREACH (client, &server->clients, next) {
		if (!vucd_client_busy(client)) {
			vucd_log(server->log, VUC_LOG_DEBUG,
				"management: a quiet connection is closed for a new one");
			client_gone(server, client);
			return true;
		}
	}
	return false;
}

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
turn_away(int fd, int error, const char *why)
{
	vucd_rpc_refuse(VUCD_RPC_FAILED, error, why, refusal_send, &fd);
	close(fd);
}

/* Whether the peer is root or the daemon's own user; otherwise says why not. */
static bool
is_allowed(struct vucd_server *server, int fd, char why[WHY_SIZE])
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		snprintf(why, WHY_SIZE, "the user is not known");
		return false;
	}
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	snprintf(why, WHY_SIZE, "user %u is neither root nor the daemon's user, %u", peer.uid,
		geteuid());
	vucd_log(server->log, VUC_LOG_WARNING, "management: process %d is refused: %s",
		(int)peer.pid, why);
	return false;
}

static void
client_welcome(struct vucd_server *server, int fd)
{
	struct vucd_client *client;
	char why[WHY_SIZE];

	if (!is_allowed(server, fd, why)) {
		turn_away(fd, -EACCES, why);
		return;
	}
	client = vucd_client_create(&server->owner, fd);
	if (client == NULL) {
		vucd_log(server->log, VUC_LOG_WARNING, "management: no memory for a connection");
		return;
	}
	TAILQ_INSERT_TAIL(&server->clients, client, next);
	server->nr_clients++;
}

/* There are no descriptors: hang up, as the listener would be ready for ever otherwise. */
static void
hang_up(struct vucd_server *server)
{
	int fd;

	vucd_log(server->log, VUC_LOG_WARNING,
		"management: no descriptors left for a connection: %s", strerror(errno));
	if (server->spare >= 0)
		close(server->spare);
	fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		turn_away(fd, -EMFILE, "the daemon has no descriptors left");
	else
		set_paused(server, true);
	server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
accept_client(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_server *server = watch->arg;
	int fd;

	(void)events;
	if (server->nr_clients >= VUCD_MAX_CLIENTS && !make_room(server)) {
		set_paused(server, true);
		return;
	}
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		client_welcome(server, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		hang_up(server);
}

/* ---- the socket ---- */

static int
server_open_socket(struct vucd_server *server, const char *path, struct vuc_error *err)
{
	int rc = vuc_listener_bind(&server->socket, path, SOCK_STREAM, 0600, err);

	if (rc == 0)
		rc = vuc_listener_listen(&server->socket, BACKLOG, err);
	if (rc == 0) {
		server->listener.fd = server->socket.fd;
		rc = vucd_loop_add(server->owner.loop, &server->listener, EPOLLIN);
		if (rc != 0)
			vuc_error_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	if (rc != 0)
		vuc_listener_close(&server->socket);
	return rc;
}

static struct vucd_server *
server_allocate(struct vucd_loop *loop, const struct vucd_rpc *rpc, struct vucd_log *log)
{
	struct vucd_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return NULL;
	server->log = log;
	server->listener = (struct vucd_watch){.ready = accept_client, .arg = server};
	server->owner = (struct vucd_client_owner){.loop = loop,
		.rpc = rpc,
		.active = client_active,
		.gone = client_gone,
		.arg = server};
	TAILQ_INIT(&server->clients);
	return server;
}

int
vucd_server_create(struct vucd_loop *loop, const char *path, const struct vucd_rpc *rpc,
	struct vucd_log *log, struct vucd_server **server, struct vuc_error *err)
{
	struct vucd_server *s = server_allocate(loop, rpc, log);
	int rc;

	*server = NULL;
	if (s == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for the socket %s", path);
	rc = server_open_socket(s, path, err);
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
		client_gone(server, TAILQ_FIRST(&server->clients));
	vucd_loop_remove(server->owner.loop, &server->listener);
	vuc_listener_close(&server->socket);
	if (server->spare >= 0)
		close(server->spare);
	free(server);
}
