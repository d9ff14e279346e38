/* SPDX-License-Identifier: BSD-3-Clause */

/* Options of programs that know another version of a header, at each public function, and values
 * that are out of range. */

#include <vuc/control.h>
#include <vuc/eal.h>
#include <vuc/poller.h>

#include "tap.h"

#define ROOM 1024u /* more than any of the structs has */

/* Up to the last field of the first version. Never to be changed. */
#define LEAST(type, last) (offsetof(type, last) + sizeof(((type *)NULL)->last))

/* Options are read before anything else is looked at, so that there need not be anything. */

static int
open_device(const void *opts, struct vuc_error *err)
{
	struct vuc_device *dev;

	return vuc_device_open(opts, &dev, err);
}

static int
create_group(const void *opts, struct vuc_error *err)
{
	struct vuc_poll_group *group;

	return vuc_poll_group_create(opts, &group, err);
}

static int
create_poller(const void *opts, struct vuc_error *err)
{
	struct vuc_poller *poller;

	return vuc_poller_create(opts, &poller, err);
}

static int
open_queue(const void *opts, struct vuc_error *err)
{
	struct vuc_queue *queue;

	return vuc_poller_open_queue(NULL, NULL, opts, &queue, err);
}

static int
init_eal(const void *opts, struct vuc_error *err)
{
	return vuc_eal_init(opts, err);
}

static int
create_control(const void *opts, struct vuc_error *err)
{
	struct vuc_control *control;

	return vuc_control_create(opts, &control, err);
}

static int
add_device(const void *opts, struct vuc_error *err)
{
	return vuc_control_add_device_start(NULL, opts, NULL, NULL, err);
}

static void
check(const char *name, size_t size, size_t least,
	int (*call)(const void *opts, struct vuc_error *err))
{
	union {
		size_t size;
		unsigned char bytes[ROOM];
	} opts = {.size = 0};
	struct vuc_error err = {0};
	char text[VUC_ERROR_MAX];

	CU_ASSERT_EQUAL(call(&opts, &err), -EINVAL);
	snprintf(text, sizeof(text), "struct %s has a size of 0: %s_init() sets it", name, name);
	CU_ASSERT_STRING_EQUAL(err.text, text);
	CU_ASSERT_TRUE_FATAL(size < ROOM);
	opts.size = least - 1;
	CU_ASSERT_EQUAL(call(&opts, &err), -EINVAL);
	snprintf(text, sizeof(text),
		"struct %s has a size of %zu, less than that of any version (%zu): give %s_init() "
		"its sizeof",
		name, least - 1, least, name);
	CU_ASSERT_STRING_EQUAL(err.text, text);
	opts.size = size + 1;
	opts.bytes[size] = 1;
	CU_ASSERT_EQUAL(call(&opts, &err), -EINVAL);
	snprintf(text, sizeof(text), "struct %s: byte %zu is set, this library knows %zu", name,
		size, size);
	CU_ASSERT_STRING_EQUAL(err.text, text);
}

static void
test_all(void)
{
	check("vuc_device_opts", sizeof(struct vuc_device_opts),
		LEAST(struct vuc_device_opts, trace_arg), open_device);
	check("vuc_poll_group_opts", sizeof(struct vuc_poll_group_opts),
		LEAST(struct vuc_poll_group_opts, log_arg), create_group);
	check("vuc_poller_opts", sizeof(struct vuc_poller_opts),
		LEAST(struct vuc_poller_opts, log_arg), create_poller);
	check("vuc_queue_opts", sizeof(struct vuc_queue_opts),
		LEAST(struct vuc_queue_opts, max_data), open_queue);
	check("vuc_eal_opts", sizeof(struct vuc_eal_opts), LEAST(struct vuc_eal_opts, log_arg),
		init_eal);
	check("vuc_control_opts", sizeof(struct vuc_control_opts),
		LEAST(struct vuc_control_opts, log_arg), create_control);
	check("vuc_control_device_opts", sizeof(struct vuc_control_device_opts),
		LEAST(struct vuc_control_device_opts, retry_max_ms), add_device);
}

#define FIELD(name) \
	offsetof(struct vuc_device_opts, name), sizeof(((struct vuc_device_opts *)NULL)->name)

/* Values of a device that are out of range. */
static void
test_bad_values(void)
{
	static const struct {
		size_t at, size;
		uint32_t value;
		const char *transport;
		const char *reason;
	} rows[] = {
		{FIELD(fd), 0, NULL, "exactly one of path, fd and loopback has to be set"},
		{FIELD(timeout_ms), 0, NULL, "timeout_ms is 0"},
		{FIELD(max_data_xfer_size), 1048577, NULL,
			"max_data_xfer_size 1048577 is not in 8 to 1048576"},
		{FIELD(max_data_xfer_size), 7, NULL, "max_data_xfer_size 7 is not in 8 to 1048576"},
		{FIELD(max_dma_maps), 0, NULL, "max_dma_maps is 0"},
		{FIELD(max_msg_fds), 17, NULL, "max_msg_fds 17 is over 16"},
		{FIELD(max_requests), 100, NULL,
			"max_requests 100 is not a power of two in 1 to 4096"},
		{0, 0, 0, "carrier pigeon",
			"/nonexistent: unknown transport 'carrier pigeon' (available: uring, "
			"posix, loopback)"},
		{0, 0, 0, "loopback", "/nonexistent: transport loopback does not support a socket"},
	};
	struct vuc_device *dev;
	struct vuc_device_opts opts;
	struct vuc_error err = {0};

	vuc_device_opts_init(&opts, sizeof(opts));
	CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, rows[0].reason);
	for (size_t i = 0; i < NR(rows); i++) {
		vuc_device_opts_init(&opts, sizeof(opts));
		opts.path = "/nonexistent";
		opts.transport = rows[i].transport;
		memcpy((uint8_t *)&opts + rows[i].at, &rows[i].value, rows[i].size);
		CU_ASSERT_EQUAL(vuc_device_open(&opts, &dev, &err), -EINVAL);
		CU_ASSERT_PTR_NULL(dev);
		CU_ASSERT_STRING_EQUAL(err.text, rows[i].reason);
	}
}

const struct tap_suite tap_suite = {"opts", NULL, NULL,
	{
		{"a size that was not set, and a byte that is not known", test_all},
		{"values that a device cannot have", test_bad_values},
	}};
