/* SPDX-License-Identifier: BSD-3-Clause */

/* Devices that are opened, and closed before they are open or while their server hangs, while their
 * group serves others; also from callbacks. */

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <vuc/dma.h>
#include <vuc/io_fds.h>

#include "blocked_path.h"
#include "connect.h"
#include "fd_count.h"
#include "outcome.h"
#include "peer.h"
#include "tempdir.h"
#include "vfio_user.h"

#define NO_TIMEOUT 600000u

/* Whose group all tests use that do not make their own; good is a server of two devices. */
static struct vuc_poll_group *group;
static struct vuc_device *neighbour;
static struct peer *good;

static unsigned int nr_warnings;
static char warning[512]; /* the last one of a group */

static void
note_warning(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	nr_warnings += level == VUC_LOG_WARNING;
	snprintf(warning, sizeof(warning), "%s", line);
}

static void
create_group(void)
{
	struct vuc_poll_group_opts opts;

	nr_warnings = 0;
	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.log = note_warning;
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
}

static void
open_neighbour(void)
{
	struct vuc_device_opts opts;

	good = peer_start(2, NULL);
	create_group();
	peer_opts(good, 0, &opts);
	opts.group = group;
	neighbour = open_well(&opts);
}

static void
close_neighbour(void)
{
	vuc_device_close(neighbour);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(good);
}

/* ---- opening ---- */

/* A device that is being opened, and what is seen of it. */
struct opening {
	struct vuc_device *dev;
	struct outcome opened, queued, closed;
	bool starts;       /* to be closed, rather than to wait for that */
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
start_peer(struct opening *o, struct peer *p, unsigned int device)
{
	struct vuc_device_opts opts;

	peer_opts(p, device, &opts);
	start(o, &opts);
}

static void
start_path(struct opening *o, const char *path)
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = path;
	start(o, &opts);
}

static void
read_id(struct vuc_device *dev)
{
	uint32_t id = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
}

static void
expect_open(struct opening *o)
{
	poll_until_called(group, &o->opened);
	CU_ASSERT_EQUAL(o->opened.calls, 1);
	CU_ASSERT_EQUAL_FATAL(o->opened.status, 0);
	read_id(o->dev);
}

/* Until it is open, there is a device that nothing can be asked, and a group that is in use. */
static void
test_open(void)
{
	struct opening o = {.dev = NULL};
	struct peer *p = peer_start(1, NULL);
	uint32_t value;

	create_group();
	start_peer(&o, p, 0);
	CU_ASSERT_EQUAL(
		vuc_device_read(o.dev, BAR0, REFDEV_REG_ID, &value, sizeof(value)), -ENOTCONN);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(o.dev), "the device is being opened");
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	expect_open(&o);
	vuc_device_close(o.dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	peer_stop(p);
}

static void
test_open_fails(void)
{
	struct opening o = {.dev = NULL};

	start_path(&o, "/nonexistent/socket");
	poll_until_called(group, &o.opened);
	CU_ASSERT_EQUAL(o.opened.status, -ENOENT);
	CU_ASSERT_STRING_EQUAL(
		o.opened.text, "/nonexistent/socket: connect: No such file or directory");
	CU_ASSERT(!vuc_device_connected(o.dev));
	vuc_device_close(o.dev);
}

/* A device whose config space is never answered is opened at the deadline, with a warning. */
static void
test_mute_config_space(void)
{
	struct peer *p = peer_start(1, "--fault", "drop@region_read#2", NULL);
	struct opening o = {.dev = NULL};
	struct vuc_device_opts opts;

	peer_opts(p, 0, &opts);
	opts.group = group;
	opts.timeout_ms = 2000;
	nr_warnings = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open_start(&opts, &o.dev, note, &o.opened, NULL), 0);
	expect_open(&o);
	CU_ASSERT_EQUAL(nr_warnings, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(warning,
		": no answer to a read of the BARs in config space: PCI writes are not posted"));
	vuc_device_close(o.dev);
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

static const char *const closings[] = {"closed", "close started", "closed in a callback",
	"close started in a callback", "not closed"};

static void
close_dev(struct opening *o)
{
	struct vuc_device *dev = o->dev;

	o->dev = NULL;
	if (!o->starts)
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
	close_dev(req->arg);
}

/* Have the neighbour answer a read, whose callback does something. */
static void
submit_read_id(struct vuc_request *req, void (*done)(struct vuc_request *req, int status),
	struct opening *o)
{
	static uint32_t id;

	*req = (struct vuc_request){.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = done,
		.arg = o};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(neighbour, req), 0);
}

static void
close_opening(struct opening *o, enum closing how)
{
	struct vuc_request req;

	o->starts = how == CLOSE_START || how == CLOSE_START_IN_CALLBACK;
	if (how == CLOSE || how == CLOSE_START)
		close_dev(o);
	else
		submit_read_id(&req, close_in_callback, o);
	while (o->dev != NULL)
		vuc_poll_group_poll(group);
	if (o->starts)
		poll_until_called(group, &o->closed);
	read_id(neighbour);
	CU_ASSERT_EQUAL(o->opened.calls, 1);
	CU_ASSERT_EQUAL(o->closed.calls, o->starts);
	CU_ASSERT_EQUAL(o->traced_late, 0);
}

/* What takes more than one message, or is waited for; without a callback, the call waits. */

static int
commit(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	static uint8_t memory[0x1000];
	const struct vuc_dma_mapping map = {0, sizeof(memory), VUC_DMA_READ, -1, 0, memory};

	CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
	return done != NULL ? vuc_dma_commit_start(dev, done, arg) : vuc_dma_commit(dev);
}

static int
reset(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	return done != NULL ? vuc_device_reset_start(dev, done, arg) : vuc_device_reset(dev);
}

static int
get_io_fds(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	static struct vuc_io_fds *io_fds;

	return done != NULL ? vuc_io_fds_get_start(dev, BAR0, &io_fds, done, arg)
			    : vuc_io_fds_get(dev, BAR0, &io_fds);
}

struct hung_row {
	const char *fault;
	uint16_t cmd; /* which this one of is not answered */
	unsigned int nr;
	int (*call)(struct vuc_device *dev, vuc_done_fn done, void *arg); /* NULL: opening */
};

static const struct hung_row hung_rows[] = {
	{"drop@version", VFIO_USER_VERSION, 1, NULL},
	{"drop@device_get_info", VFIO_USER_DEVICE_GET_INFO, 1, NULL},
	{"drop@device_get_region_info#3", VFIO_USER_DEVICE_GET_REGION_INFO, 3, NULL},
	{"drop@device_get_irq_info#2", VFIO_USER_DEVICE_GET_IRQ_INFO, 2, NULL},
	{"drop@region_read#2", VFIO_USER_REGION_READ, 6, NULL},
	{"drop@dma_map", VFIO_USER_DMA_MAP, 1, commit},
	{"drop@device_reset", VFIO_USER_DEVICE_RESET, 1, reset},
	{"drop@device_get_region_io_fds", VFIO_USER_DEVICE_GET_REGION_IO_FDS, 1, get_io_fds},
};

static void
run_hung(const struct hung_row *row, struct opening *o, enum closing how)
{
	struct opening other = {.dev = NULL};
	struct vuc_request req;

	if (row->call != NULL) {
		expect_open(o);
		o->opened = (struct outcome){0};
	}
	if (how == NR_CLOSINGS) {
		/* A callback closes the device that a synchronous function waits for. */
		o->opened = (struct outcome){.calls = 1, .status = -ECANCELED};
		submit_read_id(&req, close_in_callback, o);
		CU_ASSERT_EQUAL(row->call(o->dev, NULL, NULL), -ECANCELED);
		CU_ASSERT_PTR_NULL(o->dev);
		return;
	}
	if (row->call != NULL) {
		CU_ASSERT_EQUAL_FATAL(row->call(o->dev, note, &o->opened), 0);
		CU_ASSERT_EQUAL_FATAL(vuc_device_reset_start(o->dev, note, &o->queued), 0);
	}
	while (o->sent < row->nr)
		read_id(neighbour);
	start_peer(&other, good, 1);
	expect_open(&other);
	vuc_device_close(other.dev);
	CU_ASSERT_EQUAL(o->opened.calls, 0);
	close_opening(o, how);
	CU_ASSERT_EQUAL(o->queued.calls, row->call != NULL);
	CU_ASSERT_EQUAL(o->queued.status, row->call != NULL ? -ECANCELED : 0);
}

/* A server that hangs while it is opened, or in an operation, delays no other device, also not the
 * opening of one, and can be closed at once. */
static void
test_hung_server(void)
{
	for (size_t i = 0; i < NR(hung_rows); i++) {
		const struct hung_row *row = &hung_rows[i];

		for (int how = 0; how <= NR_CLOSINGS - (row->call == NULL); how++) {
			struct peer *hung = peer_start(1, "--fault", row->fault, NULL);
			struct opening o = {.cmd = row->cmd};

			vuc_tap_row("%s, %s", row->fault, closings[how]);
			start_peer(&o, hung, 0);
			run_hung(row, &o, (enum closing)how);
			read_id(neighbour);
			peer_stop(hung);
		}
	}
}

/* A socket whose server accepts nothing: one connection fills its backlog. */
struct deaf {
	char dir[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16];
	int fd, filler;
};

static void
start_deaf(struct deaf *d)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(d->dir), 0);
	snprintf(d->path, sizeof(d->path), "%s/deaf", d->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", d->path);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL_FATAL(bind(d->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(d->fd, 0), 0);
	d->filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL_FATAL(connect(d->filler, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void
stop_deaf(struct deaf *d)
{
	close(d->filler);
	close(d->fd);
	vuc_tempdir_remove(d->dir);
}

/* A server that does not accept, and one that does after a while. */
static void
test_full_backlog(void)
{
	struct deaf deaf;

	start_deaf(&deaf);
	for (int how = 0; how <= NR_CLOSINGS; how++) {
		struct opening o = {.cmd = VFIO_USER_VERSION};

		vuc_tap_row("%s", closings[how]);
		start_path(&o, deaf.path);
		for (unsigned int i = 0; i < 100; i++)
			read_id(neighbour);
		CU_ASSERT_EQUAL(o.opened.calls, 0);
		if (how < NR_CLOSINGS) {
			close_opening(&o, (enum closing)how);
			continue;
		}
		while (o.opened.calls == 0) {
			int fd = accept4(deaf.fd, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				close(fd);
			vuc_poll_group_poll(group);
		}
		CU_ASSERT_EQUAL(o.opened.status, -ECONNRESET);
		vuc_device_close(o.dev);
	}
	stop_deaf(&deaf);
}

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
	struct vuc_device *dev;

	peer_opts(p, 0, &opts);
	if (opts.path == NULL || !is_cached(opts.path)) {
		vuc_tap_skip("nothing is found in a cache of paths");
	} else {
		dev = open_well(&opts);
		CU_ASSERT_EQUAL(__libc_single_threaded, alone);
		vuc_device_close(dev);
	}
	peer_stop(p);
}

/* The file system of a socket hangs. The look-up that nobody waits for any more ends as well. */
static void
test_blocked_path(void)
{
	struct vuc_device_opts opts;

	sem_init(&blocked_path_wait, 0, 0);
	peer_opts(good, 1, &opts);
	for (int how = 0; how <= NR_CLOSINGS; how++) {
		unsigned int fds = fd_count();
		struct opening o = {.dev = NULL};

		vuc_tap_row("%s", closings[how]);
		block_path(opts.path);
		start(&o, &opts);
		for (unsigned int i = 0; i < 100; i++)
			read_id(neighbour);
		CU_ASSERT_EQUAL(o.opened.calls, 0);
		if (how < NR_CLOSINGS)
			close_opening(&o, (enum closing)how);
		sem_post(&blocked_path_wait);
		if (how == NR_CLOSINGS) {
			expect_open(&o);
			vuc_device_close(o.dev);
		}
		while (fd_count() > fds)
			sched_yield();
		block_path(NULL);
	}
	sem_destroy(&blocked_path_wait);
}

/* Attempts that are given up do not pile up threads and descriptors, one for each. */
static void
test_blocked_attempts(void)
{
	unsigned int fds = fd_count(), refused_fds;
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	sem_init(&blocked_path_wait, 0, 0);
	peer_opts(good, 1, &opts);
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
		sem_post(&blocked_path_wait);
	while (fd_count() > fds)
		sched_yield();
	block_path(NULL);
	opts.timeout_ms = NO_TIMEOUT;
	dev = open_well(&opts);
	vuc_device_close(dev);
	sem_destroy(&blocked_path_wait);
}

static const struct tap_suite socket_suite = {"sockets", open_neighbour, close_neighbour,
	{
		{"open fails", test_open_fails},
		{"mute config space", test_mute_config_space},
		{"a hung server", test_hung_server},
		{"a full backlog", test_full_backlog},
		{"a path that blocks", test_blocked_path},
		{"attempts at a path that blocks", test_blocked_attempts},
	},
	.runs = peer_has_sockets};

const struct tap_suite tap_suite = {"open and close", NULL, NULL,
	{
		{"no thread", test_no_thread}, /* before another one makes one */
		{"open", test_open},
	},
	.next = &socket_suite, .begin = peer_begin};
