/* SPDX-License-Identifier: BSD-3-Clause */

/* Devices that are opened and closed while their group serves others, also from callbacks. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/dma.h>
#include <vuc/io_fds.h>

#include "connect.h"
#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"
#include "tap.h"
#include "tempdir.h"
#include "vfio_user.h"
#include "wait_server.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define NO_TIMEOUT 600000u
#define NR_FILLERS 64
#define NR_WRITES  10u

/* What it has for requests. */
#define SEND_BUFFER (128u * 1024 - 4096)

static struct vuc_poll_group *group;
static unsigned int fds_before;

static pthread_mutex_t blocked_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *blocked_path; /* opening it waits; NULL: none */
static sem_t blocked;

static void
block_path(const char *path)
{
	pthread_mutex_lock(&blocked_lock);
	blocked_path = path;
	pthread_mutex_unlock(&blocked_lock);
}

static bool
is_blocked(const char *path)
{
	bool is;

	pthread_mutex_lock(&blocked_lock);
	is = blocked_path != NULL && strcmp(path, blocked_path) == 0;
	pthread_mutex_unlock(&blocked_lock);
	return is;
}

/* The library looks in the kernel's cache of paths by this: nothing is there of one that blocks. */
long
syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list args;

	va_start(args, number);
	for (unsigned int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && is_blocked((const char *)a[1])) {
		errno = EAGAIN;
		return -1;
	}
	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The library looks paths up by this. */
int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (is_blocked(path)) {
		while (sem_wait(&blocked) != 0)
			;
	}
	return openat(AT_FDCWD, path, flags, mode);
}

/* What a callback was called with. */
struct outcome {
	unsigned int calls;
	int status;
	char text[VUC_ERROR_MAX];
};

static void
note(void *arg, int status, const struct vuc_error *err)
{
	struct outcome *o = arg;

	o->calls++;
	o->status = status;
	snprintf(o->text, sizeof(o->text), "%s", status != 0 ? err->text : "");
}

static void
note_request(struct vuc_request *req, int status)
{
	note(req->arg, status, &(struct vuc_error){0});
}

static void
create_group(void)
{
	struct vuc_poll_group_opts opts;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
}

static void
poll_until_called(const struct outcome *o)
{
	while (o->calls == 0) {
		vuc_poll_group_poll(group);
		sched_yield();
	}
}

/* ---- opening ---- */

/* A device that is being opened, and what is seen of it. */
struct opening {
	struct vuc_device *dev;
	struct outcome opened, queued, closed;
	uint16_t cmd;      /* commands of this kind ... */
	unsigned int sent; /* ... that went out */
	unsigned int traced_late;
};

static void
trace(void *arg, const struct vuc_trace_message *message)
{
	struct opening *o = arg;
	struct vfio_user_header header;

	memcpy(&header, message->bytes, sizeof(header));
	o->sent += message->sent && header.cmd == o->cmd;
	o->traced_late += o->dev == NULL && o->opened.calls > 0;
}

static void
start(struct opening *o, const struct vuc_device_opts *from)
{
	struct vuc_device_opts opts = *from;

	opts.group = group;
	opts.timeout_ms = NO_TIMEOUT;
	opts.long_timeout_ms = NO_TIMEOUT;
	opts.trace = trace;
	opts.trace_arg = o;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open_start(&opts, &o->dev, note, &o->opened, NULL), 0);
	CU_ASSERT_EQUAL(o->opened.calls, 0);
	CU_ASSERT(!vuc_device_connected(o->dev));
}

static void
read_id(struct vuc_device *dev)
{
	uint32_t id = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
}

static void
open_neighbour(struct peer *good, struct vuc_device **neighbour)
{
	struct vuc_device_opts opts;

	create_group();
	peer_opts(good, 0, &opts);
	opts.group = group;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, neighbour, NULL), 0);
}

/* A device whose config space is never answered is opened at the deadline. */
static void
test_mute_config_space(void)
{
	struct peer *p = peer_start(1, "--fault", "drop@region_read#2", NULL);
	struct outcome opened = {.calls = 0};
	struct vuc_device_opts opts;
	struct vuc_device *dev;

	create_group();
	peer_opts(p, 0, &opts);
	opts.group = group;
	opts.timeout_ms = 2000;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open_start(&opts, &dev, note, &opened, NULL), 0);
	poll_until_called(&opened);
	CU_ASSERT_EQUAL(opened.calls, 1);
	CU_ASSERT_EQUAL(opened.status, 0);
	read_id(dev);
	vuc_device_close(dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(p);
}

/* How a device is closed. */
enum closing {
	CLOSE,
	CLOSE_START,
	CLOSE_IN_CALLBACK,
	CLOSE_START_IN_CALLBACK,
	NR_CLOSINGS,
};

static void
close_as(struct opening *o, bool starts)
{
	struct vuc_device *dev = o->dev;

	o->dev = NULL;
	if (!starts)
		vuc_device_close(dev);
	else if (vuc_device_close_start(dev, note, &o->closed) != 0 ||
		vuc_device_close_start(dev, note, &o->closed) != -EALREADY)
		CU_FAIL("a device is not closed once");
	CU_ASSERT_EQUAL(o->closed.calls, 0);
	CU_ASSERT_EQUAL(o->opened.calls, 1);
	CU_ASSERT_EQUAL(o->opened.status, -ECANCELED);
}

static void
close_in_callback(struct vuc_request *req, int status)
{
	CU_ASSERT_EQUAL(status, 0);
	close_as(req->arg, false);
}

static void
close_start_in_callback(struct vuc_request *req, int status)
{
	CU_ASSERT_EQUAL(status, 0);
	close_as(req->arg, true);
}

static void
close_opening(struct opening *o, enum closing how, struct vuc_device *neighbour)
{
	uint32_t id;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = how == CLOSE_IN_CALLBACK ? close_in_callback : close_start_in_callback,
		.arg = o,
	};
	bool starts = how == CLOSE_START || how == CLOSE_START_IN_CALLBACK;

	if (how == CLOSE || how == CLOSE_START)
		close_as(o, starts);
	else if (vuc_device_submit(neighbour, &req) != 0)
		CU_FAIL("a request is not accepted");
	while (o->dev != NULL)
		vuc_poll_group_poll(group);
	if (starts)
		poll_until_called(&o->closed);
	read_id(neighbour);
	CU_ASSERT_EQUAL(o->opened.calls, 1);
	CU_ASSERT_EQUAL(o->closed.calls, starts);
	CU_ASSERT_EQUAL(o->traced_late, 0);
}

static void
test_open(void)
{
	struct opening o = {.dev = NULL};
	struct peer *p = peer_start(1, NULL);
	struct vuc_device_opts opts;
	uint32_t value;

	create_group();
	peer_opts(p, 0, &opts);
	start(&o, &opts);
	CU_ASSERT_EQUAL(
		vuc_device_read(o.dev, BAR0, REFDEV_REG_ID, &value, sizeof(value)), -ENOTCONN);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(o.dev), "the device is being opened");
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	poll_until_called(&o.opened);
	CU_ASSERT_EQUAL(o.opened.status, 0);
	read_id(o.dev);
	vuc_device_close(o.dev);
	CU_ASSERT_EQUAL(o.opened.calls, 1);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(p);
}

static void
test_open_fails(void)
{
	struct opening o = {.dev = NULL};
	struct vuc_device_opts opts;

	create_group();
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = "/nonexistent/socket";
	start(&o, &opts);
	poll_until_called(&o.opened);
	CU_ASSERT_EQUAL(o.opened.status, -ENOENT);
	CU_ASSERT_STRING_EQUAL(
		o.opened.text, "/nonexistent/socket: connect: No such file or directory");
	CU_ASSERT(!vuc_device_connected(o.dev));
	vuc_device_close(o.dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
}

/* A server that hangs at some point of it delays no other device, and can be closed at once. */
static void
test_hung_server(void)
{
	static const struct {
		const char *fault;
		uint16_t cmd;
		unsigned int nr;
	} rows[] = {
		{"drop@version", VFIO_USER_VERSION, 1},
		{"drop@device_get_info", VFIO_USER_DEVICE_GET_INFO, 1},
		{"drop@device_get_region_info#3", VFIO_USER_DEVICE_GET_REGION_INFO, 3},
		{"drop@device_get_irq_info#2", VFIO_USER_DEVICE_GET_IRQ_INFO, 2},
		{"drop@region_read#2", VFIO_USER_REGION_READ, 6},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct peer *good = peer_start(2, NULL);
		struct vuc_device_opts opts, good_opts;

		for (enum closing how = 0; how < NR_CLOSINGS; how++) {
			struct peer *hung = peer_start(1, "--fault", rows[i].fault, NULL);
			struct opening o = {.cmd = rows[i].cmd}, other = {.dev = NULL};
			struct vuc_device *neighbour;

			open_neighbour(good, &neighbour);
			peer_opts(hung, 0, &opts);
			start(&o, &opts);
			while (o.sent < rows[i].nr)
				read_id(neighbour);
			peer_opts(good, 1, &good_opts);
			start(&other, &good_opts);
			poll_until_called(&other.opened);
			CU_ASSERT_EQUAL(other.opened.status, 0);
			vuc_device_close(other.dev);
			CU_ASSERT_EQUAL(o.opened.calls, 0);
			close_opening(&o, how, neighbour);
			vuc_device_close(neighbour);
			CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
			peer_stop(hung);
		}
		peer_stop(good);
	}
}

/* What takes more than one message, or is waited for. */
static void
map_memory(struct vuc_device *dev)
{
	static uint8_t memory[0x1000];
	const struct vuc_dma_mapping map = {0, sizeof(memory), VUC_DMA_READ, -1, 0, memory};

	CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
}

static int
start_commit(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	map_memory(dev);
	return vuc_dma_commit_start(dev, done, arg);
}

static int
commit(struct vuc_device *dev)
{
	map_memory(dev);
	return vuc_dma_commit(dev);
}

static struct vuc_io_fds *io_fds;

static int
start_io_fds(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	return vuc_io_fds_get_start(dev, BAR0, &io_fds, done, arg);
}

static int
get_io_fds(struct vuc_device *dev)
{
	return vuc_io_fds_get(dev, BAR0, &io_fds);
}

struct operation_row {
	const char *fault;
	uint16_t cmd;
	int (*start)(struct vuc_device *dev, vuc_done_fn done, void *arg);
	int (*call)(struct vuc_device *dev);
};

static const struct operation_row operation_rows[] = {
	{"drop@dma_map", VFIO_USER_DMA_MAP, start_commit, commit},
	{"drop@device_reset", VFIO_USER_DEVICE_RESET, vuc_device_reset_start, vuc_device_reset},
	{"drop@device_get_region_io_fds", VFIO_USER_DEVICE_GET_REGION_IO_FDS, start_io_fds,
		get_io_fds},
};

static void
open_hung(struct peer *hung, struct opening *o)
{
	struct vuc_device_opts opts;

	peer_opts(hung, 0, &opts);
	start(o, &opts);
	poll_until_called(&o->opened);
	CU_ASSERT_EQUAL_FATAL(o->opened.status, 0);
	o->opened = (struct outcome){0};
}

static void
run_hung_operation(const struct operation_row *row, struct peer *good, enum closing how)
{
	struct peer *hung = peer_start(1, "--fault", row->fault, NULL);
	struct opening o = {.cmd = row->cmd};
	struct vuc_device *neighbour;

	open_neighbour(good, &neighbour);
	open_hung(hung, &o);
	CU_ASSERT_EQUAL_FATAL(row->start(o.dev, note, &o.opened), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_device_reset_start(o.dev, note, &o.queued), 0);
	while (o.sent == 0)
		read_id(neighbour);
	read_id(neighbour);
	CU_ASSERT_EQUAL(o.opened.calls, 0);
	close_opening(&o, how, neighbour);
	CU_ASSERT_EQUAL(o.queued.calls, 1);
	CU_ASSERT_EQUAL(o.queued.status, -ECANCELED);
	vuc_device_close(neighbour);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(hung);
}

/* A callback closes the device that a synchronous function waits for. */
static void
run_hung_call(const struct operation_row *row, struct peer *good)
{
	struct peer *hung = peer_start(1, "--fault", row->fault, NULL);
	struct opening o = {.cmd = row->cmd};
	uint32_t id;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = close_in_callback,
		.arg = &o,
	};
	struct vuc_device *neighbour;

	open_neighbour(good, &neighbour);
	open_hung(hung, &o);
	o.opened = (struct outcome){.calls = 1, .status = -ECANCELED};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(neighbour, &req), 0);
	CU_ASSERT_EQUAL(row->call(o.dev), -ECANCELED);
	CU_ASSERT_PTR_NULL(o.dev);
	read_id(neighbour);
	vuc_device_close(neighbour);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(hung);
}

static void
test_hung_operation(void)
{
	struct peer *good = peer_start(1, NULL);

	for (size_t i = 0; i < sizeof(operation_rows) / sizeof(operation_rows[0]); i++) {
		for (enum closing how = 0; how < NR_CLOSINGS; how++)
			run_hung_operation(&operation_rows[i], good, how);
		run_hung_call(&operation_rows[i], good);
	}
	peer_stop(good);
}

/* A socket whose server accepts nothing. */
struct deaf {
	char dir[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16];
	int fd;
	int fillers[NR_FILLERS];
	unsigned int nr;
};

static void
start_deaf(struct deaf *d)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	*d = (struct deaf){.nr = 0};
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(d->dir), 0);
	snprintf(d->path, sizeof(d->path), "%s/deaf", d->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", d->path);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL_FATAL(bind(d->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(d->fd, 0), 0);
	while (d->nr < NR_FILLERS) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		d->fillers[d->nr++] = fd;
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
			return;
	}
	CU_FAIL_FATAL("the backlog has no end");
}

static void
stop_deaf(struct deaf *d)
{
	for (unsigned int i = 0; i < d->nr; i++)
		close(d->fillers[i]);
	close(d->fd);
	vuc_tempdir_remove(d->dir);
}

/* A server that does not accept, and one that does after a while. */
static void
test_full_backlog(void)
{
	struct peer *good = peer_start(1, NULL);
	struct vuc_device_opts opts;
	struct vuc_device *neighbour;
	struct deaf deaf;

	start_deaf(&deaf);
	for (int how = 0; how <= NR_CLOSINGS; how++) {
		struct opening o = {.cmd = VFIO_USER_VERSION};
		int fd;

		open_neighbour(good, &neighbour);
		vuc_device_opts_init(&opts, sizeof(opts));
		opts.path = deaf.path;
		start(&o, &opts);
		for (unsigned int i = 0; i < 100; i++)
			read_id(neighbour);
		CU_ASSERT_EQUAL(o.opened.calls, 0);
		if (how < NR_CLOSINGS) {
			close_opening(&o, (enum closing)how, neighbour);
		} else {
			while (o.opened.calls == 0) {
				fd = accept4(deaf.fd, NULL, NULL, SOCK_CLOEXEC);
				if (fd >= 0)
					close(fd);
				vuc_poll_group_poll(group);
			}
			CU_ASSERT_EQUAL(o.opened.status, -ECONNRESET);
			vuc_device_close(o.dev);
		}
		vuc_device_close(neighbour);
		CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	}
	stop_deaf(&deaf);
	peer_stop(good);
}

/* The file system of a socket hangs. */
static bool
is_cached(const char *path)
{
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd >= 0)
		close((int)fd);
	return fd >= 0;
}

/* A second thread makes all that the process does slower, for good. */
static void
test_no_thread(void)
{
	struct peer *p = peer_start(1, NULL);
	char alone = __libc_single_threaded;
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	peer_opts(p, 0, &opts);
	if (opts.path == NULL || !is_cached(opts.path)) {
		vuc_tap_skip("nothing is found in a cache of paths");
	} else {
		CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, &err), 0);
		CU_ASSERT_EQUAL(__libc_single_threaded, alone);
		vuc_device_close(dev);
	}
	peer_stop(p);
}

static void
test_blocked_path(void)
{
	struct peer *good = peer_start(2, NULL);
	struct vuc_device_opts opts;
	struct vuc_device *neighbour;

	sem_init(&blocked, 0, 0);
	for (int how = 0; how <= NR_CLOSINGS; how++) {
		unsigned int fds = fd_count();
		struct opening o = {.dev = NULL};

		open_neighbour(good, &neighbour);
		peer_opts(good, 1, &opts);
		block_path(opts.path);
		start(&o, &opts);
		for (unsigned int i = 0; i < 100; i++)
			read_id(neighbour);
		CU_ASSERT_EQUAL(o.opened.calls, 0);
		if (how < NR_CLOSINGS) {
			close_opening(&o, (enum closing)how, neighbour);
			sem_post(&blocked);
		} else {
			sem_post(&blocked);
			poll_until_called(&o.opened);
			CU_ASSERT_EQUAL(o.opened.status, 0);
			read_id(o.dev);
			vuc_device_close(o.dev);
		}
		vuc_device_close(neighbour);
		CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
		/* The look-up that nobody waits for any more ends as well. */
		while (fd_count() > fds)
			sched_yield();
		block_path(NULL);
	}
	sem_destroy(&blocked);
	peer_stop(good);
}

/* Attempts that are given up do not pile up threads and descriptors, one for each. */
static void
test_blocked_attempts(void)
{
	struct peer *good = peer_start(1, NULL);
	unsigned int fds = fd_count(), refused_fds;
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	sem_init(&blocked, 0, 0);
	peer_opts(good, 0, &opts);
	block_path(opts.path);
	opts.timeout_ms = 1;
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_device_connect(opts.path, 1, &err), -ETIMEDOUT);
	refused_fds = fd_count();
	CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "earlier attempts still block"));
	CU_ASSERT_EQUAL(vuc_device_connect(opts.path, 1, &err), -EBUSY);
	CU_ASSERT_EQUAL(fd_count(), refused_fds);
	for (unsigned int i = 0; i < 4; i++)
		sem_post(&blocked);
	while (fd_count() > fds)
		sched_yield();
	block_path(NULL);
	opts.timeout_ms = NO_TIMEOUT;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, &err), 0);
	vuc_device_close(dev);
	sem_destroy(&blocked);
	peer_stop(good);
}

/* ---- closing ---- */

/* A device with a request that is never answered, and one that is. */
struct scene {
	struct wait_server server;
	struct vuc_device *dev;
	struct vuc_request never, now;
	struct outcome never_outcome, now_outcome;
	uint64_t never_value, now_value;
	void (*act)(struct scene *s); /* when `now` is answered */
};

static struct scene scenes[2];

static void
act_on_answer(struct vuc_request *req, int status)
{
	struct scene *s = req->arg;

	note(&s->now_outcome, status, &(struct vuc_error){0});
	if (status == 0)
		s->act(s);
}

static void
submit_read(struct scene *s, struct vuc_request *req, uint64_t offset, uint64_t *value)
{
	req->op = VUC_OP_READ;
	req->region = WAIT_REGION;
	req->offset = offset;
	req->data = value;
	req->count = sizeof(*value);
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(s->dev, req), 0);
}

static void
open_scene(struct scene *s, void (*act)(struct scene *s))
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.timeout_ms = NO_TIMEOUT;
	*s = (struct scene){.act = act};
	s->dev = wait_server_open(&s->server, group, &opts);
	s->never.done = note_request;
	s->never.arg = &s->never_outcome;
	submit_read(s, &s->never, WAIT_READ_NEVER, &s->never_value);
	s->now.done = act_on_answer;
	s->now.arg = s;
}

static void
open_scenes(void (*act)(struct scene *s))
{
	create_group();
	open_scene(&scenes[0], act);
	open_scene(&scenes[1], act);
	submit_read(&scenes[0], &scenes[0].now, WAIT_READ, &scenes[0].now_value);
}

/* What waited for an answer was told before the call returned, and nothing can be asked now. */
static void
close_now(struct scene *s)
{
	CU_ASSERT_EQUAL(s->never_outcome.calls, 0);
	vuc_device_close(s->dev);
	CU_ASSERT_EQUAL(s->never_outcome.calls, 1);
	CU_ASSERT_EQUAL(s->never_outcome.status, -ECANCELED);
}

static void
end_scenes(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(scenes[i].never_outcome.calls, 1);
		CU_ASSERT_EQUAL(scenes[i].never_outcome.status, -ECANCELED);
		wait_server_close(&scenes[i].server, NULL);
	}
}

static void
close_both(struct scene *s)
{
	(void)s;
	close_now(&scenes[0]);
	close_now(&scenes[1]);
}

static void
test_close_in_callback(void)
{
	open_scenes(close_both);
	poll_until_called(&scenes[0].now_outcome);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	end_scenes();
}

static void
close_all(struct scene *s)
{
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	close_both(s);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
}

static void
test_destroy_in_callback(void)
{
	open_scenes(close_all);
	poll_until_called(&scenes[0].now_outcome);
	end_scenes();
}

/* A posted write is complete as soon as it is given to the socket, which a wait does as well. */
static void
test_destroy_in_wait(void)
{
	open_scenes(close_all);
	poll_until_called(&scenes[0].now_outcome);
	end_scenes();
	create_group();
	open_scene(&scenes[0], close_all);
	open_scene(&scenes[1], close_all);
	scenes[0].now = (struct vuc_request){
		.op = VUC_OP_WRITE_POSTED,
		.region = WAIT_REGION,
		.offset = WAIT_DATA,
		.data = &scenes[0].now_value,
		.count = sizeof(scenes[0].now_value),
		.done = act_on_answer,
		.arg = &scenes[0],
	};
	CU_ASSERT_EQUAL(vuc_device_submit(scenes[0].dev, &scenes[0].now), 0);
	while (scenes[0].now_outcome.calls == 0)
		CU_ASSERT_EQUAL(vuc_poll_group_wait(group, -1, 1000), 1);
	end_scenes();
}

/* Without waiting for the answer that never comes. */
static void
close_other(struct scene *s)
{
	struct outcome closed = {.calls = 0};

	CU_ASSERT_EQUAL(vuc_device_close_start(s->dev, note, &closed), 0);
	CU_ASSERT_EQUAL(s->never_outcome.calls, 1);
	CU_ASSERT_EQUAL(closed.calls, 0);
	poll_until_called(&closed);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	end_scenes();
}

/* The first one is read from while a callback closes it. */
static void
close_first(struct scene *s)
{
	(void)s;
	close_now(&scenes[0]);
}

static void
test_close_during_call(void)
{
	uint64_t value;

	open_scenes(close_first);
	poll_until_called(&scenes[0].now_outcome);
	close_other(&scenes[1]);

	create_group();
	open_scene(&scenes[0], close_first);
	open_scene(&scenes[1], close_first);
	submit_read(&scenes[1], &scenes[1].now, WAIT_READ, &scenes[1].now_value);
	CU_ASSERT_EQUAL(
		vuc_device_read(scenes[0].dev, WAIT_REGION, WAIT_READ_NEVER, &value, sizeof(value)),
		-ECANCELED);
	CU_ASSERT_EQUAL(scenes[1].now_outcome.calls, 1);
	close_other(&scenes[1]);
}

/* What was posted before goes out, whatever waits for an answer. */
static void
post_and_close(struct scene *s)
{
	static const uint64_t value = 1;
	struct outcome written[NR_WRITES] = {{0}};
	struct vuc_request writes[NR_WRITES];

	for (unsigned int i = 0; i < NR_WRITES; i++) {
		writes[i] = (struct vuc_request){
			.op = VUC_OP_WRITE_POSTED,
			.region = WAIT_REGION,
			.offset = WAIT_DATA,
			.data = (void *)(uintptr_t)&value,
			.count = sizeof(value),
			.done = note_request,
			.arg = &written[i],
		};
		CU_ASSERT_EQUAL(vuc_device_submit(s->dev, &writes[i]), 0);
	}
	close_now(s);
	for (unsigned int i = 0; i < NR_WRITES; i++) {
		CU_ASSERT_EQUAL(written[i].calls, 1);
		CU_ASSERT_EQUAL(written[i].status, 0);
	}
}

static void
test_posted_before_close(void)
{
	open_scenes(post_and_close);
	poll_until_called(&scenes[0].now_outcome);
	close_other(&scenes[1]);
	CU_ASSERT_EQUAL(scenes[0].server.written, NR_WRITES * sizeof(uint64_t));
}

/* A device with a group of its own, which goes with it. */
static void
close_alone(struct vuc_request *req, int status)
{
	struct opening *o = req->arg;

	note(&o->opened, status, &(struct vuc_error){0});
	vuc_device_close(o->dev);
}

/* What is posted has no answers, and may go out all at once when it is flushed: whatever room it
 * has left in the send buffer, an operation behind it goes on. */
static void
test_behind_posted_writes(void)
{
	static uint8_t memory[4096] __attribute__((aligned(4096)));
	const struct vuc_dma_mapping map = {0, sizeof(memory), VUC_DMA_READ, -1, 0, memory};
	const uint8_t bytes[64] = {0};

	for (unsigned int size = 32; size <= 64; size += 4) {
		struct peer *p = peer_start(1, NULL);
		struct vuc_device *dev = peer_open(p, 0);
		unsigned int n = SEND_BUFFER / (32 + size);

		for (unsigned int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(
				vuc_device_write_posted(dev, BAR0, REFDEV_RAM_OFFSET, bytes, size),
				0);
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
		CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
		vuc_device_close(dev);
		peer_stop(p);
	}
}

static void
test_own_group(void)
{
	struct peer *p = peer_start(1, NULL);
	struct opening o = {.dev = peer_open(p, 0)};
	uint32_t id = 0;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = close_alone,
		.arg = &o,
	};

	CU_ASSERT_EQUAL(vuc_device_submit(o.dev, &req), 0);
	group = vuc_device_poll_group(o.dev);
	poll_until_called(&o.opened);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	o.dev = peer_open(p, 0);
	group = vuc_device_poll_group(o.dev);
	CU_ASSERT_EQUAL(vuc_device_close_start(o.dev, note, &o.closed), 0);
	poll_until_called(&o.closed);
	CU_ASSERT_EQUAL(o.closed.status, 0);
	peer_stop(p);
}

static void
count_fds_before(void)
{
	fds_before = fd_count();
}

static void
check_no_fd_leaked(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

/* clang-format off */
static CU_TestInfo socket_tests[] = {
	{"open fails", test_open_fails},
	{"mute config space", test_mute_config_space},
	{"a hung server", test_hung_server},
	{"a hung operation", test_hung_operation},
	{"a full backlog", test_full_backlog},
	{"a path that blocks", test_blocked_path},
	{"attempts at a path that blocks", test_blocked_attempts},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo tests[] = {
	{"no thread", test_no_thread}, /* before another one makes one */
	{"open", test_open},
	{"close in a callback", test_close_in_callback},
	{"destroy the group in a callback", test_destroy_in_callback},
	{"destroy the group in a wait", test_destroy_in_wait},
	{"close during a call", test_close_during_call},
	{"posted before close", test_posted_before_close},
	{"own group", test_own_group},
	{"behind posted writes", test_behind_posted_writes},
	CU_TEST_INFO_NULL,
};
/* clang-format on */

static CU_SuiteInfo suites[] = {
	{"open and close", NULL, NULL, count_fds_before, check_no_fd_leaked, tests},
	{"sockets", NULL, NULL, count_fds_before, check_no_fd_leaked, socket_tests},
	CU_SUITE_INFO_NULL,
};

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "loopback") == 0)
		suites[1] = (CU_SuiteInfo)CU_SUITE_INFO_NULL;
	return peer_main(argc, argv, suites);
}
