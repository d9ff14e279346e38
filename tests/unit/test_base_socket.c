/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"
#include "tap.h"

/* A path of len bytes. */
static int
make_address(size_t len, struct sockaddr_un *addr, struct vuc_error *err)
{
	char path[VUC_SOCKET_PATH_MAX + 2] = "";

	memset(path, 'x', len);
	return vuc_socket_address(path, addr, err);
}

static void
test_longest(void)
{
	struct sockaddr_un addr;

	memset(&addr, 0xff, sizeof(addr));
	CU_ASSERT_EQUAL(VUC_SOCKET_PATH_MAX, 107);
	CU_ASSERT_EQUAL(make_address(VUC_SOCKET_PATH_MAX, &addr, NULL), 0);
	CU_ASSERT_EQUAL(addr.sun_family, AF_UNIX);
	CU_ASSERT_EQUAL(strnlen(addr.sun_path, sizeof(addr.sun_path)), VUC_SOCKET_PATH_MAX);
}

static void
test_too_long(void)
{
	struct sockaddr_un addr = {.sun_path = "untouched"};
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(make_address(VUC_SOCKET_PATH_MAX + 1, &addr, &err), -ENAMETOOLONG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "socket path of 108 bytes, at most 107"));
	CU_ASSERT_STRING_EQUAL(addr.sun_path, "untouched");
}

static void
test_empty(void)
{
	struct sockaddr_un addr;
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(make_address(0, &addr, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "the socket path is empty");
	CU_ASSERT_EQUAL(vuc_socket_address(NULL, &addr, &err), -EINVAL);
}

const struct tap_suite tap_suite = {"socket", NULL, NULL,
	{
		{"the longest path has its NUL, and nothing else behind it", test_longest},
		{"a longer one is refused, with its length", test_too_long},
		{"so is an empty one", test_empty},
	}};
