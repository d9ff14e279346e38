/* SPDX-License-Identifier: BSD-3-Clause */

/* The life of a VMM's connection: its thread. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "vmm.h"

#define PUBLISH_MS      500u
#define CLOSING_LOOK_MS 20u /* until a held up closing looks whether the VMM has to leave */

void
vmm_log(struct control_vmm *v, enum vuc_log_level level, const char *fmt, ...)
{
	char text[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	control_log_vmm(&v->control->log, &v->log_limit, v->user.uid, level,
		"%s%sVMM %s (pid %d, user %u): %s", v->device != NULL ? v->device->name : "",
		v->device != NULL ? ": " : "", v->name[0] != '\0' ? v->name : "?", (int)v->user.pid,
		(unsigned int)v->user.uid, text);
}

void
vmm_tell(struct control_vmm *v, enum vuc_shm_device_state state, uint64_t generation)
{
	/* Whoever has to leave is not told anything else any more. */
	if (v->told == VUC_SHM_REMOVED || v->told == VUC_SHM_STOPPING)
		return;
	v->told = state;
	if (v->page == NULL)
		return;
	state_page_set(v->page, state, generation);
	control_signal(&v->control->signaller, v->event_fd);
}

void
vmm_leave(struct control_vmm *v, uint64_t when_ms, const char *why)
{
	if (v->leave_ms != 0 && v->leave_ms <= when_ms)
		return;
	v->leave_ms = when_ms;
	v->leave_why = why;
	control_wake(v->wake_fd);
}

/* Why it has to leave now; NULL: it has not. */
static const char *
vmm_leaves(struct control_vmm *v, uint64_t now)
{
	const char *why;
	uint64_t when;

	pthread_mutex_lock(&v->control->lock);
	when = v->leave_ms;
	why = v->leave_why;
	pthread_mutex_unlock(&v->control->lock);
	return when == 0 || now < when ? NULL : why;
}

static int
check_leaving(struct control_vmm *v, uint64_t now)
{
	const char *why = vmm_leaves(v, now);

	return why != NULL ? vuc_error_set(&v->why, -ECANCELED, "%s", why) : 0;
}

static void
publish(struct control_vmm *v, uint64_t now)
{
	struct vuc_access_stats counters;

	if (now < v->publish_ms)
		return;
	v->publish_ms = now + PUBLISH_MS;
	vuc_poller_remote_counters(v->remote, &counters);
	pthread_mutex_lock(&v->control->lock);
	state_page_count(v->page, &counters);
	pthread_mutex_unlock(&v->control->lock);
}

/* All but packets. */
static int
look_around(struct control_vmm *v)
{
	uint64_t now = vuc_clock_ms();
	int rc = check_leaving(v, now);
	const char *problem;

	if (rc != 0 || v->state == VMM_DETACHED)
		return rc;
	if (v->state != VMM_ATTACHED && now >= v->deadline_ms)
		return vuc_error_set(&v->why, -ETIMEDOUT, "it has not attached within %u ms",
			v->control->opts.handshake_timeout_ms);
	if (v->state != VMM_ATTACHED)
		return 0;
	problem = dma_maps_problem(&v->maps);
	if (problem != NULL)
		return vuc_error_set(&v->why, -EFAULT, "%s", problem);
	if (vuc_poller_remote_broken(v->remote) > 0)
		return vuc_error_set(&v->why, -EPROTO, "a queue of it broke the rules");
	publish(v, now);
	return 0;
}

static int
until_next(struct control_vmm *v)
{
	uint64_t next = v->state == VMM_ATTACHED ? v->publish_ms : v->deadline_ms;
	uint64_t now = vuc_clock_ms();

	pthread_mutex_lock(&v->control->lock);
	if (v->leave_ms != 0 && v->leave_ms < next)
		next = v->leave_ms;
	pthread_mutex_unlock(&v->control->lock);
	return next > now ? (int)(next - now) : 0;
}

/* Returns whether there is a packet, or the other end has hung up. */
static bool
wait_for_packet(struct control_vmm *v)
{
	struct pollfd fds[] = {
		{.fd = v->fd, .events = POLLIN},
		{.fd = v->wake_fd, .events = POLLIN},
	};

	if (poll(fds, 2, until_next(v)) <= 0)
		return false;
	if (fds[1].revents != 0)
		control_wait(v->wake_fd, 0);
	return fds[0].revents != 0;
}

/* Nobody but the kernel has a part in closing memory, which alone has seals, and eventfds. */
static bool
closes_at_once(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 || packet_is_eventfd(fd, false);
}

/* Returns how many are left, at the beginning of fds. */
static unsigned int
close_at_once(int *fds, unsigned int nr_fds)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < nr_fds; i++) {
		if (fds[i] >= 0 && closes_at_once(fds[i]))
			close(fds[i]);
		else if (fds[i] >= 0)
			fds[left++] = fds[i];
	}
	return left;
}

static void
wait_for_closer(struct control_vmm *v)
{
	while (!vuc_closer_wait(v->closer, CLOSING_LOOK_MS)) {
		if (vmm_leaves(v, vuc_clock_ms()) != NULL)
			return;
	}
}

void
vmm_close_fds(struct control_vmm *v, int *fds, unsigned int nr_fds)
{
	vuc_closer_close(v->closer, fds, close_at_once(fds, nr_fds));
	wait_for_closer(v);
}

static int
take_packet(struct control_vmm *v)
{
	int rc = packet_receive(v->fd, &v->packet, v->closer);

	if (rc == 0)
		rc = vmm_dispatch(v);
	else if (rc == -ECONNRESET)
		vuc_error_set(&v->why, rc, "it has disconnected");
	else if (rc == -EMSGSIZE)
		vuc_error_set(&v->why, rc, "a packet of more than %u bytes", VUC_SHM_MAX_PACKET);
	else if (rc == -EMFILE)
		vuc_error_set(&v->why, rc,
			"no room for its descriptors: the daemon has reached RLIMIT_NOFILE");
	else if (rc == -E2BIG)
		vuc_error_set(
			&v->why, rc, "a packet with more than %u descriptors", VUC_SHM_MAX_FDS);
	else if (rc != -EAGAIN)
		vuc_error_set(&v->why, rc, "its socket fails: %s", strerror(-rc));
	vmm_close_fds(v, v->packet.fds, v->packet.nr_fds);
	v->packet.nr_fds = 0;
	return rc == -EAGAIN && v->why.text[0] == '\0' ? 0 : rc;
}

int
vmm_step(struct control_vmm *v, bool packet)
{
	int rc = packet ? take_packet(v) : 0;

	return rc == 0 ? look_around(v) : rc;
}

static void
serve(struct control_vmm *v)
{
	int rc = 0;

	while (rc == 0 && v->state != VMM_DETACHED)
		rc = vmm_step(v, wait_for_packet(v));
	v->hung_up = rc == -ECONNRESET;
	if (v->state == VMM_DETACHED)
		return;
	vmm_log(v, rc == -ECONNRESET || rc == -ECANCELED ? VUC_LOG_NOTICE : VUC_LOG_WARNING,
		"its connection ends: %s", v->why.text);
}

/* From here on it is the control thread's. */
static void
finish(struct control_vmm *v)
{
	struct vuc_control *c = v->control;

	pthread_mutex_lock(&c->lock);
	TAILQ_REMOVE(&c->vmms, v, entry);
	TAILQ_INSERT_TAIL(&c->finished, v, entry);
	c->nr_vmms--;
	pthread_cond_broadcast(&c->changed);
	vuc_mailbox_wake(&c->mailbox);
	pthread_mutex_unlock(&c->lock);
}

void *
vmm_run(void *arg)
{
	struct control_vmm *v = arg;
	char name[16];

	snprintf(name, sizeof(name), "vuc-vmm %d", (int)v->user.pid);
	pthread_setname_np(pthread_self(), name);
	serve(v);
	/* Who sees it hang up knows that the device has let go of everything. */
	if (v->device != NULL)
		vmm_release(v);
	vuc_closer_close_socket(v->closer, v->fd);
	v->fd = -1;
	wait_for_closer(v);
	control_log_forget(&v->control->log, &v->log_limit, v->user.uid);
	finish(v);
	return NULL;
}

void
vmm_free(struct control_vmm *v)
{
	if (v->fd >= 0)
		close(v->fd);
	if (v->wake_fd >= 0)
		close(v->wake_fd);
	vuc_closer_let_go(v->closer);
	vuc_closers_destroy(v->closers, 0);
	control_user_fini(&v->user);
	free(v);
}
