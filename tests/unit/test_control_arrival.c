/* SPDX-License-Identifier: BSD-3-Clause */

/* Folders of sockets that are watched by inotify, and when their devices are connected to. */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "control.h"
#include "tap.h"
#include "tempdir.h"

#define STORM   20000u /* more than the kernel keeps of them, by default */
#define WAIT_MS 30000

static struct vuc_control control;
static struct control_device devices[2];
static char tempdir[VUC_TEMPDIR_SIZE];
static char folder[VUC_TEMPDIR_SIZE + sizeof("/folder")];
static unsigned int nr_bar0, nr_lines;

/* What inotify_add_watch() does. */
static _Atomic bool blocks;
static _Atomic int fails; /* errno; 0: it does not */
static _Atomic unsigned int nr_look_ups;
static sem_t go_on;

int
inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	nr_look_ups++;
	while (blocks && sem_wait(&go_on) != 0)
		continue;
	if (fails != 0) {
		errno = fails;
		return -1;
	}
	return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

/* What is called in lib/control. */
void
control_bar0_hurry(struct vuc_control *c)
{
	(void)c;
	nr_bar0++;
}

void
control_log(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
{
	(void)log;
	(void)level;
	(void)fmt;
	nr_lines++;
}

static void
add_device(struct control_device *d, const char *name)
{
	*d = (struct control_device){.control = &control};
	snprintf(d->path, sizeof(d->path), "%s/%s", folder, name);
	control_arrival_init(d);
	TAILQ_INSERT_TAIL(&control.devices, d, entry);
}

static void
set_up(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(tempdir), 0);
	snprintf(folder, sizeof(folder), "%s/folder", tempdir);
	CU_ASSERT_EQUAL_FATAL(mkdir(folder, 0700), 0);
	control = (struct vuc_control){0};
	CU_ASSERT_EQUAL_FATAL(vuc_mailbox_init(&control.mailbox), 0);
	CU_ASSERT_EQUAL_FATAL(control_folders_create(&control), 0);
	CU_ASSERT_FATAL(control.inotify_fd >= 0);
	pthread_mutex_init(&control.lock, NULL);
	TAILQ_INIT(&control.devices);
	add_device(&devices[0], "disk0");
	add_device(&devices[1], "disk1");
	nr_bar0 = nr_lines = nr_look_ups = 0;
	blocks = false;
	fails = 0;
	sem_init(&go_on, 0, 0);
}

static void
path_of(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", folder, name);
}

static void
make(const char *name)
{
	char path[128];
	int fd;

	path_of(path, name);
	fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
}

static void
unmake(const char *name)
{
	char path[128];

	path_of(path, name);
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
}

static void
tear_down(void)
{
	control_folders_destroy(control.folders);
	vuc_mailbox_fini(&control.mailbox);
	pthread_mutex_destroy(&control.lock);
	sem_destroy(&go_on);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	CU_ASSERT_EQUAL(rmdir(tempdir), 0);
}

/* Look-ups that have ended are left where they are. */
static void
await_look_up(void)
{
	struct pollfd pfd = {.fd = control.mailbox.fd, .events = POLLIN};

	CU_ASSERT_EQUAL_FATAL(poll(&pfd, 1, WAIT_MS), 1);
	vuc_mailbox_run(&control.mailbox);
}

static void
take_watch(struct control_device *d)
{
	control_arrival_take_watches(&control);
	while (d->arrival.looking) {
		await_look_up();
		control_arrival_take_watches(&control);
	}
	vuc_mailbox_run(&control.mailbox);
	d->due_ms = 0;
}

static void
watch(struct control_device *d)
{
	control_arrival_watch(d);
	take_watch(d);
}

/* Returns how often there was something. */
static unsigned int
take_all(void)
{
	struct pollfd pfd = {.fd = control.inotify_fd, .events = POLLIN};
	unsigned int n = 0;

	for (; poll(&pfd, 1, 0) > 0; n++)
		control_arrival_take_events(&control);
	return n;
}

/* Whether the events make a device due, which then is connected to. */
static bool
is_due(struct control_device *d)
{
	bool due;

	take_all();
	due = d->arrival.due_ms != 0;
	CU_ASSERT_EQUAL(d->due_ms != 0, due);
	d->due_ms = 0;
	if (due)
		control_arrival_begin(d, true);
	return due;
}

static void
test_names(void)
{
	char from[128], to[128];

	watch(&devices[0]);
	watch(&devices[1]);
	CU_ASSERT_FALSE(is_due(&devices[0]));
	make("disk");
	make("disk00");
	CU_ASSERT_FALSE(is_due(&devices[0]));
	make("disk0");
	CU_ASSERT_TRUE(is_due(&devices[0]));
	CU_ASSERT_FALSE(is_due(&devices[1]));
	path_of(from, "disk00");
	path_of(to, "disk1");
	CU_ASSERT_EQUAL(rename(from, to), 0);
	CU_ASSERT_FALSE(is_due(&devices[0]));
	CU_ASSERT_TRUE(is_due(&devices[1]));
	unmake("disk0");
	CU_ASSERT_FALSE(is_due(&devices[0]));
	/* One that does not wait any more leaves the other's watch alone. */
	control_arrival_forget(&devices[0]);
	make("disk0");
	CU_ASSERT_FALSE(is_due(&devices[0]));
	unmake("disk1");
	make("disk1");
	CU_ASSERT_TRUE(is_due(&devices[1]));
	control_arrival_forget(&devices[1]);
	unmake("disk1");
	make("disk1");
	CU_ASSERT_EQUAL(take_all(), 1); /* the watch is removed */
	unmake("disk");
	unmake("disk0");
	unmake("disk1");
	CU_ASSERT_EQUAL(nr_bar0, 0);
}

/* A folder that is not there, comes, is replaced, and goes: each attempt watches what there is. */
static void
test_folders(void)
{
	char other[sizeof(folder) + 8];

	snprintf(other, sizeof(other), "%s.other", folder);
	CU_ASSERT_EQUAL(rename(folder, other), 0);
	watch(&devices[0]);
	CU_ASSERT_EQUAL(devices[0].arrival.watch, -1);
	CU_ASSERT_EQUAL(mkdir(folder, 0700), 0);
	watch(&devices[0]);
	make("disk0");
	CU_ASSERT_TRUE(is_due(&devices[0]));
	unmake("disk0");
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	CU_ASSERT_FALSE(is_due(&devices[0]));
	CU_ASSERT_EQUAL(devices[0].arrival.watch, -1);
	CU_ASSERT_EQUAL(rename(other, folder), 0);
	watch(&devices[0]);
	make("disk0");
	CU_ASSERT_TRUE(is_due(&devices[0]));
	unmake("disk0");
	/* The watch of one that was moved away is not kept. */
	CU_ASSERT_EQUAL(rename(folder, other), 0);
	CU_ASSERT_EQUAL(mkdir(folder, 0700), 0);
	watch(&devices[0]);
	take_all();
	CU_ASSERT_EQUAL(rmdir(other), 0);
	CU_ASSERT_EQUAL(take_all(), 0);
	CU_ASSERT_EQUAL(nr_lines, 0);
}

/* Whoever fills the folder gets a part of each turn; what the kernel drops may have been it. */
static void
test_storm(void)
{
	char names[2][128];

	path_of(names[0], "a");
	path_of(names[1], "b");
	make("a");
	watch(&devices[0]);
	for (unsigned int i = 0; i < STORM; i++)
		CU_ASSERT_EQUAL_FATAL(rename(names[i % 2], names[(i + 1) % 2]), 0);
	CU_ASSERT_TRUE(take_all() > 100);
	CU_ASSERT_TRUE(is_due(&devices[0]));
	CU_ASSERT_FALSE(is_due(&devices[1]));
	CU_ASSERT_EQUAL(nr_bar0, 1);
	unmake("a");
}

/* Attempts that were not due by their time are counted, until one was. */
static void
test_hurries(void)
{
	struct control_device *d = &devices[0];

	watch(d);
	for (unsigned int i = 0; i < 10; i++) {
		make("disk0");
		CU_ASSERT_EQUAL(is_due(d), i < 8);
		unmake("disk0");
		CU_ASSERT_TRUE(control_arrival_was_early(d, -ENOENT));
		CU_ASSERT_EQUAL(d->arrival.due_ms, 0);
	}
	control_arrival_begin(d, false);
	CU_ASSERT_FALSE(control_arrival_was_early(d, -ECONNREFUSED));
	CU_ASSERT_EQUAL(d->arrival.due_ms, 0);
	make("disk0");
	for (unsigned int i = 0; i < 8; i++) {
		take_all();
		CU_ASSERT_NOT_EQUAL(d->arrival.due_ms, 0);
		control_arrival_begin(d, true);
		CU_ASSERT_TRUE(control_arrival_was_early(d, -ECONNREFUSED));
	}
	CU_ASSERT_EQUAL(d->arrival.due_ms, 0);
	unmake("disk0");
	/* Anything else says something of the server. */
	CU_ASSERT_FALSE(control_arrival_was_early(d, -ETIMEDOUT));
	/* One that resets end is not connected to at each of its starts. */
	control_arrival_begin(d, false);
	d->due_ms = 0;
	d->reset_ends = 1;
	make("disk0");
	CU_ASSERT_FALSE(is_due(d));
	unmake("disk0");
}

/* A folder that blocks holds up one thread, and attempts for a while; what is known by then stays.
 */
static void
test_slow_folder(void)
{
	struct control_device *d = &devices[0];

	watch(d);
	blocks = true;
	control_arrival_watch(d);
	control_arrival_watch(&devices[1]);
	control_arrival_watch(d);
	CU_ASSERT_TRUE(d->arrival.looking && devices[1].arrival.looking);
	d->next_ms = 1;
	CU_ASSERT_EQUAL(control_arrival_next(d), d->arrival.held_ms);
	d->next_ms = d->arrival.held_ms + 1;
	CU_ASSERT_EQUAL(control_arrival_next(d), d->next_ms);
	make("disk0");
	CU_ASSERT_TRUE(is_due(d));
	unmake("disk0");
	control_arrival_take_watches(&control);
	CU_ASSERT_TRUE(d->arrival.looking);
	blocks = false;
	sem_post(&go_on);
	d->next_ms = 1;
	devices[1].next_ms = UINT64_MAX;
	await_look_up();
	control_arrival_take_watches(&control);
	CU_ASSERT_FALSE(d->arrival.looking || devices[1].arrival.looking);
	CU_ASSERT_NOT_EQUAL(d->due_ms, 0);
	CU_ASSERT_EQUAL(devices[1].due_ms, 0);
	CU_ASSERT_EQUAL(control_arrival_next(d), 1);
	CU_ASSERT_EQUAL(devices[1].arrival.watch, d->arrival.watch);
	CU_ASSERT_EQUAL(nr_look_ups, 2);
}

/* The watch was added, and the control thread does not know yet. */
static void
test_unknown_watch(void)
{
	struct control_device *d = &devices[0];

	control_arrival_watch(d);
	await_look_up();
	make("disk0");
	CU_ASSERT_TRUE(is_due(d));
	CU_ASSERT_FALSE(is_due(&devices[1]));
	unmake("disk0");
	/* It does not wait any more: the watch is removed. */
	control_arrival_forget(d);
	control_arrival_take_watches(&control);
	CU_ASSERT_EQUAL(d->arrival.watch, -1);
	CU_ASSERT_EQUAL(take_all(), 1);
	make("disk0");
	CU_ASSERT_EQUAL(take_all(), 0);
	unmake("disk0");
	/* The other one removes it before it is known that this one has it, too. */
	watch(d);
	control_arrival_watch(&devices[1]);
	await_look_up();
	control_arrival_forget(d);
	take_watch(&devices[1]);
	take_all();
	CU_ASSERT_EQUAL(nr_look_ups, 4);
	make("disk1");
	CU_ASSERT_TRUE(is_due(&devices[1]));
	unmake("disk1");
}

/* The control plane ends: a thread that is blocked frees what is left. */
static void
test_abandoned(void)
{
	int fd = control.inotify_fd;

	watch(&devices[0]);
	blocks = true;
	control_arrival_watch(&devices[0]);
	control_folders_destroy(control.folders);
	control.folders = NULL;
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	blocks = false;
	sem_post(&go_on);
	while (fcntl(fd, F_GETFD) == FD_CLOEXEC)
		sched_yield();
}

/* Where nothing can be watched, there is one line, however many wait. */
static void
test_limits(void)
{
	fails = EACCES;
	watch(&devices[0]);
	CU_ASSERT_EQUAL(nr_lines, 0);
	fails = ENOSPC;
	for (unsigned int i = 0; i < 4; i++)
		watch(&devices[i % 2]);
	CU_ASSERT_EQUAL(nr_lines, 1);
	CU_ASSERT_EQUAL(devices[0].arrival.watch, -1);
	control.watch_logged = false;
	control.inotify_fd = -EMFILE;
	for (unsigned int i = 0; i < 4; i++)
		watch(&devices[i % 2]);
	CU_ASSERT_EQUAL(nr_lines, 2);
	CU_ASSERT_EQUAL(devices[0].arrival.watch, -1);
	CU_ASSERT_EQUAL(nr_look_ups, 5);
	control_arrival_forget(&devices[0]);
}

const struct tap_suite tap_suite = {"control_arrival", set_up, tear_down,
	{
		{"names in a folder", test_names},
		{"folders", test_folders},
		{"a storm of events", test_storm},
		{"attempts before their time", test_hurries},
		{"a folder that is slow", test_slow_folder},
		{"a watch that is not known yet", test_unknown_watch},
		{"a look-up that outlives the control plane", test_abandoned},
		{"limits", test_limits},
	}};
