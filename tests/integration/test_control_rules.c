/* SPDX-License-Identifier: BSD-3-Clause */

/* Who may come in, who may have a device, and what ends a connection. */

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "rig.h"

#define SOMEBODY 12345
#define OTHERS   23456

/* Flags that LIST has of the device; -1: it has no device at all; -2: others. */
static int
listed_flags(void)
{
	struct shm_client c;
	struct vuc_shm_list list = {.first = 0};
	const struct vuc_shm_list_reply *r = &c.reply.list_reply;
	int flags = -2;

	if (shm_connect(&c, rig.path) == 0 && shm_hello(&c) == 0 &&
		shm_call(&c, &list, VUC_SHM_LIST, sizeof(list), NULL, 0) == 0 && r->more == 0) {
		if (r->nr == 0)
			flags = -1;
		for (uint32_t i = 0; i < r->nr; i++) {
			if (strcmp(r->devices[i].name, RIG_NAME) == 0)
				flags = (int)r->devices[i].flags;
		}
	}
	shm_close(&c);
	return flags;
}

/* A user sees the devices that it may use, and what they are. */
static void
test_list(void)
{
	struct shm_client c;
	int status;
	pid_t pid;

	rig_start(&(struct rig_opts){.mode = 0666, .user = SOMEBODY, .group = OTHERS});
	CU_ASSERT_EQUAL(chmod(rig.folder, 0755), 0);
	CU_ASSERT_EQUAL(listed_flags(), VUC_SHM_LISTED_CONNECTED);
	CU_ASSERT_EQUAL_FATAL(shm_start(&c, rig.path, RIG_NAME), 0);
	CU_ASSERT_EQUAL(listed_flags(), VUC_SHM_LISTED_CONNECTED | VUC_SHM_LISTED_IN_USE);
	shm_close(&c);
	pid = fork();
	if (pid == 0) {
		gid_t none = 2;

		if (geteuid() != 0)
			_exit(0);
		if (setgroups(1, &none) != 0 || setgid(2) != 0 || setuid(54321) != 0)
			_exit(100);
		_exit(listed_flags() == -1 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* In a child of another user and group, supplementary ones among them: what attaching says. */
static int
attach_as(uid_t uid, gid_t gid, gid_t supplementary, char *reason)
{
	int status = 0, ends[2];
	struct shm_client c;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (setgroups(1, &supplementary) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
			_exit(100);
		status = shm_start(&c, rig.path, RIG_NAME);
		if (status < 0 && write(ends[1], c.reply.failure.reason, 200) != 200)
			_exit(100);
		_exit(-status & 0x7f);
	}
	close(ends[1]);
	memset(reason, 0, 256);
	if (read(ends[0], reason, 200) < 0)
		reason[0] = '\0';
	close(ends[0]);
	waitpid(pid, &status, 0);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	return -WEXITSTATUS(status);
}

static void
test_permission(void)
{
	char reason[256];

	if (geteuid() != 0) {
		vuc_tap_skip("only root can be another user");
		return;
	}
	rig_start(&(struct rig_opts){.mode = 0666, .user = SOMEBODY, .group = OTHERS});
	CU_ASSERT_EQUAL(chmod(rig.folder, 0755), 0);
	CU_ASSERT_EQUAL(attach_as(SOMEBODY, 1, 1, reason), 0);
	CU_ASSERT_EQUAL(attach_as(54321, OTHERS, 1, reason), 0);
	CU_ASSERT_EQUAL(attach_as(54321, 1, OTHERS, reason), 0);
	CU_ASSERT_EQUAL(attach_as(0, 1, 1, reason), 0);
	CU_ASSERT_EQUAL(attach_as(54321, 1, 2, reason), -EACCES);
	CU_ASSERT_STRING_EQUAL(reason, "user 54321 may not use device disk0");
	CU_ASSERT_TRUE(rig_has_logged("ATTACH refused: user 54321 may not use device disk0"));
}

/* By default nobody else gets as far as that. */
static void
test_socket_mode(void)
{
	char reason[256];
	struct stat st;

	rig_start(NULL);
	CU_ASSERT_EQUAL_FATAL(stat(rig.path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	if (geteuid() == 0) {
		CU_ASSERT_EQUAL(chmod(rig.folder, 0755), 0);
		CU_ASSERT_EQUAL(attach_as(SOMEBODY, 1, 1, reason), -EACCES);
		CU_ASSERT_FALSE(rig_has_logged("user 12345"));
	}
}

/* A second control plane on a socket that is served; a stale one; a file that is no socket. */
static void
test_socket(void)
{
	struct vuc_control_opts opts;
	struct vuc_control *second;
	struct vuc_error err = {0};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char path[sizeof(rig.path) + 8];
	int fd;

	rig_start(NULL);
	vuc_control_opts_init(&opts, sizeof(opts));
	opts.path = rig.path;
	CU_ASSERT_EQUAL(vuc_control_create(&opts, &second, &err), -EADDRINUSE);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process serves this socket"));
	snprintf(path, sizeof(path), "%s.2", rig.path);
	opts.path = path;
	fd = open(path, O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	CU_ASSERT_EQUAL(vuc_control_create(&opts, &second, &err), -EEXIST);
	CU_ASSERT_EQUAL(unlink(path), 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	CU_ASSERT_EQUAL(vuc_control_create(&opts, &second, &err), 0);
	vuc_control_destroy(second);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}

static void
test_opts(void)
{
	static const struct rig_change bad[] = {
		RIG_CHANGE(vuc_control_opts, path, 0),
		RIG_CHANGE(vuc_control_opts, max_vmms, 0),
		RIG_CHANGE(vuc_control_opts, max_queues, VUC_SHM_MAX_QUEUES + 1),
		RIG_CHANGE(vuc_control_opts, mode, 01777),
		RIG_CHANGE(vuc_control_opts, handshake_timeout_ms, 0),
		RIG_CHANGE(vuc_control_opts, max_dma_maps, 0),
	};
	struct vuc_control_opts opts, good;
	struct vuc_control *c;
	char path[200] = "";

	rig_start(NULL);
	vuc_control_opts_init(&good, sizeof(good));
	snprintf(path, sizeof(path), "%s.2", rig.path);
	good.path = path;
	for (size_t i = 0; i < NR(bad); i++) {
		opts = good;
		rig_change(&opts, &bad[i]);
		CU_ASSERT_EQUAL(vuc_control_create(&opts, &c, NULL), -EINVAL);
	}
	memset(path, 'x', sizeof(path) - 1);
	CU_ASSERT_EQUAL(vuc_control_create(&good, &c, NULL), -ENAMETOOLONG);
	vuc_control_destroy(NULL);
}

static void
test_device_opts(void)
{
	static const char *const names[] = {NULL, "", "a b", "a/b", "\xff",
		"0123456789012345678901234567890123456789012345678901234567890123"};
	static const struct {
		struct rig_change change;
		bool open; /* it is one of the device's own */
		const char *text;
	} bad[] = {
		{RIG_CHANGE(vuc_control_device_opts, device, 0), false,
			"device good has no server"},
		{RIG_CHANGE(vuc_control_device_opts, poller, 0), false, ""},
		{RIG_CHANGE(vuc_control_device_opts, retry_min_ms, 0), false, ""},
		{RIG_CHANGE(vuc_control_device_opts, map, 2), false, "device good: unknown map 2"},
		{RIG_CHANGE(vuc_device_opts, path, 0), true, ""},
	};
	struct rig_device good, d;
	struct vuc_error err = {0};

	rig_start(NULL);
	rig_device_opts(&good, NULL, "good", rig.sockets[0]);
	for (size_t i = 0; i < NR(names); i++) {
		d = good;
		d.control.name = names[i];
		CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &d.control, &err), -EINVAL);
	}
	for (size_t i = 0; i < NR(bad); i++) {
		d = good;
		d.control.device = &d.open;
		rig_change(bad[i].open ? (void *)&d.open : &d.control, &bad[i].change);
		CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &d.control, &err), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i].text));
	}
	d.open.fd = 0;
	CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &d.control, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(
		err.text, "device good: reconnecting takes a path, not a file descriptor");
}

/* Over the cap a connection is closed at once; one that leaves makes room. */
static void
check_cap(unsigned int max_vmms, unsigned int per_user, const char *line)
{
	struct shm_client clients[3], more;

	rig_start(&(struct rig_opts){.max_vmms = max_vmms, .max_vmms_per_user = per_user});
	for (unsigned int i = 0; i < 3; i++) {
		rig_greet(&clients[i]);
	}
	CU_ASSERT_EQUAL_FATAL(shm_connect(&more, rig.path), 0);
	CU_ASSERT_TRUE(shm_is_ended(&more));
	CU_ASSERT_TRUE(rig_has_logged(line));
	shm_close(&more);
	CU_ASSERT_EQUAL(vuc_control_connections(rig.control), 3);
	for (unsigned int i = 0; i < 3; i++)
		shm_close(&clients[i]);
	CU_ASSERT_TRUE(rig_has_connections(0));
	rig_attach(&more, RIG_NAME);
	shm_close(&more);
}

static void
test_caps(void)
{
	check_cap(3, 10, "too many connections to the daemon");
	check_cap(10, 3, "too many connections of this user");
}

/* Who does not attach in time has to go, whether it has said hello or not. */
static void
test_deadline(void)
{
	struct shm_client late[2];

	rig_start_attached(&(struct rig_opts){.handshake_timeout_ms = 2000});
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(shm_connect(&late[i], rig.path), 0);
	CU_ASSERT_EQUAL(shm_hello(&late[1]), 0);
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(shm_is_ended(&late[i]));
		shm_close(&late[i]);
	}
	CU_ASSERT_TRUE(rig_has_logged("did not attach within 2000 ms"));
	rig_open_queue(&client, 4, 64);
}

/* One breach of the rules each, beside those of single packets (test_control_packets.c): it ends
 * the connection, and the log says why. */
static void
attach_unasked(struct shm_client *c)
{
	CU_ASSERT_EQUAL(shm_attach(c, RIG_NAME), SHM_GONE);
}

static void
reset_nothing(struct shm_client *c)
{
	CU_ASSERT_EQUAL(shm_hello(c), 0);
	CU_ASSERT_EQUAL(shm_plain(c, VUC_SHM_RESET), SHM_GONE);
}

static void
hello_again(struct shm_client *c)
{
	CU_ASSERT_EQUAL(shm_hello(c), SHM_GONE);
}

static void
too_long(struct shm_client *c)
{
	static const uint8_t bytes[VUC_SHM_MAX_PACKET + 1];

	CU_ASSERT_EQUAL(shm_send(c, bytes, sizeof(bytes), NULL, 0), 0);
}

/* It reads no replies: its socket is full some time. */
static void
never_reads(struct shm_client *c)
{
	struct vuc_shm_index index = {.index = 0};

	do {
		shm_header(c, &index.header, VUC_SHM_IRQ_INFO, sizeof(index));
	} while (shm_send(c, &index, sizeof(index), NULL, 0) == 0);
}

/* Descriptors that it does not take: they would count for the daemon. */
static void
leaves_fds(struct shm_client *c)
{
	struct vuc_shm_open_queue open = {.depth = 4, .max_data = 64};

	do {
		shm_header(c, &open.header, VUC_SHM_OPEN_QUEUE, sizeof(open));
	} while (shm_send(c, &open, sizeof(open), NULL, 0) == 0);
}

static void
breaks_queue(struct shm_client *c)
{
	const struct vuc_shm_request request = {.op = 77, .count = 1};

	shm_submit(rig_open_queue(c, 4, 64), &request);
}

static const struct breach {
	const char *line;
	void (*commit)(struct shm_client *c);
	bool attached; /* when it is committed */
} breaches[] = {
	{"ATTACH: not allowed before HELLO", attach_unasked, false},
	{"RESET: not allowed between HELLO and ATTACH", reset_nothing, false},
	{"HELLO: not allowed after ATTACH", hello_again, true},
	{"a packet of more than 4096 bytes", too_long, true},
	{"does not read its replies", never_reads, true},
	{"OPEN_QUEUE: asks for file descriptors without reading its replies", leaves_fds, true},
	{"protocol violation in a queue", breaks_queue, true},
};

static void
test_breaches(void)
{
	uint32_t attaches = 0;

	rig_start(NULL);
	rig_attach(&other_client, RIG_SECOND);
	for (size_t i = 0; i < NR(breaches); i++) {
		CU_ASSERT_EQUAL_FATAL(breaches[i].attached ? shm_start(&client, rig.path, RIG_NAME)
							   : shm_connect(&client, rig.path),
			0);
		breaches[i].commit(&client);
		CU_ASSERT_TRUE(shm_is_ended(&client));
		if (!rig_has_logged(breaches[i].line))
			printf("# not logged: %s\n", breaches[i].line);
		CU_ASSERT_TRUE(rig_has_logged(breaches[i].line));
		shm_close(&client);
		CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		attaches += breaches[i].attached;
	}
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).attaches, attaches);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, 1 + attaches);
	CU_ASSERT_EQUAL(shm_plain(&other_client, VUC_SHM_RESET), 0);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"list", test_list},
		{"permission", test_permission},
		{"socket_mode", test_socket_mode},
		{"socket", test_socket},
		{"opts", test_opts},
		{"device_opts", test_device_opts},
		{"caps", test_caps},
		{"deadline", test_deadline},
		{"breaches", test_breaches},
	}};
