/* SPDX-License-Identifier: BSD-3-Clause */

/* Attaching and detaching. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fake_vucd.h"
#include "fd_count.h"
#include "tap.h"

static int
attach_to(const char *socket, const char *device, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev = (struct vuc_vmm_device *)&opts;
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = device;
	opts.timeout_ms = 1000;
	rc = vuc_vmm_attach(&opts, &dev, err);
	CU_ASSERT((rc == 0) == (dev != NULL));
	vuc_vmm_detach(dev);
	return rc;
}

static bool
says(const struct vuc_error *err, const char *text)
{
	if (strstr(err->text, text) != NULL)
		return true;
	printf("# \"%s\" is not in \"%s\"\n", text, err->text);
	return false;
}

static void
test_info(void)
{
	unsigned int before = fd_count();
	const struct vuc_vmm_info *info;
	struct vuc_vmm_device *dev;
	struct fake_vucd d;

	fake_vucd_start(&d);
	dev = fake_attach(&d);
	info = vuc_vmm_info(dev);
	CU_ASSERT_EQUAL(info->generation, 1);
	CU_ASSERT_EQUAL(info->pgsizes, 4096);
	CU_ASSERT_EQUAL(info->flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CU_ASSERT_EQUAL(info->num_regions, FAKE_REGIONS);
	CU_ASSERT_EQUAL(info->num_irqs, FAKE_IRQS);
	/* The daemon's limits and the device's: the lower one of each. */
	CU_ASSERT_EQUAL(info->max_dma_maps, 900);
	CU_ASSERT_EQUAL(info->max_queues, 8);
	CU_ASSERT_EQUAL(info->max_depth, 256);
	CU_ASSERT_EQUAL(info->max_data, 8192);
	CU_ASSERT(info->dma_message);
	CU_ASSERT_STRING_EQUAL(
		fake_vucd_request(&d, VUC_SHM_HELLO, 0)->packet->hello.name, "tester");
	CU_ASSERT_STRING_EQUAL(
		fake_vucd_request(&d, VUC_SHM_ATTACH, 0)->packet->attach.name, FAKE_DEVICE);
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(fake_vucd_count(&d, VUC_SHM_DETACH), 1);
	fake_vucd_stop(&d);
	CU_ASSERT_EQUAL(fd_count(), before);
}

/* Without a name it is the program's; too long a one is cut. */
static void
test_names(void)
{
	char name[2 * VUC_SHM_NAME_SIZE];
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct fake_vucd d;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	fake_vucd_start(&d);
	fake_opts(&d, &opts);
	opts.name = NULL;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
	vuc_vmm_detach(dev);
	CU_ASSERT_STRING_EQUAL(fake_vucd_request(&d, VUC_SHM_HELLO, 0)->packet->hello.name,
		program_invocation_short_name);
	opts.name = name;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
	vuc_vmm_detach(dev);
	name[VUC_SHM_NAME_SIZE - 1] = '\0';
	CU_ASSERT_STRING_EQUAL(fake_vucd_request(&d, VUC_SHM_HELLO, 1)->packet->hello.name, name);
	fake_vucd_stop(&d);
}

static void
test_options(void)
{
	char device[2 * VUC_SHM_NAME_SIZE], path[256];
	struct vuc_error err;

	memset(device, 'd', sizeof(device));
	device[VUC_SHM_NAME_SIZE] = '\0';
	memset(path, 'p', sizeof(path));
	path[108] = '\0';
	CU_ASSERT_EQUAL(attach_to("/", NULL, &err), -EINVAL);
	CU_ASSERT(says(&err, "no name of a device"));
	CU_ASSERT_EQUAL(attach_to("/", "", &err), -EINVAL);
	CU_ASSERT_EQUAL(attach_to("/", device, &err), -EINVAL);
	CU_ASSERT(says(&err, "has 64 bytes, 63 are the most"));
	CU_ASSERT_EQUAL(attach_to(path, "disk", &err), -ENAMETOOLONG);
	CU_ASSERT(says(&err, "socket path of 108 bytes, at most 107"));
	CU_ASSERT_EQUAL(attach_to("", "disk", &err), -EINVAL);
	CU_ASSERT_EQUAL(attach_to("", "disk", NULL), -EINVAL);
	vuc_vmm_detach(NULL);
}

/* Options of programs that were built with an older or a newer header. */
static void
test_options_size(void)
{
	struct {
		struct vuc_vmm_attach_opts opts;
		uint64_t later;
	} newer;
	struct vuc_vmm_device *dev;
	struct vuc_error err;
	struct fake_vucd d;

	fake_vucd_start(&d);
	memset(&newer, 0, sizeof(newer));
	fake_opts(&d, &newer.opts);
	CU_ASSERT_EQUAL(newer.opts.size, sizeof(newer.opts));
	CU_ASSERT_EQUAL(newer.opts.timeout_ms, VUC_VMM_DEFAULT_TIMEOUT_MS);
	newer.opts.size = sizeof(newer);
	CU_ASSERT_EQUAL(vuc_vmm_attach(&newer.opts, &dev, &err), 0);
	vuc_vmm_detach(dev);
	newer.later = 1;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&newer.opts, &dev, &err), -EINVAL);
	CU_ASSERT(says(&err, "is set, this library knows"));
	newer.opts.size = 0;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&newer.opts, &dev, &err), -EINVAL);
	CU_ASSERT(says(&err, "struct vuc_vmm_attach_opts has a size of 0"));
	newer.opts.size = SIZE_MAX;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&newer.opts, &dev, &err), -EINVAL);
	newer.opts.size = sizeof(newer.opts);
	newer.opts.timeout_ms = 0;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&newer.opts, &dev, &err), -EINVAL);
	CU_ASSERT(says(&err, "timeout of 0 ms"));
	fake_vucd_stop(&d);
}

/* A socket that was bound, and that nobody listens on, as a daemon leaves it that was killed. */
static void
test_nobody_there(void)
{
	unsigned int before = fd_count();
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct vuc_error err;
	struct fake_vucd d;
	int sock;

	fake_vucd_start(&d);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/left.sock", d.dir);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(sock, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL(attach_to(addr.sun_path, "disk", &err), -ECONNREFUSED);
	CU_ASSERT(says(&err, addr.sun_path));
	close(sock);
	unlink(addr.sun_path);
	CU_ASSERT_EQUAL(attach_to(addr.sun_path, "disk", &err), -ENOENT);
	CU_ASSERT(says(&err, addr.sun_path));
	CU_ASSERT(says(&err, "No such file or directory"));
	fake_vucd_stop(&d);
	CU_ASSERT_EQUAL(fd_count(), before);
}

static void
await_accepted(struct fake_vucd *d)
{
	bool accepted = false;

	while (!accepted) {
		sched_yield();
		pthread_mutex_lock(&d->lock);
		accepted = d->conn >= 0;
		pthread_mutex_unlock(&d->lock);
	}
}

/* Somebody listens and never takes a connection: connecting itself waits when there are many. */
static void
test_nobody_accepts(void)
{
	int socks[8];
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct vuc_error err;
	struct fake_vucd d;
	unsigned int nr = 0;
	int rc = 0;

	fake_vucd_start(&d);
	memcpy(addr.sun_path, d.path, strlen(d.path));
	/* The first one has the daemon for himself, the others fill the backlog. */
	while (nr < 8 && rc == 0) {
		socks[nr] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		rc = connect(socks[nr++], (const struct sockaddr *)&addr, sizeof(addr));
		if (nr == 1)
			await_accepted(&d);
	}
	CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT_EQUAL(attach_to(d.path, "disk", &err), -ETIMEDOUT);
	CU_ASSERT(says(&err, "cannot connect"));
	while (nr > 0)
		close(socks[--nr]);
	fake_vucd_stop(&d);
}

static void
test_refusals(void)
{
	static const int statuses[] = {-ENOENT, -EACCES, -EBUSY, -ENOTCONN, -EPROTO, -ETIMEDOUT};
	struct vuc_error err;
	struct fake_vucd d;

	fake_vucd_start(&d);
	CU_ASSERT_EQUAL(attach_to(d.path, "another", &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err.text, "because");
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		int status = statuses[i];

		fake_vucd_twist(&d, VUC_SHM_ATTACH, 0, fake_refuse, &status);
		CU_ASSERT_EQUAL(attach_to(d.path, FAKE_DEVICE, &err), statuses[i]);
		CU_ASSERT_STRING_EQUAL(err.text, "because");
		status = -EPROTONOSUPPORT;
		fake_vucd_twist(&d, VUC_SHM_HELLO, 0, fake_refuse, &status);
		CU_ASSERT_EQUAL(attach_to(d.path, FAKE_DEVICE, &err), -EPROTONOSUPPORT);
		CU_ASSERT_EQUAL(attach_to(d.path, FAKE_DEVICE, NULL), -EPROTONOSUPPORT);
	}
	fake_vucd_stop(&d);
}

static void
refuse_silently(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	fake_refuse(d, reply, arg);
	reply->packet->failure.reason[0] = '\0';
}

static void
refuse_with_colours(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	fake_refuse(d, reply, arg);
	reply->packet->failure.reason[0] = '\033';
}

static void
test_reasons(void)
{
	int status = -ENOENT;
	struct vuc_error err;
	struct fake_vucd d;

	fake_vucd_start(&d);
	fake_vucd_twist(&d, VUC_SHM_ATTACH, 0, refuse_silently, &status);
	CU_ASSERT_EQUAL(attach_to(d.path, FAKE_DEVICE, &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(
		err.text, "the daemon has refused ATTACH: No such file or directory");
	fake_vucd_twist(&d, VUC_SHM_ATTACH, 0, refuse_with_colours, &status);
	CU_ASSERT_EQUAL(attach_to(d.path, FAKE_DEVICE, &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err.text, "?ecause");
	fake_vucd_stop(&d);
}

static void
test_default_socket(void)
{
	char folder[128];
	struct vuc_error err;
	struct fake_vucd d;

	fake_vucd_start(&d);
	unsetenv("XDG_RUNTIME_DIR");
	setenv("VUCD_SOCKET", d.path, 1);
	CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE, &err), 0);
	setenv("VUCD_SOCKET", "/nonexistent/some.sock", 1);
	CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE, &err), -ENOENT);
	CU_ASSERT(says(&err, "/nonexistent/some.sock"));
	/* vucd's folder in that of the user, if it is there. */
	setenv("VUCD_SOCKET", "", 1);
	setenv("XDG_RUNTIME_DIR", d.dir, 1);
	snprintf(folder, sizeof(folder), "%s/vucd", d.dir);
	CU_ASSERT_EQUAL_FATAL(symlink(d.dir, folder), 0);
	CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE, &err), 0);
	unlink(folder);
	if (access("/run/vucd", F_OK) != 0) {
		CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE, &err), -ENOENT);
		CU_ASSERT(says(&err, "/run/vucd/vmm.sock"));
	}
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("VUCD_SOCKET");
	fake_vucd_stop(&d);
}

/* What an exec() would pass on, or the end of a test would leave behind. */
static unsigned int
count_inheritable(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL) {
		int flags = fcntl(atoi(entry->d_name), F_GETFD);

		n += entry->d_name[0] != '.' && flags >= 0 && (flags & FD_CLOEXEC) == 0;
	}
	closedir(dir);
	return n;
}

static void
test_detach_with_everything(void)
{
	unsigned int before = fd_count(), inheritable;
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	struct fake_vucd d;

	fake_vucd_start(&d);
	inheritable = count_inheritable();
	dev = fake_attach(&d);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, 0, &io, NULL), 0);
	CU_ASSERT_EQUAL(
		vuc_vmm_dma_map(dev,
			&(struct vuc_vmm_dma){.size = 4096, .flags = 3, .fd = d.bell_fd}, 1, NULL),
		0);
	CU_ASSERT_EQUAL(count_inheritable(), inheritable);
	vuc_vmm_io_fds_free(io);
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(fake_vucd_count(&d, VUC_SHM_CLOSE_QUEUE), 0);
	fake_vucd_stop(&d);
	CU_ASSERT_EQUAL(fd_count(), before);
}

static void
say_nothing(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->copies = 0;
	reply->hang_up = false;
}

static void
hang_up(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->copies = 0;
	reply->hang_up = true;
}

/* Detaching comes to an end when the daemon says nothing, has gone, or goes meanwhile. */
static void
test_detach_unheard(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct fake_vucd d;

	fake_vucd_start(&d);
	fake_opts(&d, &opts);
	opts.timeout_ms = 500;
	fake_vucd_twist(&d, VUC_SHM_DETACH, 0, say_nothing, NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
	vuc_vmm_detach(dev);
	fake_vucd_twist(&d, VUC_SHM_DETACH, 0, hang_up, NULL);
	vuc_vmm_detach(fake_attach(&d));
	fake_vucd_twist(&d, 0, 0, NULL, NULL);
	dev = fake_attach(&d);
	fake_vucd_hang_up(&d);
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(fake_vucd_count(&d, VUC_SHM_DETACH), 2);
	fake_vucd_stop(&d);
}

/* A child that has inherited the device detaches it, and so does its parent. */
static void
test_detach_in_two_processes(void)
{
	struct vuc_vmm_device *dev;
	struct vuc_error err;
	struct fake_vucd d;
	int status;
	pid_t child;

	fake_vucd_start(&d);
	dev = fake_attach(&d);
	child = fork();
	if (child == 0) {
		vuc_vmm_detach(dev);
		_exit(17);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 17);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(err.text, "the daemon has ended the connection");
	vuc_vmm_detach(dev);
	/* The daemon is there for the next one. */
	vuc_vmm_detach(fake_attach(&d));
	fake_vucd_stop(&d);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"info", test_info},
		{"names", test_names},
		{"options", test_options},
		{"options of another size", test_options_size},
		{"nobody is there", test_nobody_there},
		{"nobody accepts", test_nobody_accepts},
		{"refusals", test_refusals},
		{"reasons", test_reasons},
		{"default socket", test_default_socket},
		{"detach with all that a device can have", test_detach_with_everything},
		{"detach unheard", test_detach_unheard},
		{"detach in two processes", test_detach_in_two_processes},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
