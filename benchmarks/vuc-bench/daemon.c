/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vuc/control.h>
#include <vuc/eal.h>

#include "bench.h"
#include "refdev.h"

#define MAX_DEVICES BENCH_REFDEV_MAX_SOCKETS
#define PROGRAM     "/proc/self/exe"
#define NAME        "vuc-bench " BENCH_DAEMON_WORD
#define SOCKET      "/vmm.sock"

enum op {
	OP_BEGIN,    /* make a poller; the text of the reply is its transport */
	OP_ADD,      /* offer a device */
	OP_END,      /* take away all devices and the poller */
	OP_SYSCALLS, /* what the poller's poll group has made so far */
};

/* A packet. */
struct request {
	enum op op;
	/* Of the poller. */
	int cpu;
	enum vuc_idle idle;
	uint32_t idle_loops;
	char transport[BENCH_DAEMON_NAME_MAX]; /* "": vuc's choice */
	/* Of the device. */
	char name[BENCH_DAEMON_NAME_MAX];
	char path[BENCH_SOCKET_MAX]; /* "": a reference device inside the process */
};

struct reply {
	int status; /* 0 or a negative errno */
	uint64_t number;
	char text[VUC_ERROR_MAX];
};

int
bench_eal_init(struct vuc_error *err)
{
	struct vuc_eal_opts opts;
	struct vuc_error why = {0};
	int ret;

	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.telemetry = false;
	ret = vuc_eal_init(&opts, &why);
	return ret != 0 ? bench_fail_why(err, ret, "", why.text) : 0;
}

struct syscalls_call {
	struct vuc_poll_group *group;
	uint64_t number;
};

/* On the poller's thread, whose the group is. */
static int
read_syscalls(void *arg)
{
	struct syscalls_call *call = arg;

	call->number = vuc_poll_group_syscalls(call->group);
	return 0;
}

uint64_t
bench_poller_syscalls(struct vuc_poller *poller)
{
	struct syscalls_call call = {.group = vuc_poller_poll_group(poller)};

	vuc_poller_call(poller, read_syscalls, &call);
	return call.number;
}

struct refdev *
bench_loopback_start(struct vuc_loopback_server *loopback, struct vuc_error *err)
{
	struct refdev_config config;
	struct refdev *dev;

	refdev_config_init(&config);
	dev = refdev_create(&config);
	if (dev == NULL)
		bench_fail(err, -ENOMEM, "reference device: %s", strerror(errno));
	else
		refdev_loopback(dev, loopback);
	return dev;
}

/* In the process. */
struct server {
	int fd;
	struct vuc_control *control;
	struct vuc_poller *poller;
	struct refdev *refdevs[MAX_DEVICES]; /* reference devices; they stay */
	struct vuc_loopback_server loopbacks[MAX_DEVICES];
	unsigned int nr_refdevs;
	unsigned int nr_used; /* of them */
	char names[MAX_DEVICES][BENCH_DAEMON_NAME_MAX];
	unsigned int nr_devices;
};

static int
server_begin(
	struct server *s, const struct request *request, struct reply *reply, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "bench";
	opts.cpu = request->cpu;
	opts.idle = request->idle;
	opts.idle_loops = request->idle_loops;
	opts.transport = request->transport[0] != '\0' ? request->transport : NULL;
	ret = vuc_poller_create(&opts, &s->poller, err);
	if (ret == 0)
		snprintf(reply->text, sizeof(reply->text), "%s",
			vuc_poll_group_transport(vuc_poller_poll_group(s->poller)));
	return ret;
}

/* The next reference device. */
static int
server_take_refdev(
	struct server *s, const struct vuc_loopback_server **loopback, struct vuc_error *err)
{
	unsigned int i = s->nr_used;

	if (i == s->nr_refdevs) {
		s->refdevs[i] = bench_loopback_start(&s->loopbacks[i], err);
		if (s->refdevs[i] == NULL)
			return -ENOMEM;
		s->nr_refdevs++;
	}
	s->nr_used++;
	*loopback = &s->loopbacks[i];
	return 0;
}

static int
server_add(struct server *s, const struct request *request, struct vuc_error *err)
{
	struct vuc_control_device_opts opts;
	struct vuc_device_opts device;
	int ret = 0;

	if (s->nr_devices == MAX_DEVICES)
		return bench_fail(err, -ENOSPC, "more than %d devices", MAX_DEVICES);
	vuc_control_device_opts_init(&opts, sizeof(opts));
	opts.name = request->name;
	opts.poller = s->poller;
	opts.device = &device;
	vuc_device_opts_init(&device, sizeof(device));
	device.timeout_ms = BENCH_TIMEOUT_MS;
	if (request->path[0] != '\0')
		device.path = request->path;
	else
		ret = server_take_refdev(s, &device.loopback, err);
	if (ret == 0)
		ret = vuc_control_add_device(s->control, &opts, err);
	if (ret == 0)
		snprintf(s->names[s->nr_devices++], BENCH_DAEMON_NAME_MAX, "%s", request->name);
	return ret;
}

static int
server_end(struct server *s, struct vuc_error *err)
{
	int ret = 0;

	while (s->nr_devices > 0 && ret == 0) {
		ret = vuc_control_remove_device(s->control, s->names[s->nr_devices - 1], true, err);
		if (ret == 0)
			s->nr_devices--;
	}
	if (ret == 0)
		ret = vuc_poller_destroy(s->poller);
	if (ret == 0) {
		s->poller = NULL;
		s->nr_used = 0;
	}
	return ret;
}

static int
server_carry_out(
	struct server *s, const struct request *request, struct reply *reply, struct vuc_error *err)
{
	switch (request->op) {
	case OP_BEGIN:
		return server_begin(s, request, reply, err);
	case OP_ADD:
		return server_add(s, request, err);
	case OP_END:
		return server_end(s, err);
	case OP_SYSCALLS:
		reply->number = bench_poller_syscalls(s->poller);
		return 0;
	}
	return -EINVAL;
}

/* Returns whether the reply was sent. */
static bool
server_reply(int fd, struct reply *reply, int status, const struct vuc_error *err)
{
	reply->status = status;
	if (status != 0)
		snprintf(reply->text, sizeof(reply->text), "%s",
			err->text[0] != '\0' ? err->text : strerror(-status));
	return send(fd, reply, sizeof(*reply), MSG_NOSIGNAL) >= 0;
}

static void
server_run(struct server *s)
{
	struct request request;
	bool sent = true;

	while (sent && recv(s->fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		struct reply reply = {0};
		struct vuc_error err = {0};
		int status = server_carry_out(s, &request, &reply, &err);

		sent = server_reply(s->fd, &reply, status, &err);
	}
}

static int
server_listen(struct server *s, const char *path, struct vuc_error *err)
{
	struct vuc_control_opts opts;
	int ret = bench_eal_init(err);

	if (ret != 0)
		return ret;
	vuc_control_opts_init(&opts, sizeof(opts));
	opts.path = path;
	opts.max_vmms = MAX_DEVICES + 1;
	opts.max_vmms_per_user = MAX_DEVICES + 1;
	ret = vuc_control_create(&opts, &s->control, err);
	if (ret != 0)
		vuc_eal_fini();
	return ret;
}

int
bench_daemon_main(int argc, char **argv)
{
	static struct server s;
	struct reply reply = {0};
	struct vuc_error err = {0};
	int ret;

	if (argc != 2)
		return EXIT_FAILURE;
	/* When the parent is gone, so is its end of the pair: the socket is to be removed then. */
	signal(SIGTERM, SIG_IGN);
	s.fd = atoi(argv[0]);
	ret = server_listen(&s, argv[1], &err);
	server_reply(s.fd, &reply, ret, &err);
	if (ret != 0)
		return EXIT_FAILURE;
	server_run(&s);
	vuc_control_destroy(s.control);
	vuc_poller_destroy(s.poller);
	for (unsigned int i = 0; i < s.nr_refdevs; i++)
		refdev_destroy(s.refdevs[i]);
	vuc_eal_fini();
	return EXIT_SUCCESS;
}

static int
daemon_receive(struct bench_daemon *d, struct reply *reply, struct vuc_error *err)
{
	int ret = bench_process_wait_ready(0, NAME, d->fd, BENCH_TIMEOUT_MS, err);

	if (ret != 0)
		return ret;
	if (recv(d->fd, reply, sizeof(*reply), 0) == (ssize_t)sizeof(*reply))
		return reply->status != 0 ? bench_fail(err, reply->status, "%s", reply->text) : 0;
	ret = bench_process_explain(
		bench_process_wait(d->pid), -ECHILD, NAME, " before it was ready", err);
	d->pid = 0;
	return ret;
}

static int
daemon_ask(struct bench_daemon *d, const struct request *request, struct reply *reply,
	struct vuc_error *err)
{
	if (send(d->fd, request, sizeof(*request), MSG_NOSIGNAL) < 0)
		return bench_fail(err, -errno, NAME ": %s", strerror(errno));
	return daemon_receive(d, reply, err);
}

int
bench_daemon_begin(struct bench_daemon *d, const struct vuc_poller_opts *poller,
	char transport[BENCH_DAEMON_NAME_MAX], struct vuc_error *err)
{
	struct request request = {
		.op = OP_BEGIN,
		.cpu = poller->cpu,
		.idle = poller->idle,
		.idle_loops = poller->idle_loops,
	};
	struct reply reply;
	int ret;

	if (poller->transport != NULL)
		snprintf(request.transport, sizeof(request.transport), "%s", poller->transport);
	ret = daemon_ask(d, &request, &reply, err);
	if (ret == 0)
		snprintf(transport, BENCH_DAEMON_NAME_MAX, "%.*s", BENCH_DAEMON_NAME_MAX - 1,
			reply.text);
	return ret;
}

int
bench_daemon_add(struct bench_daemon *d, const char *name, const char *path, struct vuc_error *err)
{
	struct request request = {.op = OP_ADD};
	struct reply reply;

	snprintf(request.name, sizeof(request.name), "%s", name);
	snprintf(request.path, sizeof(request.path), "%s", path != NULL ? path : "");
	return daemon_ask(d, &request, &reply, err);
}

int
bench_daemon_attach(const struct bench_daemon *d, const char *name, struct vuc_vmm_device **dev,
	struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = d->socket;
	opts.device = name;
	opts.name = "vuc-bench";
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	return vuc_vmm_attach(&opts, dev, err);
}

int
bench_daemon_end(struct bench_daemon *d, struct vuc_error *err)
{
	const struct request request = {.op = OP_END};
	struct reply reply;

	return daemon_ask(d, &request, &reply, err);
}

int
bench_daemon_syscalls(struct bench_daemon *d, uint64_t *syscalls, struct vuc_error *err)
{
	const struct request request = {.op = OP_SYSCALLS};
	struct reply reply;
	int ret = daemon_ask(d, &request, &reply, err);

	*syscalls = ret == 0 ? reply.number : 0;
	return ret;
}

static int
daemon_spawn(struct bench_daemon *d, struct vuc_error *err)
{
	char name[] = "vuc-bench", word[] = BENCH_DAEMON_WORD, fd_arg[16];
	char *const args[] = {name, word, fd_arg, d->socket, NULL};
	struct reply reply;
	int fds[2];
	int ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return bench_fail(err, -errno, "socketpair: %s", strerror(errno));
	d->fd = fds[0];
	snprintf(fd_arg, sizeof(fd_arg), "%d", fds[1]);
	ret = bench_process_start(PROGRAM, args, fds[1], err);
	close(fds[1]);
	if (ret < 0)
		return ret;
	d->pid = ret;
	return daemon_receive(d, &reply, err);
}

int
bench_daemon_start(struct bench_daemon *d, struct vuc_error *err)
{
	int ret;

	*d = (struct bench_daemon){.fd = -1};
	ret = bench_folder_make(d->dir, sizeof(SOCKET) - 1, err);
	if (ret != 0)
		return ret;
	snprintf(d->socket, sizeof(d->socket), "%.*s" SOCKET,
		(int)(sizeof(d->socket) - sizeof(SOCKET)), d->dir);
	ret = daemon_spawn(d, err);
	if (ret != 0)
		bench_daemon_stop(d);
	return ret;
}

void
bench_daemon_stop(struct bench_daemon *d)
{
	if (d->dir[0] == '\0')
		return;
	if (d->fd >= 0)
		close(d->fd);
	if (d->pid > 0)
		bench_process_stop(d->pid);
	bench_folder_remove(d->dir);
	*d = (struct bench_daemon){.fd = -1};
}
