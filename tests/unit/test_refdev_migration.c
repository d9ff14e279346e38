/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

#define ERROR     VFIO_USER_DEVICE_STATE_ERROR
#define STOP      VFIO_USER_DEVICE_STATE_STOP
#define RUNNING   VFIO_USER_DEVICE_STATE_RUNNING
#define STOP_COPY VFIO_USER_DEVICE_STATE_STOP_COPY
#define RESUMING  VFIO_USER_DEVICE_STATE_RESUMING
#define PRE_COPY  VFIO_USER_DEVICE_STATE_PRE_COPY

#define GET ((uint32_t)VFIO_DEVICE_FEATURE_GET)
#define SET ((uint32_t)VFIO_DEVICE_FEATURE_SET)

#define STREAM_SIZE (512u * 1024u)

static uint32_t
state(struct refdev_peer *p)
{
	struct vfio_user_device_feature_mig_state got;

	CU_ASSERT_EQUAL_FATAL(refdev_peer_feature(p, GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				      NULL, 0, sizeof(got)),
		0);
	refdev_peer_feature_data(p, &got, sizeof(got));
	return got.device_state;
}

static int
go_to(struct refdev_peer *p, uint32_t to)
{
	const struct vfio_user_device_feature_mig_state set = {.device_state = to};

	return refdev_peer_feature(
		p, SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &set, sizeof(set), sizeof(set));
}

static int
ask_data(struct refdev_peer *p, uint32_t size, uint32_t argsz)
{
	const struct vfio_user_mig_data ask = {.argsz = argsz, .size = size};

	return refdev_peer_ask(p, VFIO_USER_MIG_DATA_READ, &ask, sizeof(ask));
}

/* Read chunks until a short one; returns the bytes. */
static size_t
read_round(struct refdev_peer *p, uint8_t *stream, size_t room, uint32_t chunk)
{
	size_t done = 0;

	for (;;) {
		struct vfio_user_mig_data got;

		CU_ASSERT_EQUAL_FATAL(ask_data(p, chunk, 8 + chunk), 0);
		memcpy(&got, p->reply.bytes + 16, sizeof(got));
		CU_ASSERT_FATAL(got.size <= chunk && got.size <= room - done);
		CU_ASSERT_EQUAL(got.argsz, 8 + got.size);
		CU_ASSERT_EQUAL_FATAL(p->reply.len, 16 + 8 + got.size);
		memcpy(stream + done, p->reply.bytes + 24, got.size);
		done += got.size;
		if (got.size < chunk)
			return done;
	}
}

static int
write_data(struct refdev_peer *p, const uint8_t *bytes, uint32_t size)
{
	const struct vfio_user_mig_data head = {.argsz = 8 + size, .size = size};
	uint8_t *body = malloc(sizeof(head) + size);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), bytes, size);
	rc = refdev_peer_ask(p, VFIO_USER_MIG_DATA_WRITE, body, sizeof(head) + size);
	free(body);
	return rc;
}

static int
write_stream(struct refdev_peer *p, const uint8_t *stream, size_t len, uint32_t chunk)
{
	for (size_t at = 0; at < len; at += chunk) {
		size_t left = len - at;
		int rc = write_data(p, stream + at, left < chunk ? (uint32_t)left : chunk);

		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Where each change leads; 0 for those that are refused. */
static const uint8_t arcs[][7] = {
	[STOP] = {[STOP] = 1, [RUNNING] = 1, [STOP_COPY] = 1, [RESUMING] = 1, [PRE_COPY] = 1},
	[RUNNING] = {[STOP] = 1, [RUNNING] = 1, [STOP_COPY] = 1, [RESUMING] = 1, [PRE_COPY] = 1},
	[STOP_COPY] = {[STOP] = 1, [RUNNING] = 1, [STOP_COPY] = 1, [RESUMING] = 1},
	[PRE_COPY] = {[STOP] = 1, [RUNNING] = 1, [STOP_COPY] = 1, [RESUMING] = 1, [PRE_COPY] = 1},
};

static void
test_arcs(void)
{
	static const uint32_t from[] = {STOP, RUNNING, STOP_COPY, PRE_COPY};

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		for (uint32_t to = 0; to < 9; to++) {
			bool legal = to < 7 && arcs[from[i]][to] != 0;
			struct refdev_peer p;

			refdev_peer_open(&p);
			CU_ASSERT_EQUAL(state(&p), RUNNING);
			CU_ASSERT_EQUAL(go_to(&p, from[i]), 0);
			CU_ASSERT_EQUAL(state(&p), from[i]);
			CU_ASSERT_EQUAL(go_to(&p, to), legal ? 0 : -EINVAL);
			CU_ASSERT_EQUAL(state(&p), legal ? to : from[i]);
			refdev_peer_close(&p);
		}
	}
}

static void
test_flags(void)
{
	struct vfio_user_device_feature_migration got;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(
		refdev_peer_feature(&p, GET | VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0, sizeof(got)),
		0);
	refdev_peer_feature_data(&p, &got, sizeof(got));
	CU_ASSERT_EQUAL(got.flags, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY);
	CU_ASSERT_EQUAL(refdev_peer_feature(
				&p, GET | VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0, sizeof(got) - 1),
		-EINVAL);
	refdev_peer_close(&p);
}

/* Leave traces all over a device. */
static void
mark(struct refdev_peer *p)
{
	refdev_peer_set_reg(p, REFDEV_REG_SCRATCH, 0x1122334455667788);
	refdev_peer_set_reg(p, REFDEV_REG_ERRNO, 77);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_SRC, 0xabcdef);
	refdev_peer_set_reg(p, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_INTX);
	refdev_peer_write(p, 0, REFDEV_RAM_OFFSET + 1016, 8, 0xfeedface);
	refdev_peer_write(p, 2, REFDEV_BAR2_SIZE - 8, 8, 0xc0ffee);
	refdev_peer_write(p, 4, REFDEV_BAR4_AREA_1, 4, 0x55aa);
	refdev_peer_write(p, 4, 8, 4, 0x4021);
	refdev_peer_write(p, VFIO_PCI_CONFIG_REGION_INDEX, REFDEV_VENDOR_SCRATCH, 4, 0x7711);
}

static void
check_marks(struct refdev_peer *p)
{
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_SCRATCH), 0x1122334455667788);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_ERRNO), 77);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_SRC), 0xabcdef);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_INTX), 1);
	CU_ASSERT_EQUAL(refdev_peer_read(p, 0, REFDEV_RAM_OFFSET + 1016, 8), 0xfeedface);
	CU_ASSERT_EQUAL(refdev_peer_read(p, 2, REFDEV_BAR2_SIZE - 8, 8), 0xc0ffee);
	CU_ASSERT_EQUAL(refdev_peer_read(p, 4, REFDEV_BAR4_AREA_1, 4), 0x55aa);
	CU_ASSERT_EQUAL(refdev_peer_read(p, 4, 8, 4), 0x4021);
	CU_ASSERT_EQUAL(refdev_peer_read(p, VFIO_PCI_CONFIG_REGION_INDEX, REFDEV_VENDOR_SCRATCH, 4),
		0x7711);
}

/* A stream of a marked device, with pre-copy or without. */
static size_t
save(uint8_t *stream, bool pre_copy, uint32_t chunk)
{
	struct refdev_peer p;
	size_t len = 0;

	refdev_peer_open(&p);
	mark(&p);
	if (pre_copy) {
		refdev_peer_write(&p, 2, REFDEV_BAR2_SIZE - 8, 8, 1);
		CU_ASSERT_EQUAL(go_to(&p, PRE_COPY), 0);
		len = read_round(&p, stream, STREAM_SIZE, chunk);
		CU_ASSERT(len > REFDEV_BAR2_SIZE);
		refdev_peer_write(&p, 2, REFDEV_BAR2_SIZE - 8, 8, 0xc0ffee);
	}
	CU_ASSERT_EQUAL(go_to(&p, STOP_COPY), 0);
	len += read_round(&p, stream + len, STREAM_SIZE - len, chunk);
	CU_ASSERT_EQUAL(read_round(&p, stream + len, STREAM_SIZE - len, chunk), 0);
	CU_ASSERT_EQUAL(go_to(&p, STOP), 0);
	refdev_peer_close(&p);
	return len;
}

static void
check_move(bool pre_copy, uint32_t chunk)
{
	uint8_t *stream = malloc(STREAM_SIZE);
	struct refdev_peer p;
	size_t len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	len = save(stream, pre_copy, chunk);
	refdev_peer_open(&p);
	refdev_peer_write(&p, 0, REFDEV_RAM_OFFSET, 8, 9999);
	CU_ASSERT_EQUAL(go_to(&p, RESUMING), 0);
	CU_ASSERT_EQUAL(write_stream(&p, stream, len, chunk), 0);
	CU_ASSERT_EQUAL(go_to(&p, RUNNING), 0);
	CU_ASSERT_EQUAL(state(&p), RUNNING);
	check_marks(&p);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, 0, REFDEV_RAM_OFFSET, 8), 0);
	refdev_peer_close(&p);
	free(stream);
}

static void
test_move(void)
{
	check_move(false, 65536);
	check_move(false, 333);
	check_move(true, 4096);
	check_move(true, 1000);
}

/* Each round of pre-copy has what has changed since the last one. */
static void
test_pre_copy(void)
{
	uint8_t *stream = malloc(STREAM_SIZE);
	struct refdev_peer p;

	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(go_to(&p, PRE_COPY), 0);
	CU_ASSERT(read_round(&p, stream, STREAM_SIZE, 65536) > REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(read_round(&p, stream, STREAM_SIZE, 65536), 0);
	refdev_peer_write(&p, 2, 5000, 1, 1);
	refdev_peer_write(&p, 2, 60000, 1, 1);
	CU_ASSERT_EQUAL(read_round(&p, stream, STREAM_SIZE, 65536), 2 * (16 + 1024));
	CU_ASSERT_EQUAL(read_round(&p, stream, STREAM_SIZE, 65536), 0);
	CU_ASSERT_EQUAL(go_to(&p, RUNNING), 0);
	CU_ASSERT_EQUAL(ask_data(&p, 8, 16), -EINVAL);
	refdev_peer_close(&p);
	free(stream);
}

/* Load a stream that is not right; it is refused at the latest when it ends, and harms nothing. */
static void
check_refused(const uint8_t *stream, size_t len)
{
	struct refdev_peer p;
	int rc;

	refdev_peer_open(&p);
	mark(&p);
	CU_ASSERT_EQUAL(go_to(&p, RESUMING), 0);
	rc = write_stream(&p, stream, len, 4096);
	CU_ASSERT(rc == 0 || rc == -EINVAL);
	CU_ASSERT_EQUAL(go_to(&p, STOP), -EINVAL);
	CU_ASSERT_EQUAL(state(&p), ERROR);
	check_marks(&p);
	CU_ASSERT_EQUAL(go_to(&p, RUNNING), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(state(&p), RUNNING);
	refdev_peer_close(&p);
}

static void
test_bad_streams(void)
{
	uint8_t *stream = malloc(STREAM_SIZE);
	size_t len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	len = save(stream, false, 65536);
	check_refused(stream, 0);
	check_refused(stream, 7);
	check_refused(stream, len - 1);
	check_refused(stream, len - 24);
	check_refused(stream + 16, len - 16);
	memset(stream + len, 0, 16);
	check_refused(stream, len + 16);
	for (size_t at = 0; at < len; at += at < 64 ? 1 : 997) {
		stream[at] ^= 0x10;
		check_refused(stream, len);
		stream[at] ^= 0x10;
	}
	stream[len - 1] ^= 1;
	check_refused(stream, len);
	free(stream);
}

static void
test_data_refused(void)
{
	const struct vfio_user_mig_data lies[] = {
		{.argsz = 8, .size = 1}, {.argsz = 8, .size = 65}};
	uint8_t body[72] = {0};
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(ask_data(&p, 8, 16), -EINVAL);
	CU_ASSERT_EQUAL(write_data(&p, body, 8), -EINVAL);
	CU_ASSERT_EQUAL(go_to(&p, STOP_COPY), 0);
	CU_ASSERT_EQUAL(write_data(&p, body, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_data(&p, 8, 15), -EINVAL);
	CU_ASSERT_EQUAL(ask_data(&p, UINT32_MAX, UINT32_MAX), -EINVAL);
	CU_ASSERT_EQUAL(ask_data(&p, 0, 8), 0);
	CU_ASSERT_EQUAL(go_to(&p, RESUMING), 0);
	CU_ASSERT_EQUAL(ask_data(&p, 8, 16), -EINVAL);
	for (size_t i = 0; i < 2; i++) {
		memcpy(body, &lies[i], sizeof(lies[i]));
		CU_ASSERT_EQUAL(
			refdev_peer_ask(&p, VFIO_USER_MIG_DATA_WRITE, body, sizeof(body)), -EINVAL);
	}
	refdev_peer_close(&p);
}

/* While it is stopped the device starts no transfer. */
static void
test_stopped(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(go_to(&p, STOP), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, 0, REFDEV_REG_DMA_START, 4, "\1\0\0\0"), -EBUSY);
	CU_ASSERT_EQUAL(go_to(&p, RUNNING), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, 0, REFDEV_REG_DMA_START, 4, "\1\0\0\0"), 0);
	refdev_peer_close(&p);
}

/* A transfer ends with its client. */
static void
test_disconnect(void)
{
	static const uint32_t states[][2] = {
		{PRE_COPY, RUNNING}, {STOP_COPY, STOP}, {RESUMING, STOP}, {STOP, STOP}};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct refdev_peer p;

		refdev_peer_open(&p);
		CU_ASSERT_EQUAL(go_to(&p, states[i][0]), 0);
		refdev_disconnect(p.dev);
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2", 4), 0);
		CU_ASSERT_EQUAL(state(&p), states[i][1]);
		refdev_peer_close(&p);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"arcs", test_arcs},
		{"flags", test_flags},
		{"from one device to another", test_move},
		{"pre-copy", test_pre_copy},
		{"streams that are refused", test_bad_streams},
		{"messages that are refused", test_data_refused},
		{"stopped", test_stopped},
		{"disconnect", test_disconnect},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev migration", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
