/* SPDX-License-Identifier: BSD-3-Clause */

/* The accepting thread. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "thread.h"
#include "vmm.h"

#define SHORTAGE_MS 100 /* until it tries again, when there are no descriptors left */

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
	v->deadline_ms = control_now_ms() + c->opts.handshake_timeout_ms;
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake_fd >= 0 && control_user_of(fd, &v->user) == 0)
		return v;
	v->fd = -1;
	vmm_free(v);
	return NULL;
}

/* With the lock held. NULL: it may come in. */
static const char *
keep_out(const struct vuc_control *c, uid_t uid)
{
	const struct control_vmm *v;
	unsigned int n = 0;

	if (c->nr_vmms >= c->opts.max_vmms)
		return "there are as many connections as there may be";
	TAILQ_FOREACH (v, &c->vmms, entry)
		n += v->user.uid == uid;
	return n >= c->opts.max_vmms_per_user
		? "this user has as many connections as one user may have"
		: NULL;
}

/* In the list before it runs, out of it again when it cannot. */
static const char *
admit(struct control_vmm *v)
{
	struct vuc_control *c = v->control;
	const char *why;

	pthread_mutex_lock(&c->lock);
	why = keep_out(c, v->user.uid);
	if (why == NULL) {
		TAILQ_INSERT_TAIL(&c->vmms, v, entry);
		c->nr_vmms++;
		if (vuc_thread_create(&v->thread, THREAD_STACK, vmm_run, v) != 0) {
			TAILQ_REMOVE(&c->vmms, v, entry);
			c->nr_vmms--;
			why = "there can be no more threads";
		}
	}
	pthread_mutex_unlock(&c->lock);
	return why;
}

static void
welcome(struct vuc_control *c, int fd)
{
	struct control_vmm *v = vmm_alloc(c, fd);
	const char *why;

	if (v == NULL) {
		control_log_limited(
			&c->log, &c->log.own, VUC_LOG_ERROR, "no memory for a connection");
		close(fd);
		return;
	}
	why = admit(v);
	if (why == NULL)
		return;
	vmm_log(v, VUC_LOG_WARNING, "its connection is not taken: %s", why);
	vmm_free(v);
}

static void
accept_one(struct vuc_control *c)
{
	int fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		welcome(c, fd);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	control_log_limited(&c->log, &c->log.own, VUC_LOG_ERROR,
		"no connection can be accepted: %s", strerror(errno));
	/* It is still there to be accepted, and would be at once. */
	control_wait(c->wake_fd, SHORTAGE_MS);
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

static bool
stops(struct vuc_control *c)
{
	bool stop;

	pthread_mutex_lock(&c->lock);
	stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

void *
control_accept(void *arg)
{
	struct vuc_control *c = arg;
	struct pollfd fds[] = {
		{.fd = c->listener.fd, .events = POLLIN},
		{.fd = c->wake_fd, .events = POLLIN},
	};

	pthread_setname_np(pthread_self(), "vuc-accept");
	while (!stops(c)) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents != 0)
			control_wait(c->wake_fd, 0);
		control_reap(c);
		if (fds[0].revents != 0)
			accept_one(c);
	}
	return NULL;
}
