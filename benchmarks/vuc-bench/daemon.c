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

/* A packet. */
struct request {
	enum {
		OP_BEGIN,    /* make a poller; the text of the reply is its transport */
		OP_ADD,      /* offer a device */
		OP_END,      /* remove all devices and the poller */
		OP_SYSCALLS, /* what the poller's poll group has made so far */
	} op;
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
		bench_fail(err, -ENOMEM, "cannot create a reference device: %s", strerror(errno));
	else
		refdev_loopback(dev, loopback);
	return dev;
}

/* ---- in the process ---- */

struct server {
	int fd;
	const char *path; /* of the socket for VMMs */
	struct vuc_control *control;
	struct vuc_poller *poller;
	struct refdev *refdevs[MAX_DEVICES]; /* those inside the process; they stay */
	struct vuc_loopback_server loopbacks[MAX_DEVICES];
	unsigned int nr_used; /* of them */
};

static int
server_begin(
	struct server *s, const struct request *request, struct reply *reply, struct vuc_error *err)
{
	struct vuc_control_opts control;
	struct vuc_poller_opts opts;
	int ret;

	vuc_control_opts_init(&control, sizeof(control));
	control.path = s->path;
	control.max_vmms = MAX_DEVICES + 1;
	control.max_vmms_per_user = MAX_DEVICES + 1;
	ret = vuc_control_create(&control, &s->control, err);
	if (ret != 0)
		return ret;
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

static int
server_add(struct server *s, const struct request *request, struct vuc_error *err)
{
	struct vuc_control_device_opts opts;
	struct vuc_device_opts device;

	vuc_control_device_opts_init(&opts, sizeof(opts));
	opts.name = request->name;
	opts.poller = s->poller;
	opts.device = &device;
	vuc_device_opts_init(&device, sizeof(device));
	device.timeout_ms = BENCH_TIMEOUT_MS;
	if (request->path[0] != '\0') {
		device.path = request->path;
	} else {
		unsigned int i = s->nr_used++ % MAX_DEVICES;

		if (s->refdevs[i] == NULL)
			s->refdevs[i] = bench_loopback_start(&s->loopbacks[i], err);
		if (s->refdevs[i] == NULL)
			return -ENOMEM;
		device.loopback = &s->loopbacks[i];
	}
	return vuc_control_add_device(s->control, &opts, err);
}

/* Devices go with the control plane. */
static int
server_end(struct server *s)
{
	int ret;

	vuc_control_destroy(s->control);
	s->control = NULL;
	ret = vuc_poller_destroy(s->poller);
	s->poller = NULL;
	s->nr_used = 0;
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
		return server_end(s);
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
	server_end(s);
	for (unsigned int i = 0; i < MAX_DEVICES; i++)
		refdev_destroy(s->refdevs[i]);
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
	s.path = argv[1];
	ret = bench_eal_init(&err);
	server_reply(s.fd, &reply, ret, &err);
	if (ret != 0)
		return EXIT_FAILURE;
	server_run(&s);
	vuc_eal_fini();
	return EXIT_SUCCESS;
}

/* ---- the other end ---- */

static int
daemon_receive(struct bench_daemon *d, struct reply *reply, struct vuc_error *err)
{
	int ret = bench_child_wait(&d->child, NAME, d->fd, BENCH_TIMEOUT_MS, err);

	if (ret != 0)
		return ret;
	if (recv(d->fd, reply, sizeof(*reply), MSG_DONTWAIT) != (ssize_t)sizeof(*reply))
		return bench_child_explain(&d->child, NAME, err);
	return reply->status != 0 ? bench_fail(err, reply->status, "%s", reply->text) : 0;
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
bench_daemon_end(struct bench_daemon *d, struct vuc_error *err)
{
	const struct request request = {.op = OP_END};
	struct reply reply;

	return daemon_ask(d, &request, &reply, err);
}

uint64_t
bench_daemon_syscalls(struct bench_daemon *d)
{
	const struct request request = {.op = OP_SYSCALLS};
	struct vuc_error ignored;
	struct reply reply;

	return daemon_ask(d, &request, &reply, &ignored) == 0 ? reply.number : 0;
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
		return bench_fail(err, -errno, "cannot create a socket pair: %s", strerror(errno));
	d->fd = fds[0];
	snprintf(fd_arg, sizeof(fd_arg), "%d", fds[1]);
	ret = bench_child_start(&d->child, PROGRAM, args, fds[1], err);
	close(fds[1]);
	return ret == 0 ? daemon_receive(d, &reply, err) : ret;
}

int
bench_daemon_start(struct bench_daemon *d, struct vuc_error *err)
{
	int ret;

	*d = (struct bench_daemon){.fd = -1};
	ret = bench_child_make_folder(&d->child, sizeof(SOCKET) - 1, err);
	if (ret != 0)
		return ret;
	snprintf(d->socket, sizeof(d->socket), "%.*s" SOCKET,
		(int)(sizeof(d->socket) - sizeof(SOCKET)), d->child.dir);
	ret = daemon_spawn(d, err);
	if (ret != 0)
		bench_daemon_stop(d);
	return ret;
}

void
bench_daemon_stop(struct bench_daemon *d)
{
	if (d->child.dir[0] == '\0')
		return;
	if (d->fd >= 0)
		close(d->fd);
	bench_child_stop(&d->child);
}
