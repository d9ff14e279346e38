/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Every fault of vuc-refdev, by the transport that the command line names: which call feels it,
 * with which error and words, whether the connection survives, and that nothing hangs or is left
 * behind.
 */

#include <ctype.h>
#include <time.h>

#include "clock.h"
#include "fault.h"
#include "fault_cases.h"
#include "fd_count.h"
#include "peer.h"

/* The client's clock goes by ticks of the kernel. */
#define CLOCK_MS 10u

static bool
reads_like(const char *text, const char *pattern)
{
	for (; *text != '\0' && *pattern != '\0' && *pattern != '*'; text++, pattern++)
		if (*pattern == '#' ? !isxdigit((unsigned char)*text) : *pattern != *text)
			return false;
	return *pattern == '*' || *text == *pattern;
}

/* What a call has returned and why. */
static void
check_outcome(const struct fault_case *c, int status, const char *reason)
{
	const char *expected = c->reason != NULL ? c->reason : "";

	CU_ASSERT_EQUAL(status, c->status);
	CU_ASSERT(reads_like(reason, expected));
	if (status != c->status || !reads_like(reason, expected))
		printf("# %s: %s, '%s', expected was %s, '%s'\n", c->fault,
			strerrorname_np(-status), reason, strerrorname_np(-c->status), expected);
}

/* What follows a late answer is late as well. */
static int
read_until_answered(struct vuc_device *dev)
{
	unsigned int tries = 0;
	int rc;

	do
		rc = call_read_id(dev);
	while (rc == -ETIMEDOUT && ++tries < 20);
	return rc;
}

/* A connection that has ended says why to every call. */
static void
check_fate(const struct fault_case *c, struct vuc_device *dev)
{
	char reason[VUC_ERROR_MAX];
	int rc;

	CU_ASSERT_EQUAL(vuc_device_connected(dev), c->fate != ENDS);
	if (vuc_device_connected(dev) != (c->fate != ENDS))
		printf("# %s: the connection %s\n", c->fault, c->fate == ENDS ? "goes on" : "ends");
	snprintf(reason, sizeof(reason), "%s", vuc_device_reason(dev));
	rc = c->fate == GOES_ON ? read_until_answered(dev) : call_read_id(dev);
	CU_ASSERT_EQUAL(rc, c->fate == GOES_ON ? 0 : c->status);
	if (c->fate == ENDS)
		CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), reason);
}

/* The text names the socket. */
static void
check_refused(const struct fault_case *c, const struct vuc_device_opts *opts, int status,
	const struct vuc_error *err)
{
	size_t place = strlen(opts->path);
	bool named = strncmp(err->text, opts->path, place) == 0 &&
		strncmp(err->text + place, ": ", 2) == 0;

	CU_ASSERT(named);
	check_outcome(c, status, err->text + (named ? place + 2 : 0));
}

static void
open_and_call(const struct fault_case *c, const struct vuc_device_opts *opts)
{
	struct vuc_error err = {0};
	struct vuc_device *dev;
	int rc = vuc_device_open(opts, &dev, &err);

	CU_ASSERT_EQUAL(dev == NULL, rc != 0);
	if (c->call == NULL) {
		check_refused(c, opts, rc, &err);
	} else if (rc != 0) {
		CU_FAIL("opening failed");
		printf("# %s: %s\n", c->fault, err.text);
	} else {
		rc = c->call(dev);
		check_outcome(c, rc, vuc_device_reason(dev));
		check_fate(c, dev);
	}
	vuc_device_close(dev);
}

static void
check_time(const struct fault_case *c, unsigned int ms)
{
	unsigned int least = c->status == -ETIMEDOUT ? FAULT_TIMEOUT_MS : c->least_ms;

	CU_ASSERT(ms + CLOCK_MS >= least);
	if (ms + CLOCK_MS < least)
		printf("# %s: took %u ms\n", c->fault, ms);
}

/* Warnings of one case. */
struct warnings {
	char first[VUC_ERROR_MAX + 128];
	unsigned int nr;
};

static void
count_warning(void *arg, enum vuc_log_level level, const char *line)
{
	struct warnings *w = arg;

	if (level == VUC_LOG_WARNING && w->nr++ == 0)
		snprintf(w->first, sizeof(w->first), "%s", line);
}

static void
check_warnings(const struct fault_case *c, const char *path, const struct warnings *w)
{
	const char *text = strstr(w->first, path) == w->first ? w->first + strlen(path) : "";
	bool right = c->warning == NULL
		? w->nr == 0
		: w->nr == 1 && strncmp(text, ": ", 2) == 0 && reads_like(text + 2, c->warning);

	CU_ASSERT(right);
	if (!right)
		printf("# %s: %u warnings, first '%s', expected was '%s'\n", c->fault, w->nr,
			w->first, c->warning != NULL ? c->warning : "none");
}

static void
run_case(const struct fault_case *c)
{
	struct warnings warnings = {.nr = 0};
	const unsigned int fds = fd_count();
	struct peer *p = peer_start(1, "--fault", c->fault, NULL);
	struct vuc_device_opts opts;
	uint64_t begin_ms;

	peer_opts(p, 0, &opts);
	opts.twin_socket = c->twin;
	opts.log = count_warning;
	opts.log_arg = &warnings;
	if (c->status == -ETIMEDOUT) {
		opts.timeout_ms = FAULT_TIMEOUT_MS;
		opts.long_timeout_ms = FAULT_LONG_TIMEOUT_MS;
	}
	begin_ms = vuc_clock_ms();
	open_and_call(c, &opts);
	check_time(c, (unsigned int)(vuc_clock_ms() - begin_ms));
	check_warnings(c, opts.path, &warnings);
	peer_stop(p);
	CU_ASSERT_EQUAL(fd_count(), fds);
	if (fd_count() != fds)
		printf("# %s: %u descriptors, %u before\n", c->fault, fd_count(), fds);
}

/* What comes of descriptors once a device is open depends on the kernel. */
static void
run_case_here(const struct fault_case *c)
{
	struct fault_case here = *c;

	if (c->refused && fds_are_refused()) {
		here.status = -ECONNRESET;
		here.reason = "the server closed the connection*";
	}
	run_case(&here);
}

static void
test_table(const void *row)
{
	const struct fault_table *t = row;

	for (size_t i = 0; i < t->nr; i++)
		run_case_here(&t->cases[i]);
}

static bool
has_case(const struct fault_table *t, const char *kind)
{
	size_t len = strlen(kind);

	for (size_t i = 0; i < t->nr; i++) {
		const char *fault = t->cases[i].fault;

		if (strncmp(fault, kind, len) == 0 && strcspn(fault, "=@#") == len)
			return true;
	}
	return false;
}

/* Whoever adds a kind adds what comes of it. */
static void
test_every_kind(void)
{
	const char *kind;

	for (size_t i = 0; (kind = refdev_fault_kind_name(i)) != NULL; i++) {
		bool found = false;

		for (size_t j = 0; j < NR(fault_tables); j++)
			found = found || has_case(&fault_tables[j], kind);
		CU_ASSERT_TRUE(found);
		if (!found)
			printf("# %s: no case\n", kind);
	}
}

const struct tap_suite tap_suite = {"faults", NULL, NULL,
	{
		{"every kind has a case", test_every_kind},
	},
	TAP_ROWS(fault_tables, test_table), .begin = peer_begin};
