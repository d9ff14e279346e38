/* SPDX-License-Identifier: BSD-3-Clause */

/* Features and migration states: which changes are asked for, and what of a server is believed. */

#include <errno.h>
#include <string.h>

#include <vuc/feature.h>
#include <vuc/migration.h>

#include "mig_server.h"
#include "refusal.h"
#include "tap.h"
#include "vfio_user.h"

#define NR_STATES 8

#define GET_MIGRATION (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION)
#define GET_STATE     (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
#define SET_STATE     (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

static struct mig_server f;
static struct vuc_device *dev;

static void
set_up(void)
{
	mig_server_init(&f);
	dev = mig_server_open(&f);
}

static void
tear_down(void)
{
	vuc_device_close(dev);
}

static void
test_probe(void)
{
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, VUC_FEATURE_GET), 0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				VUC_FEATURE_GET | VUC_FEATURE_SET),
		0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, 0), 0);
	CU_ASSERT(is_refused(dev, vuc_feature_probe(dev, 0xffff, 0), -ENOTTY,
		"the server answered VFIO_USER_DEVICE_FEATURE with error 25 (Inappropriate ioctl "
		"for device)"));
	CU_ASSERT(is_refused(dev, vuc_feature_probe(dev, 1, 1u << 18), -EINVAL,
		"feature 1: unknown methods 0x40000, only get and set are allowed"));
}

static void
test_get_and_set_data(void)
{
	struct vfio_user_device_feature_mig_state state = {0};
	uint8_t big[64];
	size_t len = 0;

	CU_ASSERT_EQUAL(
		vuc_feature_get(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, big, sizeof(big), &len),
		0);
	CU_ASSERT_EQUAL_FATAL(len, sizeof(state));
	memcpy(&state, big, len);
	CU_ASSERT_EQUAL(state.device_state, VUC_MIGRATION_RUNNING);
	state.device_state = VUC_MIGRATION_STOP;
	CU_ASSERT_EQUAL(
		vuc_feature_set(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state, sizeof(state)),
		0);
	CU_ASSERT_EQUAL(f.state, VUC_MIGRATION_STOP);
	CU_ASSERT_EQUAL(vuc_feature_set(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0), 0);
	CU_ASSERT_STRING_EQUAL(f.trace, "STOP stop ");
	CU_ASSERT_EQUAL(vuc_feature_get(dev, 1, big, VUC_FEATURE_MAX_DATA + 1, &len), -EMSGSIZE);
	CU_ASSERT(is_refused(dev, vuc_feature_set(dev, 1, big, VUC_FEATURE_MAX_DATA + 1), -EMSGSIZE,
		"feature 1: 32769 bytes of data are over the limit of 32768"));
}

static void
test_supported(void)
{
	uint64_t flags = 0;

	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY);
	f.migration_flags = 0;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, 0);
	f.migration_flags = VUC_MIGRATION_CAN_PRE_COPY;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), -EPROTO);
}

/* As the specification's text has it: every state leads to every other, but for these. */
static bool
expect_legal(unsigned int from, unsigned int to)
{
	const unsigned int unused = 1u << VUC_MIGRATION_ERROR | 1u << VUC_MIGRATION_RUNNING_P2P |
		1u << VUC_MIGRATION_PRE_COPY_P2P;

	if ((unused >> from & 1) != 0 || (unused >> to & 1) != 0)
		return false;
	return !(from == VUC_MIGRATION_STOP_COPY && to == VUC_MIGRATION_PRE_COPY);
}

static void
check_change(unsigned int from, unsigned int to)
{
	char expected[64];
	int rc;

	f.state = from;
	f.trace[0] = '\0';
	rc = vuc_migration_set_state(dev, (enum vuc_migration_state)to);
	if (!expect_legal(from, to)) {
		snprintf(expected, sizeof(expected), "migration state cannot change from %s to %s*",
			vuc_migration_state_name((enum vuc_migration_state)from),
			vuc_migration_state_name((enum vuc_migration_state)to));
		CU_ASSERT(is_refused(dev, rc, -EINVAL, expected));
		CU_ASSERT_EQUAL(f.state, from);
		CU_ASSERT_STRING_EQUAL(f.trace, "");
		return;
	}
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_EQUAL(f.state, to);
	CU_ASSERT_EQUAL(f.trace[0] == '\0', from == to);
}

static void
test_all_changes(void)
{
	for (unsigned int from = 0; from < NR_STATES; from++) {
		for (unsigned int to = 0; to < NR_STATES; to++)
			check_change(from, to);
	}
	check_change(VUC_MIGRATION_RUNNING, VUC_MIGRATION_STOP);
	CU_ASSERT(is_refused(dev, vuc_migration_set_state(dev, (enum vuc_migration_state)NR_STATES),
		-EINVAL, "migration state cannot change from STOP to (unknown)"));
}

static void
test_pre_copy_not_supported(void)
{
	f.migration_flags = VUC_MIGRATION_CAN_STOP_COPY;
	CU_ASSERT(is_refused(dev, vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY), -EOPNOTSUPP,
		"the device does not support PRE_COPY"));
	CU_ASSERT_STRING_EQUAL(f.trace, "");
}

static void
test_unknown_state(void)
{
	enum vuc_migration_state state = VUC_MIGRATION_PRE_COPY;

	f.state = NR_STATES;
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), -EPROTO);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_PRE_COPY);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -EPROTO);
}

static int
get_migration(void)
{
	uint8_t data[8];
	size_t len;

	return vuc_feature_get(dev, VFIO_DEVICE_FEATURE_MIGRATION, data, sizeof(data), &len);
}

static int
set_stop(void)
{
	return vuc_migration_set_state(dev, VUC_MIGRATION_STOP);
}

static int
set_pre_copy(void)
{
	return vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY);
}

#define REPLY  "VFIO_USER_DEVICE_FEATURE reply: "
#define CHANGE "from migration state RUNNING to STOP: "
#define BUSY   "the server answered VFIO_USER_DEVICE_FEATURE with error 16 (Device or resource busy)"
/* The long timeout: a change has it for all of its messages. */
#define LATE "no answer to VFIO_USER_DEVICE_FEATURE within 31 ms"

/* One reply is bad or missing; and what the same call returns next, with the state of then. */
static void
test_bad_replies(void)
{
	static const struct {
		int (*call)(void);
		uint32_t flags;
		enum fake_wrong wrong;
		uint32_t at, value;
		int rc;
		const char *reason;
		int next;
		enum vuc_migration_state state;
	} rows[] = {
		{get_migration, 0, FAKE_FIELD, 0, 15, -EPROTO, REPLY "argsz 15, expected 16", 0,
			VUC_MIGRATION_RUNNING},
		{get_migration, 0, FAKE_FIELD, 0, UINT32_MAX, -EPROTO,
			REPLY "argsz 4294967295, expected 16", 0, VUC_MIGRATION_RUNNING},
		{get_migration, 0, FAKE_FIELD, 4, 0x10002, -EPROTO,
			REPLY "flags 0x10002, expected 0x10001", 0, VUC_MIGRATION_RUNNING},
		{set_stop, SET_STATE, FAKE_ERROR, 0, EBUSY, -EBUSY, CHANGE BUSY, 0,
			VUC_MIGRATION_STOP},
		{set_stop, SET_STATE, FAKE_ERROR_STATE, 0, EBUSY, -EBUSY,
			CHANGE BUSY "; the device is in ERROR now", -EINVAL, VUC_MIGRATION_ERROR},
		{set_stop, SET_STATE, FAKE_FIELD, 8, VUC_MIGRATION_STOP_COPY, -EPROTO,
			CHANGE REPLY "device_state 3, expected 1", 0, VUC_MIGRATION_STOP},
		{set_stop, GET_STATE, FAKE_SILENT, 0, 0, -ETIMEDOUT, LATE, 0, VUC_MIGRATION_STOP},
		{set_stop, SET_STATE, FAKE_SILENT, 0, 0, -ETIMEDOUT, CHANGE LATE, 0,
			VUC_MIGRATION_STOP},
		{set_pre_copy, GET_MIGRATION, FAKE_CLOSE, 0, 0, -ECONNRESET, "*", -ECONNRESET,
			VUC_MIGRATION_RUNNING},
	};
	enum vuc_migration_state state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tear_down();
		mig_server_init(&f);
		f.server.fault = (struct fake_fault){1, VFIO_USER_DEVICE_FEATURE, rows[i].flags,
			rows[i].wrong, rows[i].at, rows[i].value};
		dev = mig_server_open(&f);
		CU_ASSERT(is_refused(dev, rows[i].call(), rows[i].rc, rows[i].reason));
		CU_ASSERT_EQUAL(vuc_device_connected(dev), rows[i].rc != -ECONNRESET);
		CU_ASSERT_EQUAL(rows[i].call(), rows[i].next);
		CU_ASSERT_EQUAL(f.state, rows[i].state);
		CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state),
			rows[i].rc == -ECONNRESET ? -ECONNRESET : 0);
		if (rows[i].next == -EINVAL)
			CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev),
				"migration state cannot change from ERROR to STOP: reset the device");
	}
}

static CU_TestInfo tests[] = {
	{"probe", test_probe},
	{"data of features", test_get_and_set_data},
	{"supported", test_supported},
	{"all changes of state", test_all_changes},
	{"no pre-copy", test_pre_copy_not_supported},
	{"unknown state", test_unknown_state},
	{"bad replies", test_bad_replies},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("migration states", set_up, tear_down, tests);
}
