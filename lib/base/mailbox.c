/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mailbox.h"

int
vuc_mailbox_init(struct vuc_mailbox *m)
{
	STAILQ_INIT(&m->posts);
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0)
		return -errno;
	pthread_mutex_init(&m->lock, NULL);
	return 0;
}

void
vuc_mailbox_fini(struct vuc_mailbox *m)
{
	close(m->fd);
	pthread_mutex_destroy(&m->lock);
}

void
vuc_mailbox_post(struct vuc_mailbox *m, struct vuc_post *post)
{
	pthread_mutex_lock(&m->lock);
	STAILQ_INSERT_TAIL(&m->posts, post, link);
	/* With the lock held: the post may be the last one, which has the receiver free the
	 * mailbox. */
	eventfd_write(m->fd, 1);
	pthread_mutex_unlock(&m->lock);
}

void
vuc_mailbox_wake(struct vuc_mailbox *m)
{
	pthread_mutex_lock(&m->lock);
	eventfd_write(m->fd, 1);
	pthread_mutex_unlock(&m->lock);
}

unsigned int
vuc_mailbox_run(struct vuc_mailbox *m)
{
	struct vuc_post_list posts = STAILQ_HEAD_INITIALIZER(posts);
	struct vuc_post *post;
	unsigned int n = 0;
	eventfd_t count;

	pthread_mutex_lock(&m->lock);
	eventfd_read(m->fd, &count);
	STAILQ_CONCAT(&posts, &m->posts);
	pthread_mutex_unlock(&m->lock);
	while ((post = STAILQ_FIRST(&posts)) != NULL) {
		STAILQ_REMOVE_HEAD(&posts, link);
		n++;
		post->fn(post->arg);
	}
	return n;
}
