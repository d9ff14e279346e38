/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "sample.h"

/* The samples cannot say when they are ready, so connecting is tried for as long. */
#define READY_TIMEOUT_MS 10000

static const char *build;
static const char *transport;

/* Why some versions of a sample end. */
static const struct {
	const char *name;
	const char *reason;
} known[] = {
	{"server", "this version of the sample refuses its own BAR1"},
	{"shadow_ioeventfd_server", "libvfio-user was built without shadow ioeventfds"},
};

/* What a program said last, if it ends its lines. */
static const char *
last_line(char *text)
{
	char *end = strrchr(text, '\n'), *line;

	if (end == NULL)
		return text;
	*end = '\0';
	line = strrchr(text, '\n');
	return line != NULL ? line + 1 : text;
}

/* The test is marked as skipped with the exit status and the last line of what it said. */
static bool
skip_if_known(struct sample *s, const char *name)
{
	char text[256], *errors;
	int status;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		status = process_end(&s->process, 0);
		errors = process_errors(&s->process);
		snprintf(text, sizeof(text), "%s: it ended with status %d, %.100s", known[i].reason,
			status, errors != NULL ? last_line(errors) : "");
		free(errors);
		vuc_tap_skip(text);
		return status != -ETIMEDOUT;
	}
	return false;
}

static int
try_to_open(struct sample *s)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	int rc = -ENOENT;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = s->path;
	opts.transport = transport;
	for (unsigned int ms = 0; ms < READY_TIMEOUT_MS; ms++) {
		rc = vuc_device_open(&opts, &s->dev, &err);
		if ((rc != -ENOENT && rc != -ECONNREFUSED) || process_has_ended(&s->process))
			break;
		vuc_clock_sleep_ms(1);
	}
	if (rc != 0)
		printf("# %s\n", err.text);
	return rc;
}

void
sample_open(struct sample *s)
{
	CU_ASSERT_EQUAL_FATAL(try_to_open(s), 0);
}

bool
sample_start(struct sample *s, const char *name)
{
	const char *args[] = {s->path, NULL};
	char program[4096];
	bool open;

	*s = (struct sample){.dev = NULL};
	snprintf(program, sizeof(program), "%s/samples/%s", build, name);
	if (access(program, X_OK) != 0) {
		vuc_tap_skip("the build folder has no such sample");
		return false;
	}
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(s->dir), 0);
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	CU_ASSERT_EQUAL_FATAL(process_start(&s->process, program, args, false), 0);
	open = try_to_open(s) == 0;
	CU_ASSERT_FATAL(open || skip_if_known(s, name));
	if (!open)
		sample_stop(s);
	return open;
}

void
sample_stop(struct sample *s)
{
	vuc_device_close(s->dev);
	process_free(&s->process);
	vuc_tempdir_remove(s->dir);
}

void
sample_test_run(const void *row)
{
	const struct sample_test *test = row;
	struct sample s;

	if (!sample_start(&s, test->sample))
		return;
	test->check(s.dev);
	sample_stop(&s);
}

const char *
sample_begin(const char *arg)
{
	transport = strcmp(arg, "uring") == 0 ? arg : "posix";
	build = getenv("VUC_LIBVFIO_USER_BUILD");
	return build != NULL ? NULL
			     : "VUC_LIBVFIO_USER_BUILD does not name a build of libvfio-user";
}
