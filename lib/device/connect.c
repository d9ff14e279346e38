/* SPDX-License-Identifier: BSD-3-Clause */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <vuc/export.h>

#include "clock.h"
#include "error.h"
#include "socket.h"
#include "thread.h"

#define RETRY_MIN_MS 1u
#define RETRY_MAX_MS 50u
#define STACK_SIZE   (256u * 1024)
#define MAX_GIVEN_UP 4u /* look-ups of a path; more than one for who closes and opens again */

/* Who has the connector, beside each other: the last one frees it. */
enum connector_state {
	CONNECTOR_LOOKING_UP, /* the thread has it */
	CONNECTOR_FOUND,      /* the thread has ended */
	CONNECTOR_GIVEN_UP,   /* the owner wants it no more */
};

struct device_connector {
	LIST_ENTRY(device_connector) link; /* among look_ups, while its thread looks up */
	_Atomic int state;
	struct sockaddr_un addr;  /* as the caller gave it */
	struct sockaddr_un found; /* of what was found there: its look-up does not block */
	int path_fd;              /* what was found; -1 */
	int fd;                   /* the socket; -1: it was given to the caller */
	int result;               /* of the thread's attempt: 0 or a negative errno */
	uint64_t begun_ms;
	uint64_t retry_ms; /* when to look or try next; 0: neither was done */
};

/* Those in progress, of all threads: each that blocks keeps a thread and descriptors. */
static LIST_HEAD(, device_connector) look_ups = LIST_HEAD_INITIALIZER(look_ups);
static pthread_mutex_t look_ups_lock = PTHREAD_MUTEX_INITIALIZER;

/* The transports wait in the kernel where they have to, and say so per call where they must not. */
static int
socket_make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int
socket_connect(int fd, const struct sockaddr_un *addr)
{
	int rc;

	do {
		rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	} while (rc != 0 && errno == EINTR);
	return rc == 0 ? 0 : -errno;
}

static int
connector_connect(struct device_connector *c)
{
	snprintf(c->found.sun_path, sizeof(c->found.sun_path), "/proc/self/fd/%d", c->path_fd);
	return socket_connect(c->fd, &c->found);
}

/*
 * What the kernel has cached is found without waiting for a file system. That saves a thread, and
 * a process that never had a second one makes its calls of the C library faster. Returns false
 * where it takes a look-up that may block, or there is no /proc.
 */
static bool
connector_look_up_cached(struct device_connector *c)
{
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};

	c->path_fd = (int)syscall(SYS_openat2, AT_FDCWD, c->addr.sun_path, &how, sizeof(how));
	c->result = c->path_fd >= 0 ? connector_connect(c) : -errno;
	if (c->path_fd < 0)
		return c->result == -ENOENT;
	if (c->result != -ENOENT)
		return true;
	close(c->path_fd);
	c->path_fd = -1;
	return false;
}

/* Where there is no /proc, what was found cannot be named, and each attempt looks it up. */
static void
connector_look_up(struct device_connector *c)
{
	c->path_fd = open(c->addr.sun_path, O_PATH | O_CLOEXEC);
	if (c->path_fd < 0) {
		c->result = -errno;
		return;
	}
	c->result = connector_connect(c);
	if (c->result != -ENOENT)
		return;
	c->found = c->addr;
	c->result = socket_connect(c->fd, &c->found);
}

static void
connector_destroy(struct device_connector *c, struct vuc_closer *closer)
{
	if (c->path_fd >= 0)
		close(c->path_fd);
	if (c->fd >= 0)
		vuc_closer_close_socket(closer, c->fd);
	free(c);
}

static void *
connector_run_look_up(void *arg)
{
	struct device_connector *c = arg;

	connector_look_up(c);
	pthread_mutex_lock(&look_ups_lock);
	LIST_REMOVE(c, link);
	pthread_mutex_unlock(&look_ups_lock);
	/* Pairs with device_connector_step() and device_connector_free(). */
	if (atomic_exchange_explicit(&c->state, CONNECTOR_FOUND, memory_order_acq_rel) ==
		CONNECTOR_GIVEN_UP)
		connector_destroy(c, NULL);
	return NULL;
}

static int
connector_alloc(const char *path, struct device_connector **connector, struct vuc_error *err)
{
	struct device_connector *c;
	struct sockaddr_un addr;
	int rc = vuc_socket_address(path, &addr, err);

	if (rc != 0)
		return rc;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	c->addr = addr;
	c->found.sun_family = AF_UNIX;
	c->path_fd = -1;
	c->begun_ms = vuc_clock_coarse_ms();
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		rc = vuc_error_set(err, -errno, "socket: %s", strerror(errno));
		connector_destroy(c, NULL);
		return rc;
	}
	*connector = c;
	return 0;
}

/* With the lock held: how many look-ups of a path nobody waits for any more. */
static unsigned int
look_ups_count_given_up(const char *path)
{
	const struct device_connector *c;
	unsigned int n = 0;

	LIST_FOREACH (c, &look_ups, link)
		n += strcmp(c->addr.sun_path, path) == 0 &&
			atomic_load_explicit(&c->state, memory_order_relaxed) == CONNECTOR_GIVEN_UP;
	return n;
}

/* With the lock held. */
static int
connector_start_look_up(struct device_connector *c, struct vuc_error *err)
{
	pthread_t thread;
	int rc;

	if (look_ups_count_given_up(c->addr.sun_path) >= MAX_GIVEN_UP)
		return vuc_error_set(err, -EBUSY,
			"connect: the look-ups of the path by %u earlier attempts still block",
			MAX_GIVEN_UP);
	rc = vuc_thread_create(&thread, STACK_SIZE, connector_run_look_up, c);
	if (rc != 0)
		return vuc_error_set(err, rc, "no thread to connect by: %s", strerror(-rc));
	pthread_detach(thread);
	LIST_INSERT_HEAD(&look_ups, c, link);
	return 0;
}

int
device_connector_start(const char *path, struct device_connector **connector, struct vuc_error *err)
{
	struct device_connector *c = NULL;
	int rc = connector_alloc(path, &c, err);

	if (rc != 0)
		return rc;
	if (connector_look_up_cached(c)) {
		atomic_init(&c->state, CONNECTOR_FOUND);
		*connector = c;
		return 0;
	}
	pthread_mutex_lock(&look_ups_lock);
	rc = connector_start_look_up(c, err);
	pthread_mutex_unlock(&look_ups_lock);
	if (rc == 0)
		*connector = c;
	else
		connector_destroy(c, NULL);
	return rc;
}

static void
connector_put_off_retry(struct device_connector *c, uint64_t now_ms)
{
	uint64_t delay = (now_ms - c->begun_ms) / 8;

	delay = delay < RETRY_MIN_MS ? RETRY_MIN_MS : delay;
	c->retry_ms = now_ms + (delay > RETRY_MAX_MS ? RETRY_MAX_MS : delay);
}

/* A UNIX socket whose server does not accept right now gives -EAGAIN and no way to wait for it. */
static int
connector_retry(struct device_connector *c, uint64_t now_ms)
{
	if (c->retry_ms != 0) {
		if (now_ms < c->retry_ms)
			return -EAGAIN;
		c->result = socket_connect(c->fd, &c->found);
	}
	connector_put_off_retry(c, now_ms);
	return c->result;
}

static bool
connector_is_looking_up(const struct device_connector *c)
{
	/* Pairs with connector_run_look_up(). */
	return atomic_load_explicit(&c->state, memory_order_acquire) == CONNECTOR_LOOKING_UP;
}

uint64_t
device_connector_due(const struct device_connector *c)
{
	return connector_is_looking_up(c) || c->result == -EAGAIN ? c->retry_ms : 0;
}

int
device_connector_step(struct device_connector *c, uint64_t now_ms, struct vuc_error *err)
{
	int rc, fd = c->fd;

	if (connector_is_looking_up(c)) {
		connector_put_off_retry(c, now_ms);
		return -EAGAIN;
	}
	rc = c->result == -EAGAIN ? connector_retry(c, now_ms) : c->result;
	if (rc == -EAGAIN)
		return rc;
	if (rc != 0)
		return vuc_error_set(err, rc, "connect: %s", strerror(-rc));
	rc = socket_make_blocking(fd);
	if (rc != 0)
		return vuc_error_set(err, rc, "fcntl: %s", strerror(-rc));
	c->fd = -1;
	return fd;
}

void
device_connector_free(struct device_connector *c, struct vuc_closer *closer)
{
	/* Pairs with connector_run_look_up(). */
	if (c != NULL &&
		atomic_exchange_explicit(&c->state, CONNECTOR_GIVEN_UP, memory_order_acq_rel) ==
			CONNECTOR_FOUND)
		connector_destroy(c, closer);
}

VUC_PRIVATE int
vuc_device_connect(const char *path, uint32_t timeout_ms, struct vuc_error *err)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	struct device_connector *c;
	uint64_t begun_ms = vuc_clock_coarse_ms();
	int rc = device_connector_start(path, &c, err);

	if (rc != 0)
		return rc;
	while ((rc = device_connector_step(c, vuc_clock_coarse_ms(), err)) == -EAGAIN) {
		if (vuc_clock_coarse_ms() - begun_ms >= timeout_ms) {
			rc = vuc_error_set(err, -ETIMEDOUT,
				"connect: the server has not accepted the connection within %u ms",
				timeout_ms);
			break;
		}
		nanosleep(&ms, NULL);
	}
	device_connector_free(c, NULL);
	return rc;
}

static bool
is_unix_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int
device_check_socket(int fd, const char *what, struct vuc_error *err)
{
	int rc;

	if (!is_unix_stream(fd))
		return vuc_error_set(err, -EINVAL, "%s: not a UNIX stream socket", what);
	rc = socket_make_blocking(fd);
	if (rc != 0)
		return vuc_error_set(err, rc, "%s: fcntl: %s", what, strerror(-rc));
	return 0;
}

int
device_adopt(int fd, struct vuc_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int rc;

	if (copy < 0)
		return vuc_error_set(err, -errno, "descriptor %d: %s", fd, strerror(errno));
	rc = device_check_socket(copy, "descriptor", err);
	if (rc != 0) {
		close(copy);
		return rc;
	}
	return copy;
}
