/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "refdev.h"
#include "rounds.h"
#include "text.h"

int
bench_target_check(
	struct bench_target *t, const struct bench_options *options, struct vuc_error *err)
{
	if (options->transport == NULL || strcmp(options->transport, "loopback") != 0) {
		t->kind = options->socket != NULL ? BENCH_SERVER_FOREIGN : BENCH_SERVER_OWN;
		return 0;
	}
	t->kind = BENCH_SERVER_LOOPBACK;
	if (options->socket != NULL)
		return bench_fail(err, -EINVAL, "--transport loopback takes no --socket");
	return 0;
}

/* A server elsewhere has what it has, but beside a poller a CPU is left to it. */
static unsigned int
server_cpus(const struct bench_target *t, bool has_poller)
{
	if (t->block || t->kind == BENCH_SERVER_LOOPBACK)
		return 0;
	return t->kind == BENCH_SERVER_OWN || has_poller ? 1 : 0;
}

static const char *
too_few_cpus(const struct bench_target *t, bool has_poller)
{
	if (!has_poller || t->waits)
		return BENCH_SERVER_NEEDS_CPU;
	if (server_cpus(t, has_poller) == 0)
		return "the poller needs one of its own";
	return "the server and the poller need one each of their own: use vuc-bench hop, or "
	       "--transport loopback";
}

static int
settle_cpus(struct bench_target *t, struct bench *bench, struct vuc_error *err)
{
	const struct bench_cpus *given = &bench->options.cpus;
	bool has_poller = bench->options.path != BENCH_PATH_INLINE;
	unsigned int want = 1 + server_cpus(t, has_poller);
	unsigned int poller = want;
	int ret;

	/* Take turns on one CPU where there is none for the poller alone. */
	t->shares_cpu = has_poller && t->waits && bench_cpus_available(given) < want + 1;
	if (has_poller && !t->shares_cpu)
		want++;
	ret = bench_take_cpus(bench, want, true, too_few_cpus(t, has_poller), err);
	t->poller_cpu = bench->env.cpus.cpu[!has_poller || t->shares_cpu ? 0 : poller];
	return ret;
}

static int
start_server(struct bench_target *t, const struct bench *bench, struct vuc_error *err)
{
	struct bench_refdev_opts own = {.block = t->block, .sockets = 1};
	int ret = 0;

	switch (t->kind) {
	case BENCH_SERVER_OWN:
		own.cpu = bench->env.cpus.cpu[t->block ? 0 : 1];
		ret = bench_refdev_start(&t->refdev, &own, err);
		t->path = t->refdev.socket;
		break;
	case BENCH_SERVER_FOREIGN:
		t->path = bench->options.socket;
		break;
	case BENCH_SERVER_LOOPBACK:
		t->dev = bench_loopback_start(&t->loopback, err);
		ret = t->dev != NULL ? 0 : -ENOMEM;
		break;
	}
	return ret;
}

int
bench_target_start(struct bench_target *t, struct bench *bench, struct vuc_error *err)
{
	int ret = settle_cpus(t, bench, err);

	if (ret != 0)
		return ret;
	ret = start_server(t, bench, err);
	/* On our CPU, too, but for its poller. */
	if (ret == 0 && bench->options.path == BENCH_PATH_SHM)
		ret = bench_daemon_start(&t->daemon, err);
	if (ret != 0)
		bench_target_stop(t, bench);
	return ret;
}

void
bench_target_stop(struct bench_target *t, struct bench *bench)
{
	bench_release_cpus(bench);
	bench_daemon_stop(&t->daemon);
	bench_refdev_stop(&t->refdev);
	refdev_destroy(t->dev);
	t->dev = NULL;
}

void
bench_target_describe(
	struct bench_target *t, const struct bench *bench, struct bench_result *result)
{
	const struct bench_options *options = &bench->options;
	char *buf = result->server;
	size_t size = sizeof(result->server);

	snprintf(t->socket_text, sizeof(t->socket_text), "%s",
		options->socket != NULL ? options->socket : "vuc-refdev");
	vuc_text_clean(t->socket_text);
	switch (t->kind) {
	case BENCH_SERVER_OWN:
		snprintf(buf, size, "vuc-refdev, %s on CPU %u", t->block ? "sleeping" : "polling",
			bench->env.cpus.cpu[t->block ? 0 : 1]);
		break;
	case BENCH_SERVER_FOREIGN:
		snprintf(buf, size, "%s", t->socket_text);
		break;
	case BENCH_SERVER_LOOPBACK:
		snprintf(buf, size, "the reference device inside %s process",
			options->path == BENCH_PATH_SHM ? "the daemon's" : "this");
		break;
	}
	bench_result_add_text(result, "server", t->socket_text);
	bench_result_add_text(result, "path", bench_path_names[options->path]);
}
