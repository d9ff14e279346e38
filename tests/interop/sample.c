/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "sample.h"

/* The samples cannot say when they are ready, so connecting is tried for as long. */
#define READY_TIMEOUT_MS 10000

static const char *build;
static const char *transport;

static bool
sample_exists(const char *name, char *program, size_t size)
{
	snprintf(program, size, "%s/samples/%s", build, name);
	return access(program, X_OK) == 0;
}

bool
sample_start(struct sample *s, const char *name)
{
	const char *args[] = {s->path, NULL};
	char program[4096];

	if (!sample_exists(name, program, sizeof(program))) {
		vuc_tap_skip("the build folder has no such sample");
		return false;
	}
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(s->dir), 0);
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&s->process, program, args), 0);
	return true;
}

void
sample_stop(struct sample *s)
{
	vuc_spawn_kill(&s->process);
	vuc_spawn_free(&s->process);
	vuc_tempdir_remove(s->dir);
}

static bool
has_ended(const struct sample *s)
{
	struct pollfd p = {.fd = s->process.pidfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

struct vuc_device *
sample_open(struct sample *s)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev = NULL;
	int rc = -ENOENT;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = s->path;
	opts.transport = transport;
	for (unsigned int ms = 0; ms < READY_TIMEOUT_MS; ms++) {
		rc = vuc_device_open(&opts, &dev, &err);
		if ((rc != -ENOENT && rc != -ECONNREFUSED) || has_ended(s))
			break;
		vuc_clock_sleep_ms(1);
	}
	if (rc != 0)
		printf("# %s\n", err.text);
	return dev;
}

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

bool
sample_skip_if_ended(struct sample *s, const char *reason)
{
	char text[256], *errors;
	const char *last;

	if (vuc_spawn_wait(&s->process) != 0)
		return false;
	errors = vuc_spawn_errors(&s->process);
	last = errors != NULL ? last_line(errors) : "";
	snprintf(text, sizeof(text), "%s: it ended with status %d%s%.100s", reason,
		vuc_spawn_status(&s->process), *last != '\0' ? ", " : "", last);
	free(errors);
	vuc_tap_skip(text);
	return true;
}

int
sample_main(int argc, char **argv, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	build = getenv("VUC_LIBVFIO_USER_BUILD");
	if (build == NULL) {
		printf("1..0 # SKIP VUC_LIBVFIO_USER_BUILD does not name a build of libvfio-user\n");
		return 0;
	}
	transport = argc == 2 ? argv[1] : "posix";
	return vuc_tap_run(suites);
}
