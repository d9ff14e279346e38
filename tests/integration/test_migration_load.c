/* SPDX-License-Identifier: BSD-3-Clause */

/* Migration data by hand, and loading a device: in which messages, and what becomes of errors. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <vuc/feature.h>

#include "mig_server.h"
#include "mig_stream.h"
#include "tap.h"
#include "vfio_user.h"

#define SET_STATE (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

static void
test_read(void)
{
	uint8_t data[200];
	struct mig_server f;
	struct vuc_device *dev;
	size_t count = 1, wrong = 0;

	mig_server_init(&f);
	f.stop_copy = 150;
	f.server.max_data = 64;
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP_COPY), 0);
	CU_ASSERT_EQUAL(vuc_migration_read(dev, data, 0, &count), 0);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_EQUAL(vuc_migration_read(dev, data, 100, &count), 0);
	CU_ASSERT_EQUAL(count, 100);
	CU_ASSERT_EQUAL(vuc_migration_read(dev, data + 100, 100, &count), 0);
	CU_ASSERT_EQUAL(count, 50);
	CU_ASSERT_EQUAL(vuc_migration_read(dev, data + 150, 1, &count), 0);
	CU_ASSERT_EQUAL(count, 0);
	for (size_t i = 0; i < 150; i++)
		wrong += data[i] != mig_byte(i);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_STRING_EQUAL(f.trace, "STOP_COPY r64 r36 r50 r0 ");
	vuc_device_close(dev);
}

static void
test_write(void)
{
	static uint8_t data[100000];
	struct mig_server f;
	struct vuc_device *dev;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = mig_byte(i);
	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_write(dev, data, 0), 0);
	CU_ASSERT_EQUAL(vuc_migration_write(dev, data, sizeof(data)), 0);
	CU_ASSERT_EQUAL(f.taken, sizeof(data));
	CU_ASSERT_EQUAL(f.wrong, 0);
	CU_ASSERT_STRING_EQUAL(f.trace, "w32768 w32768 w32768 w1696 ");
	vuc_device_close(dev);

	f.server.max_data = 60000;
	f.trace[0] = '\0';
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_write(dev, data, 40000), 0);
	CU_ASSERT_STRING_EQUAL(f.trace, "w32768 w7232 ");
	vuc_device_close(dev);
}

/* A load, and what it should ask for. */
static void
check_load(struct mig_server *f, int fd, const struct vuc_migration_load_opts *opts, size_t bytes,
	const char *trace)
{
	struct vuc_device *dev = mig_server_open(f);
	uint64_t taken = 0;

	f->taken = 0;
	f->trace[0] = '\0';
	CU_ASSERT_EQUAL(vuc_migration_load(dev, fd, opts, &taken), 0);
	CU_ASSERT_EQUAL(taken, bytes);
	CU_ASSERT_EQUAL(f->taken, bytes);
	CU_ASSERT_EQUAL(f->wrong, 0);
	CU_ASSERT_STRING_EQUAL(f->trace, trace);
	vuc_device_close(dev);
}

static void
test_load(void)
{
	struct mig_record r = {0};
	struct vuc_migration_load_opts opts;
	struct mig_server f;
	int fd = mig_data_file(70000);

	vuc_migration_load_opts_init(&opts, sizeof(opts));
	mig_server_init(&f);
	check_load(&f, fd, NULL, 70000, "STOP RESUMING w32768 w32768 w4464 STOP ");
	check_load(&f, fd, NULL, 0, "RESUMING STOP ");
	lseek(fd, 0, SEEK_SET);
	opts.chunk_size = 10000;
	opts.bytes = 20000;
	opts.run = true;
	opts.progress = mig_record_progress;
	opts.arg = &r;
	check_load(&f, fd, &opts, 20000, "RESUMING w10000 w10000 STOP RUNNING ");
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_CUR), 20000);
	CU_ASSERT_EQUAL(r.calls, 2);
	CU_ASSERT_EQUAL(r.last.state, VUC_MIGRATION_RESUMING);
	CU_ASSERT_EQUAL(r.last.bytes, 20000);
	lseek(fd, 0, SEEK_SET);
	opts.bytes = 10001;
	check_load(&f, fd, &opts, 10001, "STOP RESUMING w10000 w1 STOP RUNNING ");
	/* What somebody else has begun to load is dropped. */
	lseek(fd, 0, SEEK_SET);
	f.state = VUC_MIGRATION_RESUMING;
	opts.bytes = 1;
	check_load(&f, fd, &opts, 1, "STOP RESUMING w1 STOP RUNNING ");
	close(fd);
}

/* A load that fails, and leaves the device stopped. */
static void
check_load_fails(struct mig_server *f, int fd, const struct vuc_migration_load_opts *opts,
	int expected, const char *reason, const char *trace)
{
	struct vuc_device *dev = mig_server_open(f);

	f->trace[0] = '\0';
	f->server.matched = 0;
	CU_ASSERT_EQUAL(vuc_migration_load(dev, fd, opts, NULL), expected);
	CU_ASSERT(mig_reason_is(dev, reason));
	CU_ASSERT_STRING_EQUAL(f->trace, trace);
	vuc_device_close(dev);
}

static void
test_load_fails(void)
{
	struct mig_record r = {.answer_at = 1, .answer = -EINTR};
	struct vuc_migration_load_opts opts;
	struct mig_server f;
	int fd = mig_data_file(100);

	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.bytes = 101;
	mig_server_init(&f);
	check_load_fails(&f, fd, &opts, -ENODATA, "the migration data ends after 100 of 101 bytes",
		"STOP RESUMING STOP ");
	check_load_fails(&f, -1, NULL, -EBADF, "reading migration data: Bad file descriptor",
		"RESUMING STOP ");
	lseek(fd, 0, SEEK_SET);
	opts.bytes = 50;
	opts.progress = mig_record_progress;
	opts.arg = &r;
	check_load_fails(&f, fd, &opts, -EINTR,
		"given up in migration state RESUMING after 50 bytes: Interrupted system call",
		"RESUMING w50 STOP ");
	f.state = VUC_MIGRATION_ERROR;
	check_load_fails(&f, fd, NULL, -EINVAL,
		"migration state cannot change from ERROR to STOP: reset the device", "");
	f.migration_flags = 0;
	check_load_fails(&f, fd, NULL, -EOPNOTSUPP, "the device cannot be migrated", "");
	close(fd);
}

static void
check_load_fault(
	const struct fake_fault *fault, int expected, const char *reason, const char *trace)
{
	struct vuc_migration_load_opts opts;
	struct mig_server f;
	int fd = mig_data_file(20);

	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 10;
	opts.run = true;
	mig_server_init(&f);
	f.server.fault = *fault;
	check_load_fails(&f, fd, &opts, expected, reason, trace);
	close(fd);
}

static void
test_load_faults(void)
{
	struct fake_fault fault = {
		.nth = 2, .cmd = VFIO_USER_MIG_DATA_WRITE, .wrong = FAKE_ERROR, .value = ENOSPC};

	check_load_fault(&fault, -ENOSPC,
		"the server answered VFIO_USER_MIG_DATA_WRITE with error 28 (No space left on "
		"device)",
		"STOP RESUMING w10 STOP ");
	fault.wrong = FAKE_CLOSE;
	check_load_fault(&fault, -ECONNRESET,
		"the server closed the connection instead of answering VFIO_USER_MIG_DATA_WRITE",
		"STOP RESUMING w10 w10 ");

	/* A server that finds the data wrong says so at its end. */
	fault.nth = 3;
	fault.cmd = VFIO_USER_DEVICE_FEATURE;
	fault.flags = SET_STATE;
	fault.wrong = FAKE_ERROR_STATE;
	fault.value = EINVAL;
	check_load_fault(&fault, -EINVAL,
		"from migration state RESUMING to STOP: the server answered VFIO_USER_DEVICE_FEATURE "
		"with error 22 (Invalid argument); the device is in ERROR now; and not brought back "
		"to STOP: migration state cannot change from ERROR to STOP: reset the device",
		"STOP RESUMING w10 w10 ");
	fault.nth = 4;
	fault.wrong = FAKE_ERROR;
	fault.value = EIO;
	check_load_fault(&fault, -EIO,
		"from migration state STOP to RUNNING: the server answered VFIO_USER_DEVICE_FEATURE "
		"with error 5 (Input/output error)",
		"STOP RESUMING w10 w10 STOP ");
}

static void
check_load_pipe(int flags)
{
	const size_t size = 100000;
	struct vuc_migration_load_opts opts;
	struct mig_server f;
	int in = mig_data_file(size);
	int fds[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(fcntl(fds[0], F_SETFL, flags), 0);
	pid = mig_start_mover(in, fds[1], fds[0]);
	close(fds[1]);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 30000;
	mig_server_init(&f);
	check_load(&f, fds[0], &opts, size, "STOP RESUMING w30000 w30000 w30000 w10000 STOP ");
	CU_ASSERT(mig_has_ended_well(pid));
	close(fds[0]);
	close(in);
}

static void
test_load_pipe(void)
{
	check_load_pipe(0);
	check_load_pipe(O_NONBLOCK);
}

static CU_TestInfo tests[] = {
	{"read", test_read},
	{"write", test_write},
	{"load", test_load},
	{"load that fails", test_load_fails},
	{"load with a server that fails", test_load_faults},
	{"load from a pipe", test_load_pipe},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("migration load", NULL, NULL, tests);
}
