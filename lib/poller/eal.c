/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include <vuc/export.h>

#include "eal.h"
#include "error.h"
#include "placement.h"

#define OWN_ARGS_MAX   24u
#define OTHER_ARGS_MAX 128u /* the caller's */
#define ARGS_MAX       (OWN_ARGS_MAX + OTHER_ARGS_MAX)
#define PREFIX_MAX     48
#define LOG_LINE_MAX   512

enum eal_state {
	EAL_NONE,
	EAL_OURS,
	EAL_APPLICATIONS,
	EAL_FAILED,
	EAL_OVER,
};

/* What EAL logs, cut into lines. Used with the stream locked, which rte_log does, too. */
struct eal_log {
	FILE *stream;
	vuc_log_fn fn;
	void *arg;
	char line[LOG_LINE_MAX];
	size_t len;
	char first_error[VUC_ERROR_MAX];
};

/* EAL keeps pointers into its arguments: they last as long as it does. */
struct eal_args {
	char *argv[ARGS_MAX]; /* all of them allocated; EAL sorts a copy of the array */
	unsigned int argc;
	bool incomplete;
};

/* There is one EAL in a process, and so there is one of these. */
static struct {
	pthread_mutex_t lock;
	enum eal_state state;
	unsigned int users;
	struct eal_log log;
	struct eal_args args;
	char runtime_dir[PATH_MAX]; /* to be removed; empty if it is not ours */
} eal = {.lock = PTHREAD_MUTEX_INITIALIZER};

VUC_EXPORT void
vuc_eal_opts_init(struct vuc_eal_opts *opts)
{
	*opts = (struct vuc_eal_opts){.telemetry = true};
}

/* ---- log ---- */

static enum vuc_log_level
level_of(int rte_level)
{
	if (rte_level <= (int)RTE_LOG_ERR)
		return VUC_LOG_ERROR;
	if (rte_level == (int)RTE_LOG_WARNING)
		return VUC_LOG_WARNING;
	return rte_level < (int)RTE_LOG_DEBUG ? VUC_LOG_NOTICE : VUC_LOG_DEBUG;
}

static void
end_line(struct eal_log *log)
{
	enum vuc_log_level level = level_of(rte_log_cur_msg_loglevel());

	log->line[log->len] = '\0';
	if (log->len == 0)
		return;
	log->len = 0;
	if (level == VUC_LOG_ERROR && log->first_error[0] == '\0')
		snprintf(log->first_error, sizeof(log->first_error), "%.*s",
			(int)sizeof(log->first_error) - 1, log->line);
	if (log->fn != NULL)
		log->fn(log->arg, level, log->line);
}

static ssize_t
take_bytes(void *cookie, const char *bytes, size_t size)
{
	struct eal_log *log = cookie;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n')
			end_line(log);
		else if (log->len < sizeof(log->line) - 1)
			log->line[log->len++] = bytes[i];
	}
	return (ssize_t)size;
}

/*
 * Some versions of DPDK close the stream with EAL, in others threads of EAL go on to use it. So it
 * stays open as far as vuc is concerned, and nothing here touches it once EAL has been cleaned up.
 */
static int
log_open(struct eal_log *log, const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	cookie_io_functions_t functions = {.write = take_bytes};

	log->stream = fopencookie(log, "w", functions);
	if (log->stream == NULL)
		return vuc_error_set(err, -ENOMEM, "DPDK's EAL: no memory for its log");
	log->fn = opts->log;
	log->arg = opts->log_arg;
	rte_openlog_stream(log->stream);
	return 0;
}

static void
log_mute(struct eal_log *log)
{
	flockfile(log->stream);
	log->fn = NULL;
	funlockfile(log->stream);
}

__attribute__((format(printf, 3, 4))) static void
say(const struct vuc_eal_opts *opts, enum vuc_log_level level, const char *fmt, ...)
{
	struct vuc_error line = {0};
	va_list args;

	if (opts->log == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line.text, sizeof(line.text), fmt, args);
	va_end(args);
	opts->log(opts->log_arg, level, line.text);
}

/* ---- EAL's folder at run time ---- */

/* Where EAL makes it, by EAL's own rules. */
static const char *
runtime_base(void)
{
	const char *base = getenv("RUNTIME_DIRECTORY");

	if (base == NULL && getuid() == 0)
		return "/var/run";
	if (base == NULL)
		base = getenv("XDG_RUNTIME_DIR");
	return base != NULL ? base : "/tmp";
}

/* Make a folder that is ours and only ours; made says whether there was none before. */
static int
make_folder(const char *path, bool *made)
{
	struct stat st;

	*made = mkdir(path, 0700) == 0;
	if (*made)
		return 0;
	if (errno != EEXIST || lstat(path, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && access(path, W_OK | X_OK) == 0 ? 0 : -EACCES;
}

static int
make_runtime_dir(const char *prefix, char path[PATH_MAX], bool *made)
{
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	int len = snprintf(path, PATH_MAX, "%s/dpdk", runtime_base());
	int rc;

	*made = false;
	if (len < 0 || (size_t)len + strlen(prefix) + sizeof("//dpdk_telemetry.v2") > room)
		return -ENAMETOOLONG;
	rc = make_folder(path, made);
	if (rc != 0)
		return rc;
	snprintf(path + len, PATH_MAX - (size_t)len, "/%s", prefix);
	return make_folder(path, made);
}

/*
 * EAL carries on without its folder, but then serves telemetry wherever it can, or fails. So make
 * the folder as it would, and let it do without telemetry where that is not possible.
 */
static bool
prepare_runtime_dir(const struct vuc_eal_opts *opts, const char *prefix)
{
	char path[PATH_MAX];
	bool made;
	int rc = make_runtime_dir(prefix, path, &made);

	if (made)
		memcpy(eal.runtime_dir, path, sizeof(path));
	if (rc != 0 && opts->telemetry)
		say(opts, VUC_LOG_WARNING, "no telemetry: folder %.120s: %s; see XDG_RUNTIME_DIR",
			path, strerror(-rc));
	return rc == 0;
}

/* EAL removes its sockets when the process exits, and the folder never. */
static void
remove_runtime_dir(void)
{
	static const char *const sockets[] = {"dpdk_telemetry.v2", "telemetry"};
	char path[PATH_MAX + 32];

	if (eal.runtime_dir[0] == '\0')
		return;
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", eal.runtime_dir, sockets[i]);
		unlink(path);
	}
	rmdir(eal.runtime_dir);
	eal.runtime_dir[0] = '\0';
}

/* ---- arguments ---- */

__attribute__((format(printf, 2, 3))) static void
add_arg(struct eal_args *args, const char *fmt, ...)
{
	va_list list;
	int len;

	va_start(list, fmt);
	len = vasprintf(&args->argv[args->argc], fmt, list);
	va_end(list);
	if (len >= 0)
		args->argc++;
	else
		args->incomplete = true;
}

/*
 * One lcore that may run on all CPUs that the thread may run on. So EAL binds the thread to what
 * it is bound to already, and gives the same CPUs to its own threads. No ranges: EAL 22.11 takes
 * one that begins with RTE_MAX_LCORE for its end.
 */
static void
add_floating_lcore(struct eal_args *args, const cpu_set_t *cpus)
{
	char list[CPU_SETSIZE * 5];
	size_t len = 0;

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus))
			len += (size_t)snprintf(
				list + len, sizeof(list) - len, len > 0 ? ",%u" : "%u", cpu);
	}
	add_arg(args, "--lcores=0@(%s)", list);
}

static void
add_memory(struct eal_args *args, const struct vuc_eal_opts *opts)
{
	uint32_t mb = opts->memory_mb;

	if (!opts->hugepages && mb == 0)
		mb = VUC_DEFAULT_EAL_MEMORY_MB;
	/* --in-memory is refused beside --no-huge, of which all that is left is --no-shconf. */
	if (opts->hugepages)
		add_arg(args, "--in-memory");
	else
		add_arg(args, "--no-huge");
	add_arg(args, "--no-shconf");
	if (mb != 0) {
		add_arg(args, "-m");
		add_arg(args, "%u", mb);
	}
}

static void
add_own_args(struct eal_args *args, const struct vuc_eal_opts *opts, const char *prefix,
	bool telemetry, const cpu_set_t *cpus)
{
	/*
	 * Quiet DPDK, and neither the types of vuc nor those of the application. Telemetry warns
	 * of an old interface that nothing here has; of two levels for a type, the last counts
	 * where EAL knows the type, the first where it is registered later.
	 */
	static const char *const levels[] = {"lib.telemetry:error", "lib.*:warning",
		"bus.*:warning", "pmd.*:warning", "lib.telemetry:error"};

	add_arg(args, "%s", program_invocation_short_name);
	add_memory(args, opts);
	add_arg(args, "--no-pci");
	add_arg(args, "--iova-mode=va");
	add_arg(args, "--file-prefix=%s", prefix);
	if (!telemetry)
		add_arg(args, "--no-telemetry");
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		add_arg(args, "--log-level=%s", levels[i]);
	if (opts->lcores == NULL) {
		add_floating_lcore(args, cpus);
		return;
	}
	add_arg(args, "-l");
	add_arg(args, "%s", opts->lcores);
}

static void
free_args(struct eal_args *args)
{
	for (unsigned int i = 0; i < args->argc; i++)
		free(args->argv[i]);
	*args = (struct eal_args){0};
}

/* ---- checks: EAL prints its usage when it refuses an argument ---- */

static int
check_lcores(const char *lcores, const cpu_set_t *allowed, struct vuc_error *err)
{
	cpu_set_t cpus;

	if (vuc_cpulist_parse(lcores, &cpus) != 0)
		return vuc_error_set(
			err, -EINVAL, "lcores \"%.64s\" is not a list of CPUs as 0,2-3", lcores);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;
		if (!CPU_ISSET(cpu, allowed))
			return vuc_error_set(err, -EINVAL,
				"lcores \"%.64s\": the process may not use CPU %u", lcores, cpu);
		if (cpu >= RTE_MAX_LCORE)
			return vuc_error_set(err, -EINVAL,
				"lcores \"%.64s\": DPDK has no lcore %u, they end at %u", lcores,
				cpu, RTE_MAX_LCORE - 1);
	}
	return 0;
}

static int
check_prefix(const char *prefix, struct vuc_error *err)
{
	size_t len = strlen(prefix);

	if (len == 0 || len >= PREFIX_MAX)
		return vuc_error_set(err, -EINVAL, "file_prefix has %zu bytes, expected 1 to %d",
			len, PREFIX_MAX - 1);
	if (strpbrk(prefix, "/%") != NULL || prefix[0] == '.')
		return vuc_error_set(err, -EINVAL,
			"file_prefix \"%s\" has a '/' or a '%%', or begins with a dot", prefix);
	return 0;
}

static int
check_opts(const struct vuc_eal_opts *opts, const cpu_set_t *allowed, struct vuc_error *err)
{
	int rc = 0;

	if (opts->lcores != NULL)
		rc = check_lcores(opts->lcores, allowed, err);
	if (rc == 0 && opts->file_prefix != NULL)
		rc = check_prefix(opts->file_prefix, err);
	if (rc == 0 && opts->nr_args > OTHER_ARGS_MAX)
		rc = vuc_error_set(err, -EINVAL, "%u arguments for DPDK's EAL, at most %u",
			opts->nr_args, OTHER_ARGS_MAX);
	return rc;
}

/* ---- set-up ---- */

/* The id alone is not enough where two PID namespaces share the folder. */
static void
name_process(const struct vuc_eal_opts *opts, char prefix[PREFIX_MAX])
{
	uint32_t number = 0;

	if (opts->file_prefix != NULL) {
		snprintf(prefix, PREFIX_MAX, "%s", opts->file_prefix);
		return;
	}
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = 0;
	snprintf(prefix, PREFIX_MAX, "vuc-%d-%08x", (int)getpid(), number);
}

/* Signals are the application's. Those of faults cannot wait, and EAL catches SIGBUS meanwhile. */
static void
block_signals(sigset_t *before)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

/* rte_eal_init(), with affinity and signal mask as before it. Returns 0 or -errno. */
static int
call_eal(const struct eal_args *args, cpu_set_t *affinity)
{
	char *argv[ARGS_MAX + 1] = {NULL};
	sigset_t signals;
	int rc;

	memcpy(argv, args->argv, args->argc * sizeof(*argv));
	block_signals(&signals);
	rte_errno = 0;
	rc = rte_eal_init((int)args->argc, argv);
	if (rc < 0)
		rc = rte_errno > 0 ? -rte_errno : -EIO;
	else
		rc = rte_thread_set_affinity(affinity) == 0 ? 0 : -EINVAL;
	if (rc != 0)
		sched_setaffinity(0, sizeof(*affinity), affinity);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	return rc;
}

static int
fail_eal(int rc, struct vuc_error *err)
{
	const char *why = eal.log.first_error;

	log_mute(&eal.log);
	remove_runtime_dir();
	eal.state = EAL_FAILED;
	return vuc_error_set(err, rc, "DPDK's EAL cannot be initialised: %s%s%s", strerror(-rc),
		why[0] != '\0' ? ": " : "", why);
}

/* All that EAL takes; what was made of it stays when it fails. */
static int
prepare(const struct vuc_eal_opts *opts, const cpu_set_t *affinity, struct vuc_error *err)
{
	char prefix[PREFIX_MAX];
	bool telemetry;

	name_process(opts, prefix);
	telemetry = prepare_runtime_dir(opts, prefix) && opts->telemetry;
	add_own_args(&eal.args, opts, prefix, telemetry, affinity);
	for (unsigned int i = 0; i < opts->nr_args; i++)
		add_arg(&eal.args, "%s", opts->args[i]);
	if (eal.args.incomplete)
		return vuc_error_set(err, -ENOMEM, "no memory for the arguments of DPDK's EAL");
	return log_open(&eal.log, opts, err);
}

static int
start_eal(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	cpu_set_t affinity;
	int rc;

	if (sched_getaffinity(0, sizeof(affinity), &affinity) != 0)
		return vuc_error_set(
			err, -errno, "the CPUs that the process may use: %s", strerror(errno));
	rc = check_opts(opts, &affinity, err);
	if (rc != 0)
		return rc;
	rc = prepare(opts, &affinity, err);
	if (rc != 0) {
		remove_runtime_dir();
		free_args(&eal.args);
		return rc;
	}
	rc = call_eal(&eal.args, &affinity);
	if (rc != 0)
		return fail_eal(rc, err);
	eal.state = EAL_OURS;
	return 0;
}

static void *
try_registration(void *arg)
{
	int *error = arg;

	*error = rte_thread_register() == 0 ? 0 : rte_errno;
	if (*error == 0)
		rte_thread_unregister();
	return NULL;
}

/* Whether threads can be registered, which is what is asked of an EAL; in a thread that is none. */
static int
attach_eal(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	pthread_t thread;
	int error = 0;
	int rc = pthread_create(&thread, NULL, try_registration, &error);

	if (rc != 0)
		return vuc_error_set(err, -rc, "a thread to try DPDK's EAL with: %s", strerror(rc));
	pthread_join(thread, NULL);
	if (error != 0)
		return vuc_error_set(err, -ENOTSUP,
			"the application's EAL takes no threads of others (%s): it is not "
			"initialised to the end, has secondary processes or no lcore left",
			strerror(error));
	say(opts, VUC_LOG_NOTICE, "using DPDK's EAL as the application has initialised it");
	eal.state = EAL_APPLICATIONS;
	return 0;
}

static int
enter(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	switch (eal.state) {
	case EAL_OURS:
	case EAL_APPLICATIONS:
		say(opts, VUC_LOG_NOTICE, "using DPDK's EAL as it has been initialised before");
		return 0;
	case EAL_FAILED:
		return vuc_error_set(err, -EALREADY,
			"DPDK's EAL has failed in this process, and cannot be tried again");
	case EAL_OVER:
		return vuc_error_set(err, -EALREADY,
			"DPDK's EAL has been cleaned up, and there is one in a process's life");
	case EAL_NONE:
		break;
	}
	/* EAL counts lcores first of all, and never forgets them. */
	return rte_lcore_count() > 0 ? attach_eal(opts, err) : start_eal(opts, err);
}

VUC_EXPORT int
vuc_eal_init(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	struct vuc_eal_opts defaults;
	int rc;

	vuc_eal_opts_init(&defaults);
	pthread_mutex_lock(&eal.lock);
	rc = enter(opts != NULL ? opts : &defaults, err);
	if (rc == 0)
		eal.users++;
	pthread_mutex_unlock(&eal.lock);
	return rc;
}

static void
leave(void)
{
	if (eal.state == EAL_APPLICATIONS) {
		eal.state = EAL_NONE;
		return;
	}
	log_mute(&eal.log);
	rte_eal_cleanup();
	remove_runtime_dir();
	free_args(&eal.args);
	eal.state = EAL_OVER;
}

VUC_EXPORT void
vuc_eal_fini(void)
{
	pthread_mutex_lock(&eal.lock);
	if (eal.users > 0 && --eal.users == 0)
		leave();
	pthread_mutex_unlock(&eal.lock);
}

/* ---- threads ---- */

static bool
is_up(void)
{
	bool up;

	pthread_mutex_lock(&eal.lock);
	up = eal.users > 0;
	pthread_mutex_unlock(&eal.lock);
	return up;
}

static int
bind_thread(int cpu, struct vuc_error *err)
{
	cpu_set_t set;
	int rc = EINVAL;

	CPU_ZERO(&set);
	if (cpu >= 0 && cpu < CPU_SETSIZE) {
		CPU_SET((unsigned int)cpu, &set);
		rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	}
	if (rc != 0)
		return vuc_error_set(
			err, -rc, "a thread cannot be bound to CPU %d: %s", cpu, strerror(rc));
	return 0;
}

int
vuc_eal_thread_enter(int cpu, struct vuc_error *err)
{
	int rc;

	if (!is_up())
		return vuc_error_set(err, -ENODEV, "vuc_eal_init() has not been called");
	if (rte_lcore_id() != LCORE_ID_ANY)
		return vuc_error_set(err, -EBUSY, "the thread is lcore %u already", rte_lcore_id());
	rc = cpu != EAL_ANY_CPU ? bind_thread(cpu, err) : 0;
	if (rc != 0)
		return rc;
	if (rte_thread_register() == 0)
		return 0;
	rc = rte_errno > 0 ? -rte_errno : -EIO;
	return vuc_error_set(err, rc, "the thread cannot be an lcore: %s; DPDK has at most %u",
		strerror(-rc), RTE_MAX_LCORE);
}

void
vuc_eal_thread_leave(void)
{
	rte_thread_unregister();
}
