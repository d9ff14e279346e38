/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "clock.h"
#include "fd_count.h"
#include "memfd.h"

struct rig rig;
struct shm_client client, other_client;

static const struct rig_opts defaults;

static unsigned int fds_before, threads_before;

static struct {
	pthread_mutex_t lock;
	size_t len;
	char text[65536];
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
rig_log(void *arg, enum vuc_log_level level, const char *line)
{
	size_t len = strlen(line);

	(void)arg;
	(void)level;
	pthread_mutex_lock(&lines.lock);
	if (lines.len + len + 2 <= sizeof(lines.text)) {
		memcpy(lines.text + lines.len, line, len);
		lines.len += len;
		lines.text[lines.len++] = '\n';
		lines.text[lines.len] = '\0';
	}
	pthread_mutex_unlock(&lines.lock);
}

unsigned int
rig_count_logged(const char *text)
{
	unsigned int n = 0;

	pthread_mutex_lock(&lines.lock);
	for (const char *at = lines.text; (at = strstr(at, text)) != NULL; at++)
		n++;
	pthread_mutex_unlock(&lines.lock);
	return n;
}

bool
rig_has_logged(const char *text)
{
	return rig_count_logged(text) > 0;
}

void
rig_forget_log(void)
{
	pthread_mutex_lock(&lines.lock);
	lines.len = 0;
	lines.text[0] = '\0';
	pthread_mutex_unlock(&lines.lock);
}

static unsigned int
count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n;
}

bool
rig_wait(unsigned int *ms)
{
	vuc_clock_sleep_ms(1);
	return ++*ms < RIG_WAIT_MS;
}

struct vuc_poller *
rig_start_poller(const char *name, const struct rig_opts *o)
{
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};
	struct vuc_poller *p;

	vuc_poller_opts_init(&opts, sizeof(opts));
	if (o == NULL)
		o = &defaults;
	if (name != NULL)
		opts.name = name;
	opts.transport = peer_transport();
	opts.near_socket = o->near_socket;
	opts.near_memory = o->near_memory;
	/* There may be fewer CPUs than threads that want one. */
	if (o->near_socket == NULL && o->near_memory == NULL)
		opts.cpu = o->cpu != 0 ? (int)o->cpu - 1 : VUC_POLLER_CPU_NONE;
	opts.idle = o->idle != 0 ? o->idle - 1 : VUC_IDLE_SLEEP;
	opts.idle_loops = o->idle_loops < 0 ? 0 : 100;
	if (o->idle_loops > 0)
		opts.idle_loops = (uint32_t)o->idle_loops;
	if (vuc_poller_create(&opts, &p, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static void
change_open_opts(struct vuc_device_opts *to, const struct rig_opts *o)
{
	to->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : AN_HOUR;
	to->long_timeout_ms = o->long_timeout_ms != 0 ? o->long_timeout_ms : AN_HOUR;
	if (o->max_requests != 0)
		to->max_requests = o->max_requests;
	to->dma = o->dma;
	if (o->posted_writes != 0)
		to->posted_writes = o->posted_writes - 1;
	to->trace = o->trace;
	to->trace_arg = o->trace_arg;
}

void
rig_device_opts(
	struct rig_device *d, const struct rig_opts *opts, const char *name, const char *socket)
{
	const struct rig_opts *o = opts != NULL ? opts : &defaults;

	vuc_device_opts_init(&d->open, sizeof(d->open));
	change_open_opts(&d->open, o);
	d->open.path = socket;
	vuc_control_device_opts_init(&d->control, sizeof(d->control));
	d->control.name = name;
	d->control.poller = rig.poller;
	d->control.device = &d->open;
	d->control.reset = o->reset;
	d->control.map = o->map;
	d->control.release_ms = o->release_ms;
	d->control.retry_min_ms = o->retry_min_ms != 0 ? o->retry_min_ms : 5;
	d->control.retry_max_ms = o->retry_max_ms != 0 ? o->retry_max_ms : 50;
	d->control.outage = o->outage;
	d->control.hold_ms = o->hold_ms != 0 ? o->hold_ms : AN_HOUR;
	d->control.fence = !o->no_fence;
	d->control.users = &o->user;
	d->control.nr_users = o->user != 0;
	d->control.groups = &o->group;
	d->control.nr_groups = o->group != 0;
}

void
rig_add_device(const struct rig_opts *opts, const char *name, const char *socket)
{
	struct vuc_error err = {0};
	struct rig_device d;
	int rc;

	rig_device_opts(&d, opts, name, socket);
	rc = vuc_control_add_device(rig.control, &d.control, &err);
	if (rc != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
}

void
rig_count_end(void *arg, int status, const struct vuc_error *err)
{
	(void)err;
	CU_ASSERT_EQUAL(status, 0);
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void
start_control(const struct rig_opts *o)
{
	struct vuc_control_opts opts;
	struct vuc_error err = {0};

	vuc_control_opts_init(&opts, sizeof(opts));
	opts.path = rig.path;
	opts.log = o->log != NULL ? o->log : rig_log;
	/* On a busy machine it takes long to make a device clean, for which whoever attaches waits
	 * half of this, and to come back to a connection that is not attached yet. */
	opts.handshake_timeout_ms =
		o->handshake_timeout_ms != 0 ? o->handshake_timeout_ms : 2 * RIG_WAIT_MS;
	opts.mode = o->mode != 0 ? o->mode : opts.mode;
	opts.max_vmms = o->max_vmms != 0 ? o->max_vmms : opts.max_vmms;
	opts.max_vmms_per_user =
		o->max_vmms_per_user != 0 ? o->max_vmms_per_user : opts.max_vmms_per_user;
	opts.max_queues = o->max_queues != 0 ? o->max_queues : opts.max_queues;
	opts.max_dma_maps = o->max_dma_maps != 0 ? o->max_dma_maps : opts.max_dma_maps;
	if (o->max_dma_message != 0 || o->no_dma_message)
		opts.max_dma_message = o->max_dma_message;
	if (vuc_control_create(&opts, &rig.control, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rig.control);
	rig_add_device(o, RIG_NAME, rig.sockets[0]);
	rig_add_device(o, RIG_SECOND, rig.sockets[1]);
}

static struct vuc_device *
open_device(struct vuc_poller *p, struct peer *peer, unsigned int device, const struct rig_opts *o)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	peer_opts(peer, device, &opts);
	change_open_opts(&opts, o);
	if (vuc_poller_open_device(p, &opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

struct vuc_device *
rig_open_device(struct vuc_poller *p, struct peer *peer, unsigned int device)
{
	return open_device(p, peer, device, &defaults);
}

struct vuc_queue *
rig_open_device_queue(unsigned int device, uint32_t depth)
{
	struct vuc_queue_opts opts;
	struct vuc_queue *q;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = depth;
	CU_ASSERT_EQUAL_FATAL(
		vuc_poller_open_queue(rig.poller, rig.dev[device], &opts, &q, NULL), 0);
	return q;
}

static void
open_devices(const struct rig_opts *o)
{
	for (unsigned int i = 0; i < o->alone; i++) {
		rig.dev[i] = open_device(rig.poller, rig.peer, i, o);
		if (o->depth != 0)
			rig.queue[i] = rig_open_device_queue(i, o->depth);
	}
}

void
rig_close_device(unsigned int i)
{
	if (rig.queue[i] != NULL)
		vuc_poller_close_queue(rig.poller, rig.queue[i]);
	if (rig.dev[i] != NULL)
		CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, rig.dev[i]), 0);
	rig.queue[i] = NULL;
	rig.dev[i] = NULL;
}

void
rig_stop_poller(void)
{
	for (unsigned int i = 0; i < 2; i++)
		rig_close_device(i);
	CU_ASSERT_EQUAL(vuc_poller_destroy(rig.poller), 0);
	rig.poller = NULL;
}

bool
rig_skips_loopback(const char *why)
{
	if (!peer_has_sockets())
		vuc_tap_skip(why);
	return !peer_has_sockets();
}

void
rig_use_queue(struct vuc_queue *q, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t value = 0;

		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &i, 4), 0);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
		CU_ASSERT_EQUAL(value, i);
	}
}

void
rig_start(const struct rig_opts *opts)
{
	struct vuc_device_opts peer;

	rig_stop();
	if (opts == NULL)
		opts = &defaults;
	rig_forget_log();
	shm_init(&client);
	shm_init(&other_client);
	fds_before = fd_count();
	threads_before = count_threads();
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(rig.folder), 0);
	snprintf(rig.path, sizeof(rig.path), "%s/vmm.sock", rig.folder);
	rig.memory = rig_memory(opts->memory != 0 ? opts->memory : MIB, F_SEAL_SHRINK);
	rig.irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig.peer = peer_start_with(2, opts->server);
	for (unsigned int i = 0; i < 2; i++) {
		peer_opts(rig.peer, i, &peer);
		rig.sockets[i] = peer.path;
	}
	rig.poller = rig_start_poller(RIG_POLLER, opts);
	if (opts->alone != 0)
		open_devices(opts);
	else
		start_control(opts);
}

void
rig_start_attached(const struct rig_opts *opts)
{
	rig_start(opts);
	rig_attach(&client, RIG_NAME);
}

struct shm_queue *
rig_start_with_queue(const struct rig_opts *opts)
{
	rig_start_attached(opts);
	return rig_open_queue(&client, 4, 64);
}

void
rig_stop_control(void)
{
	vuc_control_destroy(rig.control);
	rig.control = NULL;
}

void
rig_stop(void)
{
	unsigned int ms = 0;

	if (rig.peer == NULL)
		return;
	shm_close(&client);
	shm_close(&other_client);
	rig_stop_control();
	close(rig.memory);
	close(rig.irq);
	if (rig.poller != NULL)
		rig_stop_poller();
	peer_stop(rig.peer);
	CU_ASSERT_EQUAL(vuc_tempdir_count(rig.folder), 0);
	vuc_tempdir_remove(rig.folder);
	/* A thread that has been joined may be seen for a moment, and close descriptors. */
	while ((count_threads() != threads_before || fd_count() != fds_before) && rig_wait(&ms))
		continue;
	CU_ASSERT_EQUAL(count_threads(), threads_before);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
	rig = (struct rig){.peer = NULL};
}

void
rig_stop_attached(void)
{
	shm_close(&client);
	shm_close(&other_client);
	if (rig.control != NULL)
		CU_ASSERT_TRUE(rig_has_connections(0));
	rig_stop();
}

void
rig_signal_server(int signal)
{
	CU_ASSERT_EQUAL_FATAL(kill(peer_process(rig.peer)->pid, signal), 0);
}

void
rig_lose_server(void)
{
	peer_kill(rig.peer);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST));
}

void
rig_greet(struct shm_client *c)
{
	CU_ASSERT_EQUAL_FATAL(shm_connect(c, rig.path), 0);
	CU_ASSERT_EQUAL_FATAL(shm_hello(c), 0);
}

void
rig_detach(struct shm_client *c)
{
	CU_ASSERT_EQUAL(shm_plain(c, VUC_SHM_DETACH), 0);
	shm_close(c);
}

void
rig_attach(struct shm_client *c, const char *device)
{
	int rc = shm_start(c, rig.path, device);

	if (rc < 0)
		printf("# %.239s\n", c->reply.failure.reason);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
}

void
rig_reach(struct shm_client *c, enum vuc_shm_type type)
{
	CU_ASSERT_EQUAL_FATAL(shm_connect(c, rig.path), 0);
	if (type != VUC_SHM_HELLO)
		CU_ASSERT_EQUAL_FATAL(shm_hello(c), 0);
	if (type != VUC_SHM_HELLO && type != VUC_SHM_LIST && type != VUC_SHM_ATTACH)
		CU_ASSERT_EQUAL_FATAL(shm_attach(c, RIG_NAME), 0);
}

struct shm_queue *
rig_open_queue(struct shm_client *c, uint32_t depth, uint32_t max_data)
{
	CU_ASSERT_FATAL(c->nr_queues < VUC_SHM_MAX_QUEUES);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(c, depth, max_data, &c->queues[c->nr_queues++]), 0);
	return &c->queues[c->nr_queues - 1];
}

void
rig_pass_time(struct shm_client *c, unsigned int nr_queues)
{
	struct shm_queue q;

	while (nr_queues-- > 0) {
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(c, 4, 64, &q), 0);
		CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	}
}

uint64_t
rig_read(struct shm_queue *q, uint64_t reg, uint32_t count)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(shm_read(q, BAR0, reg, &value, count), 0);
	return value;
}

void
rig_write(struct shm_queue *q, uint64_t reg, uint64_t value, uint32_t count)
{
	CU_ASSERT_EQUAL(shm_write(q, BAR0, reg, &value, count), 0);
}

uint32_t
rig_transfer(struct shm_queue *q, uint32_t mode, uint64_t iova, uint32_t len)
{
	const struct {
		uint64_t reg, value;
		uint32_t count;
	} writes[] = {
		{REFDEV_REG_DMA_SRC, iova, 8},
		{REFDEV_REG_DMA_DST, iova, 8},
		{REFDEV_REG_DMA_LEN, len, 4},
		{REFDEV_REG_DMA_MODE, mode, 4},
		{REFDEV_REG_DMA_START, 1, 4},
	};
	uint32_t status = REFDEV_DMA_STATUS_BUSY;

	for (size_t i = 0; i < NR(writes); i++) {
		if (shm_write(q, BAR0, writes[i].reg, &writes[i].value, writes[i].count) != 0)
			return UINT32_MAX;
	}
	while (status == REFDEV_DMA_STATUS_BUSY) {
		if (shm_read(q, BAR0, REFDEV_REG_DMA_STATUS, &status, 4) != 0)
			return UINT32_MAX;
	}
	return status;
}

int
rig_assign_irqs(struct shm_client *c)
{
	int fds[REFDEV_MSIX_VECTORS];

	for (unsigned int i = 0; i < REFDEV_MSIX_VECTORS; i++)
		fds[i] = rig.irq;
	return shm_assign_irqs(c, fds, REFDEV_MSIX_VECTORS);
}

void
rig_leave_traces(struct shm_client *c)
{
	CU_ASSERT_EQUAL(shm_dma_map(c, 0, MIB, 0, VUC_SHM_DMA_READ, rig.memory), 0);
	CU_ASSERT_EQUAL(rig_assign_irqs(c), 0);
	rig_write(rig_open_queue(c, 4, 64), REFDEV_REG_SCRATCH, 0x1234, 8);
}

void
rig_expect_new(void)
{
	struct pollfd pfd = {.fd = rig.irq, .events = POLLIN};
	struct shm_client c;
	struct shm_queue *q;

	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	rig_attach(&c, RIG_NAME);
	q = rig_open_queue(&c, 4, 64);
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_DMA_MAPS, 4), 0);
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_SCRATCH, 8), 0);
	rig_write(q, REFDEV_REG_SCRATCH, 1, 8);
	for (uint32_t vector = 0; vector < REFDEV_MSIX_VECTORS; vector++)
		rig_write(q, REFDEV_REG_IRQ_TRIGGER, vector, 4);
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0);
	rig_detach(&c);
}

struct vuc_control_device
rig_look(const char *device)
{
	struct vuc_control_device d = {.name = {0}};

	CU_ASSERT_EQUAL(vuc_control_look(rig.control, device, &d), 0);
	return d;
}

bool
rig_becomes(const char *device, enum vuc_control_state state)
{
	unsigned int ms = 0;

	while (rig_look(device).state != state)
		if (!rig_wait(&ms))
			return false;
	return true;
}

bool
rig_has_connections(unsigned int nr)
{
	unsigned int ms = 0;

	while (vuc_control_connections(rig.control) != nr)
		if (!rig_wait(&ms))
			return false;
	return true;
}

bool
rig_logs(const char *text)
{
	unsigned int ms = 0;

	while (!rig_has_logged(text))
		if (!rig_wait(&ms))
			return false;
	return true;
}

void
rig_change(void *of, const struct rig_change *change)
{
	uint8_t *at = (uint8_t *)of + change->at;

	if (change->size > sizeof(change->value))
		memset(at, (int)change->value, change->size);
	else
		memcpy(at, &change->value, change->size);
}

int
rig_memory(size_t size, int seals)
{
	int fd = vuc_memfd_create("guest", size, seals);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}
