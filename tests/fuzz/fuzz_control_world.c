/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vuc/dma.h>
#include <vuc/eal.h>
#include <vuc/io_fds.h>

#include "fd_count.h"
#include "fuzz_control.h"
#include "internal.h"
#include "memfd.h"
#include "refdev.h"
#include "vmm.h"

#define MEMORY_SIZE (64u * 4096u)
#define MAX_POLLS   10000u
#define NR_DEVICES  2u

static const char *const names[NR_DEVICES] = {DAEMON_SHARED, DAEMON_MESSAGE};

static struct {
	bool made;
	char folder[64];
	struct vuc_poller *poller;
	struct vuc_control *control;
	struct refdev *devices[NR_DEVICES];
	struct vuc_loopback_server servers[NR_DEVICES];
	unsigned int buffers; /* that devices have made for themselves */
} world;

/* What a VMM may send. */
enum kind {
	SEALED_MEMORY,
	MEMORY, /* that can be truncated */
	EVENTFD,
	PIPE,
	FOLDER,
	DEVICE,
	NR_KEPT,
	OWN_SOCKET = NR_KEPT,
	NR_KINDS,
};

static int kept[NR_KEPT];

/* ---- the world ---- */

static void
make_fds(void)
{
	int pipes[2];

	kept[SEALED_MEMORY] = vuc_memfd_create("sealed", MEMORY_SIZE, F_SEAL_SHRINK);
	kept[MEMORY] = memfd_create("memory", MFD_CLOEXEC);
	kept[EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	REQUIRE(pipe2(pipes, O_CLOEXEC) == 0);
	REQUIRE(close(pipes[1]) == 0);
	kept[PIPE] = pipes[0];
	kept[FOLDER] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kept[DEVICE] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	for (unsigned int i = 0; i < NR_KEPT; i++)
		REQUIRE(kept[i] >= 0);
}

/* A device makes them when it is asked for the first time, and keeps them. */
static int
make_io_fds(void *arg)
{
	struct vuc_io_fds *io_fds;

	REQUIRE(vuc_io_fds_get(arg, 0, &io_fds) == 0);
	vuc_io_fds_free(io_fds);
	return 0;
}

static void
make_device(unsigned int i)
{
	struct vuc_control_device_opts opts;
	struct vuc_device_opts device;
	struct refdev_config config;
	struct vuc_error err = {0};

	refdev_config_init(&config);
	world.devices[i] = refdev_create(&config);
	REQUIRE(world.devices[i] != NULL);
	refdev_loopback(world.devices[i], &world.servers[i]);
	vuc_control_device_opts_init(&opts, sizeof(opts));
	opts.name = names[i];
	opts.poller = world.poller;
	opts.device = &device;
	vuc_device_opts_init(&device, sizeof(device));
	device.loopback = &world.servers[i];
	device.dma = i == 0 ? VUC_DMA_SHARED : VUC_DMA_MESSAGE;
	/* The control thread would make a new connection after each execution, in a time of its
	 * own. */
	opts.reset = VUC_CONTROL_RESET_TRUST;
	REQUIRE(vuc_control_add_device(world.control, &opts, &err) == 0);
	vuc_poller_call(
		world.poller, make_io_fds, control_find(world.control, names[i])->link->dev);
}

static void
make_poller(void)
{
	struct vuc_eal_opts eal_opts;
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};

	vuc_eal_opts_init(&eal_opts, sizeof(eal_opts));
	eal_opts.telemetry = false;
	REQUIRE(vuc_eal_init(&eal_opts, &err) == 0);
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = "loopback";
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_YIELD;
	REQUIRE(vuc_poller_create(&opts, &world.poller, &err) == 0);
}

static void
unmake_world(void)
{
	char path[sizeof(world.folder) + 8];

	vuc_control_destroy(world.control);
	vuc_poller_destroy(world.poller);
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		refdev_destroy(world.devices[i]);
	for (unsigned int i = 0; i < NR_KEPT; i++)
		close(kept[i]);
	vuc_eal_fini();
	snprintf(path, sizeof(path), "%s/dpdk", world.folder);
	rmdir(path);
	rmdir(world.folder);
}

static void
make_world(void)
{
	const char *tmp = getenv("TMPDIR");
	struct vuc_control_opts opts;
	struct vuc_error err = {0};
	char path[sizeof(world.folder) + 16];

	snprintf(world.folder, sizeof(world.folder), "%.40s/vuc-fuzz-XXXXXX",
		tmp != NULL ? tmp : "/tmp");
	REQUIRE(mkdtemp(world.folder) != NULL);
	setenv("RUNTIME_DIRECTORY", world.folder, 1);
	make_poller();
	vuc_control_opts_init(&opts, sizeof(opts));
	snprintf(path, sizeof(path), "%s/vmm.sock", world.folder);
	opts.path = path;
	opts.max_queues = 4;
	opts.max_queue_memory = UINT64_C(1) << 20;
	opts.max_dma_maps = 16;
	REQUIRE(vuc_control_create(&opts, &world.control, &err) == 0);
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		make_device(i);
	make_fds();
	atexit(unmake_world);
	world.made = true;
}

/* ---- a connection ---- */

int
daemon_begin(struct daemon_end *e)
{
	int ends[2];

	if (!world.made)
		make_world();
	daemon_truncate(MEMORY_SIZE);
	e->fds = fd_count();
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	e->vmm = vmm_alloc(world.control, ends[0]);
	REQUIRE(e->vmm != NULL);
	e->peer = ends[1];
	return ends[1];
}

/* On the poller's thread. */
static int
is_busy(void *arg)
{
	const struct control_vmm *v = arg;

	for (unsigned int i = 0; v->remote != NULL && i < VUC_SHM_MAX_QUEUES; i++) {
		if (v->remote->queues[i] != NULL && v->remote->queues[i]->back.outstanding > 0)
			return 1;
	}
	return 0;
}

/* Between two calls the poller looks at all that has rung. */
void
daemon_poll(struct daemon_end *e)
{
	unsigned int n = 0;

	while (e->vmm != NULL && (vuc_poller_call(world.poller, is_busy, e->vmm) != 0 || n == 0))
		REQUIRE(n++ < MAX_POLLS);
}

static void
end_connection(struct daemon_end *e)
{
	struct control_vmm *v = e->vmm;

	daemon_poll(e);
	if (v->device != NULL)
		vmm_release(v);
	vmm_free(v);
	e->vmm = NULL;
}

void
daemon_step(struct daemon_end *e)
{
	int rc;

	if (e->vmm == NULL)
		return;
	daemon_poll(e);
	rc = vmm_step(e->vmm, true);
	REQUIRE(rc == 0 || e->vmm->why.text[0] != '\0');
	if (rc != 0 || e->vmm->state == VMM_DETACHED)
		end_connection(e);
}

static int
count_maps(void *arg)
{
	return (int)vuc_dma_count(arg);
}

static void
check_device(const char *name)
{
	const struct control_device *d;
	struct vuc_device *dev;

	pthread_mutex_lock(&world.control->lock);
	d = control_find(world.control, name);
	REQUIRE(d != NULL && d->vmm == NULL && !d->cleaning);
	dev = d->link != NULL ? d->link->dev : NULL;
	pthread_mutex_unlock(&world.control->lock);
	REQUIRE(dev == NULL || vuc_poller_call(world.poller, count_maps, dev) == 0);
}

void
daemon_end(struct daemon_end *e)
{
	while (e->vmm != NULL)
		daemon_step(e);
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		check_device(names[i]);
}

/* A device makes a buffer for its first transfer, and keeps that. */
void
daemon_check_fds(const struct daemon_end *e)
{
	unsigned int nr = fd_count();

	REQUIRE(nr == e->fds || (nr == e->fds + 1 && world.buffers++ < NR_DEVICES));
}

int
daemon_fd(const struct daemon_end *e, unsigned int kind)
{
	kind %= NR_KINDS;
	return kind == OWN_SOCKET ? e->peer : kept[kind];
}

void
daemon_truncate(size_t size)
{
	REQUIRE(ftruncate(kept[MEMORY], (off_t)(size < MEMORY_SIZE ? size : MEMORY_SIZE)) == 0);
}
