/* SPDX-License-Identifier: BSD-3-Clause */
#include "irq_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
vucctl_irq_watch_open(struct vucctl_irq_watch *watch, const struct vuc_irq_range *range)
{
	uint32_t i;

	*watch = (struct vucctl_irq_watch){
		.eventfds = calloc(range->count, sizeof(*watch->eventfds)),
		.polled = calloc(range->count, sizeof(*watch->polled)),
	};
	if (watch->eventfds == NULL || watch->polled == NULL)
		return -ENOMEM;
	watch->range = (struct vuc_irq_range){.index = range->index, .start = range->start};
	for (i = 0; i < range->count; i++) {
		watch->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (watch->eventfds[i] < 0)
			return -errno;
		watch->polled[i] = (struct pollfd){.fd = watch->eventfds[i], .events = POLLIN};
		watch->range.count++;
	}
	return 0;
}

void
vucctl_irq_watch_close(struct vucctl_irq_watch *watch)
{
	uint32_t i;

	for (i = 0; i < watch->range.count; i++)
		close(watch->eventfds[i]);
	free(watch->eventfds);
	free(watch->polled);
	*watch = (struct vucctl_irq_watch){.eventfds = NULL};
}

int
vucctl_irq_watch_wait(struct vucctl_irq_watch *watch, int timeout_ms)
{
	int n = poll(watch->polled, watch->range.count, timeout_ms);

	if (n < 0 && errno == EINTR)
		return 0;
	return n < 0 ? -errno : n;
}

uint64_t
vucctl_irq_watch_take(struct vucctl_irq_watch *watch, uint32_t i)
{
	uint64_t count;

	if (read(watch->eventfds[i], &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}
