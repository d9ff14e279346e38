/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fd_count.h"
#include "listener.h"
#include "socket.h"
#include "tap.h"
#include "tempdir.h"

static char folder[VUC_TEMPDIR_SIZE];
static char path[sizeof(folder) + 2];

/* What is put in the place of the path as soon as it is bound; NULL: nothing. */
static void (*replace)(void);

/* Called then; NULL: nothing. */
static void (*bound)(void);

int
bind(int fd, const struct sockaddr *address, socklen_t len)
{
	int rc = (int)syscall(SYS_bind, fd, address, len);

	if (rc == 0 && replace != NULL) {
		CU_ASSERT_EQUAL(unlink(path), 0);
		replace();
	}
	if (rc == 0 && bound != NULL)
		bound();
	return rc;
}

/* Called when it has been found out whether a process has the socket of the path. */
static void (*checked)(void);

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int rc = (int)syscall(SYS_connect, fd, address, len);
	int error = errno;

	if (checked != NULL)
		checked();
	errno = error;
	return rc;
}

/* Called when the path is moved back; and whether the file system can do so at once. */
static void (*moving_back)(void);
static bool moves_back = true;

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	if (moving_back != NULL)
		moving_back();
	if (moves_back)
		return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
	errno = EINVAL;
	return -1;
}

static void
make_folder(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	snprintf(path, sizeof(path), "%s/s", folder);
}

/* Nothing else is left in it. */
static void
remove_folder(void)
{
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static int
bind_path(struct vuc_listener *l, mode_t mode, struct vuc_error *err)
{
	return vuc_listener_bind(l, path, SOCK_STREAM, mode, (gid_t)-1, err);
}

/* Bind a socket that nobody has then, or connect to the one that is there. */
static void
use_path(const char *at, int (*use)(int fd, const struct sockaddr *address, socklen_t len))
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	CU_ASSERT_EQUAL(vuc_socket_address(at, &address, NULL), 0);
	CU_ASSERT_EQUAL(use(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void
test_mode(void)
{
	const mode_t mask = umask(0077);
	struct vuc_listener l;
	struct stat st = {0};

	CU_ASSERT_EQUAL_FATAL(bind_path(&l, 0666, NULL), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0666);
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL_FATAL(bind_path(&l, 0, NULL), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	umask(mask);
}

/* Also from the moment on at which it is bound, before others can connect. */
static void
test_used(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	for (size_t i = 0; i < NR(types); i++) {
		struct vuc_listener first, second;
		struct vuc_error err = {""};

		CU_ASSERT_EQUAL_FATAL(
			vuc_listener_bind(&first, path, types[i], 0600, (gid_t)-1, NULL), 0);
		CU_ASSERT_EQUAL(bind_path(&second, 0600, &err), -EADDRINUSE);
		CU_ASSERT_EQUAL(second.fd, -1);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process serves this socket"));
		CU_ASSERT_PTR_EQUAL(strstr(err.text, path), err.text);
		CU_ASSERT_EQUAL(access(path, F_OK), 0);
		vuc_listener_close(&first);
	}
}

static void
test_stale(void)
{
	struct vuc_listener l;

	use_path(path, bind);
	CU_ASSERT_EQUAL_FATAL(bind_path(&l, 0600, NULL), 0);
	CU_ASSERT_EQUAL(vuc_listener_listen(&l, 1, NULL), 0);
	use_path(path, connect);
	/* What has taken its place meanwhile stays. */
	CU_ASSERT_EQUAL(unlink(path), 0);
	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static struct vuc_listener other;

static void
replace_stale(void)
{
	checked = NULL;
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(bind_path(&other, 0600, NULL), 0);
	CU_ASSERT_EQUAL(vuc_listener_listen(&other, 1, NULL), 0);
}

/* Another process is faster: its socket is not taken for the one that nobody has. */
static void
test_stale_replaced(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_error err = {""};
		struct vuc_listener l;

		use_path(path, bind);
		checked = replace_stale;
		moves_back = i == 0;
		CU_ASSERT_EQUAL(bind_path(&l, 0600, &err), -ESTALE);
		moves_back = true;
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ": replaced by another process"));
		use_path(path, connect);
		vuc_listener_close(&other);
		CU_ASSERT_EQUAL(access(path, F_OK), -1);
	}
}

static struct vuc_listener third;

static void
bind_third(void)
{
	moving_back = NULL;
	CU_ASSERT_EQUAL(bind_path(&third, 0600, NULL), 0);
	CU_ASSERT_EQUAL(vuc_listener_listen(&third, 1, NULL), 0);
}

/* A third one has the path before the other one is moved back: none of them is lost. */
static void
test_replaced_twice(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_error err = {""};
		struct vuc_listener l;
		const char *aside;

		use_path(path, bind);
		checked = replace_stale;
		moving_back = bind_third;
		moves_back = i == 0;
		CU_ASSERT_EQUAL(bind_path(&l, 0600, &err), -ESTALE);
		moves_back = true;
		use_path(path, connect);
		aside = strstr(err.text, ", whose socket is now ");
		CU_ASSERT_PTR_NOT_NULL_FATAL(aside);
		aside += strlen(", whose socket is now ");
		use_path(aside, connect);
		vuc_listener_close(&third);
		vuc_listener_close(&other);
		CU_ASSERT_EQUAL(unlink(aside), 0);
	}
}

/* What has a name like that of a socket that is removed belongs to others. */
static void
test_other_names(void)
{
	char name[sizeof(path) + 32];
	struct vuc_listener l;

	snprintf(name, sizeof(name), "%s.%d.old", path, (int)getpid());
	close(open(name, O_CREAT | O_CLOEXEC, 0600));
	CU_ASSERT_EQUAL_FATAL(bind_path(&l, 0600, NULL), 0);
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL(unlink(name), 0);
}

static struct rlimit limit;

static void
use_up_descriptors(void)
{
	struct rlimit none = limit;
	int fd = dup(0);

	close(fd);
	none.rlim_cur = (rlim_t)fd;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
}

/* Only root could replace a socket of mode 0. */
static void
test_failed(void)
{
	const unsigned int before = fd_count();
	struct vuc_error err = {""};
	struct vuc_listener l;
	int rc;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	bound = use_up_descriptors;
	rc = bind_path(&l, 0600, &err);
	bound = NULL;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT_EQUAL(rc, -EMFILE);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	CU_ASSERT_EQUAL(fd_count(), before);
	if (geteuid() != 0)
		return;
	/* That a group cannot be set is tried as a user who is not root. */
	CU_ASSERT_EQUAL(chmod(folder, 0777), 0);
	CU_ASSERT_EQUAL_FATAL(seteuid(65534), 0);
	CU_ASSERT_EQUAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0600, 1, &err), -EPERM);
	CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}

static void
test_not_a_socket(void)
{
	struct vuc_error err = {""};
	struct vuc_listener l;

	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	CU_ASSERT_EQUAL(bind_path(&l, 0600, &err), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "exists and is not a socket"));
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static char victim[sizeof(folder) + 2];

static void
replace_by_link(void)
{
	CU_ASSERT_EQUAL(symlink(victim, path), 0);
}

static void
replace_by_file(void)
{
	CU_ASSERT_EQUAL(link(victim, path), 0);
}

static void
replace_by_nothing(void)
{
}

/* The owner of the folder replaces the path between two system calls: nothing else gets its mode
 * and its group. */
static void
test_replaced(void)
{
	static const struct {
		void (*replace)(void);
		mode_t victim; /* its type */
		int rc;
	} rows[] = {
		{replace_by_link, S_IFREG, -ESTALE},
		{replace_by_link, S_IFSOCK, -ESTALE},
		{replace_by_file, S_IFREG, -ESTALE},
		{replace_by_file, S_IFSOCK, -ESTALE},
		{replace_by_nothing, S_IFREG, -ENOENT},
	};

	snprintf(victim, sizeof(victim), "%s/v", folder);
	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_error err = {""};
		struct vuc_listener l;
		struct stat st, now;

		CU_ASSERT_EQUAL_FATAL(mknod(victim, rows[i].victim | 0600, 0), 0);
		CU_ASSERT_EQUAL(stat(victim, &st), 0);
		replace = rows[i].replace;
		CU_ASSERT_EQUAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0666, getegid(), &err),
			rows[i].rc);
		replace = NULL;
		CU_ASSERT_PTR_EQUAL(strstr(err.text, path), err.text);
		CU_ASSERT_EQUAL(l.fd, -1);
		CU_ASSERT_EQUAL(stat(victim, &now), 0);
		CU_ASSERT_EQUAL(now.st_mode, st.st_mode);
		unlink(path);
		CU_ASSERT_EQUAL(unlink(victim), 0);
	}
}

/* Whether a process has it is not known then. Root may connect to all. */
static void
test_forbidden(void)
{
	const bool root = geteuid() == 0;
	struct vuc_error err = {""};
	struct vuc_listener first, second;

	CU_ASSERT_EQUAL_FATAL(bind_path(&first, 0, NULL), 0);
	CU_ASSERT_EQUAL(chmod(path, 0), 0);
	if (root) {
		CU_ASSERT_EQUAL(chmod(folder, 0711), 0);
		CU_ASSERT_EQUAL_FATAL(seteuid(65534), 0);
	}
	CU_ASSERT_EQUAL(bind_path(&second, 0, &err), -EACCES);
	if (root)
		CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ": exists: connect: Permission denied"));
	vuc_listener_close(&first);
}

const struct tap_suite tap_suite = {"listener", make_folder, remove_folder,
	{
		{"the path has the given mode, whatever the umask, or that of the umask",
			test_mode},
		{"a socket that a process has is left alone", test_used},
		{"one that no process has is replaced, and only one's own removed", test_stale},
		{"one that takes its place meanwhile is left alone", test_stale_replaced},
		{"so are two of them", test_replaced_twice},
		{"so is a file with a similar name", test_other_names},
		{"nothing is left behind by a failure", test_failed},
		{"a file that is not a socket is left alone", test_not_a_socket},
		{"what another process puts in its place keeps its mode", test_replaced},
		{"so is a socket that may not be connected to", test_forbidden},
	}};
