/* SPDX-License-Identifier: BSD-3-Clause */

/* What is told of the device's state, once each, and counters. */

#include "fake_vucd.h"

static void
publish(uint32_t state, uint64_t generation, uint64_t resets)
{
	const struct vuc_shm_state s = {.state = state, .generation = generation, .resets = resets};

	fake_publish(&s);
}

/* The descriptor says so, the events are these, and then there are none. */
static void
expect(uint32_t events)
{
	CU_ASSERT(fake_has_events(-1));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), events);
	CU_ASSERT(!fake_has_events(0));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
}

/* What a device goes through, and the events of each step. */
#define NOT_LOOKED_AT UINT32_MAX
static const struct {
	const char *name;
	struct {
		uint32_t state;
		uint64_t generation, resets;
		uint32_t events;
	} steps[4];
} histories[] = {
	{"a signal without a change", {{VUC_SHM_ATTACHED, 1, 0, 0}}},
	{"lost and stale",
		{{VUC_SHM_LOST, 1, 0, VUC_VMM_EVENT_LOST},
			{VUC_SHM_STALE, 2, 1, VUC_VMM_EVENT_STALE | VUC_VMM_EVENT_RESET},
			{VUC_SHM_LOST, 2, 1, VUC_VMM_EVENT_LOST},
			{VUC_SHM_STALE, 3, 2, VUC_VMM_EVENT_STALE | VUC_VMM_EVENT_RESET}}},
	{"lost and back",
		{{VUC_SHM_LOST, 1, 0, VUC_VMM_EVENT_LOST},
			{VUC_SHM_BACK, 2, 1, VUC_VMM_EVENT_BACK | VUC_VMM_EVENT_RESET},
			{VUC_SHM_LOST, 2, 1, VUC_VMM_EVENT_LOST},
			{VUC_SHM_BACK, 3, 2, VUC_VMM_EVENT_BACK | VUC_VMM_EVENT_RESET}}},
	{"back, silent, and answering again",
		{{VUC_SHM_BACK, 2, 1, VUC_VMM_EVENT_BACK | VUC_VMM_EVENT_RESET},
			{VUC_SHM_SILENT, 2, 1, VUC_VMM_EVENT_SILENT},
			{VUC_SHM_ATTACHED, 2, 1, VUC_VMM_EVENT_ANSWERS}}},
	{"back between two looks",
		{{VUC_SHM_BACK, 2, 0, VUC_VMM_EVENT_BACK}, {VUC_SHM_LOST, 2, 0, NOT_LOOKED_AT},
			{VUC_SHM_BACK, 3, 0, VUC_VMM_EVENT_BACK},
			{VUC_SHM_LOST, 3, 0, VUC_VMM_EVENT_LOST}}},
	{"silent",
		{{VUC_SHM_SILENT, 1, 0, VUC_VMM_EVENT_SILENT},
			{VUC_SHM_ATTACHED, 1, 0, VUC_VMM_EVENT_ANSWERS},
			{VUC_SHM_SILENT, 1, 0, VUC_VMM_EVENT_SILENT},
			{VUC_SHM_LOST, 1, 0, VUC_VMM_EVENT_LOST}}},
	{"a reset is due",
		{{VUC_SHM_ATTACHED, 1, 1, VUC_VMM_EVENT_RESET},
			{VUC_SHM_LOST, 1, 3, VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_LOST}}},
	{"a state that this version does not know", {{99, 5, 0, 0}}},
};

static void
test_histories(void)
{
	for (size_t i = 0; i < NR(histories); i++) {
		vuc_tap_row("%s", histories[i].name);
		fake_stop();
		fake_start_attached();
		CU_ASSERT(!fake_has_events(0));
		CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
		for (unsigned int k = 0; k < 4 && histories[i].steps[k].generation > 0; k++) {
			publish(histories[i].steps[k].state, histories[i].steps[k].generation,
				histories[i].steps[k].resets);
			if (histories[i].steps[k].events != NOT_LOOKED_AT)
				expect(histories[i].steps[k].events);
		}
	}
}

static void
test_removed(void)
{
	publish(VUC_SHM_REMOVED, 1, 0);
	expect(VUC_VMM_EVENT_REMOVED);
	fake_hang_up();
	expect(VUC_VMM_EVENT_GONE);
	CU_ASSERT(fake_failed(vuc_vmm_reset(dev, &err), -ECONNRESET,
		"the daemon closed the connection: the device was removed or detached"));
}

/* An orderly end is told once, though the connection goes after it. */
static void
test_stopping(void)
{
	publish(VUC_SHM_STOPPING, 1, 0);
	expect(VUC_VMM_EVENT_GONE);
	fake_hang_up();
	expect(0);
	CU_ASSERT(fake_failed(vuc_vmm_reset(dev, &err), -ECONNRESET,
		"the daemon closed the connection: it is stopping"));
}

/* What became of the device while it was being attached is told afterwards. */
static void
test_lost_early(void)
{
	publish(VUC_SHM_LOST, 1, 0);
	fake_attach(0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_LOST);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
}

/* Counters of their own, whatever the state is. */
static void
test_requests(void)
{
	struct vuc_shm_state s = {.state = VUC_SHM_ATTACHED, .generation = 1, .remaps = 1};

	fake_publish(&s);
	expect(VUC_VMM_EVENT_REMAP);
	s.releases = 5;
	fake_publish(&s);
	expect(VUC_VMM_EVENT_RELEASE);
	s.remaps = 7;
	s.releases = 6;
	fake_publish(&s);
	expect(VUC_VMM_EVENT_REMAP | VUC_VMM_EVENT_RELEASE);
}

/* A daemon could take back what it has written, so nobody reads it: each write is an event. */
static void
test_not_read(void)
{
	uint64_t count = 0;

	publish(VUC_SHM_LOST, 1, 0);
	expect(VUC_VMM_EVENT_LOST);
	publish(VUC_SHM_STALE, 2, 0);
	expect(VUC_VMM_EVENT_STALE);
	CU_ASSERT_EQUAL(read(fake.event_fd, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 2);
	publish(VUC_SHM_LOST, 2, 0);
	expect(VUC_VMM_EVENT_LOST);
}

/* States are read as a whole while they change. */
static void *
publish_many(void *arg)
{
	for (uint64_t i = 1; i <= 20000; i++)
		fake_publish(&(struct vuc_shm_state){.state = VUC_SHM_ATTACHED,
			.generation = 1,
			.reads = i,
			.writes = i,
			.posted = i,
			.errors = i});
	return arg;
}

static void
test_counters(void)
{
	struct vuc_vmm_counters c = {sizeof(c), 1, 1, 1, 1};
	const struct vuc_shm_state s = {.state = VUC_SHM_ATTACHED,
		.generation = 1,
		.reads = UINT64_MAX,
		.writes = 2,
		.posted = 3,
		.errors = 4};
	unsigned int torn = 0;
	pthread_t thread;

	vuc_vmm_counters(dev, &c);
	CU_ASSERT(c.reads == 0 && c.writes == 0 && c.posted == 0 && c.errors == 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, publish_many, NULL), 0);
	while (c.reads < 20000) {
		vuc_vmm_counters(dev, &c);
		torn += c.reads != c.writes || c.reads != c.posted || c.reads != c.errors;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(torn, 0);
	fake_publish(&s);
	/* A daemon that died while it wrote: nobody waits for it. */
	for (unsigned int i = 0; i < 2; i++) {
		vuc_vmm_counters(dev, &c);
		CU_ASSERT(c.reads == UINT64_MAX && c.writes == 2 && c.posted == 3 && c.errors == 4);
		__atomic_store_n(&fake.state->sequence, 7, __ATOMIC_SEQ_CST);
	}
}

const struct tap_suite tap_suite = {"vmm", fake_start_attached, fake_stop,
	{
		{"histories", test_histories},
		{"removed", test_removed},
		{"stopping", test_stopping},
		{"lost while it was attached", test_lost_early},
		{"remap and release", test_requests},
		{"the daemon's eventfd is not read", test_not_read},
		{"counters", test_counters},
	}};
