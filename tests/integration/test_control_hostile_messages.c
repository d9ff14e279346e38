/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that say the wrong thing, at the wrong time, twice, in part, or anything at all. */

#include "hostile.h"

#define LAST_TYPE   VUC_SHM_LIST
#define PIPELINED   32u
#define RANDOM      1000u
#define SURPLUS_MAX 1000u

/* The states of a connection, each by a type that is right in it. */
static const enum vuc_shm_type states[] = {VUC_SHM_HELLO, VUC_SHM_ATTACH, VUC_SHM_RESET};

static enum vuc_shm_type
state_of(unsigned int type)
{
	if (type == VUC_SHM_HELLO)
		return VUC_SHM_HELLO;
	return type == VUC_SHM_ATTACH || type == VUC_SHM_LIST ? VUC_SHM_ATTACH : VUC_SHM_RESET;
}

/* Right in its state, with a descriptor of the right kind. */
static struct shm_request
make(unsigned int type)
{
	return shm_request(
		(enum vuc_shm_type)type, RIG_NAME, type == VUC_SHM_DMA ? rig.memory : rig.irq);
}

/* Send len bytes of it, as the next request, with a size in its header. */
static void
send_part(struct shm_client *c, struct shm_request *m, size_t len, size_t size)
{
	shm_header(c, &m->packet.header, m->type, size);
	CU_ASSERT_EQUAL(shm_send(c, &m->packet, len, &m->fd, m->fd >= 0), 0);
}

/* The connection is ended, whatever was said before. */
static void
expect_end(struct shm_client *c)
{
	CU_ASSERT_TRUE(shm_is_ended(c));
	shm_close(c);
}

/* ---- versions ---- */

/* With a name of anything that can lie before its NUL. */
static int
greet(struct shm_client *c, uint16_t min)
{
	struct vuc_shm_hello hello = {
		.magic = VUC_SHM_MAGIC,
		.version_min = min,
		.version_max = UINT16_MAX,
		.name = "\x1b[2J\n\"%s%n",
	};

	return shm_call(c, &hello, VUC_SHM_HELLO, sizeof(hello), NULL, 0);
}

static void
test_versions(void)
{
	struct shm_client c;

	rig_reach(&c, VUC_SHM_HELLO);
	CU_ASSERT_EQUAL(greet(&c, 1), 0);
	CU_ASSERT_EQUAL(c.reply.hello_reply.version, VUC_SHM_VERSION);
	shm_close(&c);
	/* Who was refused may say it better. */
	rig_reach(&c, VUC_SHM_HELLO);
	CU_ASSERT_EQUAL(greet(&c, VUC_SHM_VERSION + 1), -EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(greet(&c, UINT16_MAX), -EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(shm_hello(&c), 0);
	shm_close(&c);
	rig_reach(&c, VUC_SHM_HELLO);
	CU_ASSERT_EQUAL(greet(&c, VUC_SHM_VERSION + 1), -EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(shm_attach(&c, RIG_NAME), SHM_GONE);
	shm_close(&c);
	CU_ASSERT_FALSE(rig_has_logged("\x1b"));
}

/* ---- states ---- */

/* Everything that may not come in a state, and what is no message at all. */
static void
test_states(void)
{
	static const unsigned int others[] = {0, LAST_TYPE + 1, 0x7fff, UINT16_MAX};
	struct shm_client c;
	struct shm_request m;

	for (size_t state = 0; state < NR(states); state++) {
		for (unsigned int i = 0; i < LAST_TYPE + 4; i++) {
			unsigned int type = i < LAST_TYPE ? i + 1 : others[i - LAST_TYPE];

			if (type >= 1 && type <= LAST_TYPE && state_of(type) == states[state])
				continue;
			rig_reach(&c, states[state]);
			m = make(type);
			send_part(&c, &m, m.len, m.len);
			expect_end(&c);
		}
	}
}

/*
 * After DETACH there is nobody to talk to. A socket that is closed with something unread in it
 * tells the other end so before anything else: the reply may not be seen.
 */
static void
test_after_detach(void)
{
	struct shm_client c;

	for (unsigned int type = 1; type <= LAST_TYPE; type++) {
		struct shm_request m;

		rig_reach(&c, VUC_SHM_RESET);
		m = make(VUC_SHM_DETACH);
		send_part(&c, &m, m.len, m.len);
		m = make(type);
		shm_header(&c, &m.packet.header, type, m.len);
		(void)shm_send(&c, &m.packet, m.len, &m.fd, m.fd >= 0);
		if (shm_receive(&c, RIG_WAIT_MS) == 0) {
			CU_ASSERT_EQUAL(c.reply.header.type, VUC_SHM_DETACH);
			CU_ASSERT_EQUAL(c.reply.header.status, 0);
		}
		expect_end(&c);
	}
}

/* ---- order ---- */

/* Each message, and then the same packet once more; test_after_detach() has DETACH. */
static void
test_repeated(void)
{
	struct shm_client c;

	for (unsigned int type = 1; type <= LAST_TYPE; type++) {
		struct shm_request m;

		if (type == VUC_SHM_DETACH)
			continue;
		rig_reach(&c, type);
		m = make(type);
		send_part(&c, &m, m.len, m.len);
		(void)shm_send(&c, &m.packet, m.len, &m.fd, m.fd >= 0);
		CU_ASSERT_EQUAL(shm_receive(&c, RIG_WAIT_MS), 0);
		CU_ASSERT_EQUAL(c.reply.header.type, type);
		CU_ASSERT_EQUAL(shm_receive(&c, RIG_WAIT_MS), SHM_GONE);
		shm_close(&c);
	}
}

static void
check_sequence(uint32_t first, uint32_t second, bool good)
{
	struct shm_client c;

	rig_reach(&c, VUC_SHM_HELLO);
	c.sequence = first - 1;
	CU_ASSERT_EQUAL(shm_hello(&c), 0);
	CU_ASSERT_EQUAL(c.reply.header.sequence, first);
	c.sequence = second - 1;
	CU_ASSERT_EQUAL(shm_attach(&c, RIG_NAME), good ? 0 : SHM_GONE);
	shm_close(&c);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
}

/* Numbers begin anywhere, and go on one by one, beyond the largest one as well. */
static void
test_sequences(void)
{
	check_sequence(1000, 1001, true);
	check_sequence(0, 1, true);
	check_sequence(UINT32_MAX, 0, true);
	check_sequence(1000, 1000, false);
	check_sequence(1000, 999, false);
	check_sequence(1000, 1002, false);
	check_sequence(UINT32_MAX, 1, false);
	check_sequence(5, 5 + (1u << 31), false);
}

/* Who does not wait for replies gets them all the same, in order. */
static void
test_pipelined(void)
{
	struct shm_client c;
	uint32_t first;

	rig_reach(&c, VUC_SHM_RESET);
	first = c.sequence + 1;
	for (unsigned int i = 0; i < PIPELINED; i++) {
		struct shm_request m;

		m = make(VUC_SHM_IRQ_INFO);
		m.packet.index.index = i % 8;
		send_part(&c, &m, m.len, m.len);
	}
	for (unsigned int i = 0; i < PIPELINED; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_receive(&c, RIG_WAIT_MS), 0);
		CU_ASSERT_EQUAL(c.reply.header.sequence, first + i);
		if (c.reply.header.status == 0)
			CU_ASSERT_EQUAL(c.reply.irq.index, i % 8);
	}
	shm_close(&c);
}

/* ---- sizes ---- */

/* Every message, cut everywhere; its header says what is there, or what should be. */
static void
test_truncated(void)
{
	struct shm_client c;
	struct shm_request m;

	for (unsigned int type = 1; type <= LAST_TYPE; type++) {
		size_t whole;

		m = make(type);
		whole = m.len;
		for (size_t len = 0; len < whole; len++) {
			rig_reach(&c, type);
			send_part(&c, &m, len, len % 2 == 0 ? len : whole);
			expect_end(&c);
		}
	}
}

/* Every message with something behind it, and with a size that is not its own. */
static void
test_surplus(void)
{
	static const size_t surplus[] = {1, 4, 40, SURPLUS_MAX};
	static const size_t sizes[] = {0, 15, 16, 4096, 4097, UINT32_MAX};
	struct shm_client c;
	struct shm_request m;

	for (unsigned int type = 1; type <= LAST_TYPE; type++) {
		m = make(type);
		for (size_t i = 0; i < NR(surplus); i++) {
			rig_reach(&c, type);
			send_part(&c, &m, m.len + surplus[i],
				i % 2 == 0 ? m.len + surplus[i] : m.len);
			expect_end(&c);
		}
		for (size_t i = 0; i < NR(sizes); i++) {
			if (sizes[i] == m.len)
				continue;
			rig_reach(&c, type);
			send_part(&c, &m, m.len, sizes[i]);
			expect_end(&c);
		}
	}
}

/* ---- anything ---- */

/* A good message of which some bytes are not. Returns whether the connection is still there. */
static bool
say_something(struct shm_client *c, uint64_t *state)
{
	unsigned int type = hostile_below(state, LAST_TYPE + 2);
	struct shm_request m;
	int rc;

	m = make(type);
	shm_header(c, &m.packet.header, type, m.len);
	for (uint32_t n = hostile_below(state, 4); n > 0; n--)
		m.packet.bytes[hostile_below(state, (uint32_t)m.len)] =
			(uint8_t)hostile_random(state);
	if (hostile_below(state, 16) == 0) {
		m.len = hostile_below(state, VUC_SHM_MAX_PACKET + 32);
		hostile_fill(state, &m.packet, m.len);
	}
	rc = shm_send(c, &m.packet, m.len, &m.fd, m.fd >= 0);
	if (rc == 0)
		rc = shm_receive(c, RIG_WAIT_MS);
	CU_ASSERT_NOT_EQUAL(rc, SHM_SILENT);
	return rc == 0;
}

static void
test_random(void)
{
	uint64_t state = 88172645463325252;
	unsigned int said = 0;

	while (said < RANDOM) {
		struct shm_client c;

		rig_reach(&c, states[hostile_below(&state, NR(states))]);
		do {
			said++;
		} while (say_something(&c, &state));
		shm_close(&c);
		CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	}
}

const struct tap_suite tap_suite = {NULL, hostile_set_up, hostile_stop,
	{
		{"versions", test_versions},
		{"states", test_states},
		{"after_detach", test_after_detach},
		{"repeated", test_repeated},
		{"sequences", test_sequences},
		{"pipelined", test_pipelined},
		{"truncated", test_truncated},
		{"surplus", test_surplus},
		{"random", test_random},
	}};
