/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_CLOSERS_H
#define VUC_BASE_CLOSERS_H

/*
 * Threads that close descriptors of other processes for a thread that must not block: close(2) of a
 * file of a file system that the sender serves, or of a socket with SO_LINGER, takes as long as the
 * sender likes; so does that of a socket in which such descriptors lie unread, and munmap(2) of
 * such a file.
 *
 * Each owner, of whom one is a device, has a closer, which holds up a few threads at most: what it
 * closes after that waits, and nobody else's does. Threads are started when there is something to
 * close, and end when there is nothing more.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vuc_closers;
struct vuc_closer;

/* NULL without memory. The threads run on the CPUs that the caller may run on. */
struct vuc_closers *vuc_closers_create(void);

/* Wait for at most so long until everything is closed, and free it; nobody holds a closer of it any
 * more. The caller closes nothing itself: what is held up then is left to its threads. Where no
 * thread can be started, what is left passes to the heir; without one (NULL), it stays open until
 * the process ends. Returns how many calls of vuc_closer_close() were left, but for those that have
 * passed to the heir. NULL does nothing. */
unsigned int vuc_closers_destroy(
	struct vuc_closers *c, uint32_t timeout_ms, struct vuc_closers *heir);

/* Start a thread if something waits for one. Returns whether something waits and there is none: the
 * caller tries again later. */
bool vuc_closers_retry(struct vuc_closers *c);

/* One that holds up at most so many threads. NULL without memory. Whoever uses it holds it, the
 * creator from the beginning, and lets go of it: what it was given by then is still closed. */
struct vuc_closer *vuc_closer_create(struct vuc_closers *c, unsigned int max_threads);
struct vuc_closer *vuc_closer_hold(struct vuc_closer *closer);
void vuc_closer_let_go(struct vuc_closer *closer);

/* Close descriptors; those below 0 are none. Does not block; any thread. Without memory, and by
 * NULL, they are closed here. */
void vuc_closer_close(struct vuc_closer *closer, const int *fds, unsigned int nr_fds);

/* The same for a UNIX socket. The peer sees the end at once, and a socket in which nothing lies
 * unread is closed here. */
void vuc_closer_close_socket(struct vuc_closer *closer, int sock);

/* The same for a mapping. */
void vuc_closer_unmap(struct vuc_closer *closer, void *addr, size_t size);

/* How many of these calls wait for a thread. NULL: none. */
unsigned int vuc_closer_waiting(struct vuc_closer *closer);

/* Whether it holds up as many threads as it may. */
bool vuc_closer_busy(struct vuc_closer *closer);

/* Wait for at most so long until it has closed everything: whether it has. */
bool vuc_closer_wait(struct vuc_closer *closer, uint32_t timeout_ms);

#endif /* VUC_BASE_CLOSERS_H */
