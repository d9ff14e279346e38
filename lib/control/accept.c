/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections of VMMs: who is let in, and gets a thread. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "thread.h"
#include "vmm.h"

#define SHORTAGE_MS  100  /* until it tries again, when there are no descriptors left */
#define MAX_CLOSERS  8    /* threads that close connections */
#define CLOSERS_MS   1000 /* that they have at the end */
#define ACCEPT_BURST 64   /* connections that are accepted before it looks at anything else */

struct control_vmm *
vmm_alloc(struct vuc_control *c, int fd)
{
	struct control_vmm *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->control = c;
	v->fd = fd;
	v->state = VMM_CONNECTED;
	v->kick_fd = -1;
	v->event_fd = -1;
	v->state_memory.fd = -1;
	v->bell.fd = -1;
	v->deadline_ms = vuc_clock_ms() + c->opts.handshake_timeout_ms;
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake_fd >= 0 && control_user_of(fd, &v->user) == 0)
		return v;
	v->fd = -1;
	vmm_free(v);
	return NULL;
}

/* ---- closing ---- */

/*
 * Closing a socket closes the descriptors that lie unread in it, and one of a file system that its
 * sender serves may take for ever. So connections that are not taken are closed by threads of their
 * own, of which there are few: while all are held up, no connection is accepted.
 */
struct control_closers {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned int busy;
	bool abandoned; /* the last one frees it */
};

struct closing {
	struct control_closers *closers;
	int fd;
};

static void
free_closers(struct control_closers *closers)
{
	pthread_cond_destroy(&closers->ended);
	pthread_mutex_destroy(&closers->lock);
	free(closers);
}

static void *
run_closer(void *arg)
{
	struct closing *closing = arg;
	struct control_closers *closers = closing->closers;
	bool last;

	close(closing->fd);
	free(closing);
	pthread_mutex_lock(&closers->lock);
	closers->busy--;
	last = closers->abandoned && closers->busy == 0;
	pthread_cond_signal(&closers->ended);
	pthread_mutex_unlock(&closers->lock);
	if (last)
		free_closers(closers);
	return NULL;
}

static bool
are_closers_busy(struct control_closers *closers)
{
	bool busy;

	pthread_mutex_lock(&closers->lock);
	busy = closers->busy >= MAX_CLOSERS;
	pthread_mutex_unlock(&closers->lock);
	return busy;
}

/* Without memory or a thread it is closed here. */
static void
close_aside(struct vuc_control *c, int fd)
{
	struct closing *closing = malloc(sizeof(*closing));
	pthread_t thread;

	if (closing == NULL) {
		close(fd);
		return;
	}
	*closing = (struct closing){.closers = c->closers, .fd = fd};
	pthread_mutex_lock(&c->closers->lock);
	c->closers->busy++;
	pthread_mutex_unlock(&c->closers->lock);
	if (vuc_thread_create(&thread, THREAD_STACK, run_closer, closing) == 0)
		pthread_detach(thread);
	else
		run_closer(closing);
}

int
control_accept_init(struct vuc_control *c)
{
	pthread_condattr_t attr;

	c->closers = calloc(1, sizeof(*c->closers));
	if (c->closers == NULL)
		return -ENOMEM;
	pthread_mutex_init(&c->closers->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->closers->ended, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

/* Those who are held up are left to themselves. */
void
control_accept_fini(struct vuc_control *c)
{
	struct control_closers *closers = c->closers;
	uint64_t end_ms = vuc_clock_ms() + CLOSERS_MS;
	const struct timespec end = {
		.tv_sec = (time_t)(end_ms / 1000),
		.tv_nsec = (long)(end_ms % 1000) * 1000000,
	};
	bool last;

	if (closers == NULL)
		return;
	pthread_mutex_lock(&closers->lock);
	while (closers->busy > 0 &&
		pthread_cond_timedwait(&closers->ended, &closers->lock, &end) == 0)
		continue;
	closers->abandoned = true;
	last = closers->busy == 0;
	pthread_mutex_unlock(&closers->lock);
	if (last)
		free_closers(closers);
}

/* ---- accepting ---- */

/* NULL: it may come in. */
static const char *
keep_out(struct vuc_control *c, uid_t uid)
{
	const struct control_vmm *v;
	const char *why = NULL;
	unsigned int n = 0;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (v, &c->vmms, entry)
		n += v->user.uid == uid;
	if (c->nr_vmms >= c->opts.max_vmms)
		why = "there are as many connections as there may be";
	else if (n >= c->opts.max_vmms_per_user)
		why = "this user has as many connections as one user may have";
	pthread_mutex_unlock(&c->lock);
	return why;
}

/* Before anything is made for it: a crowd that is kept out costs next to nothing. */
static bool
is_kept_out(struct vuc_control *c, int fd)
{
	struct control_log_limit limit = {0};
	struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
	socklen_t size = sizeof(peer);
	const char *why;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	why = keep_out(c, peer.uid);
	if (why == NULL)
		return false;
	control_log_vmm(&c->log, &limit, peer.uid, VUC_LOG_WARNING,
		"process %d of user %u: its connection is not taken: %s", (int)peer.pid,
		(unsigned int)peer.uid, why);
	control_log_forget(&c->log, &limit, peer.uid);
	return true;
}

/* In the list before it runs, out of it again when it cannot. */
static int
admit(struct control_vmm *v)
{
	struct vuc_control *c = v->control;
	int rc;

	pthread_mutex_lock(&c->lock);
	TAILQ_INSERT_TAIL(&c->vmms, v, entry);
	c->nr_vmms++;
	rc = vuc_thread_create(&v->thread, THREAD_STACK, vmm_run, v);
	if (rc != 0) {
		TAILQ_REMOVE(&c->vmms, v, entry);
		c->nr_vmms--;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void
welcome(struct vuc_control *c, int fd)
{
	struct control_vmm *v;
	int rc;

	if (is_kept_out(c, fd)) {
		close_aside(c, fd);
		return;
	}
	v = vmm_alloc(c, fd);
	if (v == NULL) {
		control_log_limited(
			&c->log, &c->log.own, VUC_LOG_ERROR, "no memory for a connection");
		close_aside(c, fd);
		return;
	}
	rc = admit(v);
	if (rc == 0)
		return;
	vmm_log(v, VUC_LOG_WARNING, "its connection is not taken: no thread: %s", strerror(-rc));
	vmm_free(v);
}

/* Returns whether there may be another one. */
static bool
accept_one(struct vuc_control *c)
{
	int fd;

	if (are_closers_busy(c->closers)) {
		c->accept_ms = vuc_clock_ms() + SHORTAGE_MS;
		return false;
	}
	fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		welcome(c, fd);
		return true;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return errno != EAGAIN;
	control_log_limited(&c->log, &c->log.own, VUC_LOG_ERROR,
		"no connection can be accepted: %s", strerror(errno));
	/* It is still there to be accepted, and would be at once. */
	c->accept_ms = vuc_clock_ms() + SHORTAGE_MS;
	return false;
}

void
control_accept(struct vuc_control *c)
{
	unsigned int n = 0;

	while (n < ACCEPT_BURST && accept_one(c))
		n++;
}

void
control_reap(struct vuc_control *c)
{
	struct control_vmms list = TAILQ_HEAD_INITIALIZER(list);
	struct control_vmm *v;

	pthread_mutex_lock(&c->lock);
	TAILQ_CONCAT(&list, &c->finished, entry);
	pthread_mutex_unlock(&c->lock);
	while ((v = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, v, entry);
		pthread_join(v->thread, NULL);
		vmm_free(v);
	}
}
