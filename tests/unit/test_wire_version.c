/* SPDX-License-Identifier: BSD-3-Clause */
#include "version.h"
#include "vfio_user.h"
#include "wire_body.h"

/* A body with this version data, and len bytes of it; the NUL is one of them. */
struct body {
	uint16_t major;
	uint16_t minor;
	char data[VUC_WIRE_MAX_VERSION_JSON + 1];
};

static struct body
body_of(const char *json)
{
	struct body b = {.major = 0, .minor = 1};

	snprintf(b.data, sizeof(b.data), "%s", json);
	return b;
}

static size_t
len_of(const char *json)
{
	return 4 + strlen(json) + 1;
}

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_version_decode(body, len, arg, err);
}

/* Decode a copy of version data; v gets the result. */
static bool
json_taken(const char *json, struct vuc_wire_version *v)
{
	struct body b = body_of(json);

	return taken(decode, v, &b, len_of(json));
}

static bool
json_refused(const char *json, const char *why)
{
	struct body b = body_of(json);
	struct vuc_wire_version v;
	char text[VUC_ERROR_MAX];

	snprintf(text, sizeof(text), "VFIO_USER_VERSION reply: %s", why);
	return refused(decode, &v, &b, len_of(json), text);
}

/* One capability. */
static bool
cap_refused(const char *member, const char *why)
{
	char json[512], full[VUC_ERROR_MAX];

	snprintf(json, sizeof(json), "{\"capabilities\":{%s}}", member);
	snprintf(full, sizeof(full), "capability %s", why);
	return json_refused(json, full);
}

static bool
cap_taken(const char *member, struct vuc_wire_version *v)
{
	char json[512];

	snprintf(json, sizeof(json), "{\"capabilities\":{%s}}", member);
	return json_taken(json, v);
}

static void
check_defaults(const struct vuc_wire_version *v)
{
	CU_ASSERT_EQUAL(v->max_msg_fds, 1);
	CU_ASSERT_EQUAL(v->max_data_xfer_size, 1048576);
	CU_ASSERT_EQUAL(v->max_dma_maps, 65535);
	CU_ASSERT_EQUAL(v->pgsizes, 4096);
	CU_ASSERT_FALSE(v->write_multiple);
	CU_ASSERT_FALSE(v->twin_socket.supported);
	CU_ASSERT_FALSE(v->twin_socket.has_fd_index);
	CU_ASSERT_FALSE(v->migration.present);
	CU_ASSERT_EQUAL(v->migration.pgsize, 0);
}

static void
test_defaults(void)
{
	struct vuc_wire_version v;

	memset(&v, 0xff, sizeof(v));
	vuc_wire_version_init(&v);
	CU_ASSERT_EQUAL(v.major, 0);
	CU_ASSERT_EQUAL(v.minor, 2);
	check_defaults(&v);
}

static void
test_encode(void)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":"
				   "1048576,\"max_dma_maps\":65535,\"pgsizes\":4096}}";
	struct vuc_wire_version v;
	uint8_t buf[256];

	vuc_wire_version_init(&v);
	v.max_msg_fds = 8;
	CU_ASSERT_EQUAL(vuc_wire_version_encode(buf, sizeof(buf), &v), 4 + sizeof(json));
	CU_ASSERT_EQUAL(memcmp(buf, "\0\0\2\0", 4), 0);
	CU_ASSERT_STRING_EQUAL(buf + 4, json);
	/* Every size that is too small, and the one that is not. */
	for (size_t size = 0; size < 4 + sizeof(json); size++)
		CU_ASSERT_EQUAL(vuc_wire_version_encode(buf, size, &v), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_wire_version_encode(buf, 4 + sizeof(json), &v), 4 + sizeof(json));
}

static void
test_encode_optional(void)
{
	struct vuc_wire_version v;
	uint8_t buf[512];

	vuc_wire_version_init(&v);
	v.twin_socket.supported = true;
	v.write_multiple = true;
	v.migration.present = true;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr((char *)buf + 4,
		",\"twin_socket\":{\"supported\":true},\"write_multiple\":true,\"migration\":{}}}"));
	v.twin_socket.has_fd_index = true;
	v.twin_socket.fd_index = 3;
	v.migration.pgsize = 4096;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr((char *)buf + 4, "\"twin_socket\":{\"supported\":true,\"fd_index\":3},"));
	CU_ASSERT_PTR_NOT_NULL(strstr((char *)buf + 4, "\"migration\":{\"pgsize\":4096}}}"));
}

static void
test_round_trip(void)
{
	struct vuc_wire_version v = {
		.major = 0xffff,
		.minor = 0xfffe,
		.max_msg_fds = 65535,
		.max_data_xfer_size = UINT32_MAX,
		.max_dma_maps = UINT32_MAX,
		.pgsizes = INT64_MAX - 4095,
		.write_multiple = true,
		.twin_socket = {.supported = true, .has_fd_index = true, .fd_index = 65535},
		.migration = {.present = true, .pgsize = INT64_MAX},
	};
	struct vuc_wire_version got;
	struct vuc_error err;
	uint8_t buf[512];
	int len = vuc_wire_version_encode(buf, sizeof(buf), &v);

	CU_ASSERT_FATAL(len > 0);
	CU_ASSERT_EQUAL_FATAL(vuc_wire_version_decode(buf, (size_t)len, &got, &err), 0);
	CU_ASSERT_EQUAL(got.major, 0xffff);
	CU_ASSERT_EQUAL(got.minor, 0xfffe);
	CU_ASSERT_EQUAL(got.max_msg_fds, 65535);
	CU_ASSERT_EQUAL(got.max_data_xfer_size, UINT32_MAX);
	CU_ASSERT_EQUAL(got.max_dma_maps, UINT32_MAX);
	CU_ASSERT_EQUAL(got.pgsizes, INT64_MAX - 4095);
	CU_ASSERT_TRUE(got.write_multiple);
	CU_ASSERT_TRUE(got.twin_socket.supported);
	CU_ASSERT_TRUE(got.twin_socket.has_fd_index);
	CU_ASSERT_EQUAL(got.twin_socket.fd_index, 65535);
	CU_ASSERT_TRUE(got.migration.present);
	CU_ASSERT_EQUAL(got.migration.pgsize, INT64_MAX);
}

static void
test_no_data(void)
{
	struct vuc_wire_version v;
	struct body b = body_of("");

	memset(&v, 0xff, sizeof(v));
	CU_ASSERT(taken(decode, &v, &b, 4));
	CU_ASSERT_EQUAL(v.major, 0);
	CU_ASSERT_EQUAL(v.minor, 1);
	check_defaults(&v);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode, &v, &b, 4), 4);
	CU_ASSERT(refused(decode, &v, &b, 3,
		"VFIO_USER_VERSION reply: body of 3 bytes, expected at least 4"));
}

static void
test_absent(void)
{
	static const char *const texts[] = {"{}", "{\"capabilities\":{}}",
		"{\"capabilities\":{\"twin_socket\":{}}}",
		"{\"other\":[{\"max_msg_fds\":-1}],\"max_msg_fds\":\"x\"}",
		"{\"capabilities\":{\"unknown\":{\"max_msg_fds\":3.5},\"max_msg_fds2\":null}}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vuc_wire_version v;

		memset(&v, 0xff, sizeof(v));
		CU_ASSERT(json_taken(texts[i], &v));
		check_defaults(&v);
	}
}

/* What libvfio-user sends. */
static void
test_present(void)
{
	struct vuc_wire_version v;

	CU_ASSERT(json_taken("{ \"capabilities\": { \"max_msg_fds\": 8, \"max_data_xfer_size\": "
			     "1048576, \"migration\": { \"pgsize\": 4096 }, \"twin_socket\": { "
			     "\"supported\": true, \"fd_index\": 0 } } }",
		&v));
	CU_ASSERT_EQUAL(v.max_msg_fds, 8);
	CU_ASSERT_EQUAL(v.max_data_xfer_size, 1048576);
	CU_ASSERT_TRUE(v.migration.present);
	CU_ASSERT_EQUAL(v.migration.pgsize, 4096);
	CU_ASSERT_TRUE(v.twin_socket.supported);
	CU_ASSERT_TRUE(v.twin_socket.has_fd_index);
	CU_ASSERT_EQUAL(v.twin_socket.fd_index, 0);
	CU_ASSERT_FALSE(v.write_multiple);
}

static void
test_nul(void)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8}}";
	struct body b = body_of(json);
	struct vuc_wire_version v;
	size_t len = len_of(json);

	CU_ASSERT(taken(decode, &v, &b, len));
	/* Every length but that of a body without version data. */
	CU_ASSERT_EQUAL(count_refused_prefixes(decode, &v, &b, len), len - 1);
	CU_ASSERT(refused(decode, &v, &b, len - 1,
		"VFIO_USER_VERSION reply: version data of 34 bytes has no NUL at its end"));
	CU_ASSERT(refused(decode, &v, &b, len + 1,
		"VFIO_USER_VERSION reply: version data of 36 bytes has a NUL at byte 34"));
	b.data[10] = '\0';
	CU_ASSERT(refused(decode, &v, &b, len,
		"VFIO_USER_VERSION reply: version data of 35 bytes has a NUL at byte 10"));
}

static void
test_length(void)
{
	struct body b = {.minor = 1};
	struct vuc_wire_version v;

	memset(b.data, ' ', sizeof(b.data));
	memcpy(b.data, "{}", 2);
	b.data[VUC_WIRE_MAX_VERSION_JSON - 1] = '\0';
	CU_ASSERT(taken(decode, &v, &b, 4 + VUC_WIRE_MAX_VERSION_JSON));
	b.data[VUC_WIRE_MAX_VERSION_JSON - 1] = ' ';
	b.data[VUC_WIRE_MAX_VERSION_JSON] = '\0';
	CU_ASSERT(refused(decode, &v, &b, 4 + VUC_WIRE_MAX_VERSION_JSON + 1,
		"VFIO_USER_VERSION reply: version data of 4097 bytes, expected at most 4096"));
}

static void
test_not_json(void)
{
	CU_ASSERT(json_refused("", "version data is not JSON at byte 0: unexpected end of data"));
	CU_ASSERT(json_refused("{\"capabilities\":{\"max_msg_fds\":8",
		"version data is not JSON at byte 32: unexpected end of data"));
	CU_ASSERT(json_refused("{\"capabilities\":{}} x",
		"version data is not JSON at byte 20: unexpected character 'x'"));
	CU_ASSERT(json_refused("{\"capabilities\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}",
		"version data is not JSON at byte 31: nesting too deep"));
	CU_ASSERT(json_refused("{\"capabilities\":{\"max_msg_fds\":NaN}}",
		"version data is not JSON at byte 31: unexpected character 'N'"));
}

static void
test_objects(void)
{
	struct vuc_wire_version v;

	CU_ASSERT(json_refused("[]", "version data is of type array, expected an object"));
	CU_ASSERT(json_refused("null", "version data is of type null, expected an object"));
	CU_ASSERT(json_refused("7", "version data is of type int, expected an object"));
	CU_ASSERT(json_refused(
		"{\"capabilities\":[]}", "capabilities is of type array, expected an object"));
	CU_ASSERT(json_taken("{\"capabilities\":null}", &v));
	check_defaults(&v);
	CU_ASSERT(cap_refused(
		"\"twin_socket\":true", "twin_socket is of type boolean, expected an object"));
	CU_ASSERT(cap_refused(
		"\"migration\":\"x\"", "migration is of type string, expected an object"));
}

static void
test_duplicates(void)
{
	CU_ASSERT(json_refused("{\"capabilities\":{},\"capabilities\":{}}",
		"version data has the member \"capabilities\" twice"));
	CU_ASSERT(json_refused("{\"capabilities\":{\"max_msg_fds\":1,\"max_msg_fds\":2}}",
		"version data has the member \"max_msg_fds\" twice"));
	CU_ASSERT(
		json_refused("{\"capabilities\":{\"twin_socket\":{\"fd_index\":0,\"fd_index\":0}}}",
			"version data has the member \"fd_index\" twice"));
	CU_ASSERT(json_refused("{\"x\":1,\"x\\u0000\":2}", "version data has a member twice"));
}

static void
test_types(void)
{
	CU_ASSERT(cap_refused(
		"\"max_msg_fds\":\"8\"", "max_msg_fds is of type string, expected an integer"));
	CU_ASSERT(cap_refused(
		"\"max_msg_fds\":null", "max_msg_fds is of type null, expected an integer"));
	CU_ASSERT(cap_refused("\"max_data_xfer_size\":1.0",
		"max_data_xfer_size is of type double, expected an integer"));
	CU_ASSERT(cap_refused("\"max_data_xfer_size\":1e3",
		"max_data_xfer_size is of type double, expected an integer"));
	CU_ASSERT(cap_refused(
		"\"max_dma_maps\":[1]", "max_dma_maps is of type array, expected an integer"));
	CU_ASSERT(cap_refused("\"pgsizes\":{}", "pgsizes is of type object, expected an integer"));
	CU_ASSERT(cap_refused(
		"\"write_multiple\":1", "write_multiple is of type int, expected a boolean"));
	CU_ASSERT(cap_refused("\"twin_socket\":{\"supported\":\"true\"}",
		"twin_socket.supported is of type string, expected a boolean"));
	CU_ASSERT(cap_refused("\"twin_socket\":{\"fd_index\":null}",
		"twin_socket.fd_index is of type null, expected an integer"));
	CU_ASSERT(cap_refused("\"migration\":{\"pgsize\":true}",
		"migration.pgsize is of type boolean, expected an integer"));
}

static void
test_lower_bounds(void)
{
	struct vuc_wire_version v;

	CU_ASSERT(cap_taken("\"max_msg_fds\":0,\"max_data_xfer_size\":8,\"max_dma_maps\":1,"
			    "\"pgsizes\":4096,\"twin_socket\":{\"fd_index\":0},"
			    "\"migration\":{\"pgsize\":0}",
		&v));
	CU_ASSERT_EQUAL(v.max_msg_fds, 0);
	CU_ASSERT_EQUAL(v.max_data_xfer_size, 8);
	CU_ASSERT_EQUAL(v.max_dma_maps, 1);
	CU_ASSERT_EQUAL(v.pgsizes, 4096);
	CU_ASSERT(cap_refused("\"max_msg_fds\":-1", "max_msg_fds is -1, expected 0 to 65535"));
	CU_ASSERT(cap_refused(
		"\"max_data_xfer_size\":0", "max_data_xfer_size is 0, expected 8 to 4294967295"));
	CU_ASSERT(cap_refused("\"max_dma_maps\":0", "max_dma_maps is 0, expected 1 to 4294967295"));
	CU_ASSERT(cap_refused(
		"\"max_data_xfer_size\":7", "max_data_xfer_size is 7, expected 8 to 4294967295"));
	CU_ASSERT(cap_refused(
		"\"pgsizes\":3000", "pgsizes is 3000, expected 4096 to 9223372036854775807"));
	CU_ASSERT(
		cap_refused("\"pgsizes\":12289", "pgsizes is 12289, expected a multiple of 4096"));
	CU_ASSERT(
		cap_refused("\"pgsizes\":0", "pgsizes is 0, expected 4096 to 9223372036854775807"));
	CU_ASSERT(cap_refused("\"pgsizes\":-9223372036854775808",
		"pgsizes is -9223372036854775808, expected 4096 to 9223372036854775807"));
	CU_ASSERT(cap_refused("\"twin_socket\":{\"fd_index\":-1}",
		"twin_socket.fd_index is -1, expected 0 to 65535"));
	CU_ASSERT(cap_refused("\"migration\":{\"pgsize\":-1}",
		"migration.pgsize is -1, expected 0 to 9223372036854775807"));
}

static void
test_upper_bounds(void)
{
	static const char *const numbers[] = {"65535", "65536", "4294967295", "4294967296",
		"1099511627776", "9223372036854775807", "9223372036854775808",
		"18446744073709551615"};
	struct vuc_wire_version v;
	char member[128];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(member, sizeof(member),
			"\"max_msg_fds\":%s,\"max_data_xfer_size\":%s,\"max_dma_maps\":%s",
			numbers[i], numbers[i], numbers[i]);
		CU_ASSERT(cap_taken(member, &v));
		CU_ASSERT_EQUAL(v.max_msg_fds, 65535);
		CU_ASSERT_EQUAL(v.max_data_xfer_size, i < 2 ? 65535 + i : UINT32_MAX);
		CU_ASSERT_EQUAL(v.max_dma_maps, i < 2 ? 65535 + i : UINT32_MAX);
	}
	CU_ASSERT(cap_refused("\"pgsizes\":9223372036854775808",
		"pgsizes is above 9223372036854775807, expected 4096 to 9223372036854775807"));
	CU_ASSERT(cap_refused("\"twin_socket\":{\"fd_index\":65536}",
		"twin_socket.fd_index is 65536, expected 0 to 65535"));
}

/* json-c clamps numbers beyond 64 bits, or refuses them from 0.17 on. */
static void
test_beyond_64_bits(void)
{
	static const char json[] = "\0\0\0\0{\"capabilities\":{\"pgsizes\":99999999999999999999}}";
	struct vuc_error err = {""};
	struct vuc_wire_version v;

	CU_ASSERT_EQUAL(vuc_wire_version_decode(json, sizeof(json), &v, &err), -EPROTO);
	CU_ASSERT(strstr(err.text, "pgsizes is above 9223372036854775807") != NULL ||
		strstr(err.text, "is not JSON at byte") != NULL);
}

static bool
check_refused(const struct vuc_wire_version *ours, const struct vuc_wire_version *theirs,
	unsigned int nr_fds, const char *why)
{
	struct vuc_error err = {""};
	int rc = vuc_wire_version_check(ours, theirs, nr_fds, &err);

	if (rc == -EPROTO && strcmp(err.text, why) == 0)
		return true;
	printf("# returned %d and \"%s\"\n", rc, err.text);
	return false;
}

static void
test_check_numbers(void)
{
	struct vuc_wire_version ours, theirs;
	struct vuc_error err = {""};

	vuc_wire_version_init(&ours);
	vuc_wire_version_init(&theirs);
	CU_ASSERT_EQUAL(vuc_wire_version_check(&ours, &theirs, 0, &err), 0);
	theirs.minor = 0;
	CU_ASSERT_EQUAL(vuc_wire_version_check(&ours, &theirs, 0, &err), 0);
	theirs.minor = (uint16_t)(ours.minor + 1);
	CU_ASSERT(check_refused(
		&ours, &theirs, 0, "VFIO_USER_VERSION reply: minor 3, expected at most 2"));
	theirs.minor = 0;
	theirs.major = 1;
	CU_ASSERT(check_refused(&ours, &theirs, 0, "VFIO_USER_VERSION reply: major 1, expected 0"));
}

static void
test_check_twin_socket(void)
{
	struct vuc_wire_version ours, theirs;
	struct vuc_error err = {""};

	vuc_wire_version_init(&ours);
	vuc_wire_version_init(&theirs);
	theirs.twin_socket.supported = true;
	theirs.twin_socket.has_fd_index = true;
	theirs.twin_socket.fd_index = 1;
	CU_ASSERT(check_refused(&ours, &theirs, 2,
		"VFIO_USER_VERSION reply: capability twin_socket.supported is true, but was not "
		"asked for"));
	ours.twin_socket.supported = true;
	CU_ASSERT_EQUAL(vuc_wire_version_check(&ours, &theirs, 2, &err), 0);
	CU_ASSERT(check_refused(&ours, &theirs, 1,
		"VFIO_USER_VERSION reply: capability twin_socket.fd_index is 1, but 1 file "
		"descriptors came"));
	theirs.twin_socket.has_fd_index = false;
	CU_ASSERT(check_refused(&ours, &theirs, 2,
		"VFIO_USER_VERSION reply: capability twin_socket.fd_index is missing"));
	theirs.twin_socket.supported = false;
	CU_ASSERT_EQUAL(vuc_wire_version_check(&ours, &theirs, 0, &err), 0);
}

int
main(void)
{
	CU_TestInfo encode[] = {
		{"defaults", test_defaults},
		{"capabilities that are always written", test_encode},
		{"capabilities that are written when set", test_encode_optional},
		{"read back", test_round_trip},
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo decode_tests[] = {
		{"no version data", test_no_data},
		{"members that are absent or unknown", test_absent},
		{"members that are present", test_present},
		{"NUL missing, inside and twice", test_nul},
		{"longest data", test_length},
		{"not JSON", test_not_json},
		{"not objects", test_objects},
		{"members given twice", test_duplicates},
		{"wrong types", test_types},
		{"below the bounds", test_lower_bounds},
		{"above the bounds", test_upper_bounds},
		{"beyond 64 bits", test_beyond_64_bits},
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo check[] = {
		{"numbers", test_check_numbers},
		{"twin socket", test_check_twin_socket},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"version encode", NULL, NULL, NULL, NULL, encode},
		{"version decode", NULL, NULL, NULL, NULL, decode_tests},
		{"version check", NULL, NULL, NULL, NULL, check},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
