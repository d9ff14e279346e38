/* SPDX-License-Identifier: BSD-3-Clause */

/* The life of a VMM's connection: its thread. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "outage.h"
#include "stock.h"

#define PUBLISH_MS 500u

static int
vmm_check_leaving(struct control_vmm *v, uint64_t now)
{
	const char *why = vmm_leaves(v, now);

	return why != NULL ? vuc_error_set(&v->why, -ECANCELED, "%s", why) : 0;
}

static void
vmm_publish_counters(struct control_vmm *v, uint64_t now)
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
vmm_look_around(struct control_vmm *v)
{
	uint64_t now = vuc_clock_ms();
	int rc = vmm_check_leaving(v, now);
	const char *problem;

	if (rc != 0 || v->state == VMM_DETACHED)
		return rc;
	if (v->state != VMM_ATTACHED && now >= v->deadline_ms)
		return vuc_error_set(&v->why, -ETIMEDOUT, "did not attach within %u ms",
			v->control->opts.handshake_timeout_ms);
	if (v->state != VMM_ATTACHED)
		return 0;
	problem = dma_maps_problem(&v->maps);
	if (problem != NULL)
		return vuc_error_set(&v->why, -EFAULT, "%s", problem);
	if (vuc_poller_remote_broken(v->remote) > 0)
		return vuc_error_set(&v->why, -EPROTO, "protocol violation in a queue");
	vmm_publish_counters(v, now);
	vmm_watch_nvme(v, now);
	vmm_signal_return(v);
	return 0;
}

static int
vmm_until_next(struct control_vmm *v)
{
	uint64_t next = v->state == VMM_ATTACHED ? v->publish_ms : v->deadline_ms;
	uint64_t now = vuc_clock_ms();

	pthread_mutex_lock(&v->control->lock);
	if (v->leave_ms != 0 && v->leave_ms < next)
		next = v->leave_ms;
	pthread_mutex_unlock(&v->control->lock);
	if (v->nvme.due_ms != 0 && v->nvme.due_ms < next)
		next = v->nvme.due_ms;
	return next > now ? (int)(next - now) : 0;
}

/* Returns whether there is a packet, or the other end has hung up. */
static bool
vmm_wait_for_packet(struct control_vmm *v)
{
	struct pollfd fds[] = {
		{.fd = v->fd, .events = POLLIN},
		{.fd = v->wake_fd, .events = POLLIN},
	};

	if (poll(fds, 2, vmm_until_next(v)) <= 0)
		return false;
	if (fds[1].revents != 0)
		control_wait(v->wake_fd, 0);
	return fds[0].revents != 0;
}

static int
vmm_take_packet(struct control_vmm *v)
{
	int rc = packet_receive(v->fd, &v->packet, v->closer);

	if (rc == 0)
		rc = vmm_dispatch(v);
	else if (rc == -ECONNRESET)
		vuc_error_set(&v->why, rc, "the VMM has closed the connection");
	else if (rc == -EMSGSIZE)
		vuc_error_set(&v->why, rc, "a packet of more than %u bytes", VUC_SHM_MAX_PACKET);
	else if (rc == -EMFILE)
		vuc_error_set(&v->why, rc,
			"file descriptors were lost: the daemon is at its limit (RLIMIT_NOFILE)");
	else if (rc == -E2BIG)
		vuc_error_set(
			&v->why, rc, "a packet with more than %u descriptors", VUC_SHM_MAX_FDS);
	else if (rc != -EAGAIN)
		vuc_error_set(&v->why, rc, "socket error: %s", strerror(-rc));
	vmm_close_fds(v, v->packet.fds, v->packet.nr_fds);
	v->packet.nr_fds = 0;
	return rc == -EAGAIN && v->why.text[0] == '\0' ? 0 : rc;
}

int
vmm_step(struct control_vmm *v, bool packet)
{
	int rc = packet ? vmm_take_packet(v) : 0;

	return rc == 0 ? vmm_look_around(v) : rc;
}

static void
vmm_serve(struct control_vmm *v)
{
	int rc = v->exported[0] != '\0' ? stock_serve(v) : 0;

	while (rc == 0 && v->state != VMM_DETACHED)
		rc = vmm_step(v, vmm_wait_for_packet(v));
	v->hung_up = rc == -ECONNRESET;
	if (v->state == VMM_DETACHED)
		return;
	vmm_log(v, rc == -ECONNRESET || rc == -ECANCELED ? VUC_LOG_NOTICE : VUC_LOG_WARNING,
		"disconnected: %s", v->why.text);
}

/* From here on it is the control thread's. */
static void
vmm_finish(struct control_vmm *v)
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
	vmm_serve(v);
	stock_end(v);
	/* Who sees it hang up knows that the device has let go of everything. */
	if (v->device != NULL)
		vmm_release(v);
	vmm_close_socket(v);
	control_log_forget(&v->control->log, &v->log_limit, v->user.uid);
	vmm_finish(v);
	return NULL;
}
