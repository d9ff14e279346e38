/* SPDX-License-Identifier: BSD-3-Clause */

/* Attaching and detaching. */

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/vfio.h>

#include "fake_vucd.h"

static int
attach_to(const char *socket, const char *device)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *other = (struct vuc_vmm_device *)&opts;
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = device;
	opts.timeout_ms = 1000;
	rc = vuc_vmm_attach(&opts, &other, &err);
	CU_ASSERT((rc == 0) == (other != NULL));
	vuc_vmm_detach(other);
	return rc;
}

/* The lower one of the daemon's limits and the device's counts. */
static void
test_info(void)
{
	const struct vuc_vmm_info *info;

	fake_attach(0);
	info = vuc_vmm_info(dev);
	CU_ASSERT(info->generation == 1 && info->pgsizes == 4096 && info->dma_message);
	CU_ASSERT_EQUAL(info->flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CU_ASSERT(info->num_regions == FAKE_REGIONS && info->num_irqs == FAKE_IRQS);
	CU_ASSERT(info->max_dma_maps == 900 && info->max_queues == 8);
	CU_ASSERT(info->max_depth == 256 && info->max_data == 8192);
	CU_ASSERT_STRING_EQUAL(fake_request(VUC_SHM_HELLO, 0)->packet->hello.name, "tester");
	CU_ASSERT_STRING_EQUAL(fake_request(VUC_SHM_ATTACH, 0)->packet->attach.name, FAKE_DEVICE);
	fake_detach();
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DETACH), 1);
}

/* Without a name it is the program's; too long a one is cut. */
static void
test_names(void)
{
	char name[2 * VUC_SHM_NAME_SIZE] = "";
	struct vuc_vmm_attach_opts opts;

	memset(name, 'n', sizeof(name) - 1);
	fake_opts(&opts);
	for (unsigned int i = 0; i < 2; i++) {
		opts.name = i == 0 ? NULL : name;
		CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
		vuc_vmm_detach(dev);
	}
	dev = NULL;
	name[VUC_SHM_NAME_SIZE - 1] = '\0';
	CU_ASSERT_STRING_EQUAL(
		fake_request(VUC_SHM_HELLO, 0)->packet->hello.name, program_invocation_short_name);
	CU_ASSERT_STRING_EQUAL(fake_request(VUC_SHM_HELLO, 1)->packet->hello.name, name);
}

static void
test_options(void)
{
	char device[VUC_SHM_NAME_SIZE + 1] = "", path[109] = "";
	struct vuc_vmm_attach_opts opts;

	memset(device, 'd', sizeof(device) - 1);
	memset(path, 'p', sizeof(path) - 1);
	CU_ASSERT(fake_failed(attach_to("/", NULL), -EINVAL, "no name of a device*"));
	CU_ASSERT(fake_failed(attach_to("/", ""), -EINVAL, "no name of a device*"));
	CU_ASSERT(fake_failed(attach_to("/", device), -EINVAL,
		"*device name of 64 bytes, at most 63 are allowed*"));
	CU_ASSERT(fake_failed(
		attach_to(path, "disk"), -ENAMETOOLONG, "*socket path of 108 bytes, at most 107*"));
	CU_ASSERT_EQUAL(attach_to("", "disk"), -EINVAL);
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, NULL), -EINVAL);
	vuc_vmm_detach(NULL);
}

/* Options of programs that were built with an older or a newer header, and one that is wrong. */
static void
test_options_size(void)
{
	const struct {
		size_t size;
		uint64_t later;
		uint32_t timeout_ms;
		const char *error; /* NULL: attached */
	} rows[] = {
		{sizeof(struct vuc_vmm_attach_opts) + 8, 0, 1000, NULL},
		{sizeof(struct vuc_vmm_attach_opts) + 8, 1, 1000, "*is set, this library knows*"},
		{0, 1, 1000, "*struct vuc_vmm_attach_opts has a size of 0*"},
		{SIZE_MAX, 1, 1000, "*"},
		{sizeof(struct vuc_vmm_attach_opts), 1, 0, "*timeout_ms is 0*"},
	};
	struct {
		struct vuc_vmm_attach_opts opts;
		uint64_t later;
	} newer = {0};

	fake_opts(&newer.opts);
	CU_ASSERT_EQUAL(newer.opts.size, sizeof(newer.opts));
	CU_ASSERT_EQUAL(newer.opts.timeout_ms, VUC_VMM_DEFAULT_TIMEOUT_MS);
	for (size_t i = 0; i < NR(rows); i++) {
		newer.opts.size = rows[i].size;
		newer.opts.timeout_ms = rows[i].timeout_ms;
		newer.later = rows[i].later;
		err.text[0] = '\0';
		CU_ASSERT(fake_failed(vuc_vmm_attach(&newer.opts, &dev, &err),
			rows[i].error != NULL ? -EINVAL : 0,
			rows[i].error != NULL ? rows[i].error : ""));
		fake_detach();
	}
}

/* A socket that was bound, and that nobody listens on, as a daemon leaves it that was killed. */
static void
test_nobody_there(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char text[256];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/left.sock", fake.dir);
	CU_ASSERT_EQUAL_FATAL(bind(sock, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	snprintf(text, sizeof(text), "*%s*", addr.sun_path);
	CU_ASSERT(fake_failed(attach_to(addr.sun_path, "disk"), -ECONNREFUSED, text));
	close(sock);
	unlink(addr.sun_path);
	snprintf(text, sizeof(text), "*%s*No such file or directory*", addr.sun_path);
	CU_ASSERT(fake_failed(attach_to(addr.sun_path, "disk"), -ENOENT, text));
}

/* Somebody listens and never takes a connection: connecting itself waits when there are many. */
static void
test_nobody_accepts(void)
{
	unsigned int nr;
	int socks[8];

	fake_attach(0); /* has the daemon for itself */
	nr = fake_fill_backlog(socks);
	CU_ASSERT(fake_failed(attach_to(fake.path, "disk"), -ETIMEDOUT, "*cannot connect*"));
	while (nr > 0)
		close(socks[--nr]);
}

static void
test_refusals(void)
{
	static const int statuses[] = {
		-ENOENT, -EACCES, -EBUSY, -ENOTCONN, -EPROTO, -ETIMEDOUT, -EPROTONOSUPPORT};

	CU_ASSERT(fake_failed(attach_to(fake.path, "another"), -ENOENT, "because"));
	for (size_t i = 0; i < NR(statuses); i++) {
		for (unsigned int type = VUC_SHM_HELLO; type <= VUC_SHM_ATTACH; type++) {
			int status = statuses[i];

			fake_twist(type, 0, fake_refuse, &status);
			CU_ASSERT(fake_failed(
				attach_to(fake.path, FAKE_DEVICE), statuses[i], "because"));
		}
	}
}

/* The reason for a refusal begins with the byte *arg. */
static void
refuse_with(struct fake_reply *reply, void *arg)
{
	fake_refuse(reply, &(int){-ENOENT});
	reply->packet->failure.reason[0] = *(const char *)arg;
}

static void
test_reasons(void)
{
	fake_twist(VUC_SHM_ATTACH, 0, refuse_with, &(char){'\0'});
	CU_ASSERT(fake_failed(attach_to(fake.path, FAKE_DEVICE), -ENOENT,
		"the daemon has refused ATTACH: No such file or directory"));
	fake_twist(VUC_SHM_ATTACH, 0, refuse_with, &(char){'\033'});
	CU_ASSERT(fake_failed(attach_to(fake.path, FAKE_DEVICE), -ENOENT, "[?]ecause"));
}

static void
test_default_socket(void)
{
	char folder[128];

	unsetenv("XDG_RUNTIME_DIR");
	setenv("VUCD_SOCKET", fake.path, 1);
	CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE), 0);
	setenv("VUCD_SOCKET", "/nonexistent/some.sock", 1);
	CU_ASSERT(fake_failed(attach_to(NULL, FAKE_DEVICE), -ENOENT, "*/nonexistent/some.sock*"));
	/* vucd's folder in that of the user, if it is there. */
	setenv("VUCD_SOCKET", "", 1);
	setenv("XDG_RUNTIME_DIR", fake.dir, 1);
	snprintf(folder, sizeof(folder), "%s/vucd", fake.dir);
	CU_ASSERT_EQUAL_FATAL(symlink(fake.dir, folder), 0);
	CU_ASSERT_EQUAL(attach_to(NULL, FAKE_DEVICE), 0);
	unlink(folder);
	if (access("/run/vucd", F_OK) != 0)
		CU_ASSERT(
			fake_failed(attach_to(NULL, FAKE_DEVICE), -ENOENT, "*/run/vucd/vmm.sock*"));
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("VUCD_SOCKET");
}

/* What an exec() would pass on. */
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

/* Detaching gives back all that a device can have, and nothing of it is inherited. */
static void
test_detach_with_everything(void)
{
	const struct vuc_vmm_dma m = {
		.argsz = sizeof(m), .size = 4096, .flags = 3, .fd = fake.memory};
	unsigned int inheritable = count_inheritable();
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;
	struct vuc_queue *queue;

	fake_attach(0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, 0, &io, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
	CU_ASSERT_EQUAL(count_inheritable(), inheritable);
	vuc_vmm_io_fds_free(io);
	fake_detach();
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_CLOSE_QUEUE), 0);
}

/* Detaching comes to an end when the daemon says nothing, goes meanwhile, or has gone. */
static void
test_detach_unheard(void)
{
	fake_attach(500);
	fake_twist(VUC_SHM_DETACH, 0, fake_keep_silent, NULL);
	fake_attach(0);
	fake_twist(VUC_SHM_DETACH, 0, fake_end, NULL);
	fake_attach(0);
	fake_twist(0, 0, NULL, NULL);
	fake_hang_up();
	fake_detach();
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DETACH), 2);
}

/* A child that has inherited the device detaches it, and so does its parent. */
static void
test_detach_in_two_processes(void)
{
	int status;
	pid_t child;

	fake_attach(0);
	child = fork();
	if (child == 0) {
		vuc_vmm_detach(dev);
		_exit(17);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 17);
	CU_ASSERT(fake_failed(
		vuc_vmm_reset(dev, &err), -ECONNRESET, "the daemon closed the connection"));
	/* The daemon is there for the next one. */
	fake_attach(0);
}

/* More than a reply takes. */
static void
test_list(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_list *list = NULL;
	char name[16];

	fake_opts(&opts);
	opts.device = NULL;
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_list(&opts, &list, &err), 0);
	CU_ASSERT_EQUAL_FATAL(list->nr, FAKE_LISTED);
	for (uint32_t i = 0; i < list->nr; i++) {
		snprintf(name, sizeof(name), "dev%u", i);
		CU_ASSERT_STRING_EQUAL(list->devices[i]->name, name);
		CU_ASSERT_EQUAL(list->devices[i]->flags,
			(i % 3 == 0 ? VUC_VMM_LISTED_IN_USE : 0) |
				(i % 2 == 0 ? VUC_VMM_LISTED_CONNECTED : 0));
	}
	vuc_vmm_list_free(list);
	vuc_vmm_list_free(NULL);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_LIST), 3);
	CU_ASSERT_EQUAL(vuc_vmm_list(&opts, NULL, &err), -EINVAL);
	opts.socket = "/there/is/none";
	CU_ASSERT_EQUAL(vuc_vmm_list(&opts, &list, &err), -ENOENT);
	CU_ASSERT_PTR_NULL(list);
}

static void
test_list_start(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_list *list = NULL;
	struct fake_outcome whole = {0}, left = {0};

	fake_opts(&opts);
	CU_ASSERT_EQUAL_FATAL(
		vuc_vmm_list_start(&opts, &dev, &list, fake_keep_outcome, &whole, &err), 0);
	CU_ASSERT_EQUAL(fake_run_until(&whole), 0);
	CU_ASSERT(whole.status == 0 && list != NULL);
	vuc_vmm_list_free(list);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), -ENOTCONN);
	vuc_vmm_detach(dev);
	/* Left before its end. */
	CU_ASSERT_EQUAL_FATAL(
		vuc_vmm_list_start(&opts, &dev, &list, fake_keep_outcome, &left, &err), 0);
	fake_detach();
	CU_ASSERT_EQUAL(left.calls, 1);
	CU_ASSERT(left.status == -ECANCELED || left.status == 0);
	if (left.status == 0)
		vuc_vmm_list_free(list);
}

const struct tap_suite tap_suite = {"vmm", fake_start, fake_stop,
	{
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
		{"list", test_list},
		{"list, asynchronous", test_list_start},
	}};
