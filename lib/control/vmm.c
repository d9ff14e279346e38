/* SPDX-License-Identifier: BSD-3-Clause */

/* A VMM's connection: what the rest of the control plane does with it. */

#include "vmm.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

#define CLOSING_LOOK_MS 20u /* until a held up closing looks whether the VMM has to leave */

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
	v->request_fd = -1;
	v->state_memory.fd = -1;
	v->bell.fd = -1;
	v->deadline_ms = vuc_clock_ms() + c->opts.handshake_timeout_ms;
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->closers = vuc_closers_create();
	v->closer = v->closers != NULL ? vuc_closer_create(v->closers, 1) : NULL;
	if (v->wake_fd >= 0 && v->closer != NULL && vuc_peer_of(fd, &v->user) == 0)
		return v;
	v->fd = -1;
	vmm_free(v);
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
	/* The control thread never closes a descriptor of a VMM itself. */
	vuc_closers_destroy(v->closers, 0, v->control->closers);
	vuc_peer_fini(&v->user);
	free(v);
}

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

/* With the lock held. A stock VMM understands no request but its REQ eventfd. */
static void
vmm_request_device(struct control_vmm *v)
{
	if (v->request_fd >= 0)
		control_signal(&v->control->signaller, v->request_fd);
}

void
vmm_tell(struct control_vmm *v, enum vuc_shm_device_state state, uint64_t generation)
{
	/* Whoever has to leave is not told anything else any more. */
	if (v->told == VUC_SHM_REMOVED || v->told == VUC_SHM_STOPPING)
		return;
	v->told = state;
	if (state == VUC_SHM_REMOVED)
		vmm_request_device(v);
	if (v->page == NULL)
		return;
	state_page_set(v->page, state, generation);
	control_signal(&v->control->signaller, v->event_fd);
}

void
vmm_tell_remap(struct control_vmm *v)
{
	if (v->page == NULL)
		return;
	state_page_add(v->page, &v->page->remaps);
	control_signal(&v->control->signaller, v->event_fd);
}

void
vmm_tell_release(struct control_vmm *v)
{
	vmm_request_device(v);
	if (v->page == NULL)
		return;
	state_page_add(v->page, &v->page->releases);
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

void
vmm_leave_lost(struct control_vmm *v)
{
	vmm_leave(v, vuc_clock_ms(), "its device is lost, and is removed");
}

const char *
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

/* Nobody but the kernel has a part in closing memory, which alone has seals, and eventfds. */
static bool
fd_closes_at_once(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 || packet_is_eventfd(fd, false);
}

/* Returns how many are left, at the beginning of fds. */
static unsigned int
fds_close_at_once(int *fds, unsigned int nr_fds)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < nr_fds; i++) {
		if (fds[i] >= 0 && fd_closes_at_once(fds[i]))
			close(fds[i]);
		else if (fds[i] >= 0)
			fds[left++] = fds[i];
	}
	return left;
}

static void
vmm_wait_for_closer(struct control_vmm *v)
{
	while (!vuc_closer_wait(v->closer, CLOSING_LOOK_MS)) {
		if (vmm_leaves(v, vuc_clock_ms()) != NULL)
			return;
	}
}

void
vmm_close_fds(struct control_vmm *v, int *fds, unsigned int nr_fds)
{
	vuc_closer_close(v->closer, fds, fds_close_at_once(fds, nr_fds));
	vmm_wait_for_closer(v);
}

void
vmm_close_socket(struct control_vmm *v)
{
	vuc_closer_close_socket(v->closer, v->fd);
	v->fd = -1;
	vmm_wait_for_closer(v);
}
