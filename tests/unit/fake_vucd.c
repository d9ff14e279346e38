/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_vucd.h"
#include "fds.h"
#include "memfd.h"
#include "tap.h"

int
fake_memory(size_t size)
{
	int fd = vuc_memfd_create("fake", size, F_SEAL_SHRINK);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static void *
map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CU_ASSERT_FATAL(p != MAP_FAILED);
	return p;
}

static void
send_reply(int conn, const struct fake_reply *reply)
{
	(void)vuc_fds_send(conn, reply->packet, reply->size, reply->fds, reply->nr_fds, 0);
}

static void
answer(struct fake_vucd *d, const struct fake_request *request, struct fake_reply *reply)
{
	const struct vuc_shm_header *h = &request->packet->header;

	if (h->size != request->size || h->flags != 0 || h->status != 0 ||
		h->sequence != d->sequence + 1 ||
		!fake_is_allowed(request->packet, request->size, request->nr_fds))
		d->violations++;
	d->sequence = h->sequence;
	fake_make_reply(d, request->packet, reply);
	if (d->twist != NULL && d->twisted == h->type && d->after-- == 0) {
		d->after = 0;
		d->twist(d, reply, d->twist_arg);
	}
}

/* Receive a request into the log, whose last place is used again when it is full. Returns NULL when
 * there is none any more. */
static struct fake_request *
receive(struct fake_vucd *d, int conn)
{
	struct fake_request *r = &d->log[d->nr_log];
	int fds[FAKE_MAX_FDS], nr_fds;
	struct iovec part;
	ssize_t n;

	if (r->packet == NULL)
		r->packet = malloc(sizeof(*r->packet));
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->packet);
	part = (struct iovec){.iov_base = r->packet, .iov_len = sizeof(*r->packet)};
	n = vuc_fds_receive(conn, &part, 1, fds, FAKE_MAX_FDS, &nr_fds, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return NULL;
	CU_ASSERT_FATAL(nr_fds >= 0);
	r->size = (size_t)n;
	r->nr_fds = (unsigned int)nr_fds;
	vuc_fds_close(fds, r->nr_fds);
	if (d->nr_log + 1 < FAKE_MAX_LOG)
		d->nr_log++;
	return r;
}

/* Returns false when the connection has come to its end. */
static bool
serve_one(struct fake_vucd *d, int conn)
{
	union fake_packet packet;
	struct fake_reply reply = {.packet = &packet, .copies = 1};
	const struct fake_request *request = receive(d, conn);

	if (request == NULL)
		return false;
	memset(&packet, 0, sizeof(packet));
	answer(d, request, &reply);
	for (unsigned int i = 0; i < reply.copies; i++)
		send_reply(conn, &reply);
	vuc_fds_close(reply.fds, reply.nr_fds);
	return !reply.hang_up;
}

static void
free_queues(struct fake_vucd *d)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		struct fake_queue *q = &d->queues[i];

		if (q->requests != NULL)
			munmap(q->requests, q->requests_size);
		if (q->completions != NULL)
			munmap(q->completions, q->completions_size);
		*q = (struct fake_queue){0};
	}
}

/* Wait for fd or the end. Returns false at the end. */
static bool
await(struct fake_vucd *d, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = d->stop[0], .events = POLLIN}};

	return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static void
serve(struct fake_vucd *d, int conn)
{
	bool more = true;

	pthread_mutex_lock(&d->lock);
	d->conn = conn;
	d->sequence = 0;
	pthread_mutex_unlock(&d->lock);
	while (more && await(d, conn)) {
		pthread_mutex_lock(&d->lock);
		more = serve_one(d, conn);
		pthread_mutex_unlock(&d->lock);
	}
	pthread_mutex_lock(&d->lock);
	d->conn = -1;
	pthread_mutex_unlock(&d->lock);
	close(conn);
}

static void *
run(void *arg)
{
	struct fake_vucd *d = arg;

	while (await(d, d->listener)) {
		int conn = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn >= 0)
			serve(d, conn);
	}
	return NULL;
}

static void
start_listening(struct fake_vucd *d)
{
	const char *base = getenv("TMPDIR");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(d->dir, sizeof(d->dir), "%s/vuc-test-XXXXXX", base != NULL ? base : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(d->dir));
	snprintf(d->path, sizeof(d->path), "%s/vmm.sock", d->dir);
	memcpy(addr.sun_path, d->path, strlen(d->path));
	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(d->listener, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(d->listener, 1), 0);
}

void
fake_vucd_start(struct fake_vucd *d)
{
	*d = (struct fake_vucd){.conn = -1};
	alarm(FAKE_TIMEOUT_S);
	d->state_fd = fake_memory(4096);
	d->bell_fd = fake_memory(4096);
	d->poller_fd = fake_memory(4096);
	d->state = map(d->state_fd, 4096);
	d->bell = map(d->bell_fd, 4096);
	d->poller = map(d->poller_fd, 4096);
	d->state->state = VUC_SHM_ATTACHED;
	d->state->generation = 1;
	d->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	start_listening(d);
	CU_ASSERT_EQUAL_FATAL(pipe(d->stop), 0);
	pthread_mutex_init(&d->lock, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&d->thread, NULL, run, d), 0);
}

void
fake_vucd_stop(struct fake_vucd *d)
{
	const int fds[] = {d->listener, d->stop[0], d->state_fd, d->bell_fd, d->poller_fd,
		d->kick_fd, d->event_fd};

	close(d->stop[1]);
	pthread_join(d->thread, NULL);
	CU_ASSERT_EQUAL(d->violations, 0);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	munmap(d->state, 4096);
	munmap(d->bell, 4096);
	munmap(d->poller, 4096);
	free_queues(d);
	for (unsigned int i = 0; i < FAKE_MAX_LOG; i++)
		free(d->log[i].packet);
	pthread_mutex_destroy(&d->lock);
	unlink(d->path);
	rmdir(d->dir);
	alarm(0);
}

void
fake_vucd_twist(
	struct fake_vucd *d, unsigned int type, unsigned int after, fake_twist_fn twist, void *arg)
{
	pthread_mutex_lock(&d->lock);
	d->twisted = type;
	d->after = after;
	d->twist = twist;
	d->twist_arg = arg;
	pthread_mutex_unlock(&d->lock);
}

void
fake_vucd_publish(struct fake_vucd *d, const struct vuc_shm_state *state)
{
	struct vuc_shm_state *page = d->state;
	const uint64_t one = 1;

	__atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->state, state->state, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->generation, state->generation, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->reads, state->reads, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->writes, state->writes, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->posted, state->posted, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->errors, state->errors, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->resets, state->resets, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_SEQ_CST);
	CU_ASSERT_EQUAL(write(d->event_fd, &one, sizeof(one)), sizeof(one));
}

void
fake_vucd_hang_up(struct fake_vucd *d)
{
	pthread_mutex_lock(&d->lock);
	CU_ASSERT(d->conn >= 0);
	shutdown(d->conn, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}

unsigned int
fake_vucd_count(struct fake_vucd *d, unsigned int type)
{
	unsigned int n = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < d->nr_log; i++)
		n += d->log[i].packet->header.type == type;
	pthread_mutex_unlock(&d->lock);
	return n;
}

const struct fake_request *
fake_vucd_request(struct fake_vucd *d, unsigned int type, unsigned int n)
{
	const struct fake_request *found = NULL;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < d->nr_log && found == NULL; i++) {
		if (d->log[i].packet->header.type == type && n-- == 0)
			found = &d->log[i];
	}
	pthread_mutex_unlock(&d->lock);
	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	return found;
}

void
fake_opts(const struct fake_vucd *d, struct vuc_vmm_attach_opts *opts)
{
	vuc_vmm_attach_opts_init(opts, sizeof(*opts));
	opts->socket = d->path;
	opts->device = FAKE_DEVICE;
	opts->name = "tester";
}

struct vuc_vmm_device *
fake_attach(const struct fake_vucd *d)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct vuc_error err = {""};

	fake_opts(d, &opts);
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}
