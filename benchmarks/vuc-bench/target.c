/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "text.h"

int
bench_target_parse_socket(void *target, const char *text, struct vuc_error *err)
{
	if (text[0] == '\0')
		return bench_fail(err, -EINVAL, "--socket: an empty path");
	((struct bench_target *)target)->socket = text;
	return 0;
}

int
bench_target_parse_transport(void *target, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"uring", "posix", "loopback", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("transport", text, words, &i, err);

	if (ret == 0)
		((struct bench_target *)target)->transport = words[i];
	return ret;
}

int
bench_target_parse_path(void *target, const char *text, struct vuc_error *err)
{
	return bench_path_parse(&((struct bench_target *)target)->path, text, err);
}

int
bench_target_check(struct bench_target *t, struct vuc_error *err)
{
	if (t->transport == NULL || strcmp(t->transport, "loopback") != 0) {
		t->kind = t->socket != NULL ? BENCH_SERVER_FOREIGN : BENCH_SERVER_OWN;
		return 0;
	}
	t->kind = BENCH_SERVER_LOOPBACK;
	if (t->socket != NULL)
		return bench_fail(err, -EINVAL, "--transport loopback takes no --socket");
	return 0;
}

static bool
has_poller(const struct bench_target *t)
{
	return t->path != BENCH_PATH_INLINE;
}

/* A server elsewhere has what it has, but beside a poller a CPU is left to it. */
static unsigned int
server_cpus(const struct bench_target *t)
{
	if (t->block || t->kind == BENCH_SERVER_LOOPBACK)
		return 0;
	return t->kind == BENCH_SERVER_OWN || has_poller(t) ? 1 : 0;
}

static const char *
too_few_cpus(const struct bench_target *t)
{
	if (!has_poller(t) || t->waits)
		return BENCH_SERVER_NEEDS_CPU;
	if (server_cpus(t) == 0)
		return "the poller needs one of its own";
	return "the server and the poller need one each of their own: use vuc-bench hop, or "
	       "--transport loopback";
}

/* Take turns on one CPU where there is none for the poller alone. */
static unsigned int
poller_cpus(struct bench_target *t, const struct bench_cpus *given)
{
	unsigned int there = given->nr != 0 ? given->nr : bench_cpus_count();

	if (!has_poller(t))
		return 0;
	t->shares_cpu = t->waits && there < 1 + server_cpus(t) + 1;
	return t->shares_cpu ? 0 : 1;
}

unsigned int
bench_target_poller_cpu(const struct bench_target *t, const struct bench *bench)
{
	return bench->env.cpus.cpu[t->shares_cpu ? 0 : 1 + server_cpus(t)];
}

static int
start_server(struct bench_target *t, const struct bench_cpus *cpus, struct vuc_error *err)
{
	struct bench_refdev_opts own = {.block = t->block, .sockets = 1};

	own.cpu = cpus->cpu[t->block ? 0 : 1];
	return bench_server_start(&t->server, t->kind, t->socket, &own, err);
}

int
bench_target_start(struct bench_target *t, struct bench *bench, struct vuc_error *err)
{
	struct bench_cpus *cpus = &bench->env.cpus;
	int ret;

	t->latency = -1;
	*cpus = bench->options.cpus;
	ret = bench_cpus_settle(
		cpus, 1 + server_cpus(t) + poller_cpus(t, cpus), too_few_cpus(t), err);
	if (ret == 0)
		ret = start_server(t, cpus, err);
	if (ret != 0)
		return ret;
	ret = bench_cpu_pin(cpus->cpu[0], err);
	/* On our CPU, too, but for its poller. */
	if (ret == 0 && t->path == BENCH_PATH_SHM)
		ret = bench_daemon_start(&t->daemon, err);
	if (ret != 0) {
		bench_target_stop(t);
		return ret;
	}
	t->latency = bench_cpu_hold_latency();
	bench_env_set_latency(&bench->env, t->latency);
	return 0;
}

void
bench_target_stop(struct bench_target *t)
{
	if (t->latency >= 0)
		close(t->latency);
	bench_daemon_stop(&t->daemon);
	bench_server_stop(&t->server);
}

static void
describe_server(
	const struct bench_target *t, const struct bench *bench, struct bench_result *result)
{
	char *buf = result->server;
	size_t size = sizeof(result->server);

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
			t->path == BENCH_PATH_SHM ? "the daemon's" : "this");
		break;
	}
}

void
bench_target_describe(
	struct bench_target *t, const struct bench *bench, struct bench_result *result)
{
	snprintf(t->socket_text, sizeof(t->socket_text), "%s",
		t->socket != NULL ? t->socket : "vuc-refdev");
	vuc_text_clean(t->socket_text);
	describe_server(t, bench, result);
	bench_result_add_text(result, "server", t->socket_text);
	bench_result_add_text(result, "path", bench_path_name(t->path));
}
