/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_MAILBOX_H
#define VUC_BASE_MAILBOX_H

/* Functions to be run on another thread, without waiting for it. */

#include <pthread.h>
#include <sys/queue.h>

/* A function and its argument: the receiver's from the time it is posted until fn is called, which
 * may free it or post it again. */
struct vuc_post {
	STAILQ_ENTRY(vuc_post) link;
	void (*fn)(void *arg);
	void *arg;
};

STAILQ_HEAD(vuc_post_list, vuc_post);

/* Posts to a thread that waits for descriptors. */
struct vuc_mailbox {
	pthread_mutex_t lock;
	struct vuc_post_list posts;
	int fd; /* an eventfd: readable when there is a post */
};

/* Returns 0 or a negative errno. */
int vuc_mailbox_init(struct vuc_mailbox *m);

/* It is empty, and nobody posts any more. */
void vuc_mailbox_fini(struct vuc_mailbox *m);

/* Any thread. Does not touch the mailbox once the post can be run. */
void vuc_mailbox_post(struct vuc_mailbox *m, struct vuc_post *post);

/* Have the receiving thread look around, as if something had been posted. Any thread. */
void vuc_mailbox_wake(struct vuc_mailbox *m);

/* On the receiving thread: run what there is, in order; what is posted meanwhile is left for the
 * next time. Returns how many were run. */
unsigned int vuc_mailbox_run(struct vuc_mailbox *m);

#endif /* VUC_BASE_MAILBOX_H */
