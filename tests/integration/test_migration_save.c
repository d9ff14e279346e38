/* SPDX-License-Identifier: BSD-3-Clause */

/* Saving a device to a descriptor: in which messages, and what becomes of errors. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <vuc/feature.h>

#include "mig_server.h"
#include "mig_stream.h"
#include "tap.h"
#include "vfio_user.h"

#define SET_STATE (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

/* A save, and what it should ask for. */
static void
check_save(struct mig_server *f, const struct vuc_migration_save_opts *opts, size_t bytes,
	const char *trace)
{
	struct vuc_device *dev = mig_server_open(f);
	struct vuc_migration_saved saved;
	int fd = mig_memory_file();

	f->sent = 0;
	f->trace[0] = '\0';
	CU_ASSERT_EQUAL(vuc_migration_save(dev, fd, opts, &saved), 0);
	CU_ASSERT_EQUAL(saved.pre_copy_bytes + saved.stop_copy_bytes, bytes);
	CU_ASSERT(mig_file_has_data(fd, bytes));
	CU_ASSERT_EQUAL(f->state, VUC_MIGRATION_STOP);
	CU_ASSERT_STRING_EQUAL(f->trace, trace);
	close(fd);
	vuc_device_close(dev);
}

static void
test_save(void)
{
	struct vuc_migration_save_opts opts;
	struct mig_server f;

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	mig_server_init(&f);
	f.stop_copy = 1000;
	check_save(&f, NULL, 1000, "STOP_COPY r1000 STOP ");
	check_save(&f, &opts, 1000, "STOP_COPY r1000 STOP ");
	opts.chunk_size = 400;
	check_save(&f, &opts, 1000, "STOP_COPY r400 r400 r200 STOP ");
	opts.chunk_size = 500;
	check_save(&f, &opts, 1000, "STOP_COPY r500 r500 r0 STOP ");
	f.server.max_data = 600;
	opts.chunk_size = 601;
	check_save(&f, &opts, 1000, "STOP_COPY r600 r400 STOP ");
	f.stop_copy = 0;
	check_save(&f, &opts, 0, "STOP_COPY r0 STOP ");
}

/* As much as a message can carry, more than once. */
static void
test_save_much(void)
{
	struct mig_server f;

	mig_server_init(&f);
	f.stop_copy = 3000000;
	check_save(&f, NULL, 3000000, "STOP_COPY r1048576 r1048576 r902848 STOP ");
}

static void
test_save_pre_copy(void)
{
	struct vuc_migration_save_opts opts;
	struct mig_server f;

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 100;
	opts.pre_copy_rounds = 10;
	mig_server_init(&f);
	f.stop_copy = 50;
	f.pre_copy[0] = 250;
	f.pre_copy[1] = 99;
	check_save(&f, &opts, 399, "PRE_COPY r100 r100 r50 r99 r0 STOP_COPY r50 STOP ");
	f.state = VUC_MIGRATION_RUNNING;
	opts.pre_copy_rounds = 1;
	check_save(&f, &opts, 300, "PRE_COPY r100 r100 r50 STOP_COPY r50 STOP ");
	/* A device that is stopped is not started for it. */
	check_save(&f, &opts, 50, "STOP_COPY r50 STOP ");
	f.state = VUC_MIGRATION_RUNNING;
	f.migration_flags = VUC_MIGRATION_CAN_STOP_COPY;
	check_save(&f, &opts, 50, "STOP_COPY r50 STOP ");
	f.state = VUC_MIGRATION_PRE_COPY;
	check_save(&f, &opts, 50, "STOP_COPY r50 STOP ");
}

static void
test_save_progress(void)
{
	struct mig_record r = {.answer_at = 2, .answer = VUC_MIGRATION_END_PRE_COPY};
	struct vuc_migration_save_opts opts;
	struct mig_server f;

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 100;
	opts.pre_copy_rounds = 10;
	opts.progress = mig_record_progress;
	opts.arg = &r;
	mig_server_init(&f);
	f.pre_copy[0] = 1000;
	f.stop_copy = 150;
	check_save(&f, &opts, 350, "PRE_COPY r100 r100 STOP_COPY r100 r50 STOP ");
	CU_ASSERT_EQUAL(r.calls, 4);
	CU_ASSERT_EQUAL(r.last.bytes, 350);
	CU_ASSERT_EQUAL(r.last.round, 0);
	CU_ASSERT_EQUAL(r.last.state, VUC_MIGRATION_STOP_COPY);

	/* Where there is no pre-copy to be ended, it goes on. */
	r = (struct mig_record){.answer_at = 1, .answer = VUC_MIGRATION_END_PRE_COPY};
	check_save(&f, &opts, 150, "STOP_COPY r100 r50 STOP ");
}

/* A save that fails, and brings the device back. */
static void
check_save_fails(struct mig_server *f, int fd, const struct vuc_migration_save_opts *opts,
	int expected, const char *reason, const char *trace)
{
	struct vuc_device *dev = mig_server_open_timeout(f, 30);

	f->trace[0] = '\0';
	f->server.matched = 0;
	CU_ASSERT_EQUAL(vuc_migration_save(dev, fd, opts, NULL), expected);
	CU_ASSERT(mig_reason_is(dev, reason));
	CU_ASSERT_STRING_EQUAL(f->trace, trace);
	vuc_device_close(dev);
}

static void
test_save_given_up(void)
{
	struct mig_record r = {.answer_at = 1, .answer = -ECANCELED};
	struct vuc_migration_save_opts opts;
	struct mig_server f;
	int fd = mig_memory_file();

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 100;
	opts.pre_copy_rounds = 1;
	opts.progress = mig_record_progress;
	opts.arg = &r;
	mig_server_init(&f);
	f.pre_copy[0] = 1000;
	f.stop_copy = 150;
	check_save_fails(&f, fd, &opts, -ECANCELED,
		"given up in migration state PRE_COPY after 100 bytes: Operation canceled",
		"PRE_COPY r100 RUNNING ");
	CU_ASSERT_EQUAL(r.last.round, 1);
	r.calls = 0;
	opts.pre_copy_rounds = 0;
	check_save_fails(&f, fd, &opts, -ECANCELED,
		"given up in migration state STOP_COPY after 100 bytes: Operation canceled",
		"STOP_COPY r100 RUNNING ");
	r.calls = 0;
	f.state = VUC_MIGRATION_STOP;
	check_save_fails(&f, fd, &opts, -ECANCELED,
		"given up in migration state STOP_COPY after 100 bytes: Operation canceled",
		"STOP_COPY r100 STOP ");
	close(fd);
}

static void
test_save_bounded(void)
{
	struct vuc_migration_save_opts opts;
	struct mig_server f;
	int fd = mig_memory_file();

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 100;
	opts.max_bytes = 250;
	mig_server_init(&f);
	f.stop_copy = 250;
	check_save(&f, &opts, 250, "STOP_COPY r100 r100 r50 STOP ");
	f.state = VUC_MIGRATION_RUNNING;
	f.stop_copy = SIZE_MAX;
	check_save_fails(&f, fd, &opts, -EFBIG,
		"the server has more than 250 bytes of migration data",
		"STOP_COPY r100 r100 r100 RUNNING ");
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_CUR), 200);
	close(fd);
}

static void
test_save_bad_fd(void)
{
	struct mig_server f;

	mig_server_init(&f);
	f.stop_copy = 10;
	check_save_fails(&f, -1, NULL, -EBADF, "writing migration data: Bad file descriptor",
		"STOP_COPY r10 RUNNING ");
}

static void
test_save_bad_states(void)
{
	struct mig_server f;

	mig_server_init(&f);
	f.state = VUC_MIGRATION_RESUMING;
	check_save_fails(
		&f, 1, NULL, -EINVAL, "a device in migration state RESUMING cannot be saved", "");
	f.state = VUC_MIGRATION_STOP_COPY;
	check_save_fails(
		&f, 1, NULL, -EINVAL, "a device in migration state STOP_COPY cannot be saved", "");
	f.state = VUC_MIGRATION_ERROR;
	check_save_fails(
		&f, 1, NULL, -EINVAL, "a device in migration state ERROR cannot be saved", "");
	f.migration_flags = 0;
	check_save_fails(&f, 1, NULL, -EOPNOTSUPP, "the device cannot be migrated", "");
}

/* A fault at each step of a save with pre-copy. */
static void
check_save_fault(
	const struct fake_fault *fault, int expected, const char *reason, const char *trace)
{
	struct vuc_migration_save_opts opts;
	struct mig_server f;
	int fd = mig_memory_file();

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = 1;
	mig_server_init(&f);
	f.pre_copy[0] = 20;
	f.stop_copy = 10;
	f.server.fault = *fault;
	check_save_fails(&f, fd, &opts, expected, reason, trace);
	close(fd);
}

static void
test_save_refused_states(void)
{
	struct fake_fault fault = {.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.flags = SET_STATE,
		.wrong = FAKE_ERROR,
		.value = EIO};

	check_save_fault(&fault, -EIO,
		"from migration state RUNNING to PRE_COPY: the server answered "
		"VFIO_USER_DEVICE_FEATURE with error 5 (Input/output error)",
		"");
	fault.nth = 2;
	check_save_fault(&fault, -EIO,
		"from migration state PRE_COPY to STOP_COPY: the server answered "
		"VFIO_USER_DEVICE_FEATURE with error 5 (Input/output error)",
		"PRE_COPY r20 RUNNING ");
	fault.nth = 3;
	check_save_fault(&fault, -EIO,
		"from migration state STOP_COPY to STOP: the server answered "
		"VFIO_USER_DEVICE_FEATURE with error 5 (Input/output error)",
		"PRE_COPY r20 STOP_COPY r10 RUNNING ");
}

static void
test_save_bad_data(void)
{
	struct fake_fault fault = {.nth = 1, .cmd = VFIO_USER_MIG_DATA_READ};

	fault.wrong = FAKE_ERROR;
	fault.value = EIO;
	check_save_fault(&fault, -EIO,
		"the server answered VFIO_USER_MIG_DATA_READ with error 5 (Input/output error)",
		"PRE_COPY RUNNING ");
	fault.nth = 2;
	fault.wrong = FAKE_CUT;
	fault.value = 1;
	check_save_fault(&fault, -EPROTO,
		"VFIO_USER_MIG_DATA_READ reply: body of 17 bytes, expected the 8 of its fields and "
		"10 to 1048576 more",
		"PRE_COPY r20 STOP_COPY r10 RUNNING ");
	fault.wrong = FAKE_FIELD;
	fault.at = 4;
	fault.value = 11;
	check_save_fault(&fault, -EPROTO, "VFIO_USER_MIG_DATA_READ reply: argsz 18, expected 19",
		"PRE_COPY r20 STOP_COPY r10 RUNNING ");
	fault.value = UINT32_MAX;
	check_save_fault(&fault, -EPROTO,
		"VFIO_USER_MIG_DATA_READ reply: size 4294967295, asked for at most 1048576",
		"PRE_COPY r20 STOP_COPY r10 RUNNING ");
}

/* A server that cannot go back, or is not there to do so. */
static void
test_save_not_brought_back(void)
{
	struct fake_fault fault = {.nth = 1, .cmd = VFIO_USER_MIG_DATA_READ};

	fault.wrong = FAKE_ERROR_STATE;
	fault.value = EIO;
	check_save_fault(&fault, -EIO,
		"the server answered VFIO_USER_MIG_DATA_READ with error 5 (Input/output error); and "
		"not brought back to RUNNING: migration state cannot change from ERROR to RUNNING: "
		"reset the device",
		"PRE_COPY ");
	fault.wrong = FAKE_CLOSE;
	check_save_fault(&fault, -ECONNRESET,
		"the server closed the connection instead of answering VFIO_USER_MIG_DATA_READ",
		"PRE_COPY r20 ");
	fault.wrong = FAKE_SILENT;
	check_save_fault(&fault, -ETIMEDOUT, "no answer to VFIO_USER_MIG_DATA_READ within 30 ms",
		"PRE_COPY r20 RUNNING ");
}

/* A pipe with a slow other end; ours may have O_NONBLOCK. */
static void
check_save_pipe(int flags)
{
	const size_t size = 300000;
	struct mig_server f;
	struct vuc_device *dev;
	int out = mig_memory_file();
	int fds[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(fcntl(fds[1], F_SETFL, flags), 0);
	mig_server_init(&f);
	f.stop_copy = size;
	dev = mig_server_open(&f);
	pid = mig_start_mover(fds[0], out, fds[1]);
	close(fds[0]);
	CU_ASSERT_EQUAL(vuc_migration_save(dev, fds[1], NULL, NULL), 0);
	close(fds[1]);
	CU_ASSERT(mig_has_ended_well(pid));
	CU_ASSERT(mig_file_has_data(out, size));
	vuc_device_close(dev);
	close(out);
}

static void
test_save_pipe(void)
{
	check_save_pipe(0);
	check_save_pipe(O_NONBLOCK);
}

static void
test_broken_pipe(void)
{
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	struct mig_server f;
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	mig_server_init(&f);
	f.stop_copy = 10;
	check_save_fails(&f, fds[1], NULL, -EPIPE, "writing migration data: Broken pipe",
		"STOP_COPY r10 RUNNING ");
	close(fds[1]);
	signal(SIGPIPE, before);
}

static CU_TestInfo tests[] = {
	{"save", test_save},
	{"save much", test_save_much},
	{"save with pre-copy", test_save_pre_copy},
	{"save with progress", test_save_progress},
	{"save given up", test_save_given_up},
	{"save bounded", test_save_bounded},
	{"save to a bad descriptor", test_save_bad_fd},
	{"save in bad states", test_save_bad_states},
	{"save with changes refused", test_save_refused_states},
	{"save with bad data", test_save_bad_data},
	{"save not brought back", test_save_not_brought_back},
	{"save to a pipe", test_save_pipe},
	{"broken pipe", test_broken_pipe},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("migration save", NULL, NULL, tests);
}
