/* SPDX-License-Identifier: BSD-3-Clause */

/* Features and migration states: which changes are asked for, and what of a server is believed. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vuc/feature.h>
#include <vuc/migration.h>

#include "mig_server.h"
#include "tap.h"
#include "vfio_user.h"

#define NR_STATES 8

#define GET_MIGRATION (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION)
#define GET_STATE     (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
#define SET_STATE     (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

static void
test_probe(void)
{
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, VUC_FEATURE_GET), 0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				VUC_FEATURE_GET | VUC_FEATURE_SET),
		0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, 0), 0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, 0xffff, 0), -ENOTTY);
	CU_ASSERT(mig_reason_is(dev,
		"the server answered VFIO_USER_DEVICE_FEATURE with error 25 (Inappropriate ioctl "
		"for device)"));
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, 1, 1u << 18), -EINVAL);
	CU_ASSERT(mig_reason_is(
		dev, "feature 1: unknown methods 0x40000, only get and set are allowed"));
	vuc_device_close(dev);
}

static void
test_get_and_set_data(void)
{
	struct vfio_user_device_feature_mig_state state = {0};
	uint8_t big[64];
	struct mig_server f;
	struct vuc_device *dev;
	size_t len = 0;

	mig_server_init(&f);
	dev = mig_server_open(&f);
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
	CU_ASSERT_EQUAL(vuc_feature_set(dev, 1, big, VUC_FEATURE_MAX_DATA + 1), -EMSGSIZE);
	CU_ASSERT(mig_reason_is(dev, "feature 1: 32769 bytes of data are over the limit of 32768"));
	vuc_device_close(dev);
}

/* The reply to a feature that breaks the protocol in one field. */
static void
check_bad_feature(uint32_t at, uint32_t value, const char *reason)
{
	struct mig_server f;
	struct vuc_device *dev;
	uint8_t data[8];
	size_t len;

	mig_server_init(&f);
	f.server.fault = (struct fake_fault){.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.wrong = FAKE_FIELD,
		.at = at,
		.value = value};
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(
		vuc_feature_get(dev, VFIO_DEVICE_FEATURE_MIGRATION, data, 8, &len), -EPROTO);
	CU_ASSERT(mig_reason_is(dev, reason));
	vuc_device_close(dev);
}

static void
test_bad_feature_replies(void)
{
	check_bad_feature(0, 15, "VFIO_USER_DEVICE_FEATURE reply: argsz 15, expected 16");
	check_bad_feature(
		0, UINT32_MAX, "VFIO_USER_DEVICE_FEATURE reply: argsz 4294967295, expected 16");
	check_bad_feature(
		4, 0x10002, "VFIO_USER_DEVICE_FEATURE reply: flags 0x10002, expected 0x10001");
}

static void
test_supported(void)
{
	struct mig_server f;
	struct vuc_device *dev;
	uint64_t flags = 0;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY);
	f.migration_flags = 0;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, 0);
	f.migration_flags = VUC_MIGRATION_CAN_PRE_COPY;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), -EPROTO);
	vuc_device_close(dev);
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
check_change(struct mig_server *f, struct vuc_device *dev, unsigned int from, unsigned int to)
{
	char expected[64];
	int rc;

	f->state = from;
	f->trace[0] = '\0';
	rc = vuc_migration_set_state(dev, (enum vuc_migration_state)to);
	if (!expect_legal(from, to)) {
		CU_ASSERT_EQUAL(rc, -EINVAL);
		CU_ASSERT_EQUAL(f->state, from);
		CU_ASSERT_STRING_EQUAL(f->trace, "");
		snprintf(expected, sizeof(expected), "migration state cannot change from %s to %s",
			vuc_migration_state_name((enum vuc_migration_state)from),
			vuc_migration_state_name((enum vuc_migration_state)to));
		CU_ASSERT_EQUAL(strncmp(vuc_device_reason(dev), expected, strlen(expected)), 0);
		return;
	}
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_EQUAL(f->state, to);
	CU_ASSERT_EQUAL(f->trace[0] == '\0', from == to);
}

static void
test_all_changes(void)
{
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	for (unsigned int from = 0; from < NR_STATES; from++) {
		for (unsigned int to = 0; to < NR_STATES; to++)
			check_change(&f, dev, from, to);
	}
	check_change(&f, dev, VUC_MIGRATION_RUNNING, VUC_MIGRATION_STOP);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, (enum vuc_migration_state)8), -EINVAL);
	CU_ASSERT(mig_reason_is(dev, "migration state cannot change from STOP to (unknown)"));
	vuc_device_close(dev);
}

static void
test_pre_copy_not_supported(void)
{
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	f.migration_flags = VUC_MIGRATION_CAN_STOP_COPY;
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY), -EOPNOTSUPP);
	CU_ASSERT(mig_reason_is(dev, "the device does not support PRE_COPY"));
	CU_ASSERT_STRING_EQUAL(f.trace, "");
	vuc_device_close(dev);
}

static void
test_refused_change(void)
{
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	f.server.fault = (struct fake_fault){.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.flags = SET_STATE,
		.wrong = FAKE_ERROR,
		.value = EBUSY};
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -EBUSY);
	CU_ASSERT(mig_reason_is(dev,
		"from migration state RUNNING to STOP: the server answered VFIO_USER_DEVICE_FEATURE "
		"with error 16 (Device or resource busy)"));
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), 0);

	f.server.fault.wrong = FAKE_ERROR_STATE;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING), -EBUSY);
	CU_ASSERT(mig_reason_is(dev,
		"from migration state STOP to RUNNING: the server answered VFIO_USER_DEVICE_FEATURE "
		"with error 16 (Device or resource busy); the device is in ERROR now"));
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING), -EINVAL);
	CU_ASSERT(mig_reason_is(
		dev, "migration state cannot change from ERROR to RUNNING: reset the device"));
	vuc_device_close(dev);
}

static void
test_bad_states(void)
{
	struct mig_server f;
	struct vuc_device *dev;
	enum vuc_migration_state state = VUC_MIGRATION_PRE_COPY;

	mig_server_init(&f);
	f.state = NR_STATES;
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), -EPROTO);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_PRE_COPY);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -EPROTO);
	f.state = VUC_MIGRATION_RUNNING;
	f.server.fault = (struct fake_fault){.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.flags = SET_STATE,
		.wrong = FAKE_FIELD,
		.at = 8,
		.value = VUC_MIGRATION_STOP_COPY};
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -EPROTO);
	CU_ASSERT(mig_reason_is(dev,
		"from migration state RUNNING to STOP: VFIO_USER_DEVICE_FEATURE reply: "
		"device_state 3, expected 1"));
	vuc_device_close(dev);
}

/* A reply that does not come, and one that is not there to come any more. A change has the long
 * timeout for all of its messages. */
static void
test_no_reply(void)
{
	struct mig_server f;
	struct vuc_device *dev;
	enum vuc_migration_state state;

	mig_server_init(&f);
	f.server.fault = (struct fake_fault){.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.flags = GET_STATE,
		.wrong = FAKE_SILENT};
	dev = mig_server_open_timeout(&f, 30);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -ETIMEDOUT);
	CU_ASSERT(mig_reason_is(dev, "no answer to VFIO_USER_DEVICE_FEATURE within 31 ms"));
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), 0);
	f.server.fault.flags = SET_STATE;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -ETIMEDOUT);
	CU_ASSERT(mig_reason_is(dev,
		"from migration state RUNNING to STOP: no answer to VFIO_USER_DEVICE_FEATURE "
		"within 31 ms"));
	f.server.fault.flags = GET_MIGRATION;
	f.server.fault.wrong = FAKE_CLOSE;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY), -ECONNRESET);
	CU_ASSERT_FALSE(vuc_device_connected(dev));
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), -ECONNRESET);
	vuc_device_close(dev);
}

static CU_TestInfo tests[] = {
	{"probe", test_probe},
	{"data of features", test_get_and_set_data},
	{"features with bad replies", test_bad_feature_replies},
	{"supported", test_supported},
	{"all changes of state", test_all_changes},
	{"no pre-copy", test_pre_copy_not_supported},
	{"a change that is refused", test_refused_change},
	{"bad states", test_bad_states},
	{"no reply", test_no_reply},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("migration states", NULL, NULL, tests);
}
