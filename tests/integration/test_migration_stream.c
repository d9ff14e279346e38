/* SPDX-License-Identifier: BSD-3-Clause */

/* Migration data by hand, saving a device and loading one: in which messages, and what becomes of
 * errors. */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <vuc/feature.h>
#include <vuc/migration.h>

#include "mig_server.h"
#include "outcome.h"
#include "vfio_user.h"

#define SET_STATE (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

static struct mig_server f;
static unsigned int calls; /* of the progress callback */

/* A file with the first size bytes of what the server sends, to be read from its beginning. */
static int
make_file(size_t size)
{
	int fd = memfd_create("migration", MFD_CLOEXEC);
	uint8_t *bytes = malloc(size + 1);

	CU_ASSERT_FATAL(fd >= 0 && bytes != NULL);
	for (size_t i = 0; i < size; i++)
		bytes[i] = mig_byte(i);
	CU_ASSERT_EQUAL_FATAL(write(fd, bytes, size), (ssize_t)size);
	CU_ASSERT_EQUAL_FATAL(lseek(fd, 0, SEEK_SET), 0);
	free(bytes);
	return fd;
}

/* Whether a file has the first size bytes of what the server sends, and no more. */
static bool
file_has_data(int fd, size_t size)
{
	size_t n = 0, wrong = 0;
	uint8_t bytes[4096];
	ssize_t got;

	CU_ASSERT_EQUAL_FATAL(lseek(fd, 0, SEEK_SET), 0);
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			wrong += bytes[i] != mig_byte(n++);
	}
	return n == size && wrong == 0;
}

static void
test_read(void)
{
	uint8_t data[200];
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
	CU_ASSERT_STRING_EQUAL(f.server.log, "STOP_COPY r64 r36 r50 r0 ");
	vuc_device_close(dev);
}

static void
test_write(void)
{
	static uint8_t data[100000];
	static const struct {
		uint32_t max_data;
		size_t count;
		const char *trace;
	} rows[] = {
		{1048576, 0, ""},
		{1048576, 100000, "w32768 w32768 w32768 w1696 "},
		{60000, 40000, "w32768 w7232 "},
	};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = mig_byte(i);
	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_device *dev;

		mig_server_init(&f);
		f.server.max_data = rows[i].max_data;
		dev = mig_server_open(&f);
		CU_ASSERT_EQUAL(vuc_migration_write(dev, data, rows[i].count), 0);
		CU_ASSERT_EQUAL(f.taken, rows[i].count);
		CU_ASSERT_EQUAL(f.wrong, 0);
		CU_ASSERT_STRING_EQUAL(f.server.log, rows[i].trace);
		vuc_device_close(dev);
	}
}

/* A save or a load, and what comes of it. */
struct row {
	const char *from; /* the state at first; NULL: RUNNING */
	bool bad_fd;
	bool no_opts;
	bool run;
	uint64_t cannot;         /* flags that the server lacks */
	uint32_t max_data;       /* of the server; 0: as it is */
	size_t pre_copy[2];      /* bytes that there are */
	size_t stop_copy;        /* the same; of a load, in its file */
	uint32_t chunk;          /* option */
	uint32_t rounds;         /* option */
	uint64_t most;           /* option: max_bytes of a save, bytes of a load */
	unsigned int answer_at;  /* the progress callback answers this call */
	int answer;              /* by this */
	struct fake_fault fault; /* of the server */
	int rc;                  /* of the call */
	const char *reason;      /* where rc is not 0 */
	size_t bytes;            /* in the file, or taken by the server */
	const char *trace;
};

#define FEATURE  "the server answered VFIO_USER_DEVICE_FEATURE with error "
#define READ     "the server answered VFIO_USER_MIG_DATA_READ with error "
#define REPLY    "VFIO_USER_MIG_DATA_READ reply: "
#define EIO_TEXT "5 (Input/output error)"
#define FROM     "from migration state "
#define GIVEN_UP "given up in migration state "
#define CLOSED   "the server closed the connection instead of answering "

#define STATE_FAULT(nth, wrong, value) \
	.fault = {nth, VFIO_USER_DEVICE_FEATURE, SET_STATE, wrong, 0, value}
#define DATA_FAULT(direction, nth, wrong, at, value) \
	.fault = {nth, VFIO_USER_MIG_DATA_##direction, 0, wrong, at, value}

/* clang-format off */
static const struct row saves[] = {
	{.stop_copy = 1000, .no_opts = true, .bytes = 1000, .trace = "STOP_COPY r1000 STOP "},
	{.stop_copy = 1000, .bytes = 1000, .trace = "STOP_COPY r1000 STOP "},
	{.stop_copy = 1000, .chunk = 400, .bytes = 1000, .trace = "STOP_COPY r400 r400 r200 STOP "},
	{.stop_copy = 1000, .chunk = 500, .bytes = 1000, .trace = "STOP_COPY r500 r500 r0 STOP "},
	{.stop_copy = 1000, .max_data = 600, .chunk = 601, .bytes = 1000,
		.trace = "STOP_COPY r600 r400 STOP "},
	{.chunk = 601, .trace = "STOP_COPY r0 STOP "},
	/* As much as a message can carry, more than once. */
	{.stop_copy = 3000000, .bytes = 3000000,
		.trace = "STOP_COPY r1048576 r1048576 r902848 STOP "},
	{.pre_copy = {250, 99}, .stop_copy = 50, .chunk = 100, .rounds = 10, .bytes = 399,
		.trace = "PRE_COPY r100 r100 r50 r99 r0 STOP_COPY r50 STOP "},
	{.pre_copy = {250, 99}, .stop_copy = 50, .chunk = 100, .rounds = 1, .bytes = 300,
		.trace = "PRE_COPY r100 r100 r50 STOP_COPY r50 STOP "},
	/* A device that is stopped is not started for it. */
	{.from = "STOP", .pre_copy = {250}, .stop_copy = 50, .rounds = 1, .bytes = 50,
		.trace = "STOP_COPY r50 STOP "},
	{.cannot = VUC_MIGRATION_CAN_PRE_COPY, .pre_copy = {250}, .stop_copy = 50, .rounds = 1,
		.bytes = 50, .trace = "STOP_COPY r50 STOP "},
	{.from = "PRE_COPY", .pre_copy = {250}, .stop_copy = 50, .rounds = 1,
		.cannot = VUC_MIGRATION_CAN_PRE_COPY, .bytes = 50, .trace = "STOP_COPY r50 STOP "},
	{.stop_copy = 250, .chunk = 100, .most = 250, .bytes = 250,
		.trace = "STOP_COPY r100 r100 r50 STOP "},
	{.stop_copy = SIZE_MAX, .chunk = 100, .most = 250, .rc = -EFBIG,
		.reason = "the server has more than 250 bytes of migration data", .bytes = 200,
		.trace = "STOP_COPY r100 r100 r100 RUNNING "},

	/* Progress, which may end pre-copy; where there is none to be ended, it goes on. */
	{.pre_copy = {1000}, .stop_copy = 150, .chunk = 100, .rounds = 10, .answer_at = 2,
		.answer = VUC_MIGRATION_END_PRE_COPY, .bytes = 350,
		.trace = "PRE_COPY r100 p1:100 r100 p1:200 STOP_COPY r100 p0:300 r50 p0:350 STOP "},
	{.from = "STOP", .stop_copy = 150, .chunk = 100, .rounds = 10, .answer_at = 1,
		.answer = VUC_MIGRATION_END_PRE_COPY, .bytes = 150,
		.trace = "STOP_COPY r100 p0:100 r50 p0:150 STOP "},
	{.pre_copy = {1000}, .chunk = 100, .rounds = 1, .answer_at = 1, .answer = -ECANCELED,
		.rc = -ECANCELED, .bytes = 100,
		.reason = GIVEN_UP "PRE_COPY after 100 bytes: Operation canceled",
		.trace = "PRE_COPY r100 p1:100 RUNNING "},
	{.stop_copy = 150, .chunk = 100, .answer_at = 1, .answer = -ECANCELED,
		.rc = -ECANCELED, .bytes = 100,
		.reason = GIVEN_UP "STOP_COPY after 100 bytes: Operation canceled",
		.trace = "STOP_COPY r100 p0:100 RUNNING "},
	{.from = "STOP", .stop_copy = 150, .chunk = 100, .answer_at = 1, .answer = -ECANCELED,
		.rc = -ECANCELED, .bytes = 100,
		.reason = GIVEN_UP "STOP_COPY after 100 bytes: Operation canceled",
		.trace = "STOP_COPY r100 p0:100 STOP "},

	/* What cannot be saved, or not there. */
	{.bad_fd = true, .stop_copy = 10, .rc = -EBADF,
		.reason = "writing migration data: Bad file descriptor",
		.trace = "STOP_COPY r10 RUNNING "},
	{.from = "RESUMING", .rc = -EINVAL, .trace = "",
		.reason = "a device in migration state RESUMING cannot be saved"},
	{.from = "STOP_COPY", .rc = -EINVAL, .trace = "",
		.reason = "a device in migration state STOP_COPY cannot be saved"},
	{.from = "ERROR", .rc = -EINVAL, .trace = "",
		.reason = "a device in migration state ERROR cannot be saved"},
	{.cannot = UINT64_MAX, .rc = -EOPNOTSUPP, .trace = "",
		.reason = "the device cannot be migrated"},

	/* A fault at each step of a save with pre-copy, of 20 bytes and 10. */
	{STATE_FAULT(1, FAKE_ERROR, EIO), .rc = -EIO,
		.reason = FROM "RUNNING to PRE_COPY: " FEATURE EIO_TEXT,
		.trace = ""},
	{STATE_FAULT(2, FAKE_ERROR, EIO), .rc = -EIO,
		.reason = FROM "PRE_COPY to STOP_COPY: " FEATURE EIO_TEXT,
		.bytes = 20, .trace = "PRE_COPY r20 RUNNING "},
	{STATE_FAULT(3, FAKE_ERROR, EIO), .rc = -EIO,
		.reason = FROM "STOP_COPY to STOP: " FEATURE EIO_TEXT,
		.bytes = 30, .trace = "PRE_COPY r20 STOP_COPY r10 RUNNING "},
	{DATA_FAULT(READ, 1, FAKE_ERROR, 0, EIO), .rc = -EIO,
		.reason = READ EIO_TEXT, .trace = "PRE_COPY RUNNING "},
	{DATA_FAULT(READ, 2, FAKE_CUT, 0, 1), .rc = -EPROTO,
		.reason = REPLY "body of 17 bytes, expected the 8 of its fields and 10 to "
			"1048576 more",
		.bytes = 20, .trace = "PRE_COPY r20 STOP_COPY r10 RUNNING "},
	{DATA_FAULT(READ, 2, FAKE_FIELD, 4, 11), .rc = -EPROTO,
		.reason = REPLY "argsz 18, expected 19",
		.bytes = 20, .trace = "PRE_COPY r20 STOP_COPY r10 RUNNING "},
	{DATA_FAULT(READ, 2, FAKE_FIELD, 4, UINT32_MAX), .rc = -EPROTO,
		.reason = REPLY "size 4294967295, requested at most 1048576",
		.bytes = 20, .trace = "PRE_COPY r20 STOP_COPY r10 RUNNING "},
	{DATA_FAULT(READ, 1, FAKE_ERROR_STATE, 0, EIO), .rc = -EIO,
		.reason = "not brought back to RUNNING: migration state cannot change from ERROR "
			"to RUNNING: reset the device; first error: " READ EIO_TEXT,
		.trace = "PRE_COPY "},
	{DATA_FAULT(READ, 1, FAKE_CLOSE, 0, 0), .rc = -ECONNRESET,
		.reason = CLOSED "VFIO_USER_MIG_DATA_READ",
		.trace = "PRE_COPY r20 "},
	{DATA_FAULT(READ, 1, FAKE_SILENT, 0, 0), .rc = -ETIMEDOUT,
		.reason = "no answer to VFIO_USER_MIG_DATA_READ within 30 ms",
		.trace = "PRE_COPY r20 RUNNING "},
};

static const struct row loads[] = {
	{.stop_copy = 70000, .no_opts = true, .bytes = 70000,
		.trace = "STOP RESUMING w32768 w32768 w4464 STOP "},
	{.from = "STOP", .no_opts = true, .trace = "RESUMING STOP "},
	{.from = "STOP", .stop_copy = 70000, .chunk = 10000, .most = 20000, .run = true,
		.answer_at = 3, .bytes = 20000,
		.trace = "RESUMING w10000 p0:10000 w10000 p0:20000 STOP RUNNING "},
	{.stop_copy = 70000, .chunk = 10000, .most = 10001, .run = true, .bytes = 10001,
		.trace = "STOP RESUMING w10000 w1 STOP RUNNING "},
	/* What somebody else has begun to load is dropped. */
	{.from = "RESUMING", .stop_copy = 70000, .most = 1, .run = true, .bytes = 1,
		.trace = "STOP RESUMING w1 STOP RUNNING "},

	/* What fails leaves the device stopped. */
	{.stop_copy = 100, .most = 101, .rc = -ENODATA, .trace = "STOP RESUMING STOP ",
		.reason = "the migration data ends after 100 of 101 bytes"},
	{.from = "STOP", .bad_fd = true, .no_opts = true, .rc = -EBADF, .trace = "RESUMING STOP ",
		.reason = "reading migration data: Bad file descriptor"},
	{.from = "STOP", .stop_copy = 100, .most = 50, .answer_at = 1, .answer = -EINTR,
		.rc = -EINTR, .bytes = 50,
		.reason = GIVEN_UP "RESUMING after 50 bytes: Interrupted system call",
		.trace = "RESUMING w50 p0:50 STOP "},
	{.from = "ERROR", .no_opts = true, .rc = -EINVAL, .trace = "",
		.reason = "migration state cannot change from ERROR to STOP: reset the device"},
	{.cannot = UINT64_MAX, .no_opts = true, .rc = -EOPNOTSUPP, .trace = "",
		.reason = "the device cannot be migrated"},
	/* A fault at each step of a load, of 10 bytes and 10. */
	{DATA_FAULT(WRITE, 2, FAKE_ERROR, 0, ENOSPC), .rc = -ENOSPC, .bytes = 10,
		.reason = "the server answered VFIO_USER_MIG_DATA_WRITE with error 28 (No space "
			"left on device)", .trace = "STOP RESUMING w10 STOP "},
	{DATA_FAULT(WRITE, 2, FAKE_CLOSE, 0, 0), .rc = -ECONNRESET, .bytes = 20,
		.reason = CLOSED "VFIO_USER_MIG_DATA_WRITE",
		.trace = "STOP RESUMING w10 w10 "},
	/* A server that finds the data wrong says so at its end. */
	{STATE_FAULT(3, FAKE_ERROR_STATE, EINVAL),
		.rc = -EINVAL, .bytes = 20,
		.reason = "not brought back to STOP: migration state cannot change from ERROR to "
			"STOP: reset the device; first error: the device is in ERROR now: "
			FROM "RESUMING to STOP: the server an...",
		.trace = "STOP RESUMING w10 w10 "},
	{STATE_FAULT(4, FAKE_ERROR, EIO), .rc = -EIO, .bytes = 20,
		.reason = FROM "STOP to RUNNING: " FEATURE EIO_TEXT,
		.trace = "STOP RESUMING w10 w10 STOP "},
};
/* clang-format on */

/* A progress callback, which adds the round and the bytes to the trace. */
static int
trace_progress(void *arg, const struct vuc_migration_progress *progress)
{
	const struct row *row = arg;

	CU_ASSERT_EQUAL(progress->state, f.state);
	fake_server_log(&f.server, "p%u:%u ", progress->round, (unsigned int)progress->bytes);
	return ++calls == row->answer_at ? row->answer : 0;
}

static void
prepare_server(const struct row *row)
{
	mig_server_init(&f);
	calls = 0;
	f.migration_flags &= ~row->cannot;
	f.stop_copy = row->stop_copy;
	memcpy(f.pre_copy, row->pre_copy, sizeof(row->pre_copy));
	f.server.fault = row->fault;
	if (row->max_data != 0)
		f.server.max_data = row->max_data;
	for (unsigned int i = 0; row->from != NULL && i < 8; i++) {
		if (strcmp(vuc_migration_state_name((enum vuc_migration_state)i), row->from) == 0)
			f.state = i;
	}
}

static int
run_save(struct row *row, struct vuc_device *dev, int fd)
{
	struct vuc_migration_save_opts opts;
	struct vuc_migration_saved saved;
	int rc;

	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = row->chunk;
	opts.pre_copy_rounds = row->rounds;
	opts.max_bytes = row->most != 0 ? row->most : opts.max_bytes;
	opts.progress = row->answer_at > 0 ? trace_progress : NULL;
	opts.arg = row;
	rc = vuc_migration_save(dev, fd, row->no_opts ? NULL : &opts, &saved);
	if (rc == 0) {
		CU_ASSERT_EQUAL(saved.pre_copy_bytes + saved.stop_copy_bytes, row->bytes);
		CU_ASSERT_EQUAL(f.state, VUC_MIGRATION_STOP);
	}
	if (!row->bad_fd)
		CU_ASSERT(file_has_data(fd, row->bytes));
	return rc;
}

static int
run_load(struct row *row, struct vuc_device *dev, int fd)
{
	struct vuc_migration_load_opts opts;
	uint64_t taken = 0;
	int rc;

	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.chunk_size = row->chunk;
	opts.bytes = row->most != 0 ? row->most : opts.bytes;
	opts.run = row->run;
	opts.progress = row->answer_at > 0 ? trace_progress : NULL;
	opts.arg = row;
	rc = vuc_migration_load(dev, fd, row->no_opts ? NULL : &opts, &taken);
	if (rc == 0) {
		CU_ASSERT_EQUAL(taken, row->bytes);
		CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_CUR), (off_t)row->bytes);
	}
	CU_ASSERT_EQUAL(f.taken, row->bytes);
	CU_ASSERT_EQUAL(f.wrong, 0);
	return rc;
}

static void
check_row(struct row row, bool load)
{
	struct vuc_device *dev;
	int file, rc;

	if (row.fault.nth != 0) {
		row.pre_copy[0] = 20;
		row.stop_copy = load ? 20 : 10;
		row.chunk = load ? 10 : 0;
		row.rounds = 1;
		row.run = true;
	}
	file = make_file(load ? row.stop_copy : 0);
	prepare_server(&row);
	dev = mig_server_open(&f);
	rc = (load ? run_load : run_save)(&row, dev, row.bad_fd ? -1 : file);
	if (rc != row.rc || strcmp(f.server.log, row.trace) != 0)
		printf("# %s: returned %d, after %s\n", row.trace, rc, f.server.log);
	CU_ASSERT(rc == 0 || is_refused(dev, rc, row.rc, row.reason != NULL ? row.reason : ""));
	CU_ASSERT_EQUAL(rc, row.rc);
	CU_ASSERT_STRING_EQUAL(f.server.log, row.trace);
	if (rc == -ECONNRESET) {
		CU_ASSERT_FALSE(vuc_device_connected(dev));
		CU_ASSERT_EQUAL(vuc_migration_save(dev, file, NULL, NULL), -ECONNRESET);
		CU_ASSERT_EQUAL(vuc_migration_load(dev, file, NULL, NULL), -ECONNRESET);
	}
	vuc_device_close(dev);
	close(file);
}

static void
test_save(void)
{
	for (size_t i = 0; i < NR(saves); i++)
		check_row(saves[i], false);
}

static void
test_load(void)
{
	for (size_t i = 0; i < NR(loads); i++)
		check_row(loads[i], true);
}

/* Never returns. */
static void
move_all(int from, int to)
{
	uint8_t bytes[977];
	size_t size = 1;
	ssize_t n;

	while ((n = read(from, bytes, size)) > 0) {
		for (ssize_t done = 0; done < n;) {
			ssize_t out = write(to, bytes + done, (size_t)(n - done));

			if (out < 0)
				_exit(1);
			done += out;
		}
		size = size % sizeof(bytes) + 1;
	}
	_exit(n == 0 ? 0 : 1);
}

/* By a pipe whose other end is a process that copies slowly, from or to a file; ours may have
 * O_NONBLOCK. */
static void
check_pipe(bool load, int flags)
{
	const size_t size = 300000;
	int file = make_file(load ? size : 0);
	struct vuc_device *dev;
	int fds[2], ours, theirs, rc, status = -1;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	ours = fds[!load];
	theirs = fds[load];
	CU_ASSERT_EQUAL_FATAL(fcntl(ours, F_SETFL, flags), 0);
	mig_server_init(&f);
	f.stop_copy = size;
	dev = mig_server_open(&f);
	fflush(stdout);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		close(ours);
		move_all(load ? file : theirs, load ? theirs : file);
	}
	close(theirs);
	rc = load ? vuc_migration_load(dev, ours, NULL, NULL)
		  : vuc_migration_save(dev, ours, NULL, NULL);
	CU_ASSERT_EQUAL(rc, 0);
	close(ours);
	CU_ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
	CU_ASSERT(load ? f.taken == size && f.wrong == 0 : file_has_data(file, size));
	vuc_device_close(dev);
	close(file);
}

static void
test_pipes(void)
{
	for (unsigned int i = 0; i < 4; i++)
		check_pipe(i % 2 != 0, i / 2 != 0 ? O_NONBLOCK : 0);
	CU_ASSERT_STRING_EQUAL(f.server.log,
		"STOP RESUMING w32768 w32768 w32768 w32768 w32768 w32768 w32768 w32768 w32768 "
		"w5088 STOP ");
}

static void
test_broken_pipe(void)
{
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	struct vuc_device *dev;
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	mig_server_init(&f);
	f.stop_copy = 10;
	dev = mig_server_open(&f);
	CU_ASSERT(is_refused(dev, vuc_migration_save(dev, fds[1], NULL, NULL), -EPIPE,
		"writing migration data: Broken pipe"));
	CU_ASSERT_STRING_EQUAL(f.server.log, "STOP_COPY r10 RUNNING ");
	vuc_device_close(dev);
	close(fds[1]);
	signal(SIGPIPE, before);
}

const struct tap_suite tap_suite = {"migration stream", NULL, NULL,
	{
		{"read", test_read},
		{"write", test_write},
		{"save", test_save},
		{"load", test_load},
		{"pipes", test_pipes},
		{"broken pipe", test_broken_pipe},
	}};
