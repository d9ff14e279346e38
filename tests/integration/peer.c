/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "outcome.h"
#include "peer.h"
#include "process.h"
#include "refdev.h"
#include "tempdir.h"

#define MAX_OPTIONS 8

struct peer {
	unsigned int nr_devices;
	bool killed;

	/* A process, for sockets. */
	struct process process;
	char dir[VUC_TEMPDIR_SIZE];
	char paths[PEER_MAX_DEVICES][VUC_TEMPDIR_SIZE + 16];

	/* In this process, for the loopback. */
	struct refdev *devices[PEER_MAX_DEVICES];
	struct vuc_loopback_server inner[PEER_MAX_DEVICES];
	struct vuc_loopback_server servers[PEER_MAX_DEVICES];
};

static const char *transport;

void
peer_choose_transport(const char *name)
{
	transport = name;
}

const char *
peer_transport(void)
{
	return transport;
}

static bool
is_loopback(void)
{
	return strcmp(transport, "loopback") == 0;
}

const char *
peer_begin(const char *name)
{
	static struct vuc_error err;
	struct vuc_poll_group_opts opts;
	struct vuc_poll_group *group;

	peer_choose_transport(name);
	/* One that there is not, or none, is no reason to skip anything. */
	if (peer_has_sockets() && strcmp(name, "posix") != 0 && strcmp(name, "uring") != 0) {
		printf("Bail out! expected uring, posix or loopback\n");
		exit(2);
	}
	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = transport;
	if (vuc_poll_group_create(&opts, &group, &err) != 0)
		return err.text;
	vuc_poll_group_destroy(group);
	return NULL;
}

bool
peer_has_sockets(void)
{
	return !is_loopback();
}

struct vuc_poll_group *
peer_create_group(void)
{
	struct vuc_poll_group_opts opts;
	struct vuc_poll_group *group;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = transport;
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
	return group;
}

/* A server that can be killed, and then behaves as a process that is gone. */
static int
handle_unless_killed(void *arg, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	struct peer *p = arg;

	return p->killed ? -ECONNRESET : p->inner[0].handle(p->inner[0].arg, req, reply);
}

static void
disconnect_first(void *arg)
{
	struct peer *p = arg;

	p->inner[0].disconnect(p->inner[0].arg);
}

static void
start_loopback(struct peer *p, const char *const *options)
{
	struct refdev_config config;
	unsigned int limit;

	refdev_config_init(&config);
	for (; *options != NULL; options++) {
		if (sscanf(*options, "--max-msg-fds=%u", &limit) == 1) {
			config.max_msg_fds = (uint16_t)limit;
			continue;
		}
		CU_ASSERT_EQUAL_FATAL(sscanf(*options, "--max-data-xfer-size=%u", &limit), 1);
		config.max_data_xfer_size = limit;
	}
	for (unsigned int i = 0; i < p->nr_devices; i++) {
		p->devices[i] = refdev_create(&config);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p->devices[i]);
		refdev_loopback(p->devices[i], &p->inner[i]);
		p->servers[i] = p->inner[i];
	}
	p->servers[0] = (struct vuc_loopback_server){
		.handle = handle_unless_killed, .disconnect = disconnect_first, .arg = p};
}

static void
run_process(struct peer *p, const char *const *options)
{
	const char *args[PEER_MAX_DEVICES + MAX_OPTIONS + 1] = {NULL};
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->nr_devices; i++)
		args[n++] = p->paths[i];
	for (unsigned int i = 0; i < MAX_OPTIONS && options[i] != NULL; i++)
		args[n++] = options[i];
	CU_ASSERT_EQUAL_FATAL(process_start(&p->process, getenv("VUC_REFDEV"), args, true), 0);
}

static void
start_process(struct peer *p, const char *const *options)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(p->dir), 0);
	for (unsigned int i = 0; i < p->nr_devices; i++)
		snprintf(p->paths[i], sizeof(p->paths[i]), "%s/dev%u", p->dir, i);
	run_process(p, options);
}

struct peer *
peer_start_with(unsigned int nr_devices, const char *const *options)
{
	struct peer *p = calloc(1, sizeof(*p));

	CU_ASSERT_FATAL(p != NULL && nr_devices <= PEER_MAX_DEVICES);
	p->nr_devices = nr_devices;
	if (is_loopback())
		start_loopback(p, options);
	else
		start_process(p, options);
	return p;
}

struct peer *
peer_start(unsigned int nr_devices, ...)
{
	const char *options[MAX_OPTIONS + 1] = {NULL};
	unsigned int n = 0;
	va_list args;

	va_start(args, nr_devices);
	while (n < MAX_OPTIONS && (options[n] = va_arg(args, const char *)) != NULL)
		n++;
	va_end(args);
	options[n] = NULL;
	return peer_start_with(nr_devices, options);
}

void
peer_restart_with(struct peer *p, const char *const *options)
{
	process_free(&p->process);
	p->killed = false;
	run_process(p, options);
}

void
peer_restart(struct peer *p)
{
	static const char *const none[] = {NULL};

	peer_restart_with(p, none);
}

struct process *
peer_process(struct peer *p)
{
	return &p->process;
}

void
peer_kill(struct peer *p)
{
	p->killed = true;
	if (!is_loopback())
		process_end(&p->process, SIGKILL);
}

void
peer_stop(struct peer *p)
{
	if (is_loopback()) {
		for (unsigned int i = 0; i < p->nr_devices; i++)
			refdev_destroy(p->devices[i]);
	} else {
		if (!p->killed)
			CU_ASSERT_EQUAL(process_end(&p->process, SIGTERM), 0);
		process_free(&p->process);
		vuc_tempdir_remove(p->dir);
	}
	free(p);
}

void
peer_opts(struct peer *p, unsigned int device, struct vuc_device_opts *opts)
{
	vuc_device_opts_init(opts, sizeof(*opts));
	opts->transport = transport;
	if (is_loopback())
		opts->loopback = &p->servers[device];
	else
		opts->path = p->paths[device];
}

struct vuc_device *
peer_open(struct peer *p, unsigned int device)
{
	struct vuc_device_opts opts;

	peer_opts(p, device, &opts);
	return open_well(&opts);
}

struct call_back {
	struct vuc_request req;
	void (*fn)(struct vuc_device *dev);
	struct vuc_device *dev;
};

static void
call_back_done(struct vuc_request *req, int status)
{
	struct call_back *c = req->arg;

	CU_ASSERT_EQUAL(status, 0);
	c->fn(c->dev);
	c->fn = NULL;
}

void
peer_call_back(struct vuc_device *dev, void (*fn)(struct vuc_device *dev))
{
	uint32_t id;
	struct call_back c = {
		.req = {.op = VUC_OP_READ,
			.data = &id,
			.count = sizeof(id),
			.done = call_back_done},
		.fn = fn,
		.dev = dev,
	};

	c.req.arg = &c;
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &c.req), 0);
	while (c.fn != NULL)
		vuc_poll_group_poll(vuc_device_poll_group(dev));
}

int
peer_forbid_call(long number, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = NR(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ==
			0
		? 0
		: -errno;
}
