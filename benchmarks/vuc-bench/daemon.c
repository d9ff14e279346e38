/* SPDX-License-Identifier: BSD-3-Clause */

/* The process that has the control plane. What goes wrong is told to the other end, which prints
 * it. */

#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vuc/control.h>

#include "eal.h"
#include "error.h"
#include "server.h"
#include "way.h"

#define MAX_DEVICES BENCH_REFDEV_MAX_SOCKETS

struct daemon {
	int fd;
	struct vuc_control *control;
	struct vuc_poller *poller;
	struct bench_server *servers[MAX_DEVICES]; /* reference devices; they stay */
	unsigned int nr_servers;
	unsigned int nr_loopback; /* of them, those in use */
	char names[MAX_DEVICES][BENCH_DAEMON_NAME_MAX];
	unsigned int nr_devices;
	uint64_t syscalls; /* of the poller, when last asked */
};

static int
work_begin(struct daemon *d, const struct bench_daemon_request *request,
	struct bench_daemon_reply *reply, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "bench";
	opts.cpu = request->cpu;
	opts.idle = request->idle;
	opts.idle_loops = request->idle_loops;
	opts.transport = request->transport[0] != '\0' ? request->transport : NULL;
	ret = vuc_poller_create(&opts, &d->poller, err);
	if (ret == 0)
		snprintf(reply->text, sizeof(reply->text), "%s",
			vuc_poll_group_transport(vuc_poller_poll_group(d->poller)));
	return ret;
}

/* The next reference device. */
static int
take_server(struct daemon *d, const struct vuc_loopback_server **loopback, struct vuc_error *err)
{
	struct bench_server *server = d->servers[d->nr_loopback];
	int ret;

	if (d->nr_loopback == d->nr_servers) {
		server = calloc(1, sizeof(*server));
		if (server == NULL)
			return bench_fail(err, -ENOMEM, "out of memory");
		ret = bench_server_start(server, BENCH_SERVER_LOOPBACK, NULL, NULL, err);
		if (ret != 0) {
			free(server);
			return ret;
		}
		d->servers[d->nr_servers++] = server;
	}
	d->nr_loopback++;
	*loopback = &server->loopback;
	return 0;
}

static int
work_add(struct daemon *d, const struct bench_daemon_request *request, struct vuc_error *err)
{
	struct vuc_control_device_opts opts;
	struct vuc_device_opts device;
	int ret = 0;

	if (d->nr_devices == MAX_DEVICES)
		return bench_fail(err, -ENOSPC, "more than %d devices", MAX_DEVICES);
	vuc_control_device_opts_init(&opts, sizeof(opts));
	opts.name = request->name;
	opts.poller = d->poller;
	opts.device = &device;
	vuc_device_opts_init(&device, sizeof(device));
	device.timeout_ms = BENCH_TIMEOUT_MS;
	if (request->path[0] != '\0')
		device.path = request->path;
	else
		ret = take_server(d, &device.loopback, err);
	if (ret == 0)
		ret = vuc_control_add_device(d->control, &opts, err);
	if (ret == 0)
		snprintf(d->names[d->nr_devices++], BENCH_DAEMON_NAME_MAX, "%s", request->name);
	return ret;
}

static int
work_end(struct daemon *d, struct vuc_error *err)
{
	int ret = 0;

	while (d->nr_devices > 0 && ret == 0) {
		ret = vuc_control_remove_device(d->control, d->names[d->nr_devices - 1], true, err);
		if (ret == 0)
			d->nr_devices--;
	}
	if (ret == 0)
		ret = vuc_poller_destroy(d->poller);
	if (ret == 0) {
		d->poller = NULL;
		d->nr_loopback = 0;
	}
	return ret;
}

/* On the poller's thread, whose the group is. */
static int
read_syscalls(void *arg)
{
	struct daemon *d = arg;

	d->syscalls = vuc_poll_group_syscalls(vuc_poller_poll_group(d->poller));
	return 0;
}

static int
carry_out(struct daemon *d, const struct bench_daemon_request *request,
	struct bench_daemon_reply *reply, struct vuc_error *err)
{
	switch (request->op) {
	case BENCH_DAEMON_HELLO:
		return 0;
	case BENCH_DAEMON_BEGIN:
		return work_begin(d, request, reply, err);
	case BENCH_DAEMON_ADD:
		return work_add(d, request, err);
	case BENCH_DAEMON_END:
		return work_end(d, err);
	case BENCH_DAEMON_SYSCALLS:
		vuc_poller_call(d->poller, read_syscalls, d);
		reply->number = d->syscalls;
		return 0;
	}
	return -EINVAL;
}

static void
daemon_serve(struct daemon *d)
{
	struct bench_daemon_request request;

	while (recv(d->fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		struct bench_daemon_reply reply = {0};
		struct vuc_error err = {0};

		reply.status = carry_out(d, &request, &reply, &err);
		if (reply.status != 0)
			snprintf(reply.text, sizeof(reply.text), "%s",
				err.text[0] != '\0' ? err.text : strerror(-reply.status));
		if (send(d->fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
			break;
	}
}

static int
listen_for_vmms(struct daemon *d, const char *path, struct vuc_error *err)
{
	struct vuc_control_opts opts;
	int ret = bench_eal_init(err);

	if (ret != 0)
		return ret;
	vuc_control_opts_init(&opts, sizeof(opts));
	opts.path = path;
	opts.max_vmms = MAX_DEVICES + 1;
	opts.max_vmms_per_user = MAX_DEVICES + 1;
	ret = vuc_control_create(&opts, &d->control, err);
	if (ret != 0)
		bench_eal_fini();
	return ret;
}

/* The first request hears of it. */
static void
daemon_fail(int fd, int status, const struct vuc_error *err)
{
	struct bench_daemon_reply reply = {.status = status};

	snprintf(reply.text, sizeof(reply.text), "%s",
		err->text[0] != '\0' ? err->text : strerror(-status));
	send(fd, &reply, sizeof(reply), MSG_NOSIGNAL);
}

static void
take_down(struct daemon *d)
{
	vuc_control_destroy(d->control);
	vuc_poller_destroy(d->poller);
	for (unsigned int i = 0; i < d->nr_servers; i++) {
		bench_server_stop(d->servers[i]);
		free(d->servers[i]);
	}
	bench_eal_fini();
}

int
bench_daemon_main(int argc, char **argv)
{
	struct vuc_error err = {0};
	static struct daemon d;
	int ret;

	if (argc != 2)
		return EXIT_FAILURE;
	/* When the parent is gone, so is its end of the pair: the socket is to be removed then. */
	signal(SIGTERM, SIG_IGN);
	d.fd = atoi(argv[0]);
	ret = listen_for_vmms(&d, argv[1], &err);
	if (ret != 0) {
		daemon_fail(d.fd, ret, &err);
		return EXIT_FAILURE;
	}
	daemon_serve(&d);
	take_down(&d);
	return EXIT_SUCCESS;
}
