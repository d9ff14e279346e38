/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_dir.h"
#include "tap.h"

static char folder[64];

static int
setup(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/vucd-test-XXXXXX", base != NULL ? base : "/tmp");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
cleanup(void)
{
	return rmdir(folder);
}

static struct vucd_settings
make_settings(const char *name, unsigned int mode)
{
	struct vucd_settings settings = {.directory_mode = mode, .group = VUCD_NO_ID};

	if (name != NULL)
		snprintf(settings.directory, sizeof(settings.directory), "%s/%s", folder, name);
	return settings;
}

static unsigned int
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
test_made(void)
{
	struct vucd_settings settings = make_settings("a", 0700);
	struct vucd_run_dir dir, second;
	struct vuc_error err = {""};
	char path[VUCD_PATH_SIZE], wanted[VUCD_PATH_SIZE + 16];

	CU_ASSERT_EQUAL_FATAL(vucd_run_dir_open(&dir, &settings, &err), 0);
	CU_ASSERT_STRING_EQUAL(dir.path, settings.directory);
	CU_ASSERT_EQUAL(mode_of(dir.path), 0700);
	vucd_run_dir_socket(&dir, VUCD_VMM_SOCKET, path);
	snprintf(wanted, sizeof(wanted), "%s/vmm.sock", settings.directory);
	CU_ASSERT_STRING_EQUAL(path, wanted);
	/* One daemon at a time. */
	CU_ASSERT_EQUAL(vucd_run_dir_open(&second, &settings, &err), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ": another vucd has it"));
	vucd_run_dir_close(&dir);
	CU_ASSERT_NOT_EQUAL(access(settings.directory, F_OK), 0);
}

/* One that is there is taken, given the mode, and left. */
static void
test_there(void)
{
	struct vucd_settings settings = make_settings("b", 0750);
	struct vucd_run_dir dir;
	struct vuc_error err = {""};

	settings.group = getegid();
	CU_ASSERT_EQUAL_FATAL(mkdir(settings.directory, 0777), 0);
	CU_ASSERT_EQUAL_FATAL(vucd_run_dir_open(&dir, &settings, &err), 0);
	CU_ASSERT_EQUAL(mode_of(dir.path), 0750);
	vucd_run_dir_close(&dir);
	CU_ASSERT_EQUAL(rmdir(settings.directory), 0);
}

static void
test_wrong(void)
{
	struct vucd_settings settings = make_settings("c", 0700);
	struct vucd_run_dir dir;
	struct vuc_error err = {""};
	int fd = open(settings.directory, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	CU_ASSERT_EQUAL(vucd_run_dir_open(&dir, &settings, &err), -ENOTDIR);
	unlink(settings.directory);
	CU_ASSERT_EQUAL_FATAL(symlink(folder, settings.directory), 0);
	CU_ASSERT_NOT_EQUAL(vucd_run_dir_open(&dir, &settings, &err), 0);
	unlink(settings.directory);
	settings = make_settings("c/d", 0700);
	CU_ASSERT_EQUAL(vucd_run_dir_open(&dir, &settings, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cannot be made"));
}

static void
test_others(void)
{
	struct vucd_settings settings = make_settings("e", 0700);
	struct vucd_run_dir dir;
	struct vuc_error err = {""};

	if (geteuid() != 0) {
		vuc_tap_skip("only root can make another user's directory");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(mkdir(settings.directory, 0700), 0);
	CU_ASSERT_EQUAL_FATAL(chown(settings.directory, 65534, (gid_t)-1), 0);
	CU_ASSERT_EQUAL(vucd_run_dir_open(&dir, &settings, &err), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "belongs to another user"));
	CU_ASSERT_EQUAL(rmdir(settings.directory), 0);
}

/* Where it is by default. */
static void
test_default(void)
{
	struct vucd_settings settings = make_settings(NULL, 0700);
	struct vucd_run_dir dir;
	struct vuc_error err = {""};
	char list[256], longest[120];

	unsetenv("RUNTIME_DIRECTORY");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	CU_ASSERT_EQUAL_FATAL(vucd_run_dir_open(&dir, &settings, &err), 0);
	snprintf(list, sizeof(list), "%s/vucd", folder);
	CU_ASSERT_STRING_EQUAL(dir.path, list);
	vucd_run_dir_close(&dir);
	snprintf(list, sizeof(list), "%s/first:%s/second", folder, folder);
	setenv("RUNTIME_DIRECTORY", list, 1);
	CU_ASSERT_EQUAL_FATAL(vucd_run_dir_open(&dir, &settings, &err), 0);
	*strchr(list, ':') = '\0';
	CU_ASSERT_STRING_EQUAL(dir.path, list);
	vucd_run_dir_close(&dir);
	memset(longest, '/', 92);
	longest[92] = '\0';
	setenv("RUNTIME_DIRECTORY", longest, 1);
	CU_ASSERT_EQUAL(vucd_run_dir_open(&dir, &settings, &err), -ENAMETOOLONG);
	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("XDG_RUNTIME_DIR");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"made and removed", test_made},
		{"there already", test_there},
		{"what is none", test_wrong},
		{"another user's", test_others},
		{"defaults", test_default},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucd_run_dir", setup, cleanup, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
