/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_vucd.h"

#include <fnmatch.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "back.h"
#include "fd_count.h"
#include "fds.h"
#include "memfd.h"
#include "socket.h"
#include "tempdir.h"

#define PAGE 4096u

struct fake_vucd fake;
struct vuc_vmm_device *dev;
struct vuc_error err;

int
fake_memory(size_t size)
{
	int fd = vuc_memfd_create("fake", size, F_SEAL_SHRINK);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

void *
fake_map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CU_ASSERT_FATAL(p != MAP_FAILED);
	return p;
}

/* ---- its thread ---- */

static void
answer(const struct fake_request *request, struct fake_reply *reply)
{
	struct vuc_shm_header *h = &reply->packet->header;

	fake.violations += !fake_is_allowed(request);
	fake.sequence = request->packet->header.sequence;
	reply->size = fake_make_reply(request->packet, reply);
	h->type = request->packet->header.type;
	h->flags = VUC_SHM_REPLY;
	h->size = (uint32_t)reply->size;
	h->sequence = fake.sequence;
	if (fake.twist != NULL && fake.twisted == h->type && fake.after-- == 0) {
		fake.after = 0;
		fake.twist(reply, fake.twist_arg);
	}
}

/* Receive a request into the log, whose last place is used again when it is full. Returns NULL when
 * there is none any more. */
static struct fake_request *
receive(int conn)
{
	struct fake_request *r = &fake.log[fake.nr_log];
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
	if (fake.nr_log + 1 < FAKE_MAX_LOG)
		fake.nr_log++;
	return r;
}

/* Returns false when the connection has come to its end. */
static bool
serve_one(int conn)
{
	union fake_packet packet;
	struct fake_reply reply = {.packet = &packet, .copies = 1};
	const struct fake_request *request = receive(conn);

	if (request == NULL)
		return false;
	memset(&packet, 0, sizeof(packet));
	answer(request, &reply);
	for (unsigned int i = 0; i < reply.copies; i++)
		(void)vuc_fds_send(conn, &packet, reply.size, reply.fds, reply.nr_fds, 0);
	vuc_fds_close(reply.fds, reply.nr_fds);
	return !reply.hang_up;
}

/* Wait for fd or the end. Returns false at the end. */
static bool
await(int fd)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN}, {.fd = fake.stop[0], .events = POLLIN}};

	return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static void
connection_serve(int conn)
{
	bool more = true;

	pthread_mutex_lock(&fake.lock);
	fake.conn = conn;
	fake.sequence = 0;
	while (more) {
		pthread_mutex_unlock(&fake.lock);
		more = await(conn);
		pthread_mutex_lock(&fake.lock);
		more = more && serve_one(conn);
	}
	fake.conn = -1;
	pthread_mutex_unlock(&fake.lock);
	close(conn);
}

static void *
serve_all(void *arg)
{
	while (await(fake.listener)) {
		int conn = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn >= 0)
			connection_serve(conn);
	}
	return arg;
}

/* ---- a thread that serves its queues ---- */

struct fake_server {
	struct vuc_queue_back backs[VUC_SHM_MAX_QUEUES];
	bool served[VUC_SHM_MAX_QUEUES];
	_Atomic bool stop;
	pthread_t thread;
};

static void
request_answer(struct vuc_queue_back *b, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	bool read = slot->op == VUC_QUEUE_READ;

	vuc_queue_back_take(b, taken);
	if (read)
		memset(vuc_queue_back_room(b, slot->id, slot->count), (int)slot->offset,
			slot->count);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(b, slot->id, 0, read ? slot->count : 0);
	vuc_queue_back_flush(b);
}

/* With the daemon's lock held. */
static void
queue_serve(struct fake_server *s, unsigned int i)
{
	const struct fake_queue *q = &fake.queues[i];
	const struct vuc_queue_back_opts opts = {
		.geometry = {q->depth, q->max_data},
		.requests = q->requests,
		.completions = q->completions,
	};
	struct vuc_queue_taken taken;

	if (q->requests == NULL)
		return;
	if (!s->served[i])
		CU_ASSERT_EQUAL_FATAL(vuc_queue_back_init(&s->backs[i], &opts), 0);
	s->served[i] = true;
	while (vuc_queue_back_peek(&s->backs[i], &taken) == 1)
		request_answer(&s->backs[i], &taken);
}

static void *
queues_serve(void *arg)
{
	struct fake_server *s = arg;

	while (!s->stop) {
		pthread_mutex_lock(&fake.lock);
		for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
			queue_serve(s, i);
		pthread_mutex_unlock(&fake.lock);
		sched_yield();
	}
	return NULL;
}

void
fake_serve_queues(void)
{
	struct fake_server *s = calloc(1, sizeof(*s));

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	pthread_mutex_lock(&fake.lock);
	fake.server = s;
	pthread_mutex_unlock(&fake.lock);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, queues_serve, s), 0);
}

void
fake_forget_backs(void)
{
	struct fake_server *s = fake.server;

	for (unsigned int i = 0; s != NULL && i < VUC_SHM_MAX_QUEUES; i++) {
		if (s->served[i])
			vuc_queue_back_fini(&s->backs[i]);
		s->served[i] = false;
	}
}

void
fake_stop_queues(void)
{
	struct fake_server *s = fake.server;

	s->stop = true;
	pthread_join(s->thread, NULL);
	pthread_mutex_lock(&fake.lock);
	fake_forget_backs();
	fake.server = NULL;
	pthread_mutex_unlock(&fake.lock);
	free(s);
}

/* ---- in the test ---- */

static void
listen_in_folder(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(fake.dir), 0);
	snprintf(fake.path, sizeof(fake.path), "%s/vmm.sock", fake.dir);
	CU_ASSERT_EQUAL_FATAL(vuc_socket_address(fake.path, &fake.address, NULL), 0);
	fake.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(
		bind(fake.listener, (const struct sockaddr *)&fake.address, sizeof(fake.address)),
		0);
	CU_ASSERT_EQUAL_FATAL(listen(fake.listener, 1), 0);
}

static void
pages_make(void)
{
	for (unsigned int i = 0; i < 5; i++)
		fake.fds[i] = i < 3 ? fake_memory(PAGE) : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake.state = fake_map(fake.fds[0], PAGE);
	fake.bell = fake_map(fake.fds[1], PAGE);
	fake.poller = fake_map(fake.fds[2], PAGE);
	fake.memory = fake.fds[1];
	fake.kick_fd = fake.fds[3];
	fake.event_fd = fake.fds[4];
	fake.state->state = VUC_SHM_ATTACHED;
	fake.state->generation = 1;
}

static void
memory_free(void)
{
	vuc_fds_close(fake.fds, 5);
	munmap(fake.state, PAGE);
	munmap(fake.bell, PAGE);
	munmap(fake.poller, PAGE);
	fake_forget_backs();
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
		fake_free_queue(&fake.queues[i]);
}

void
fake_restart(void)
{
	pthread_mutex_lock(&fake.lock);
	if (fake.conn >= 0)
		shutdown(fake.conn, SHUT_RDWR);
	while (fake.conn >= 0) {
		pthread_mutex_unlock(&fake.lock);
		sched_yield();
		pthread_mutex_lock(&fake.lock);
	}
	memory_free();
	pages_make();
	fake.mappings = 0;
	fake.nr_log = 0;
	pthread_mutex_unlock(&fake.lock);
}

void
fake_start(void)
{
	fake = (struct fake_vucd){.conn = -1, .fds_before = fd_count()};
	dev = NULL;
	alarm(20);
	pages_make();
	listen_in_folder();
	CU_ASSERT_EQUAL_FATAL(pipe(fake.stop), 0);
	pthread_mutex_init(&fake.lock, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&fake.thread, NULL, serve_all, NULL), 0);
}

void
fake_start_attached(void)
{
	fake_start();
	fake_attach(0);
}

void
fake_stop(void)
{
	vuc_vmm_detach(dev);
	close(fake.stop[1]);
	pthread_join(fake.thread, NULL);
	CU_ASSERT_EQUAL(fake.violations, 0);
	close(fake.listener);
	close(fake.stop[0]);
	memory_free();
	for (unsigned int i = 0; i < FAKE_MAX_LOG; i++)
		free(fake.log[i].packet);
	pthread_mutex_destroy(&fake.lock);
	vuc_tempdir_remove(fake.dir);
	alarm(0);
	CU_ASSERT_EQUAL(fd_count(), fake.fds_before);
}

void
fake_twist(unsigned int type, unsigned int after, fake_twist_fn twist, void *arg)
{
	pthread_mutex_lock(&fake.lock);
	fake.twisted = type;
	fake.after = after;
	fake.twist = twist;
	fake.twist_arg = arg;
	pthread_mutex_unlock(&fake.lock);
}

void
fake_publish(const struct vuc_shm_state *state)
{
	struct vuc_shm_state *page = fake.state;

	__atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->state, state->state, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->generation, state->generation, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->reads, state->reads, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->writes, state->writes, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->posted, state->posted, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->errors, state->errors, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->resets, state->resets, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->remaps, state->remaps, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->releases, state->releases, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_SEQ_CST);
	CU_ASSERT_EQUAL(eventfd_write(fake.event_fd, 1), 0);
}

void
fake_hang_up(void)
{
	pthread_mutex_lock(&fake.lock);
	CU_ASSERT(fake.conn >= 0);
	shutdown(fake.conn, SHUT_RDWR);
	pthread_mutex_unlock(&fake.lock);
}

/* The n-th request of a type, or NULL; and how many there are. */
static const struct fake_request *
log_find(unsigned int type, unsigned int n, unsigned int *nr)
{
	const struct fake_request *found = NULL;

	*nr = 0;
	pthread_mutex_lock(&fake.lock);
	for (unsigned int i = 0; i < fake.nr_log; i++) {
		if (fake.log[i].packet->header.type == type && (*nr)++ == n)
			found = &fake.log[i];
	}
	pthread_mutex_unlock(&fake.lock);
	return found;
}

unsigned int
fake_count(unsigned int type)
{
	unsigned int nr;

	log_find(type, 0, &nr);
	return nr;
}

void
fake_await(unsigned int type, unsigned int nr)
{
	while (fake_count(type) < nr)
		sched_yield();
}

const struct fake_request *
fake_request(unsigned int type, unsigned int n)
{
	unsigned int nr;
	const struct fake_request *found = log_find(type, n, &nr);

	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	return found;
}

void
fake_opts(struct vuc_vmm_attach_opts *opts)
{
	vuc_vmm_attach_opts_init(opts, sizeof(*opts));
	opts->socket = fake.path;
	opts->device = FAKE_DEVICE;
	opts->name = "tester";
}

void
fake_detach(void)
{
	vuc_vmm_detach(dev);
	dev = NULL;
}

void
fake_attach(uint32_t timeout_ms)
{
	struct vuc_vmm_attach_opts opts;

	fake_detach();
	fake_opts(&opts);
	if (timeout_ms != 0)
		opts.timeout_ms = timeout_ms;
	err = (struct vuc_error){""};
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
}

static int
connect_socket(int type, int *rc)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	*rc = connect(fd, (const struct sockaddr *)&fake.address, sizeof(fake.address));
	return fd;
}

unsigned int
fake_fill_backlog(int socks[8])
{
	unsigned int nr = 0;
	int rc = 0;

	while (nr < 8 && rc == 0)
		socks[nr++] = connect_socket(SOCK_SEQPACKET | SOCK_NONBLOCK, &rc);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	return nr;
}

int
fake_connect(int type)
{
	int rc, fd = connect_socket(type, &rc);

	CU_ASSERT_EQUAL(rc, type == SOCK_SEQPACKET ? 0 : -1);
	return fd;
}

void
fake_keep_outcome(void *arg, int status, const struct vuc_error *why)
{
	struct fake_outcome *o = arg;

	(void)why;
	o->calls++;
	o->status = status;
}

bool
fake_has_events(int timeout_ms)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};

	return poll(&fd, 1, timeout_ms) == 1;
}

uint32_t
fake_run_until(const struct fake_outcome *o)
{
	uint32_t events = 0;

	while (o->calls == 0) {
		CU_ASSERT_FATAL(fake_has_events(-1));
		events |= vuc_vmm_events(dev);
	}
	return events;
}

bool
fake_failed(int rc, int wanted, const char *pattern)
{
	if (rc == wanted && fnmatch(pattern, err.text, FNM_NOESCAPE) == 0)
		return true;
	printf("# %d instead of %d: \"%s\", not \"%s\"\n", rc, wanted, err.text, pattern);
	return false;
}
