/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * storm SOCKET DEVICE attaches, gives the device memory and interrupts, and does what the lines of
 * its standard input say, each answered by a line with a return value and a text. At the end of
 *them it detaches.
 *
 *	run           the vCPUs work from now on
 *	pause         and not any more
 *	rounds N      wait until each of them has done N more rounds without an error
 *	await E N     wait until the event E was reported N times in all
 *	check         see that mappings and interrupts work
 *	check 1       and that the registers are as they were written at first
 *	churn N       change mappings and interrupts N times
 *	post          have the device fill a page, by posted writes
 *	filled        wait until it has done that
 *	signals       how often each eventfd was signalled since the last call
 *	again         detach and attach
 *	reattach      to another vucd, where the one before is gone
 *	configure     write the registers anew
 *	map N         map another page, and return what that returns
 *	report        counters, as JSON
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "memfd.h"
#include "storm.h"

#define LOOK_MS 2 /* between looks at the counters of the vCPUs */

static const struct {
	const char *name;
	uint32_t event;
} event_names[] = {
	{"lost", VUC_VMM_EVENT_LOST},
	{"back", VUC_VMM_EVENT_BACK},
	{"reset", VUC_VMM_EVENT_RESET},
	{"removed", VUC_VMM_EVENT_REMOVED},
	{"gone", VUC_VMM_EVENT_GONE},
	{"silent", VUC_VMM_EVENT_SILENT},
	{"answers", VUC_VMM_EVENT_ANSWERS},
	{"stale", VUC_VMM_EVENT_STALE},
	{"remap", VUC_VMM_EVENT_REMAP},
	{"release", VUC_VMM_EVENT_RELEASE},
	{"attached", STORM_EVENT_ATTACHED},
};

#define EVENTS (sizeof(event_names) / sizeof(event_names[0]))

static const char *const kind_names[STORM_KINDS] = {
	[STORM_READ] = "read",
	[STORM_WRITE] = "write",
	[STORM_POST] = "post",
	[STORM_CONFIG] = "config",
	[STORM_BULK] = "bulk",
	[STORM_RAISE] = "raise",
	[STORM_MAP] = "map",
	[STORM_IRQ] = "irq",
};

/* ---- events ---- */

static void
storm_add_events(struct storm *s, uint32_t events)
{
	pthread_mutex_lock(&s->lock);
	for (; events != 0; events &= events - 1)
		s->events[__builtin_ctz(events)]++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Take events while there are any, or until a timeout. Returns whether there is something on
 * stdin, if it is looked at. */
static bool
storm_poll(struct storm *s, bool look_at_stdin, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = vuc_vmm_event_fd(s->dev), .events = POLLIN},
		{.fd = look_at_stdin ? STDIN_FILENO : -1, .events = POLLIN},
	};

	poll(fds, 2, timeout_ms);
	if (fds[0].revents != 0)
		storm_add_events(s, vuc_vmm_events(s->dev));
	return fds[1].revents != 0;
}

static int
storm_await_named(struct storm *s)
{
	for (size_t i = 0; i < EVENTS; i++) {
		if (strcmp(s->name, event_names[i].name) != 0)
			continue;
		for (int ms = 0; storm_events(s, event_names[i].event) < s->nr; ms += LOOK_MS) {
			if (ms >= TIMEOUT_MS)
				return vuc_error_set(&s->err, -ETIME, "no event %s", s->name);
			storm_poll(s, false, LOOK_MS);
		}
		return 0;
	}
	return -EINVAL;
}

/* ---- vCPUs ---- */

static int
storm_run(struct storm *s)
{
	if (s->running)
		return -EALREADY;
	s->quit = false;
	s->running = true;
	for (unsigned int i = 0; i < VCPUS; i++) {
		struct storm_vcpu *v = &s->vcpus[i];

		if (pthread_create(&v->thread, NULL, storm_vcpu_run, v) != 0)
			abort();
	}
	return 0;
}

static int
storm_pause(struct storm *s)
{
	uint64_t one = 1;

	if (!s->running)
		return 0;
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (write(s->quit_fd, &one, sizeof(one)) != sizeof(one))
		return -errno;
	for (unsigned int i = 0; i < VCPUS; i++)
		pthread_join(s->vcpus[i].thread, NULL);
	s->running = false;
	return read(s->quit_fd, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
}

static int
storm_await_rounds(struct storm *s)
{
	uint64_t before[VCPUS];

	for (unsigned int i = 0; i < VCPUS; i++)
		before[i] = atomic_load_explicit(&s->vcpus[i].rounds, memory_order_relaxed);
	for (unsigned int i = 0, ms = 0; i < VCPUS; ms += LOOK_MS) {
		while (i < VCPUS &&
			atomic_load_explicit(&s->vcpus[i].rounds, memory_order_relaxed) >=
				before[i] + s->nr)
			i++;
		if (ms >= TIMEOUT_MS)
			return vuc_error_set(&s->err, -ETIME, "vCPU %u gets nothing done", i);
		if (i < VCPUS)
			storm_poll(s, false, LOOK_MS);
	}
	return 0;
}

/* ---- the device ---- */

static int
storm_open_queues(struct storm *s)
{
	int rc = vuc_vmm_open_queue(s->dev, NULL, &s->queue, &s->err);

	for (unsigned int i = 0; rc == 0 && i < VCPUS; i++)
		rc = vuc_vmm_open_queue(s->dev, NULL, &s->vcpus[i].queue, &s->err);
	return rc;
}

static int
storm_attach(struct storm *s)
{
	struct vuc_vmm_attach_opts opts;
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = s->socket;
	opts.device = s->device;
	opts.name = "a storm";
	rc = vuc_vmm_attach(&opts, &s->dev, &s->err);
	if (rc != 0)
		return rc;
	rc = storm_open_queues(s);
	if (rc == 0)
		rc = storm_set_up(s);
	if (rc == 0)
		rc = storm_configure(s);
	if (rc == 0)
		storm_add_events(s, STORM_EVENT_ATTACHED);
	return rc;
}

static int
storm_attach_again(struct storm *s)
{
	bool running = s->running;
	int rc = storm_pause(s);

	vuc_vmm_detach(s->dev);
	s->dev = NULL;
	if (rc == 0)
		rc = storm_attach(s);
	/* Whatever the vCPUs have written is lost. */
	storm_add_events(s, VUC_VMM_EVENT_RESET);
	return rc == 0 && running ? storm_run(s) : rc;
}

/* The library gives the device all that it had, but for what was under way when the daemon died. */
static int
storm_reattach(struct storm *s)
{
	int rc = vuc_vmm_reattach(s->dev, -1, &s->err);

	if (rc != 0)
		return rc;
	storm_add_events(s, STORM_EVENT_ATTACHED);
	return storm_settle(s);
}

/* ---- reports ---- */

/* Of a kind, over all vCPUs: how often it had which status. */
static void
report_kind(const struct storm *s, enum storm_kind kind)
{
	const char *comma = "";

	printf("\"%s\": {", kind_names[kind]);
	for (unsigned int status = 0; status < STATUSES; status++) {
		uint64_t nr = 0;

		for (unsigned int i = 0; i < VCPUS; i++)
			nr += atomic_load_explicit(
				&s->vcpus[i].results[kind][status], memory_order_relaxed);
		if (nr == 0)
			continue;
		printf("%s\"%s\": %llu", comma, status == 0 ? "0" : strerrorname_np((int)status),
			(unsigned long long)nr);
		comma = ", ";
	}
	printf("}, ");
}

static void
storm_report(struct storm *s)
{
	uint64_t lost = 0, rounds = 0;

	printf("{");
	for (enum storm_kind kind = 0; kind < STORM_KINDS; kind++)
		report_kind(s, kind);
	for (unsigned int i = 0; i < VCPUS; i++) {
		lost += atomic_load_explicit(&s->vcpus[i].lost, memory_order_relaxed);
		rounds += atomic_load_explicit(&s->vcpus[i].rounds, memory_order_relaxed);
	}
	pthread_mutex_lock(&s->lock);
	printf("\"events\": {");
	for (size_t i = 0; i < EVENTS; i++)
		printf("%s\"%s\": %llu", i > 0 ? ", " : "", event_names[i].name,
			(unsigned long long)s->events[__builtin_ctz(event_names[i].event)]);
	printf("}, \"rounds\": %llu, \"lost\": %llu, \"wrong\": %u, \"why\": \"%s\"}\n",
		(unsigned long long)rounds, (unsigned long long)lost, s->wrong, s->why);
	pthread_mutex_unlock(&s->lock);
}

static int
storm_report_signals(struct storm *s)
{
	size_t len = 0;

	for (unsigned int i = 0; i < STORM_EVENTFDS; i++)
		len += (size_t)snprintf(s->err.text + len, sizeof(s->err.text) - len, "%s%u",
			i > 0 ? " " : "", storm_take_signal(s, i));
	return 0;
}

/* ---- what it is told ---- */

/* Beyond the slots: no check knows of it. */
static int
storm_map_more(struct storm *s)
{
	const struct vuc_vmm_dma mapping = {.argsz = sizeof(mapping),
		.iova = (uint64_t)(SLOTS + s->nr) * 2 * STORM_PAGE,
		.size = STORM_PAGE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = s->memory_fd};
	int rc = vuc_vmm_dma_map(s->dev, &mapping, 1, &s->err);

	return rc == 0 ? vuc_vmm_dma_commit(s->dev, &s->err) : rc;
}

static int
storm_churn_often(struct storm *s)
{
	for (unsigned int i = 0; i < s->nr; i++)
		storm_churn(&s->vcpus[VCPUS - 1]);
	return 0;
}

static int
storm_await_filled(struct storm *s)
{
	for (int ms = 0; !storm_is_filled(s); ms += LOOK_MS) {
		if (ms >= TIMEOUT_MS)
			return vuc_error_set(&s->err, -ETIME, "the device has not filled a page");
		storm_poll(s, false, LOOK_MS);
	}
	return 0;
}

static int
storm_check_all(struct storm *s)
{
	return storm_check(s, s->nr != 0);
}

static const struct {
	const char *name;
	int (*run)(struct storm *s);
} commands[] = {
	{"run", storm_run},
	{"pause", storm_pause},
	{"rounds", storm_await_rounds},
	{"await", storm_await_named},
	{"check", storm_check_all},
	{"signals", storm_report_signals},
	{"again", storm_attach_again},
	{"reattach", storm_reattach},
	{"configure", storm_configure},
	{"churn", storm_churn_often},
	{"post", storm_post_fill},
	{"filled", storm_await_filled},
	{"map", storm_map_more},
};

static void
storm_obey(struct storm *s, const char *line)
{
	char what[16] = "";
	int rc = -EINVAL;

	s->err.text[0] = '\0';
	s->name[0] = '\0';
	s->nr = 0;
	if (sscanf(line, "%15s %u", what, &s->nr) < 2)
		sscanf(line, "%15s %15s %u", what, s->name, &s->nr);
	if (strcmp(what, "report") == 0) {
		storm_report(s);
		return;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		rc = strcmp(what, commands[i].name) == 0 ? commands[i].run(s) : rc;
	printf("%d %s\n", rc, s->err.text);
}

static int
storm_init(struct storm *s)
{
	pthread_mutex_init(&s->churn, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->quit_fd = eventfd(0, EFD_CLOEXEC);
	for (unsigned int i = 0; i < STORM_EVENTFDS; i++)
		s->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned int i = 0; i < VCPUS; i++)
		s->vcpus[i] = (struct storm_vcpu){.storm = s, .id = i, .random = i};
	s->memory_fd = vuc_memfd_create("storm", SLOTS * STORM_PAGE, F_SEAL_SHRINK);
	s->memory =
		mmap(NULL, SLOTS * STORM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->memory_fd, 0);
	return s->memory != MAP_FAILED && s->quit_fd >= 0 ? 0 : -errno;
}

int
main(int argc, char *argv[])
{
	static struct storm storm;
	char line[64];
	int rc;

	if (argc != 3)
		return 2;
	storm.socket = argv[1];
	storm.device = argv[2];
	rc = storm_init(&storm);
	if (rc == 0)
		rc = storm_attach(&storm);
	setlinebuf(stdout);
	setbuf(stdin, NULL);
	printf("%d %s\n", rc, storm.err.text);
	while (rc == 0) {
		if (!storm_poll(&storm, true, -1))
			continue;
		if (fgets(line, sizeof(line), stdin) == NULL)
			break;
		storm_obey(&storm, line);
	}
	storm_pause(&storm);
	vuc_vmm_detach(storm.dev);
	return rc == 0 ? 0 : 1;
}
