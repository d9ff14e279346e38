/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_proc.h"

#include <errno.h>
#include <json-c/json.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "find_program.h"
#include "memfd.h"

#define KVM        "/dev/kvm"
#define NAME       "vuc-vmm"
#define TIMEOUT    "--timeout=20"
#define NOT_TESTED 77
#define MAX_REPORT 65536

extern char **environ;

int
bench_guest_find(char **program, struct vuc_error *err)
{
	int ret;

	*program = NULL;
	if (access(KVM, R_OK | W_OK) != 0)
		return bench_fail(err, -ENODEV, KVM ": %s", strerror(errno));
	ret = bench_find_program(NAME, "VUC_VMM", "../../app/vuc-vmm/vuc-vmm", program, err);
	return ret == -ENOENT ? -ENODEV : ret;
}

/* What a run has printed; a file takes all of it while nobody reads. */
struct output {
	int out;
	int err;
};

static int
open_output(struct output *output, struct vuc_error *err)
{
	int ret;

	output->out = vuc_memfd_create("vuc-vmm-out", 0, 0);
	output->err = vuc_memfd_create("vuc-vmm-err", 0, 0);
	ret = output->out < 0 ? output->out : output->err;
	return ret < 0 ? bench_fail(err, ret, "memfd: %s", strerror(-ret)) : 0;
}

static void
close_output(const struct output *output)
{
	if (output->out >= 0)
		close(output->out);
	if (output->err >= 0)
		close(output->err);
}

/* Returns a string, to be freed; NULL without memory. */
static char *
read_output(int fd)
{
	char *text = calloc(1, MAX_REPORT + 1);

	if (text != NULL && pread(fd, text, MAX_REPORT, 0) < 0)
		text[0] = '\0';
	return text;
}

static int
guest_spawn(const struct bench_guest_opts *opts, const struct output *output, pid_t *pid)
{
	char name[] = NAME, json[] = "--json", timeout[] = TIMEOUT, rounds[32];
	char socket[] = "--socket", device[] = "--device";
	char *const args[] = {name, json, timeout, rounds, socket, (char *)(uintptr_t)opts->socket,
		device, (char *)(uintptr_t)opts->device, NULL};
	posix_spawn_file_actions_t actions;
	int ret = posix_spawn_file_actions_init(&actions);

	if (ret != 0)
		return -ret;
	snprintf(rounds, sizeof(rounds), "--rounds=%u", opts->accesses);
	ret = posix_spawn_file_actions_adddup2(&actions, output->out, STDOUT_FILENO);
	if (ret == 0)
		ret = posix_spawn_file_actions_adddup2(&actions, output->err, STDERR_FILENO);
	if (ret == 0)
		ret = posix_spawn(pid, opts->program, &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -ret;
}

/* It has said why in one line. */
static int
exit_explain(const struct output *output, int status, struct vuc_error *err)
{
	char *text = read_output(output->err);
	int ret = WIFEXITED(status) && WEXITSTATUS(status) == NOT_TESTED ? -ENODEV : -EIO;

	if (text != NULL)
		text[strcspn(text, "\n")] = '\0';
	if (text != NULL && text[0] != '\0')
		bench_fail(err, ret, "%s", text);
	else if (WIFSIGNALED(status))
		bench_fail(err, ret, NAME ": killed by signal %d", WTERMSIG(status));
	else
		bench_fail(err, ret, NAME ": ended with status %d", WEXITSTATUS(status));
	free(text);
	return ret;
}

/* Also of one that is not there: 0. */
static uint64_t
number_of(struct json_object *root, const char *outer, const char *inner, const char *key)
{
	struct json_object *object = root, *value = NULL;

	if (outer != NULL && !json_object_object_get_ex(object, outer, &object))
		return 0;
	if (inner != NULL && !json_object_object_get_ex(object, inner, &object))
		return 0;
	if (!json_object_object_get_ex(object, key, &value))
		return 0;
	return json_object_get_uint64(value);
}

static int
output_parse(const char *text, struct bench_guest_report *report, struct vuc_error *err)
{
	static const char *const names[BENCH_GUEST_ACCESSES] = {
		[BENCH_GUEST_EXIT] = "exit",
		[BENCH_GUEST_READ] = "read",
		[BENCH_GUEST_POST] = "post",
		[BENCH_GUEST_MAPPED] = "mapped",
	};
	struct json_object *root = json_tokener_parse(text);
	int ret = 0;

	report->tsc_khz = number_of(root, NULL, NULL, "tsc_khz");
	for (unsigned int i = 0; i < BENCH_GUEST_ACCESSES; i++) {
		report->median[i] = number_of(root, "series", names[i], "median_ticks");
		if (report->median[i] == 0)
			ret = bench_fail(
				err, -EPROTO, NAME ": no times of '%s' in its report", names[i]);
	}
	json_object_put(root);
	return ret;
}

static int
take_report(const struct output *output, struct bench_guest_report *report, struct vuc_error *err)
{
	char *text = read_output(output->out);
	int ret;

	if (text == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	ret = output_parse(text, report, err);
	free(text);
	return ret;
}

int
bench_guest_run(const struct bench_guest_opts *opts, struct bench_guest_report *report,
	struct vuc_error *err)
{
	struct output output;
	int ret = open_output(&output, err);
	int status = 0;
	pid_t pid = 0;

	if (ret == 0) {
		ret = guest_spawn(opts, &output, &pid);
		if (ret != 0)
			bench_fail(err, ret, "%s: %s", opts->program, strerror(-ret));
	}
	while (ret == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ret == 0)
		ret = status != 0 ? exit_explain(&output, status, err)
				  : take_report(&output, report, err);
	close_output(&output);
	return ret;
}
