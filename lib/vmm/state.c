/* SPDX-License-Identifier: BSD-3-Clause */
#include "state.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <vuc/export.h>

#include "clock.h"
#include "error.h"
#include "opts.h"

/*
 * A daemon writes the page in less than a look, unless it loses its CPU meanwhile: then it gets
 * time. One that died while it wrote never ends.
 */
#define STATE_SPINS 1000u
#define STATE_LOOKS 2000u
#define STATE_PAUSE 100000 /* ns */

/* What is listened for on the socket, once its end was told. */
#define FORGOTTEN UINT32_MAX

int
vmm_pages_map(struct vmm_pages *pages, const int fds[VUC_SHM_ATTACH_FDS], struct vuc_error *err)
{
	void *memory;
	int rc;

	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_STATE], sizeof(*pages->state), PROT_READ,
		"page of the state", err);
	if (rc != 0)
		return rc;
	pages->state = memory;
	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_BELL], sizeof(*pages->bell),
		PROT_READ | PROT_WRITE, "page of the bell", err);
	if (rc != 0)
		return rc;
	pages->bell = memory;
	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_POLLER], sizeof(*pages->poller), PROT_READ,
		"page of the poller", err);
	if (rc == 0)
		pages->poller = memory;
	return rc;
}

void
vmm_pages_unmap(struct vmm_pages *pages)
{
	if (pages->state != NULL)
		munmap((void *)(uintptr_t)pages->state, sizeof(*pages->state));
	if (pages->bell != NULL)
		munmap(pages->bell, sizeof(*pages->bell));
	if (pages->poller != NULL)
		munmap((void *)(uintptr_t)pages->poller, sizeof(*pages->poller));
	*pages = (struct vmm_pages){0};
}

static int
page_replace(void *old, void *other, size_t size, struct vuc_error *err)
{
	if (mremap(other, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, old) == old)
		return 0;
	return vuc_error_set(
		err, -errno, "cannot move a page of the daemon's: %s", strerror(errno));
}

int
vmm_pages_replace(struct vmm_pages *pages, struct vmm_pages *others, struct vuc_error *err)
{
	int rc = page_replace((void *)(uintptr_t)pages->state, (void *)(uintptr_t)others->state,
		sizeof(*pages->state), err);

	if (rc != 0)
		return rc;
	others->state = NULL;
	rc = page_replace(pages->bell, others->bell, sizeof(*pages->bell), err);
	if (rc != 0)
		return rc;
	others->bell = NULL;
	rc = page_replace((void *)(uintptr_t)pages->poller, (void *)(uintptr_t)others->poller,
		sizeof(*pages->poller), err);
	if (rc == 0)
		others->poller = NULL;
	return rc;
}

/*
 * Each load has acquire order and so none comes before those above it: the second look at the
 * sequence is the last one. If a field is of a later state, the odd number that the daemon has
 * stored before it, or a later one, is seen there.
 */
static void
page_copy(const struct vuc_shm_state *from, struct vuc_shm_state *to)
{
	to->state = __atomic_load_n(&from->state, __ATOMIC_ACQUIRE);
	to->generation = __atomic_load_n(&from->generation, __ATOMIC_ACQUIRE);
	to->reads = __atomic_load_n(&from->reads, __ATOMIC_ACQUIRE);
	to->writes = __atomic_load_n(&from->writes, __ATOMIC_ACQUIRE);
	to->posted = __atomic_load_n(&from->posted, __ATOMIC_ACQUIRE);
	to->errors = __atomic_load_n(&from->errors, __ATOMIC_ACQUIRE);
	to->resets = __atomic_load_n(&from->resets, __ATOMIC_ACQUIRE);
	to->remaps = __atomic_load_n(&from->remaps, __ATOMIC_ACQUIRE);
	to->releases = __atomic_load_n(&from->releases, __ATOMIC_ACQUIRE);
}

static void
state_read(const struct vmm_pages *pages, struct vuc_shm_state *state)
{
	const struct vuc_shm_state *page = pages->state;
	const struct timespec pause = {.tv_nsec = STATE_PAUSE};

	/* When it never holds still: each field is one that the daemon has stored. */
	for (unsigned int i = 0; i < STATE_LOOKS; i++) {
		if (i >= STATE_SPINS)
			nanosleep(&pause, NULL);
		state->sequence = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		page_copy(page, state);
		if (state->sequence % 2 == 0 &&
			__atomic_load_n(&page->sequence, __ATOMIC_RELAXED) == state->sequence)
			return;
	}
}

static int
watch_add(struct vmm_watch *w, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int
vmm_watch_open(struct vmm_watch *w, struct vuc_error *err)
{
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return vuc_error_set(err, -errno, "no epoll for events: %s", strerror(errno));
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->timer_fd < 0 || watch_add(w, w->timer_fd, EPOLLIN) != 0)
		return vuc_error_set(err, -errno, "no timer for events: %s", strerror(errno));
	return 0;
}

void
vmm_watch_close(struct vmm_watch *w)
{
	const int fds[] = {w->epoll_fd, w->timer_fd, w->event_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

void
vmm_state_begin(struct vuc_vmm_device *dev, uint64_t generation)
{
	struct vuc_shm_state state;

	state_read(&dev->pages, &state);
	dev->told = (struct vmm_told){
		.state = VUC_SHM_ATTACHED, /* so that whatever else it is already is an event */
		.generation = generation,
		.resets = state.resets,
		.remaps = state.remaps,
		.releases = state.releases,
	};
}

/* By its edges: it is never read, since the daemon could take what is there, and a read would
 * wait. */
static int
watch_event(struct vmm_watch *w, int fd, struct vuc_error *err)
{
	int rc = watch_add(w, fd, EPOLLIN | EPOLLET);

	return rc == 0 ? 0 : vuc_error_set(err, rc, "cannot listen for events: %s", strerror(-rc));
}

int
vmm_watch_state(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	vmm_state_begin(dev, dev->info.generation);
	return watch_event(&dev->watch, dev->watch.event_fd, err);
}

void
vmm_watch_forget_link(struct vmm_watch *w, int fd)
{
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	w->link_mask = 0;
}

int
vmm_watch_renew_event(struct vmm_watch *w, int event_fd, struct vuc_error *err)
{
	int rc = watch_event(w, event_fd, err);

	if (rc != 0)
		return rc;
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->event_fd, NULL);
	close(w->event_fd);
	w->event_fd = event_fd;
	return 0;
}

static void
timer_set(struct vmm_watch *w, uint64_t when_ms)
{
	const struct itimerspec when = {.it_value = {
						.tv_sec = (time_t)(when_ms / 1000),
						.tv_nsec = (long)(when_ms % 1000) * 1000000,
					}};

	w->timer_ms = when_ms;
	timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void
vmm_watch_timer(struct vmm_watch *w, uint64_t when_ms)
{
	if (w->timer_ms == 0 || w->timer_ms > when_ms)
		timer_set(w, when_ms);
}

void
vmm_watch_calm(struct vmm_watch *w)
{
	if (w->timer_ms == VMM_WATCH_NOW)
		timer_set(w, 0);
}

void
vmm_watch_link(struct vmm_watch *w, int fd, uint32_t mask)
{
	struct epoll_event event = {.events = mask | EPOLLRDHUP, .data.fd = fd};

	if (event.events == w->link_mask || w->link_mask == FORGOTTEN)
		return;
	/* Without it, nothing would be heard of operations: better too often than never. */
	if (epoll_ctl(w->epoll_fd, w->link_mask == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) !=
		0)
		vmm_watch_timer(w, VMM_WATCH_NOW);
	w->link_mask = event.events;
}

bool
vmm_watch_drain(struct vuc_vmm_device *dev)
{
	struct vmm_watch *w = &dev->watch;
	struct epoll_event ready[3];
	int n = epoll_wait(w->epoll_fd, ready, 3, 0);
	bool gone = false;

	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (ready[i].data.fd == dev->link.fd) {
			if ((ready[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
				continue;
			/* It stays true, but is said once. */
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, dev->link.fd, NULL);
			w->link_mask = FORGOTTEN;
			gone = true;
		} else if (ready[i].data.fd == w->timer_fd &&
			read(w->timer_fd, &count, sizeof(count)) == sizeof(count)) {
			w->timer_ms = 0;
		}
	}
	return gone;
}

/* What of the device's state has changed. */
static uint32_t
state_compare(struct vmm_told *told, const struct vuc_shm_state *now)
{
	bool renewed = now->generation != told->generation;
	uint32_t events = 0;

	if (now->resets != told->resets)
		events |= VUC_VMM_EVENT_RESET;
	if (now->remaps != told->remaps)
		events |= VUC_VMM_EVENT_REMAP;
	if (now->releases != told->releases)
		events |= VUC_VMM_EVENT_RELEASE;
	if (now->state == VUC_SHM_LOST && told->state != VUC_SHM_LOST)
		events |= VUC_VMM_EVENT_LOST;
	/* It may have been lost and come back again since the last look. */
	if (now->state == VUC_SHM_STALE && (told->state != VUC_SHM_STALE || renewed))
		events |= VUC_VMM_EVENT_STALE;
	if (now->state == VUC_SHM_BACK && (told->state != VUC_SHM_BACK || renewed))
		events |= VUC_VMM_EVENT_BACK;
	if (now->state == VUC_SHM_SILENT && told->state != VUC_SHM_SILENT)
		events |= VUC_VMM_EVENT_SILENT;
	if (told->state == VUC_SHM_SILENT && !renewed &&
		(now->state == VUC_SHM_ATTACHED || now->state == VUC_SHM_BACK))
		events |= VUC_VMM_EVENT_ANSWERS;
	if (now->state == VUC_SHM_REMOVED && told->state != VUC_SHM_REMOVED)
		events |= VUC_VMM_EVENT_REMOVED;
	told->state = now->state;
	told->generation = now->generation;
	told->resets = now->resets;
	told->remaps = now->remaps;
	told->releases = now->releases;
	return events;
}

uint32_t
vmm_state_events(struct vuc_vmm_device *dev, bool gone)
{
	struct vmm_told *told = &dev->told;
	struct vuc_shm_state now;
	uint32_t events;

	/* After draining: what changes from here on signals once more. */
	state_read(&dev->pages, &now);
	events = state_compare(told, &now);
	if (now.state != VUC_SHM_LOST)
		__atomic_store_n(&dev->lost_ms, 0, __ATOMIC_RELAXED);
	else if (events & VUC_VMM_EVENT_LOST)
		__atomic_store_n(&dev->lost_ms, vuc_clock_ms(), __ATOMIC_RELAXED);
	if ((gone || now.state == VUC_SHM_STOPPING) && !told->gone) {
		told->gone = true;
		events |= VUC_VMM_EVENT_GONE;
	}
	return events;
}

VUC_EXPORT int
vuc_vmm_counters(const struct vuc_vmm_device *dev, struct vuc_vmm_counters *counters)
{
	size_t argsz = counters->argsz;
	struct vuc_shm_state state = {0};
	struct vuc_vmm_counters known;
	int rc = vuc_argsz_check(
		argsz, VUC_OPTS_LEAST(struct vuc_vmm_counters, errors), "vuc_vmm_counters", NULL);

	if (rc != 0)
		return rc;
	if (dev->pages.state != NULL)
		state_read(&dev->pages, &state);
	known = (struct vuc_vmm_counters){
		.reads = state.reads,
		.writes = state.writes,
		.posted = state.posted,
		.errors = state.errors,
	};
	vuc_argsz_write(counters, argsz, &known, sizeof(known));
	return 0;
}
