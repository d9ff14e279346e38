/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Servers that hang in each way that there is, and a healthy device on the same poller. A hung
 * server may take an hour for each request, and everything that is done with the daemon and with
 * the healthy device has seconds: what is done in time has not waited for a hung server.
 */

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "memfd.h"
#include "refdev_server.h"
#include "shm_client.h"
#include "tap.h"
#include "vfio_user.h"
#include "vucd_rig.h"

#define NR_HUNG      4u
#define MANY_HUNG    100u
#define MANY_DEVICES 300u
#define MAPS         1024u
#define PAGE         4096u
#define DEPTH        256u /* of the queue of a VMM, a page each: more than all buffers hold */
#define HEALTHY      "disk0"
#define ADDED        "disk1"
#define PATH_SIZE    (VUC_TEMPDIR_SIZE + 16)

/* How servers hang. */
enum kind {
	HANGS_AT_VERSION, /* it is not answered */
	HANGS_AT_RESET,   /* that of the daemon is not answered */
	HANGS_FULL,       /* a VMM's posted writes have filled the socket */
	HANGS_AT_MAP,     /* that of a VMM is not answered */
	HANGS_AT_REGION,  /* a VMM asks about a BAR, for which config space is read */
};

struct scene {
	enum kind kind;
	unsigned int nr_hung;
	unsigned int nr_healthy;
	struct refdev_server healthy; /* one more than these, to be added */
	struct refdev_server servers; /* those that hang, in one process */
	int listeners[MANY_HUNG];     /* in its place: HANGS_AT_VERSION */
	int connections[MANY_HUNG];
	struct vucd_rig rig;
	struct shm_client vmms[NR_HUNG]; /* of the devices that hang */
	struct shm_queue queues[NR_HUNG];
	int memory;
	struct shm_client vmm; /* of the healthy device */
};

/* ---- hanging ---- */

static int
listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
	return fd;
}

/* The sockets of a server. */
static void
name_sockets(const struct refdev_server *server, char paths[][PATH_SIZE], unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		snprintf(paths[i], PATH_SIZE, "%s/%u", server->folder, i);
}

/* A server of nr devices, with options up to a NULL. */
static void
run_server(struct refdev_server *server, unsigned int nr, const char *const *options)
{
	static char paths[MANY_DEVICES][PATH_SIZE];
	const char *args[MANY_DEVICES + 4] = {NULL};
	unsigned int n;

	name_sockets(server, paths, nr);
	for (n = 0; n < nr; n++)
		args[n] = paths[n];
	while (*options != NULL)
		args[n++] = *options++;
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&server->process, getenv("VUC_REFDEV"), args), 0);
}

static void
start_servers(struct scene *s)
{
	static const char *const options[][3] = {
		[HANGS_AT_RESET] = {"--verbose", "--fault=drop@device_reset"},
		[HANGS_FULL] = {NULL},
		[HANGS_AT_MAP] = {"--verbose", "--fault=drop@dma_map"},
		/* Opening the device reads its six BARs. */
		[HANGS_AT_REGION] = {"--verbose", "--fault=drop@region_read#7"},
	};
	char paths[MANY_HUNG][PATH_SIZE];

	refdev_server_prepare(&s->healthy);
	run_server(&s->healthy, s->nr_healthy + 1, (const char *const[]){NULL});
	refdev_server_prepare(&s->servers);
	if (s->kind != HANGS_AT_VERSION) {
		run_server(&s->servers, s->nr_hung, options[s->kind]);
		return;
	}
	name_sockets(&s->servers, paths, s->nr_hung);
	for (unsigned int i = 0; i < s->nr_hung; i++) {
		s->listeners[i] = listen_at(paths[i]);
		s->connections[i] = -1;
	}
}

static void
stop_server(struct refdev_server *server, unsigned int nr)
{
	char paths[MANY_DEVICES][PATH_SIZE];

	vuc_spawn_free(&server->process);
	name_sockets(server, paths, nr);
	for (unsigned int i = 0; i < nr; i++)
		unlink(paths[i]);
	refdev_server_clean(server);
}

static void
stop_servers(struct scene *s)
{
	for (unsigned int i = 0; s->kind == HANGS_AT_VERSION && i < s->nr_hung; i++) {
		close(s->listeners[i]);
		close(s->connections[i]);
	}
	stop_server(&s->servers, s->nr_hung);
	stop_server(&s->healthy, s->nr_healthy + 1);
}

static bool
await_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, SHM_TIMEOUT_MS) > 0;
}

/* VERSION has come. */
static void
await_versions(struct scene *s)
{
	for (unsigned int i = 0; i < s->nr_hung; i++) {
		struct vfio_user_header header = {0};

		CU_ASSERT_FATAL(await_readable(s->listeners[i]));
		s->connections[i] = accept4(s->listeners[i], NULL, NULL, SOCK_CLOEXEC);
		CU_ASSERT_FATAL(await_readable(s->connections[i]));
		CU_ASSERT_EQUAL(
			recv(s->connections[i], &header, sizeof(header), 0), sizeof(header));
		CU_ASSERT_EQUAL(header.cmd, VFIO_USER_VERSION);
	}
}

/* All servers have had a command; they say so on stderr. */
static void
await_commands(struct scene *s, const char *command)
{
	unsigned int n = 0;

	for (unsigned int ms = 0; n < s->nr_hung && ms < SHM_TIMEOUT_MS; ms++) {
		char *errors = vuc_spawn_errors(&s->servers.process);

		n = 0;
		for (const char *at = errors; (at = strstr(at, command)) != NULL; at++)
			n++;
		free(errors);
		poll(NULL, 0, 1);
	}
	CU_ASSERT_EQUAL_FATAL(n, s->nr_hung);
}

static void
attach_vmms(struct scene *s)
{
	for (unsigned int i = 0; i < s->nr_hung; i++) {
		char name[16];

		snprintf(name, sizeof(name), "hung%u", i);
		CU_ASSERT_EQUAL_FATAL(shm_start(&s->vmms[i], s->rig.vmm_socket, name), 0);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&s->vmms[i], DEPTH, PAGE, &s->queues[i]), 0);
	}
}

/* Nobody waits for the answer. */
static void
send_map(struct scene *s, struct shm_client *vmm)
{
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_MAP, .flags = VUC_SHM_DMA_READ, .size = PAGE};
	union {
		struct vuc_shm_dma dma;
		uint8_t bytes[sizeof(struct vuc_shm_dma) + sizeof(entry)];
	} request = {.dma = {.nr = 1, .nr_fds = 1, .flags = VUC_SHM_DMA_COMMIT}};

	memcpy(request.bytes + sizeof(request.dma), &entry, sizeof(entry));
	shm_header(vmm, &request.dma.header, VUC_SHM_DMA, sizeof(request));
	CU_ASSERT_EQUAL_FATAL(shm_send(vmm, &request, sizeof(request), &s->memory, 1), 0);
}

/* Nor for this one. */
static void
send_region_info(struct shm_client *vmm)
{
	struct vuc_shm_index request = {.index = VFIO_PCI_BAR2_REGION_INDEX};

	shm_header(vmm, &request.header, VUC_SHM_REGION_INFO, sizeof(request));
	CU_ASSERT_EQUAL_FATAL(shm_send(vmm, &request, sizeof(request), NULL, 0), 0);
}

static void
fill_socket(struct shm_queue *q)
{
	const struct vuc_shm_request post = {
		.op = VUC_SHM_WRITE_POSTED, .region = VFIO_PCI_BAR2_REGION_INDEX, .count = PAGE};

	for (unsigned int i = 0; i < DEPTH; i++)
		shm_submit(q, &post);
}

/* Whether no socket takes all that is to be written, if that is how servers hang. */
static bool
is_full(const struct scene *s)
{
	for (unsigned int i = 0; s->kind == HANGS_FULL && i < s->nr_hung; i++) {
		if (shm_taken(&s->queues[i]) == DEPTH)
			return false;
	}
	return true;
}

static bool
has_vmms(const struct scene *s)
{
	return s->kind == HANGS_FULL || s->kind == HANGS_AT_MAP || s->kind == HANGS_AT_REGION;
}

static void
hang(struct scene *s)
{
	if (s->kind == HANGS_AT_VERSION)
		await_versions(s);
	if (s->kind == HANGS_AT_RESET)
		await_commands(s, "device_reset (");
	if (!has_vmms(s))
		return;
	attach_vmms(s);
	if (s->kind == HANGS_FULL)
		kill(s->servers.process.pid, SIGSTOP);
	for (unsigned int i = 0; i < s->nr_hung; i++) {
		if (s->kind == HANGS_AT_MAP)
			send_map(s, &s->vmms[i]);
		else if (s->kind == HANGS_AT_REGION)
			send_region_info(&s->vmms[i]);
		else
			fill_socket(&s->queues[i]);
	}
	if (s->kind == HANGS_AT_MAP)
		await_commands(s, "dma_map (");
	if (s->kind == HANGS_AT_REGION)
		await_commands(s, "region 7 offset 0x0 count 4");
	for (unsigned int i = 0; s->kind == HANGS_FULL && i < s->nr_hung; i++) {
		for (unsigned int ms = 0; shm_taken(&s->queues[i]) == 0 && ms < SHM_TIMEOUT_MS;
			ms++)
			poll(NULL, 0, 1);
	}
}

/* ---- what is done meanwhile ---- */

static bool
attach(struct scene *s)
{
	return shm_start(&s->vmm, s->rig.vmm_socket, HEALTHY) == 0;
}

static bool
read_register(struct scene *s)
{
	struct shm_queue q;
	uint32_t ids = 0;
	int rc = shm_open_queue(&s->vmm, 4, 64, &q);

	if (rc != 0)
		return false;
	rc = shm_read(&q, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));
	return shm_close_queue(&q) == 0 && rc == 0 && ids != 0;
}

static bool
map(struct scene *s)
{
	int rc = 0;

	for (unsigned int i = 0; i < MAPS && rc == 0; i++)
		rc = shm_dma_map(
			&s->vmm, (uint64_t)i * 2 * PAGE, PAGE, 0, VUC_SHM_DMA_READ, s->memory);
	return rc == 0;
}

static bool
reset(struct scene *s)
{
	return shm_plain(&s->vmm, VUC_SHM_RESET) == 0;
}

static bool
detach(struct scene *s)
{
	bool ok = shm_plain(&s->vmm, VUC_SHM_DETACH) == 0;

	shm_close(&s->vmm);
	return ok;
}

/* It is clean for the next one. */
static bool
attach_again(struct scene *s)
{
	bool ok = false;

	for (unsigned int ms = 0; !ok && ms < SHM_TIMEOUT_MS; ms++) {
		ok = attach(s);
		if (!ok) {
			shm_close(&s->vmm);
			poll(NULL, 0, 1);
		}
	}
	return ok && read_register(s) && detach(s);
}

static bool
ask(struct scene *s, const char *method, const char *params)
{
	struct json_object *answer;
	bool ok = vucd_rig_ask(&s->rig, method, params, &answer) != NULL;

	json_object_put(answer);
	return ok;
}

static bool
add(struct scene *s)
{
	char params[256];

	snprintf(params, sizeof(params), "{\"name\":\"" ADDED "\",\"socket\":\"%s/%u\"}",
		s->healthy.folder, s->nr_healthy);
	return ask(s, "devices.add", params);
}

static bool
remove_added(struct scene *s)
{
	return ask(s, "devices.remove", "{\"name\":\"" ADDED "\"}");
}

static bool
end(struct scene *s)
{
	return vuc_spawn_stop(&s->rig.process) == 0 && vuc_spawn_status(&s->rig.process) == 0;
}

static const struct {
	const char *name;
	bool (*act)(struct scene *s);
} actions[] = {
	{"attach", attach},
	{"read", read_register},
	{"map", map},
	{"reset", reset},
	{"detach", detach},
	{"attach again", attach_again},
	{"add", add},
	{"remove", remove_added},
	{"end", end},
};

#define NR_ACTIONS (sizeof(actions) / sizeof(actions[0]))

/* ---- tests ---- */

static size_t
add_section(char *config, size_t size, const char *name, const char *socket, bool hung)
{
	return (size_t)snprintf(config, size, "[device %s]\nsocket = %s\n%s", name, socket,
		hung ? "timeout-ms = 3600000\nlong-timeout-ms = 3600000\n" : "");
}

/* The devices that hang come first. */
static void
start_daemon(struct scene *s)
{
	static char config[MANY_DEVICES * 256];
	char paths[MANY_DEVICES][PATH_SIZE], name[16];
	size_t len = 0;

	name_sockets(&s->servers, paths, s->nr_hung);
	for (unsigned int i = 0; i < s->nr_hung; i++) {
		snprintf(name, sizeof(name), "hung%u", i);
		len += add_section(config + len, sizeof(config) - len, name, paths[i], true);
	}
	name_sockets(&s->healthy, paths, s->nr_healthy);
	for (unsigned int i = 0; i < s->nr_healthy; i++) {
		snprintf(name, sizeof(name), i == 0 ? HEALTHY : "more%u", i);
		len += add_section(config + len, sizeof(config) - len, name, paths[i], false);
	}
	vucd_rig_prepare(&s->rig, config);
	vucd_rig_run(&s->rig);
}

static void
start(struct scene *s)
{
	start_servers(s);
	s->memory = vuc_memfd_create("guest", PAGE, 0);
	CU_ASSERT_FATAL(s->memory >= 0);
	start_daemon(s);
}

static void
stop(struct scene *s)
{
	vucd_rig_stop(&s->rig);
	close(s->memory);
	stop_servers(s);
}

static void
run_kind(enum kind kind)
{
	static struct scene s;
	bool ok = true;

	s = (struct scene){.kind = kind, .nr_hung = NR_HUNG, .nr_healthy = 1};
	start(&s);
	hang(&s);
	for (size_t i = 0; ok && i < sizeof(actions) / sizeof(actions[0]); i++) {
		printf("# %s\n", actions[i].name);
		CU_ASSERT(is_full(&s));
		ok = actions[i].act(&s);
		CU_ASSERT(ok);
	}
	for (unsigned int i = 0; has_vmms(&s) && i < NR_HUNG; i++) {
		shm_forget_queue(&s.queues[i]);
		shm_close(&s.vmms[i]);
	}
	stop(&s);
}

static void
test_version(void)
{
	run_kind(HANGS_AT_VERSION);
}

static void
test_reset(void)
{
	run_kind(HANGS_AT_RESET);
}

static void
test_full(void)
{
	run_kind(HANGS_FULL);
}

static void
test_map(void)
{
	run_kind(HANGS_AT_MAP);
}

static void
test_region(void)
{
	run_kind(HANGS_AT_REGION);
}

/* What the daemon has used up to a moment. */
struct usage {
	unsigned int threads;
	uint64_t ms;       /* of the clock */
	uint64_t cpu_ms;   /* of all threads */
	uint64_t switches; /* that threads have made by sleeping */
	uint64_t loops;    /* of the poller */
};

static uint64_t
count_switches(pid_t pid, const char *thread)
{
	unsigned long long n = 0;
	char path[300], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, thread);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
			break;
	}
	if (file != NULL)
		fclose(file);
	return n;
}

static uint64_t
count_loops(struct scene *s)
{
	struct json_object *answer, *poller;
	uint64_t loops;

	poller = json_object_array_get_idx(
		json_object_object_get(
			vucd_rig_ask(&s->rig, "stats.get", "[]", &answer), "pollers"),
		0);
	CU_ASSERT_PTR_NOT_NULL(poller);
	loops = json_object_get_uint64(json_object_object_get(poller, "loops_empty")) +
		json_object_get_uint64(json_object_object_get(poller, "loops_busy"));
	json_object_put(answer);
	return loops;
}

static struct usage
look_at_usage(struct scene *s)
{
	pid_t pid = s->rig.process.pid;
	struct usage u = {.ms = vuc_clock_ms(), .loops = count_loops(s)};
	struct dirent *entry;
	struct timespec cpu;
	clockid_t clock;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		u.threads++;
		u.switches += count_switches(pid, entry->d_name);
	}
	closedir(dir);
	CU_ASSERT_EQUAL(clock_getcpuclockid(pid, &clock), 0);
	CU_ASSERT_EQUAL(clock_gettime(clock, &cpu), 0);
	u.cpu_ms = (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000;
	return u;
}

/* A thread for the poller and one for the VMM, and four beside them at most; and all of them sleep.
 * The poller sleeps until a deadline, and looks around once in a second. */
static bool
is_idle(const struct usage *from, const struct usage *to)
{
	uint64_t ms = to->ms - from->ms;

	printf("# %u threads, in %u ms: %u loops, %u switches, %u ms of CPU time\n", to->threads,
		(unsigned int)ms, (unsigned int)(to->loops - from->loops),
		(unsigned int)(to->switches - from->switches),
		(unsigned int)(to->cpu_ms - from->cpu_ms));
	return to->threads <= 1 + 1 + 4 && to->loops - from->loops <= 20 + ms / 50 &&
		to->switches - from->switches <= 50 + ms / 10 &&
		to->cpu_ms - from->cpu_ms <= ms / 4;
}

/* Threads that look up the path of a socket come and go. */
static void
test_many(void)
{
	static struct scene s;
	struct usage before, now;
	bool idle = false;

	s = (struct scene){.kind = HANGS_AT_VERSION,
		.nr_hung = MANY_HUNG,
		.nr_healthy = MANY_DEVICES - MANY_HUNG};
	start(&s);
	hang(&s);
	CU_ASSERT_TRUE(attach(&s));
	vucd_rig_await(&s.rig, "more199", "free");
	now = look_at_usage(&s);
	for (unsigned int i = 0; !idle && i < SHM_TIMEOUT_MS / 1000; i++) {
		before = now;
		poll(NULL, 0, 1000);
		now = look_at_usage(&s);
		idle = is_idle(&before, &now);
	}
	CU_ASSERT_TRUE(idle);
	CU_ASSERT_TRUE(detach(&s));
	CU_ASSERT_TRUE(end(&s));
	stop(&s);
}

static CU_TestInfo tests[] = {
	{"stopped before VERSION", test_version},
	{"during a reset", test_reset},
	{"with a full socket", test_full},
	{"with unanswered mappings", test_map},
	{"while a VMM asks about a region", test_region},
	{"300 devices, 100 of them hung", test_many},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"hung servers", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
