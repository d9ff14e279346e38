/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections of VMMs: who is let in, and gets a thread. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clock.h"
#include "closers.h"
#include "thread.h"
#include "vmm.h"

#define SHORTAGE_MS  100 /* until it tries again, when there are no descriptors left */
#define ACCEPT_BURST 64  /* connections that are accepted before it looks at anything else */

/* NULL: it may come in. */
static const char *
connection_keep_out(struct vuc_control *c, uid_t uid)
{
	const struct control_vmm *v;
	const char *why = NULL;
	unsigned int n = 0;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (v, &c->vmms, entry)
		n += v->user.uid == uid;
	if (c->nr_vmms >= c->opts.max_vmms)
		why = "too many connections to the daemon";
	else if (n >= c->opts.max_vmms_per_user)
		why = "too many connections of this user";
	pthread_mutex_unlock(&c->lock);
	return why;
}

/* Before anything is made for it: a crowd that is kept out costs next to nothing. */
static bool
connection_is_kept_out(struct vuc_control *c, int fd)
{
	struct control_log_limit limit = {0};
	struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
	socklen_t size = sizeof(peer);
	const char *why;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	why = connection_keep_out(c, peer.uid);
	if (why == NULL)
		return false;
	control_log_vmm(&c->log, &limit, peer.uid, VUC_LOG_WARNING,
		"process %d of user %u: connection refused: %s", (int)peer.pid,
		(unsigned int)peer.uid, why);
	control_log_forget(&c->log, &limit, peer.uid);
	return true;
}

/* In the list before it runs, out of it again when it cannot. */
static int
vmm_admit(struct control_vmm *v)
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

/* d: the device that it has connected to; NULL: it has connected to all of them. */
static void
connection_welcome(struct vuc_control *c, const struct control_device *d, int fd)
{
	struct control_vmm *v;
	int rc;

	if (connection_is_kept_out(c, fd)) {
		vuc_closer_close_socket(c->closer, fd);
		return;
	}
	v = vmm_alloc(c, fd);
	if (v != NULL && d != NULL)
		snprintf(v->exported, sizeof(v->exported), "%s", d->name);
	if (v == NULL) {
		control_log_limited(
			&c->log, &c->log.own, VUC_LOG_ERROR, "no memory for a connection");
		vuc_closer_close_socket(c->closer, fd);
		return;
	}
	rc = vmm_admit(v);
	if (rc == 0)
		return;
	vmm_log(v, VUC_LOG_WARNING, "connection refused: no thread: %s", strerror(-rc));
	vuc_closer_close_socket(c->closer, v->fd);
	v->fd = -1;
	vmm_free(v);
}

/* Returns whether there may be another one. */
static bool
connection_accept(struct vuc_control *c, const struct control_device *d)
{
	int listener = d != NULL ? d->exported.listener.fd : c->listener.fd;
	int fd;

	/* Closing a socket closes the descriptors that lie unread in it. While that is held up,
	 * there are no more of them. */
	if (vuc_closer_busy(c->closer)) {
		c->accept_ms = vuc_clock_ms() + SHORTAGE_MS;
		return false;
	}
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		connection_welcome(c, d, fd);
		return true;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return errno != EAGAIN;
	control_log_limited(&c->log, &c->log.own, VUC_LOG_ERROR, "cannot accept connections: %s",
		strerror(errno));
	/* It is still there to be accepted, and would be at once. */
	c->accept_ms = vuc_clock_ms() + SHORTAGE_MS;
	return false;
}

void
control_accept(struct vuc_control *c)
{
	unsigned int n = 0;

	while (n < ACCEPT_BURST && connection_accept(c, NULL))
		n++;
}

/* Level-triggered: connections that are left are reported again. */
void
control_accept_exported(struct vuc_control *c)
{
	struct epoll_event events[ACCEPT_BURST];
	int nr = epoll_wait(c->exports_fd, events, ACCEPT_BURST, 0);

	for (int i = 0; i < nr && c->accept_ms == 0; i++)
		connection_accept(c, events[i].data.ptr);
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
