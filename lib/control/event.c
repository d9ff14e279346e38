/* SPDX-License-Identifier: BSD-3-Clause */
#include "event.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memfd.h"

#define NR_EVENTS 4

int
control_signaller_init(struct control_signaller *s)
{
	*s = (struct control_signaller){.file = vuc_memfd_create("vuc-signal", 0, 0)};
	if (s->file < 0)
		return s->file;
	/* Where it is missing, or not allowed. */
	if (syscall(SYS_io_setup, NR_EVENTS, &s->context) != 0)
		s->context = 0;
	return 0;
}

void
control_signaller_fini(struct control_signaller *s)
{
	if (s->context != 0)
		syscall(SYS_io_destroy, s->context);
	close(s->file);
}

static void
write_if_it_can_be(int eventfd)
{
	struct pollfd pfd = {.fd = eventfd, .events = POLLOUT};
	const uint64_t one = 1;
	ssize_t n;

	if (poll(&pfd, 1, 0) <= 0 || (pfd.revents & POLLOUT) == 0)
		return;
	n = write(eventfd, &one, sizeof(one));
	(void)n;
}

void
control_signal(struct control_signaller *s, int eventfd)
{
	struct io_event events[NR_EVENTS];
	uint8_t byte;
	struct iocb read = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)s->file,
		.aio_buf = (uintptr_t)&byte,
		.aio_nbytes = sizeof(byte),
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)eventfd,
	};
	struct iocb *list = &read;

	/* Memory is read at once, so it is complete when this returns. */
	if (s->context != 0 && syscall(SYS_io_submit, s->context, 1, &list) == 1)
		syscall(SYS_io_getevents, s->context, 1, NR_EVENTS, events, NULL);
	else
		write_if_it_can_be(eventfd);
}

void
control_wake(int fd)
{
	const uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	/* It fails only when it is readable already. */
	(void)n;
}

void
control_wait(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t count;
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return;
	n = read(fd, &count, sizeof(count));
	(void)n;
}
