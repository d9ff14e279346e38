/* SPDX-License-Identifier: BSD-3-Clause */

/* A process that may not use io_uring, as in most containers: seccomp sees to that here. */

#include <sys/syscall.h>

#include "outcome.h"
#include "peer.h"

static unsigned int nr_lines;
static char last_line[512];

static void
take_line(void *arg, enum vuc_log_level level, const char *line)
{
	CU_ASSERT_PTR_EQUAL(arg, &nr_lines);
	CU_ASSERT_EQUAL(level, VUC_LOG_NOTICE);
	nr_lines++;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static void
test_falls_back(void)
{
	struct vuc_poll_group_opts group_opts;
	struct vuc_device_opts opts;
	struct vuc_poll_group *group;
	struct vuc_device *dev;
	struct peer *p = peer_start(1, NULL);
	uint32_t id = 0;

	vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
	group_opts.log = take_line;
	group_opts.log_arg = &nr_lines;
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&group_opts, &group, NULL), 0);
	CU_ASSERT_STRING_EQUAL(vuc_poll_group_transport(group), "posix");

	peer_opts(p, 0, &opts);
	opts.transport = NULL;
	opts.group = group;
	dev = open_well(&opts);
	CU_ASSERT_EQUAL(vuc_device_read(dev, 0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(nr_lines, 1);
	CU_ASSERT_STRING_EQUAL(last_line,
		"transport posix instead of uring: io_uring_setup: Operation not permitted "
		"(sysctl kernel.io_uring_disabled, or seccomp)");
	vuc_device_close(dev);
	vuc_poll_group_destroy(group);
	peer_stop(p);
}

static void
test_refused_by_name(void)
{
	struct vuc_poll_group_opts opts;
	struct vuc_poll_group *group;
	struct vuc_error err = {0};

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = "uring";
	CU_ASSERT_EQUAL(vuc_poll_group_create(&opts, &group, &err), -EPERM);
	CU_ASSERT_PTR_NULL(group);
	CU_ASSERT_STRING_EQUAL(err.text,
		"io_uring_setup: Operation not permitted (sysctl kernel.io_uring_disabled, or "
		"seccomp)");
}

static const char *
forbid_uring(const char *arg)
{
	(void)arg;
	peer_choose_transport("posix");
	return peer_forbid_call(SYS_io_uring_setup, EPERM) != 0
		? "seccomp filters are not allowed here"
		: NULL;
}

const struct tap_suite tap_suite = {"without io_uring", NULL, NULL,
	{
		{"falls back to posix, and says so once", test_falls_back},
		{"uring by name is refused", test_refused_by_name},
	},
	.begin = forbid_uring};
