/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <vuc/export.h>

#include "error.h"

static int
listen_to(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int
vmm_events_open(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	struct vmm_events *e = &dev->events;
	struct vuc_shm_state state;
	int rc;

	vmm_state_read(&dev->pages, &state);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->state = VUC_SHM_ATTACHED; /* so that whatever else it is already is an event */
	e->generation = dev->info.generation;
	e->resets = state.resets;
	if (e->epoll_fd < 0)
		return vuc_error_set(err, -errno, "no epoll for events: %s", strerror(errno));
	rc = listen_to(e->epoll_fd, e->event_fd, EPOLLIN);
	if (rc == 0)
		rc = listen_to(e->epoll_fd, dev->link.fd, EPOLLRDHUP);
	if (rc != 0)
		vuc_error_set(err, rc, "cannot listen for events: %s", strerror(-rc));
	return rc;
}

void
vmm_events_close(struct vuc_vmm_device *dev)
{
	struct vmm_events *e = &dev->events;

	if (e->epoll_fd >= 0)
		close(e->epoll_fd);
	if (e->event_fd >= 0)
		close(e->event_fd);
	e->epoll_fd = -1;
	e->event_fd = -1;
}

VUC_EXPORT int
vuc_vmm_event_fd(const struct vuc_vmm_device *dev)
{
	return dev->events.epoll_fd;
}

/* What is not told any more: the daemon's death stays true, but is said once. */
static void
events_forget(struct vmm_events *e, int fd)
{
	epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Returns whether the daemon has gone. The eventfd cannot be read any more when this is done. */
static bool
event_drain(struct vuc_vmm_device *dev)
{
	struct vmm_events *e = &dev->events;
	struct epoll_event ready[2];
	int n = epoll_wait(e->epoll_fd, ready, 2, 0);
	bool gone = false;

	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (ready[i].data.fd == dev->link.fd) {
			events_forget(e, dev->link.fd);
			gone = true;
		} else if (read(e->event_fd, &count, sizeof(count)) != sizeof(count)) {
			events_forget(e, e->event_fd);
		}
	}
	return gone;
}

/* What of the device's state has changed. */
static uint32_t
state_compare(struct vmm_events *e, const struct vuc_shm_state *now)
{
	uint32_t events = 0;

	if (now->resets != e->resets)
		events |= VUC_VMM_EVENT_RESET;
	if (now->state == VUC_SHM_LOST && e->state != VUC_SHM_LOST)
		events |= VUC_VMM_EVENT_LOST;
	/* It may have been lost and come back again since the last look. */
	if (now->state == VUC_SHM_BACK &&
		(e->state != VUC_SHM_BACK || now->generation != e->generation))
		events |= VUC_VMM_EVENT_BACK;
	if (now->state == VUC_SHM_SILENT && e->state != VUC_SHM_SILENT)
		events |= VUC_VMM_EVENT_SILENT;
	if (now->state == VUC_SHM_ATTACHED && e->state == VUC_SHM_SILENT)
		events |= VUC_VMM_EVENT_ANSWERS;
	if (now->state == VUC_SHM_REMOVED && e->state != VUC_SHM_REMOVED)
		events |= VUC_VMM_EVENT_REMOVED;
	e->state = now->state;
	e->generation = now->generation;
	e->resets = now->resets;
	return events;
}

VUC_EXPORT uint32_t
vuc_vmm_events(struct vuc_vmm_device *dev)
{
	struct vmm_events *e = &dev->events;
	bool gone = event_drain(dev);
	struct vuc_shm_state now;
	uint32_t events;

	/* After draining: what changes from here on signals once more. */
	vmm_state_read(&dev->pages, &now);
	events = state_compare(e, &now);
	if ((gone || now.state == VUC_SHM_STOPPING) && !e->gone) {
		e->gone = true;
		events |= VUC_VMM_EVENT_GONE;
	}
	return events;
}

VUC_EXPORT void
vuc_vmm_counters(const struct vuc_vmm_device *dev, struct vuc_vmm_counters *counters)
{
	struct vuc_shm_state state;

	vmm_state_read(&dev->pages, &state);
	*counters = (struct vuc_vmm_counters){
		.reads = state.reads,
		.writes = state.writes,
		.posted = state.posted,
		.errors = state.errors,
	};
}
