/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What wakes a poller that sleeps, and how others know that it does.
 *
 * It sleeps on an epoll instance. Its own eventfd is in there, which it reads; and those of
 * remotes, which it never reads: whoever shares an eventfd can make it block, so that a read() of
 * it could stop the poller for good. They are in there by their edges instead: a write is an event,
 * and taking the event is all that is needed for the next sleep. The edge of a write between two
 * sleeps stays until then, and ends the second one at once. Sockets of attendants are in there
 * likewise, see attend.c.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vuc/shm.h>

#include "error.h"
#include "internal.h"
#include "memfd.h"
#include "remote.h"

_Static_assert(sizeof(struct vuc_shm_poller) == sizeof(_Atomic uint32_t), "it is the word alone");

/* The word `sleeps`, in a page that others may map, too: but only for reading. */
static int
open_page(struct vuc_poller *p)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page;

	p->sleeps_fd = vuc_memfd_create("vuc-poller", size, 0);
	if (p->sleeps_fd < 0)
		return p->sleeps_fd;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->sleeps_fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	p->sleeps = page;
	/* The seal leaves this mapping as it is. A page without it is not for others. */
	if (vuc_memfd_seal(p->sleeps_fd, seals) != 0) {
		close(p->sleeps_fd);
		p->sleeps_fd = -ENOTSUP;
	}
	return 0;
}

int
poller_wake_open(struct vuc_poller *p, struct vuc_error *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	int rc = open_page(p);

	if (rc != 0)
		return vuc_error_set(
			err, rc, "poller %s: cannot share a page: %s", p->name, strerror(-rc));
	p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->kick_fd < 0)
		return vuc_error_set(
			err, -errno, "poller %s: eventfd: %s", p->name, strerror(errno));
	p->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->wake_fd < 0 || epoll_ctl(p->wake_fd, EPOLL_CTL_ADD, p->kick_fd, &event) != 0)
		return vuc_error_set(err, -errno, "poller %s: epoll: %s", p->name, strerror(errno));
	return 0;
}

void
poller_wake_close(struct vuc_poller *p)
{
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	if (p->kick_fd >= 0)
		close(p->kick_fd);
	if (p->sleeps != NULL)
		munmap((void *)(uintptr_t)p->sleeps, (size_t)sysconf(_SC_PAGESIZE));
	if (p->sleeps_fd >= 0)
		close(p->sleeps_fd);
}

int
poller_wake_add(struct vuc_poller *p, int kick_fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	return epoll_ctl(p->wake_fd, EPOLL_CTL_ADD, kick_fd, &event) == 0 ? 0 : -errno;
}

/* Closing it would not do: it is open in the other process. */
void
poller_wake_remove(struct vuc_poller *p, int kick_fd)
{
	epoll_ctl(p->wake_fd, EPOLL_CTL_DEL, kick_fd, NULL);
}

bool
poller_wake_take(struct vuc_poller *p)
{
	bool kicked = false;
	uint64_t kicks;

	if (p->nr_remotes > 0 || p->nr_attendants > 0)
		kicked = poller_take_events(p);
	return read(p->kick_fd, &kicks, sizeof(kicks)) == sizeof(kicks) || kicked;
}

void
poller_kick(struct vuc_poller *p)
{
	const uint64_t one = 1;
	ssize_t n = write(p->kick_fd, &one, sizeof(one));

	/* It fails only when it is readable already, which is all that is wanted. */
	(void)n;
}

int
vuc_poller_sleeps_fd(const struct vuc_poller *p)
{
	return p->sleeps_fd;
}
