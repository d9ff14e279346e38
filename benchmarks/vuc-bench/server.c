/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "refdev.h"

static int
start_own(struct bench_server *server, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	int ret = bench_refdev_start(&server->proc, opts, err);

	if (ret == 0)
		server->path = server->proc.socket;
	return ret;
}

static int
start_loopback(struct bench_server *server, struct vuc_error *err)
{
	struct refdev_config config;

	refdev_config_init(&config);
	server->dev = refdev_create(&config);
	if (server->dev == NULL)
		return bench_fail(err, -errno, "reference device: %s", strerror(errno));
	refdev_loopback(server->dev, &server->loopback);
	return 0;
}

int
bench_server_start(struct bench_server *server, enum bench_server_kind kind, const char *path,
	const struct bench_refdev_opts *own, struct vuc_error *err)
{
	*server = (struct bench_server){.kind = kind};
	switch (kind) {
	case BENCH_SERVER_OWN:
		return start_own(server, own, err);
	case BENCH_SERVER_FOREIGN:
		server->path = path;
		return 0;
	case BENCH_SERVER_LOOPBACK:
		return start_loopback(server, err);
	}
	return -EINVAL;
}

void
bench_server_stop(struct bench_server *server)
{
	bench_refdev_stop(&server->proc);
	refdev_destroy(server->dev);
	server->dev = NULL;
}
