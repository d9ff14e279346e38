/* SPDX-License-Identifier: BSD-3-Clause */

/* An access whose reply is received by an I/O thread, as in a VMM whose event loop owns the socket.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "error.h"
#include "floor.h"

/* Wait for bytes, then take what is there. Returns how many there are now; a negative errno. */
static ssize_t
receive_more(struct bench_handover *h, size_t got)
{
	struct pollfd pfd = {.fd = h->fd, .events = POLLIN};
	ssize_t n;

	if (poll(&pfd, 1, -1) < 0)
		return errno == EINTR ? (ssize_t)got : -errno;
	n = recv(h->fd, h->reply + got, BENCH_MESSAGE_MAX - got, 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EINTR ? (ssize_t)got : -errno;
	return (ssize_t)got + n;
}

/* Returns whether more is to be received for the reply that is awaited. */
static bool
tell_sender(struct bench_handover *h, ssize_t len)
{
	bool whole;

	pthread_mutex_lock(&h->lock);
	whole = len < 0 || bench_message_is_whole(h->reply, (size_t)len);
	if (whole) {
		h->len = len;
		pthread_cond_signal(&h->answered);
	}
	pthread_mutex_unlock(&h->lock);
	return !whole;
}

static void *
run_receiver(void *arg)
{
	struct bench_handover *h = arg;
	ssize_t len = 0;

	while (len >= 0) {
		len = receive_more(h, (size_t)len);
		if (!tell_sender(h, len) && len > 0)
			len = 0;
	}
	return NULL;
}

static int
wait_for_answer(struct bench_handover *h)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BENCH_TIMEOUT_MS / 1000;
	while (h->len == 0) {
		if (pthread_cond_timedwait(&h->answered, &h->lock, &until) == ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

ssize_t
bench_handover_exchange(
	struct bench_handover *h, const struct bench_message *msg, uint64_t *syscalls)
{
	ssize_t len;

	pthread_mutex_lock(&h->lock);
	h->len = 0;
	if (send(h->fd, msg->bytes, msg->len, MSG_NOSIGNAL) != (ssize_t)msg->len)
		len = -errno;
	else
		len = wait_for_answer(h);
	if (len == 0)
		len = h->len;
	pthread_mutex_unlock(&h->lock);
	/* One to send with; the thread has one to wait and one to receive. */
	*syscalls += 3;
	return len;
}

int
bench_handover_start(struct bench_handover *h, int fd, uint8_t *reply, struct vuc_error *err)
{
	pthread_condattr_t attr;
	int ret;

	*h = (struct bench_handover){.fd = fd, .reply = reply};
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->answered, &attr);
	pthread_condattr_destroy(&attr);
	ret = pthread_create(&h->thread, NULL, run_receiver, h);
	if (ret == 0)
		return 0;
	pthread_cond_destroy(&h->answered);
	pthread_mutex_destroy(&h->lock);
	return bench_fail(err, -ret, "a thread for the hand-over: %s", strerror(ret));
}

void
bench_handover_stop(struct bench_handover *h)
{
	/* Wakes the thread: there is nothing more to be received. */
	shutdown(h->fd, SHUT_RDWR);
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->answered);
	pthread_mutex_destroy(&h->lock);
}
