/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/eal.h>

#include "clock.h"
#include "fd_count.h"
#include "memfd.h"
#include "peer.h"
#include "refdev_regs.h"

#define LOG_SIZE 65536

static char folder[VUC_TEMPDIR_SIZE];
static unsigned int fds_before, threads_before;

static struct {
	pthread_mutex_t lock;
	size_t len;
	char text[LOG_SIZE];
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
keep_line(void *arg, enum vuc_log_level level, const char *line)
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

bool
rig_has_logged(const char *text)
{
	bool found;

	pthread_mutex_lock(&lines.lock);
	found = strstr(lines.text, text) != NULL;
	pthread_mutex_unlock(&lines.lock);
	return found;
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

/* A thread that has been joined may be seen for a moment. */
static bool
threads_are_gone(void)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (count_threads() == threads_before)
			return true;
		vuc_clock_sleep_ms(1);
	}
	return false;
}

void
rig_opts_init(struct rig_opts *opts)
{
	*opts = (struct rig_opts){.server = NULL};
	vuc_control_opts_init(&opts->control, sizeof(opts->control));
	opts->control.log = keep_line;
	/* On a busy machine it takes long to make a device clean, for which whoever attaches waits
	 * half of this, and to come back to a connection that is not attached yet. */
	opts->control.handshake_timeout_ms = 2 * RIG_WAIT_MS;
	vuc_control_device_opts_init(&opts->device, sizeof(opts->device));
	opts->device.retry_min_ms = 5;
	opts->device.retry_max_ms = 50;
	vuc_device_opts_init(&opts->open, sizeof(opts->open));
}

struct vuc_poller *
rig_start_poller(void)
{
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};
	struct vuc_poller *p;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "rig";
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_SLEEP;
	opts.idle_loops = 100;
	if (vuc_poller_create(&opts, &p, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static void
run_server(struct control_rig *r, const char *const *options)
{
	const char *args[REFDEV_SERVER_MAX_ARGS] = {r->server.second};
	unsigned int n = 1;

	while (options != NULL && *options != NULL && n < REFDEV_SERVER_MAX_ARGS - 1)
		args[n++] = *options++;
	refdev_server_run(&r->server, args);
}

static void
name_device(const struct control_rig *r, struct rig_opts *opts, const char *name, const char *path)
{
	opts->device.name = name;
	opts->device.poller = r->poller;
	opts->device.device = &opts->open;
	opts->open.path = path;
}

void
rig_device_opts(
	const struct control_rig *r, struct rig_opts *opts, const char *name, const char *path)
{
	rig_opts_init(opts);
	name_device(r, opts, name, path);
}

void
rig_add_device(struct control_rig *r, const struct rig_opts *o, const char *name, const char *path)
{
	struct vuc_error err = {0};
	struct rig_opts opts;
	int rc;

	rig_opts_init(&opts);
	if (o != NULL)
		opts = *o;
	name_device(r, &opts, name, path);
	rc = vuc_control_add_device(r->control, &opts.device, &err);
	if (rc != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
}

void
rig_start(struct control_rig *r, const struct rig_opts *opts)
{
	struct vuc_control_opts control_opts;
	struct vuc_error err = {0};
	struct rig_opts defaults;

	if (opts == NULL) {
		rig_opts_init(&defaults);
		opts = &defaults;
	}
	rig_forget_log();
	fds_before = fd_count();
	threads_before = count_threads();
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(r->folder), 0);
	snprintf(r->path, sizeof(r->path), "%s/vmm.sock", r->folder);
	refdev_server_prepare(&r->server);
	run_server(r, opts->server);
	r->poller = rig_start_poller();
	control_opts = opts->control;
	control_opts.path = r->path;
	if (vuc_control_create(&control_opts, &r->control, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->control);
	rig_add_device(r, opts, RIG_NAME, r->server.socket);
	rig_add_device(r, opts, RIG_SECOND, r->server.second);
}

void
rig_stop(struct control_rig *r)
{
	vuc_control_destroy(r->control);
	CU_ASSERT_EQUAL(vuc_poller_destroy(r->poller), 0);
	vuc_spawn_stop(&r->server.process);
	vuc_spawn_free(&r->server.process);
	refdev_server_clean(&r->server);
	CU_ASSERT_EQUAL(vuc_tempdir_count(r->folder), 0);
	vuc_tempdir_remove(r->folder);
	/* Some of them may still be closing descriptors. */
	CU_ASSERT_TRUE(threads_are_gone());
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

void
rig_kill_server(struct control_rig *r)
{
	vuc_spawn_kill(&r->server.process);
	vuc_spawn_free(&r->server.process);
}

void
rig_restart_server(struct control_rig *r)
{
	run_server(r, NULL);
}

void
rig_attach(const struct control_rig *r, struct shm_client *c, const char *device)
{
	int rc = shm_start(c, r->path, device);

	if (rc < 0)
		printf("# %.239s\n", c->reply.failure.reason);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
}

struct vuc_control_device
rig_look(const struct control_rig *r, const char *device)
{
	struct vuc_control_device d = {.name = {0}};

	CU_ASSERT_EQUAL(vuc_control_look(r->control, device, &d), 0);
	return d;
}

bool
rig_becomes(const struct control_rig *r, const char *device, enum vuc_control_state state)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (rig_look(r, device).state == state)
			return true;
		vuc_clock_sleep_ms(1);
	}
	return false;
}

bool
rig_is_left(const struct control_rig *r)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (vuc_control_connections(r->control) == 0)
			return true;
		vuc_clock_sleep_ms(1);
	}
	return false;
}

bool
rig_logs(const char *text)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (rig_has_logged(text))
			return true;
		vuc_clock_sleep_ms(1);
	}
	return false;
}

uint32_t
rig_server_maps(const struct control_rig *r, const char *device)
{
	struct shm_client c;
	struct shm_queue q;
	uint32_t maps = UINT32_MAX;

	rig_attach(r, &c, device);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&c, 1, 64, &q), 0);
	CU_ASSERT_EQUAL(
		shm_read(&q, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_DMA_MAPS, &maps, sizeof(maps)),
		0);
	shm_forget_queue(&q);
	CU_ASSERT_EQUAL(shm_plain(&c, VUC_SHM_DETACH), 0);
	shm_close(&c);
	return maps;
}

int
rig_memory(size_t size, bool sealed)
{
	int fd = vuc_memfd_create("guest", size, sealed ? F_SEAL_SHRINK : 0);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static int
start_eal(void)
{
	struct vuc_eal_opts opts;
	struct vuc_error err = {0};
	int rc = vuc_tempdir_make(folder);

	if (rc != 0)
		return rc;
	setenv("RUNTIME_DIRECTORY", folder, 1);
	vuc_eal_opts_init(&opts, sizeof(opts));
	rc = vuc_eal_init(&opts, &err);
	if (rc != 0)
		printf("# %s\n", err.text);
	return rc;
}

static int
stop_eal(void)
{
	char path[sizeof(folder) + 8];

	vuc_eal_fini();
	snprintf(path, sizeof(path), "%s/dpdk", folder);
	rmdir(path);
	vuc_tempdir_remove(folder);
	return 0;
}

int
rig_main(int argc, char **argv, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", start_eal, stop_eal, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
