/* SPDX-License-Identifier: BSD-3-Clause */

/* A VMM is asked for its device before the device is taken away from it. */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "refdev_regs.h"
#include "rig.h"

#define NEVER_MS 3600000u

/* What has ended of what was started. */
static _Atomic unsigned int ended;

/* A vuc_done_fn. */
static void
count_end(void *arg, int status, const struct vuc_error *err)
{
	(void)arg;
	(void)err;
	CU_ASSERT_EQUAL(status, 0);
	atomic_fetch_add(&ended, 1);
}

static bool
ends(unsigned int nr)
{
	unsigned int ms = 0;

	while (atomic_load(&ended) != nr && rig_wait(&ms))
		continue;
	return atomic_load(&ended) == nr;
}

static void
start_detaching(void)
{
	CU_ASSERT_EQUAL(vuc_control_detach_start(rig.control, RIG_NAME, count_end, NULL, NULL), 0);
}

static void
start_removal(void)
{
	CU_ASSERT_EQUAL(
		vuc_control_remove_device_start(rig.control, RIG_NAME, true, count_end, NULL, NULL),
		0);
}

static void
release_start(uint32_t release_ms)
{
	atomic_store(&ended, 0);
	rig_start(&(struct rig_opts){.release_ms = release_ms});
	rig_attach(&client, RIG_NAME);
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
	CU_ASSERT_EQUAL(atomic_load(&ended), 0);
}

/* One that detaches is waited for; whoever asks meanwhile waits, too. The next one may have it. */
static void
test_detach(void)
{
	release_start(NEVER_MS);
	start_detaching();
	start_detaching();
	check_asked();
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_TRUE(ends(2));
	shm_close(&client);
	rig_attach(&client, RIG_NAME);
	CU_ASSERT_EQUAL(shm_state(&client).releases, 0);
	CU_ASSERT_STRING_EQUAL(rig_look(RIG_NAME).reason, "");
	rig_stop();
}

/* Nobody gets a device that is being removed, from the moment on that its VMM leaves. */
static void
test_remove(void)
{
	struct vuc_control_device d;
	struct shm_client other;

	for (unsigned int i = 0; i < 2; i++) {
		release_start(NEVER_MS);
		if (i > 0)
			start_detaching();
		start_removal();
		check_asked();
		CU_ASSERT_EQUAL_FATAL(shm_connect(&other, rig.path), 0);
		CU_ASSERT_EQUAL(shm_hello(&other), 0);
		CU_ASSERT_EQUAL(shm_attach(&other, RIG_NAME), -EBUSY);
		if (i > 0)
			CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
		shm_close(&client);
		CU_ASSERT_TRUE(ends(1 + i));
		CU_ASSERT_EQUAL(vuc_control_look(rig.control, RIG_NAME, &d), -ENOENT);
		CU_ASSERT_EQUAL(shm_attach(&other, RIG_NAME), -ENOENT);
		CU_ASSERT_EQUAL(rig_look(RIG_SECOND).generation, 1);
		shm_close(&other);
		rig_stop();
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
		CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED, RIG_WAIT_MS));
		CU_ASSERT_EQUAL(shm_state(&client).releases, 1);
		CU_ASSERT_TRUE(ends(1));
		CU_ASSERT_TRUE(rig_has_logged("asking VMM shm-client"));
		CU_ASSERT_TRUE(rig_has_logged("waiting for VMM shm-client"));
		CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
		rig_stop();
	}
}

/* Without release_ms nobody is asked, and without a VMM nobody is waited for. */
static void
test_nobody_is_asked(void)
{
	release_start(0);
	start_detaching();
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED, RIG_WAIT_MS));
	CU_ASSERT_EQUAL(shm_state(&client).releases, 0);
	CU_ASSERT_TRUE(ends(1));
	rig_stop();
	release_start(NEVER_MS);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, true, NULL), 0);
	/* The daemon does not ask. */
	start_detaching();
	rig_stop();
	CU_ASSERT_EQUAL(atomic_load(&ended), 1);
}

static CU_TestInfo tests[] = {
	{"detach", test_detach},
	{"remove", test_remove},
	{"deadline", test_deadline},
	{"nobody_is_asked", test_nobody_is_asked},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests, NULL);
}
