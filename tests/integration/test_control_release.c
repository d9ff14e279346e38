/* SPDX-License-Identifier: BSD-3-Clause */

/* A VMM is asked for its device before the device is taken away from it. */

#include <stdatomic.h>

#include "rig.h"

/* What has ended of what was started. */
static atomic_uint ended;

static bool
ends(unsigned int nr)
{
	unsigned int ms = 0;

	while (ended != nr && rig_wait(&ms))
		continue;
	return ended == nr;
}

static void
start_detaching(void)
{
	CU_ASSERT_EQUAL(
		vuc_control_detach_start(rig.control, RIG_NAME, rig_count_end, &ended, NULL), 0);
}

static void
start_removal(void)
{
	CU_ASSERT_EQUAL(vuc_control_remove_device_start(
				rig.control, RIG_NAME, true, rig_count_end, &ended, NULL),
		0);
}

static void
release_start(uint32_t release_ms)
{
	rig_start_attached(&(struct rig_opts){.release_ms = release_ms});
	ended = 0;
}

/* It was asked, and so far that is all. */
static void
check_asked(void)
{
	const struct vuc_shm_state state = shm_state(&client);
	struct shm_queue *q = rig_open_queue(&client, 4, 64);

	CU_ASSERT_EQUAL(state.releases, 1);
	CU_ASSERT_EQUAL(state.state, VUC_SHM_ATTACHED);
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_ATTACHED);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rig_look(RIG_NAME).reason, "the VMM has been asked to release the device"));
	CU_ASSERT_EQUAL(ended, 0);
}

/* One that detaches is waited for; whoever asks meanwhile waits, too. The next one may have it. */
static void
test_detach(void)
{
	release_start(AN_HOUR);
	start_detaching();
	start_detaching();
	check_asked();
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_TRUE(ends(2));
	shm_close(&client);
	rig_attach(&client, RIG_NAME);
	CU_ASSERT_EQUAL(shm_state(&client).releases, 0);
	CU_ASSERT_STRING_EQUAL(rig_look(RIG_NAME).reason, "");
}

/* Nobody gets a device that is being removed, from the moment on that its VMM leaves. */
static void
test_remove(void)
{
	struct vuc_control_device d;

	for (unsigned int i = 0; i < 2; i++) {
		release_start(AN_HOUR);
		if (i > 0)
			start_detaching();
		start_removal();
		check_asked();
		rig_greet(&other_client);
		CU_ASSERT_EQUAL(shm_attach(&other_client, RIG_NAME), -EBUSY);
		if (i > 0)
			CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
		shm_close(&client);
		CU_ASSERT_TRUE(ends(1 + i));
		CU_ASSERT_EQUAL(vuc_control_look(rig.control, RIG_NAME, &d), -ENOENT);
		CU_ASSERT_EQUAL(shm_attach(&other_client, RIG_NAME), -ENOENT);
		CU_ASSERT_EQUAL(rig_look(RIG_SECOND).generation, 1);
	}
}

/* One that does not release it loses it. */
static void
test_deadline(void)
{
	static void (*const start[])(void) = {start_detaching, start_removal};

	for (unsigned int i = 0; i < 2; i++) {
		release_start(50);
		start[i]();
		CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED));
		CU_ASSERT_EQUAL(shm_state(&client).releases, 1);
		CU_ASSERT_TRUE(ends(1));
		CU_ASSERT_TRUE(rig_has_logged("asking VMM shm-client"));
		CU_ASSERT_TRUE(rig_has_logged("waiting for VMM shm-client"));
		CU_ASSERT_TRUE(shm_is_ended(&client));
	}
}

/* Without release_ms nobody is asked, and without a VMM nobody is waited for. */
static void
test_nobody_is_asked(void)
{
	release_start(0);
	start_detaching();
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED));
	CU_ASSERT_EQUAL(shm_state(&client).releases, 0);
	CU_ASSERT_TRUE(ends(1));
	release_start(AN_HOUR);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, true, NULL), 0);
	/* The daemon does not ask. */
	start_detaching();
	rig_stop();
	CU_ASSERT_EQUAL(ended, 1);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"detach", test_detach},
		{"remove", test_remove},
		{"deadline", test_deadline},
		{"nobody_is_asked", test_nobody_is_asked},
	}};
