/* SPDX-License-Identifier: BSD-3-Clause */
#include "version.h"
#include "vfio_user.h"
#include "wire_body.h"

#define NAME       "VFIO_USER_VERSION reply"
#define CAPS(text) "{\"capabilities\":{" text "}}"

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_version v;

	return vuc_wire_version_decode(body, len, arg != NULL ? arg : &v, err);
}

struct json_row {
	const char *json;
	const char *why; /* NULL: it is taken */
};

/* Decode version 0.1 with this version data. */
static bool
json_holds(const struct json_row *row, struct vuc_wire_version *v)
{
	char body[1024] = {0, 0, 1, 0};
	const struct decoder decoder = {"", decode, v, NAME, body, 4 + strlen(row->json) + 1};
	const struct body_row unchanged = {row->why};

	snprintf(body + 4, sizeof(body) - 4, "%s", row->json);
	return row_holds(&decoder, &unchanged);
}

static void
check_json(const struct json_row *rows, size_t nr_rows)
{
	for (size_t i = 0; i < nr_rows; i++)
		CU_ASSERT(json_holds(&rows[i], NULL));
}

#define CHECK_JSON(rows) check_json(rows, NR(rows))

/* What is read, from memory that was full of ones. */
static struct vuc_wire_version
decoded(const char *json)
{
	struct vuc_wire_version v;

	memset(&v, 0xff, sizeof(v));
	CU_ASSERT(json_holds(&(struct json_row){json, NULL}, &v));
	return v;
}

static void
check_defaults(const struct vuc_wire_version *v, uint16_t minor)
{
	CU_ASSERT_EQUAL(v->major, 0);
	CU_ASSERT_EQUAL(v->minor, minor);
	CU_ASSERT_EQUAL(v->max_msg_fds, 1);
	CU_ASSERT_EQUAL(v->max_data_xfer_size, 1048576);
	CU_ASSERT_EQUAL(v->max_dma_maps, 65535);
	CU_ASSERT_EQUAL(v->pgsizes, 4096);
	CU_ASSERT_FALSE(v->write_multiple);
	CU_ASSERT_FALSE(v->twin_socket.supported || v->twin_socket.has_fd_index);
	CU_ASSERT_FALSE(v->migration.present);
	CU_ASSERT_EQUAL(v->migration.pgsize, 0);
}

static void
test_encode(void)
{
	static const char json[] = CAPS("\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,"
					"\"max_dma_maps\":65535,\"pgsizes\":4096");
	struct vuc_wire_version v;
	uint8_t buf[256];

	memset(&v, 0xff, sizeof(v));
	vuc_wire_version_init(&v);
	check_defaults(&v, 2);
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
	char buf[512];

	vuc_wire_version_init(&v);
	v.twin_socket.supported = true;
	v.write_multiple = true;
	v.migration.present = true;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf + 4,
		",\"twin_socket\":{\"supported\":true},\"write_multiple\":true,\"migration\":{}}}"));
	v.twin_socket.has_fd_index = true;
	v.twin_socket.fd_index = 3;
	v.migration.pgsize = 4096;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(buf + 4, "\"twin_socket\":{\"supported\":true,\"fd_index\":3},"));
	CU_ASSERT_PTR_NOT_NULL(strstr(buf + 4, "\"migration\":{\"pgsize\":4096}}}"));

	v.migration.max_bitmap_size = 65536;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(buf + 4, "\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":65536}}}"));
	v.migration.pgsize = 0;
	CU_ASSERT_TRUE(vuc_wire_version_encode(buf, sizeof(buf), &v) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf + 4, "\"migration\":{\"max_bitmap_size\":65536}}}"));
}

static void
test_round_trip(void)
{
	struct vuc_wire_version v, got;
	struct vuc_error err;
	uint8_t buf[512];
	int len;

	/* So that what lies between the members is equal, too. */
	memset(&v, 0, sizeof(v));
	memset(&got, 0, sizeof(got));
	v.major = 0xffff;
	v.minor = 0xfffe;
	v.max_msg_fds = 65535;
	v.max_data_xfer_size = UINT32_MAX;
	v.max_dma_maps = UINT32_MAX;
	v.pgsizes = INT64_MAX - 4095;
	v.write_multiple = true;
	v.twin_socket.supported = true;
	v.twin_socket.has_fd_index = true;
	v.twin_socket.fd_index = 65535;
	v.migration.present = true;
	v.migration.pgsize = INT64_MAX;
	len = vuc_wire_version_encode(buf, sizeof(buf), &v);
	CU_ASSERT_FATAL(len > 0);
	CU_ASSERT_EQUAL_FATAL(vuc_wire_version_decode(buf, (size_t)len, &got, &err), 0);
	CU_ASSERT_EQUAL(memcmp(&got, &v, sizeof(v)), 0);
}

static void
test_absent(void)
{
	static const char no_data[] = {0, 0, 1, 0};
	static const char *const texts[] = {"{}", "{\"capabilities\":{}}",
		"{\"capabilities\":null}", CAPS("\"twin_socket\":{}"),
		"{\"other\":[{\"max_msg_fds\":-1}],\"max_msg_fds\":\"x\"}",
		CAPS("\"unknown\":{\"max_msg_fds\":3.5},\"max_msg_fds2\":null")};
	struct vuc_wire_version v;
	static const struct body_row rows[] = {
		{"body of 3 bytes, expected at least 4", .len = 3},
		{NULL},
	};
	const struct decoder decoder = {"", decode, &v, NAME, no_data, 4, ROWS(rows)};

	memset(&v, 0xff, sizeof(v));
	decoder_test(&decoder);
	check_defaults(&v, 1);
	for (size_t i = 0; i < NR(texts); i++) {
		v = decoded(texts[i]);
		check_defaults(&v, 1);
	}
}

/* What libvfio-user sends. */
static void
test_present(void)
{
	struct vuc_wire_version v = decoded(
		"{ \"capabilities\": { \"max_msg_fds\": 8, \"max_data_xfer_size\": 1048576, "
		"\"migration\": { \"pgsize\": 4096 }, \"twin_socket\": { \"supported\": true, "
		"\"fd_index\": 0 } } }");

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
	static const char body[] = "\0\0\1\0" CAPS("\"max_msg_fds\":8");
	const struct decoder decoder = {"", decode, NULL, NAME, GOOD(body)};
	static const struct body_row rows[] = {
		{NULL},
		{"version data of 34 bytes has no NUL at its end", .len = sizeof(body) - 1},
		{"version data of 36 bytes has a NUL at byte 34", .len = sizeof(body) + 1},
		{"version data of 35 bytes has a NUL at byte 10", {{14, 1, 0}}},
	};

	for (size_t i = 0; i < NR(rows); i++)
		CU_ASSERT(row_holds(&decoder, &rows[i]));
	/* Every length but that of a body without version data. */
	CU_ASSERT_EQUAL(count_refused_prefixes(&decoder), sizeof(body) - 1);
}

static void
test_longest(void)
{
	static char body[4 + VUC_WIRE_MAX_VERSION_JSON];
	const struct decoder decoder = {"", decode, NULL, NAME, GOOD(body)};
	static const struct body_row rows[] = {
		{NULL},
		{"version data of 4097 bytes, expected at most 4096", {{sizeof(body) - 1, 1, ' '}},
			.len = sizeof(body) + 1},
	};

	memset(body, ' ', sizeof(body));
	memcpy(body, "\0\0\1\0{}", 6);
	body[sizeof(body) - 1] = '\0';
	CU_ASSERT(row_holds(&decoder, &rows[0]));
	CU_ASSERT(row_holds(&decoder, &rows[1]));
}

static void
test_not_json(void)
{
	static const struct json_row rows[] = {
		{"", "version data is not JSON at byte 0: unexpected end of data"},
		{"{\"capabilities\":{\"max_msg_fds\":8",
			"version data is not JSON at byte 32: unexpected end of data"},
		{"{\"capabilities\":{}} x",
			"version data is not JSON at byte 20: unexpected character 'x'"},
		{"{\"capabilities\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}",
			"version data is not JSON at byte 31: nesting too deep"},
		{CAPS("\"max_msg_fds\":NaN"),
			"version data is not JSON at byte 31: unexpected character 'N'"},
		{"{\"capabilities\":{},\"capabilities\":{}}",
			"version data has the member \"capabilities\" twice"},
		{CAPS("\"max_msg_fds\":1,\"max_msg_fds\":2"),
			"version data has the member \"max_msg_fds\" twice"},
		{CAPS("\"twin_socket\":{\"fd_index\":0,\"fd_index\":0}"),
			"version data has the member \"fd_index\" twice"},
		{"{\"x\":1,\"x\\u0000\":2}", "version data has a member twice"},
	};

	CHECK_JSON(rows);
}

#define CAP(name, value)          CAPS("\"" name "\":" value)
#define TYPE(name, got, expected) "capability " name " is of type " got ", expected " expected

static void
test_types(void)
{
	static const struct json_row rows[] = {
		{"[]", "version data is of type array, expected an object"},
		{"null", "version data is of type null, expected an object"},
		{"7", "version data is of type int, expected an object"},
		{"{\"capabilities\":[]}", "capabilities is of type array, expected an object"},
		{CAP("twin_socket", "true"), TYPE("twin_socket", "boolean", "an object")},
		{CAP("migration", "\"x\""), TYPE("migration", "string", "an object")},
		{CAP("max_msg_fds", "\"8\""), TYPE("max_msg_fds", "string", "an integer")},
		{CAP("max_msg_fds", "null"), TYPE("max_msg_fds", "null", "an integer")},
		{CAP("max_data_xfer_size", "1.0"),
			TYPE("max_data_xfer_size", "double", "an integer")},
		{CAP("max_data_xfer_size", "1e3"),
			TYPE("max_data_xfer_size", "double", "an integer")},
		{CAP("max_dma_maps", "[1]"), TYPE("max_dma_maps", "array", "an integer")},
		{CAP("pgsizes", "{}"), TYPE("pgsizes", "object", "an integer")},
		{CAP("write_multiple", "1"), TYPE("write_multiple", "int", "a boolean")},
		{CAP("twin_socket", "{\"supported\":\"true\"}"),
			TYPE("twin_socket.supported", "string", "a boolean")},
		{CAP("twin_socket", "{\"fd_index\":null}"),
			TYPE("twin_socket.fd_index", "null", "an integer")},
		{CAP("migration", "{\"pgsize\":true}"),
			TYPE("migration.pgsize", "boolean", "an integer")},
	};

	CHECK_JSON(rows);
}

static void
test_bounds(void)
{
	static const struct json_row rows[] = {
		{CAP("max_msg_fds", "-1"), "capability max_msg_fds is -1, expected 0 to 65535"},
		{CAP("max_data_xfer_size", "0"),
			"capability max_data_xfer_size is 0, expected 8 to 4294967295"},
		{CAP("max_data_xfer_size", "7"),
			"capability max_data_xfer_size is 7, expected 8 to 4294967295"},
		{CAP("max_dma_maps", "0"),
			"capability max_dma_maps is 0, expected 1 to 4294967295"},
		{CAP("pgsizes", "3000"),
			"capability pgsizes is 3000, expected 4096 to 9223372036854775807"},
		{CAP("pgsizes", "12289"),
			"capability pgsizes is 12289, expected a multiple of 4096"},
		{CAP("pgsizes", "0"),
			"capability pgsizes is 0, expected 4096 to 9223372036854775807"},
		{CAP("pgsizes", "-9223372036854775808"),
			"capability pgsizes is -9223372036854775808, expected 4096 to "
			"9223372036854775807"},
		{CAP("pgsizes", "9223372036854775808"),
			"capability pgsizes is above 9223372036854775807, expected 4096 to "
			"9223372036854775807"},
		{CAP("twin_socket", "{\"fd_index\":-1}"),
			"capability twin_socket.fd_index is -1, expected 0 to 65535"},
		{CAP("twin_socket", "{\"fd_index\":65536}"),
			"capability twin_socket.fd_index is 65536, expected 0 to 65535"},
		{CAP("migration", "{\"max_bitmap_size\":-1}"),
			"capability migration.max_bitmap_size is -1, expected 0 to "
			"9223372036854775807"},
		{CAP("migration", "{\"pgsize\":-1}"),
			"capability migration.pgsize is -1, expected 0 to 9223372036854775807"},
	};
	struct vuc_wire_version v =
		decoded(CAPS("\"max_msg_fds\":0,\"max_data_xfer_size\":8,\"max_dma_maps\":1,"
			     "\"pgsizes\":4096,\"twin_socket\":{\"fd_index\":0},"
			     "\"migration\":{\"pgsize\":0}"));

	CU_ASSERT_EQUAL(v.max_msg_fds, 0);
	CU_ASSERT_EQUAL(v.max_data_xfer_size, 8);
	CU_ASSERT_EQUAL(v.max_dma_maps, 1);
	CU_ASSERT_EQUAL(v.pgsizes, 4096);
	CHECK_JSON(rows);
}

/* Above their bounds, most numbers mean the bound. */
static void
test_clamped(void)
{
	static const char *const numbers[] = {"65535", "65536", "4294967295", "4294967296",
		"1099511627776", "9223372036854775807", "9223372036854775808",
		"18446744073709551615"};

	for (size_t i = 0; i < NR(numbers); i++) {
		struct vuc_wire_version v;
		char json[256];

		snprintf(json, sizeof(json),
			CAPS("\"max_msg_fds\":%s,\"max_data_xfer_size\":%s,\"max_dma_maps\":%s"),
			numbers[i], numbers[i], numbers[i]);
		v = decoded(json);
		CU_ASSERT_EQUAL(v.max_msg_fds, 65535);
		CU_ASSERT_EQUAL(v.max_data_xfer_size, i < 2 ? 65535 + i : UINT32_MAX);
		CU_ASSERT_EQUAL(v.max_dma_maps, i < 2 ? 65535 + i : UINT32_MAX);
	}
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

/* The peer's version against what was proposed, which is the version that vuc has. */
static void
test_check(void)
{
	static const struct {
		uint16_t major, minor;
		bool asked, supported, has_index; /* of the twin socket, whose index is 1 */
		unsigned int nr_fds;
		const char *why; /* NULL: nothing is wrong */
	} cases[] = {
		{0, 2, false, false, false, 0, NULL},
		{0, 0, false, false, false, 0, NULL},
		{0, 3, false, false, false, 0, "minor 3, expected at most 2"},
		{1, 0, false, false, false, 0, "major 1, expected 0"},
		{0, 2, false, true, true, 2,
			"capability twin_socket.supported is true, but was not requested"},
		{0, 2, true, true, true, 2, NULL},
		{0, 2, true, true, true, 1,
			"capability twin_socket.fd_index is 1, but 1 file descriptors were received"},
		{0, 2, true, true, false, 2, "capability twin_socket.fd_index is missing"},
		{0, 2, true, false, false, 0, NULL},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		struct vuc_wire_version ours, theirs;
		char text[VUC_ERROR_MAX] = "";
		struct vuc_error err = {""};

		vuc_tap_row("case %zu", i);
		vuc_wire_version_init(&ours);
		vuc_wire_version_init(&theirs);
		ours.twin_socket.supported = cases[i].asked;
		theirs.major = cases[i].major;
		theirs.minor = cases[i].minor;
		theirs.twin_socket.supported = cases[i].supported;
		theirs.twin_socket.has_fd_index = cases[i].has_index;
		theirs.twin_socket.fd_index = 1;
		if (cases[i].why != NULL)
			snprintf(text, sizeof(text), NAME ": %s", cases[i].why);
		CU_ASSERT_EQUAL(vuc_wire_version_check(&ours, &theirs, cases[i].nr_fds, &err),
			cases[i].why != NULL ? -EPROTO : 0);
		CU_ASSERT(tap_text_is(err.text, text));
	}
}

const struct tap_suite tap_suite = {"version", NULL, NULL,
	{
		{"capabilities that are always written", test_encode},
		{"capabilities that are written when set", test_encode_optional},
		{"read back", test_round_trip},
		{"members that are absent or unknown", test_absent},
		{"members that are present", test_present},
		{"NUL missing, inside and twice", test_nul},
		{"longest data", test_longest},
		{"not JSON, and members given twice", test_not_json},
		{"wrong types", test_types},
		{"bounds", test_bounds},
		{"numbers that are clamped", test_clamped},
		{"beyond 64 bits", test_beyond_64_bits},
		{"what was not proposed", test_check},
	}};
