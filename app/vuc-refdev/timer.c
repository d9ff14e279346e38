/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/timerfd.h>

#include "device.h"

static int
open_timer(struct refdev_events *events)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	events->fds[REFDEV_EVENT_TIMER] = fd;
	events->nr++;
	return 0;
}

int
refdev_timer_set(struct refdev *dev, uint32_t ms)
{
	const struct itimerspec spec = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
	};
	int *fd = &dev->events.fds[REFDEV_EVENT_TIMER];
	int rc = 0;

	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (*fd < 0 && ms > 0)
		rc = open_timer(&dev->events);
	if (rc == 0 && *fd >= 0 && timerfd_settime(*fd, 0, &spec, NULL) != 0)
		rc = -errno;
	return rc;
}
