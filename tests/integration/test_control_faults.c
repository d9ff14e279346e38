/* SPDX-License-Identifier: BSD-3-Clause */

/* The control plane without descriptors, memory or threads: calls of the system that fail, one at a
 * time, by the linker's --wrap. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "clock.h"
#include "connect.h"
#include "fd_count.h"
#include "listener.h"
#include "rig.h"

enum call {
	ACCEPT,
	BIND,
	CHMOD,
	EVENTFD,
	FALLOCATE,
	FCHMOD,
	FSTAT,
	LISTEN,
	MEMFD,
	SOCKET,
	THREAD,
	UNLINK,
	NR_CALLS,
};

/* The how manieth call from now on fails; 0: none. */
static _Atomic unsigned int count_down[NR_CALLS];
static _Atomic int with[NR_CALLS];

static void
let_fail(enum call call, unsigned int which, int error)
{
	atomic_store(&with[call], error);
	atomic_store(&count_down[call], which);
}

/* Whether it was the time of the one that fails. */
static bool
has_failed(enum call call)
{
	return atomic_load(&count_down[call]) == 0;
}

static bool
fails(enum call call)
{
	unsigned int n = atomic_load(&count_down[call]);

	while (n > 0 && !atomic_compare_exchange_weak(&count_down[call], &n, n - 1))
		;
	if (n == 1)
		errno = atomic_load(&with[call]);
	return n == 1;
}

/* Of files, by the names that they have with offsets of 64 bits. */
#define WRAP(call, name, params, args)                        \
	int __real_##name params;                             \
	int __wrap_##name params;                             \
	int __wrap_##name params                              \
	{                                                     \
		return fails(call) ? -1 : __real_##name args; \
	}

/* Of the next connection of a VMM that is closed by a thread which may wait: it is held up until
 * there is something to read. */
static _Atomic int hold_up_by = -1;

static bool
is_packet_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static bool
is_closer_thread(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strcmp(name, "vuc-closer") == 0;
}

int __real_close(int fd);
int __wrap_close(int fd);
int
__wrap_close(int fd)
{
	int by = atomic_load(&hold_up_by);
	eventfd_t count;

	if (by >= 0 && is_closer_thread() && is_packet_socket(fd) &&
		atomic_compare_exchange_strong(&hold_up_by, &by, -1))
		eventfd_read(by, &count);
	return __real_close(fd);
}

WRAP(ACCEPT, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
	(fd, addr, len, flags))
WRAP(BIND, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(CHMOD, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(EVENTFD, eventfd, (unsigned int count, int flags), (count, flags))
WRAP(FALLOCATE, fallocate64, (int fd, int mode, off_t offset, off_t len), (fd, mode, offset, len))
WRAP(FCHMOD, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(LISTEN, listen, (int fd, int backlog), (fd, backlog))
WRAP(FSTAT, fstat64, (int fd, struct stat *st), (fd, st))
WRAP(MEMFD, memfd_create, (const char *name, unsigned int flags), (name, flags))
WRAP(SOCKET, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(UNLINK, unlink, (const char *path), (path))

int __real_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return fails(THREAD) ? errno : __real_pthread_create(thread, attr, fn, arg);
}

/* ---- the socket of VMMs ---- */

static struct sockaddr_un
address(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return addr;
}

static int
bind_to(const char *path, int type)
{
	struct sockaddr_un addr = address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* As a control plane does it. */
static int
place(struct vuc_listener *l, const char *path, struct vuc_error *err)
{
	int rc = vuc_listener_bind(l, path, SOCK_SEQPACKET, 0600, (gid_t)-1, err);

	if (rc == 0)
		rc = vuc_listener_listen(l, 16, err);
	if (rc != 0)
		vuc_listener_close(l);
	return rc;
}

static void
test_listen(void)
{
	static const struct {
		bool stale; /* a socket lies there on which nobody listens */
		enum call call;
		unsigned int which;
		const char *what;
	} rows[] = {
		{false, SOCKET, 1, "socket"},
		{false, FCHMOD, 1, "fchmod"},
		{false, BIND, 1, "bind"},
		{false, FSTAT, 1, "fstat"},
		{false, CHMOD, 1, "chmod"},
		{false, LISTEN, 1, "listen"},
		{true, SOCKET, 1, "socket"},
		{true, UNLINK, 1, "unlink"},
		{true, SOCKET, 2, "socket"},
	};
	char folder[VUC_TEMPDIR_SIZE], path[VUC_TEMPDIR_SIZE + 8], wanted[256];
	unsigned int fds = fd_count();
	struct vuc_error err = {0};
	struct vuc_listener l;

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	snprintf(path, sizeof(path), "%s/s", folder);
	for (size_t i = 0; i < NR(rows); i++) {
		if (rows[i].stale)
			close(bind_to(path, SOCK_SEQPACKET));
		let_fail(rows[i].call, rows[i].which, EMFILE);
		CU_ASSERT_EQUAL(place(&l, path, &err), -EMFILE);
		CU_ASSERT_TRUE(has_failed(rows[i].call));
		snprintf(
			wanted, sizeof(wanted), "%s: %s: %s", path, rows[i].what, strerror(EMFILE));
		CU_ASSERT_STRING_EQUAL(err.text, wanted);
		CU_ASSERT_EQUAL(fd_count(), fds);
		/* The next one finds nothing in its way. */
		CU_ASSERT_EQUAL(place(&l, path, &err), 0);
		vuc_listener_close(&l);
		CU_ASSERT_EQUAL(access(path, F_OK), -1);
	}
	vuc_tempdir_remove(folder);
}

/* Whoever has no room in its backlog is there all the same: for a control plane that wants the
 * place, and for a client, which waits for its time. */
static void
test_full_backlog(void)
{
	char folder[VUC_TEMPDIR_SIZE], path[VUC_TEMPDIR_SIZE + 8];
	static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM};
	struct vuc_listener l;
	struct vuc_error err = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct sockaddr_un addr;
		int listener, first;

		snprintf(path, sizeof(path), "%s/%u", folder, i);
		listener = bind_to(path, types[i]);
		CU_ASSERT_EQUAL_FATAL(listen(listener, 0), 0);
		addr = address(path);
		first = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
		CU_ASSERT_EQUAL(connect(first, (const struct sockaddr *)&addr, sizeof(addr)), 0);
		if (types[i] == SOCK_SEQPACKET) {
			CU_ASSERT_EQUAL(place(&l, path, &err), -EADDRINUSE);
			CU_ASSERT_PTR_NOT_NULL(
				strstr(err.text, "another process serves this socket"));
		} else {
			CU_ASSERT_EQUAL(vuc_device_connect(path, 50, &err), -ETIMEDOUT);
			CU_ASSERT_STRING_EQUAL(err.text,
				"connect: the server has not accepted the connection within 50 ms");
		}
		CU_ASSERT_EQUAL(access(path, F_OK), 0);
		close(first);
		close(listener);
	}
	vuc_tempdir_remove(folder);
}

/* ---- connections ---- */

/* The daemon goes on, and takes the next connection. */
static void
test_accept(void)
{
	static const struct {
		enum call call;
		int error;
		const char *line;
		int hello;
	} rows[] = {
		{ACCEPT, EMFILE, "cannot accept connections: Too many open files", 0},
		{EVENTFD, EMFILE, "no memory for a connection", SHM_GONE},
		{THREAD, EAGAIN, "Resource temporarily unavailable", SHM_GONE},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		rig_start(NULL);
		let_fail(rows[i].call, 1, rows[i].error);
		CU_ASSERT_EQUAL_FATAL(shm_connect(&client, rig.path), 0);
		CU_ASSERT_EQUAL(shm_hello(&client), rows[i].hello);
		CU_ASSERT_TRUE(has_failed(rows[i].call));
		CU_ASSERT_TRUE(rig_logs(rows[i].line));
		shm_close(&client);
		CU_ASSERT_TRUE(rig_has_connections(0));
		rig_attach(&client, RIG_NAME);
	}
}

/* Files, and their pages, of which there are two of each for an attachment and for a queue. */
static const struct share_row {
	enum call call;
	unsigned int which;
	int error;
} share_rows[] = {
	{EVENTFD, 1, EMFILE}, /* these not for a queue */
	{EVENTFD, 2, EMFILE},
	{MEMFD, 1, ENFILE},
	{MEMFD, 2, ENFILE},
	{FALLOCATE, 1, ENOSPC},
	{FALLOCATE, 2, ENOSPC},
};

#define NR_SHARE_ROWS (NR(share_rows))

/* It is refused with the reason, and may try again. */
static void
test_attach(void)
{
	char wanted[64];

	rig_start(NULL);
	for (const struct share_row *r = share_rows; r < share_rows + NR_SHARE_ROWS; r++) {
		rig_greet(&client);
		let_fail(r->call, r->which, r->error);
		CU_ASSERT_EQUAL(shm_attach(&client, RIG_NAME), -r->error);
		CU_ASSERT_TRUE(has_failed(r->call));
		snprintf(wanted, sizeof(wanted), "no memory to share: %s", strerror(r->error));
		CU_ASSERT_STRING_EQUAL(client.reply.failure.reason, wanted);
		CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_EQUAL_FATAL(shm_attach(&client, RIG_NAME), 0);
		shm_close(&client);
		CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	}
}

/* Nothing of a queue that could not be made counts for its VMM, which may have one. */
static void
test_open_queue(void)
{
	struct shm_queue q, more;

	rig_start_attached(&(struct rig_opts){.max_queues = 1});
	for (const struct share_row *r = share_rows + 2; r < share_rows + NR_SHARE_ROWS; r++) {
		let_fail(r->call, r->which, r->error);
		CU_ASSERT_EQUAL(shm_open_queue(&client, 4, 64, &q), -r->error);
		CU_ASSERT_TRUE(has_failed(r->call));
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
		CU_ASSERT_EQUAL(shm_open_queue(&client, 4, 64, &more), -ENOSPC);
		CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	}
}

/* A connection that is not taken may have descriptors in it that take for ever to be closed:
 * devices are looked after all the same, and VMMs are let in. */
static void
test_held_up_closing(void)
{
	struct shm_client more;
	int release = eventfd(0, EFD_CLOEXEC);

	rig_start_attached(&(struct rig_opts){.max_vmms = 1});
	atomic_store(&hold_up_by, release);
	/* Something lies in it, if it comes before the end. */
	for (unsigned int i = 0; atomic_load(&hold_up_by) >= 0 && i < RIG_WAIT_MS; i++) {
		if (i > 0)
			shm_close(&more);
		CU_ASSERT_EQUAL_FATAL(shm_connect(&more, rig.path), 0);
		shm_send(&more, "x", 1, NULL, 0);
		for (unsigned int ms = 0; atomic_load(&hold_up_by) >= 0 && ms < 10; ms++)
			vuc_clock_sleep_ms(1);
	}
	CU_ASSERT_EQUAL_FATAL(atomic_load(&hold_up_by), -1);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, false, NULL), 0);
	shm_close(&client);
	CU_ASSERT_TRUE(rig_has_connections(0));
	rig_attach(&client, RIG_NAME);
	CU_ASSERT_EQUAL(eventfd_write(release, 1), 0);
	CU_ASSERT_TRUE(shm_is_ended(&more));
	shm_close(&more);
	rig_stop();
	close(release);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"held up closing", test_held_up_closing},
		{"listen", test_listen},
		{"full backlog", test_full_backlog},
		{"accept", test_accept},
		{"attach", test_attach},
		{"open queue", test_open_queue},
	}};
