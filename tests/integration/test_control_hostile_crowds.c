/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that come in crowds, or for what is not theirs. */

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "hostile.h"

#define CROWD      100u /* connections at a time, more than there may be */
#define COMINGS    300u
#define UNACCEPTED 500u /* connections */
#define RACERS     6u
#define RACES      60u

/* All at once, more than may come in, and none of them says a word, or they say hello. */
static void
test_crowd(void)
{
	struct shm_client crowd[CROWD];
	unsigned int greeted = 0;

	hostile_start(NULL);
	for (unsigned int i = 0; i < CROWD; i++)
		CU_ASSERT_EQUAL_FATAL(shm_connect(&crowd[i], rig.path), 0);
	for (unsigned int i = 0; i < CROWD; i += 2) {
		int rc = shm_hello(&crowd[i]);

		CU_ASSERT_TRUE(rc == 0 || rc == SHM_GONE);
		greeted += rc == 0;
	}
	CU_ASSERT_TRUE(greeted > 0 && greeted <= 32);
	hostile_neighbour_goes_on();
	for (unsigned int i = 0; i < CROWD; i++)
		shm_close(&crowd[i]);
}

/* The control thread, which accepts, stands still in the first line that says that a connection
 * is refused. */
static struct {
	sem_t stands, goes_on;
	atomic_flag used;
} gate = {.used = ATOMIC_FLAG_INIT};

static void
stand_still(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	if (strstr(line, "connection refused") == NULL || atomic_flag_test_and_set(&gate.used))
		return;
	sem_post(&gate.stands);
	sem_wait(&gate.goes_on);
}

/* Many connections that have not been accepted yet are no reason to refuse another one, which does
 * not wait to connect; and those of a user who has as many as one may have are only closed. */
static void
test_unaccepted(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct shm_client first, second;

	CU_ASSERT_EQUAL(sem_init(&gate.stands, 0, 0), 0);
	CU_ASSERT_EQUAL(sem_init(&gate.goes_on, 0, 0), 0);
	rig_start(&(struct rig_opts){.max_vmms_per_user = 1, .log = stand_still});
	rig_greet(&first);
	CU_ASSERT_EQUAL_FATAL(shm_connect(&second, rig.path), 0);
	CU_ASSERT_EQUAL(sem_wait(&gate.stands), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	for (unsigned int i = 0; i < UNACCEPTED; i++) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		close(fd);
	}
	sem_post(&gate.goes_on);
	CU_ASSERT_TRUE(shm_is_ended(&second));
	CU_ASSERT_EQUAL(shm_attach(&first, RIG_NAME), 0);
	shm_close(&first);
	shm_close(&second);
}

/* One after the other, as fast as it goes; the next one does not wait until the last one is gone.
 */
static void
test_comings(void)
{
	unsigned int attached = 0;

	hostile_start(NULL);
	for (unsigned int i = 0; i < COMINGS; i++) {
		struct shm_client c;
		int rc = shm_start(&c, rig.path, RIG_NAME);

		CU_ASSERT_TRUE(rc == 0 || rc == -EBUSY || rc == SHM_GONE);
		attached += rc == 0;
		shm_close(&c);
	}
	CU_ASSERT_TRUE(attached > 0);
}

/* A connection asks for what it may not have, or there is not, and for what is another's. */
static void
test_asking(void)
{
	static const char *const names[] = {"", "disk", "disk00", "../disk0", "DISK0", "%s%n"};
	struct shm_client c;

	hostile_start(NULL);
	rig_greet(&c);
	for (unsigned int i = 0; i < COMINGS; i++) {
		CU_ASSERT_EQUAL(shm_attach(&c, names[i % 6]), -ENOENT);
		CU_ASSERT_EQUAL(shm_attach(&c, RIG_SECOND), -EBUSY);
	}
	CU_ASSERT_EQUAL(shm_attach(&c, RIG_NAME), 0);
	shm_close(&c);
}

/* One that fills the log takes no line of another one, and the log tells what it left out. */
static void
test_noise(void)
{
	struct shm_client noisy, other;

	hostile_start(NULL);
	rig_greet(&noisy);
	for (unsigned int i = 0; i < COMINGS; i++)
		CU_ASSERT_EQUAL(shm_attach(&noisy, "nothing"), -ENOENT);
	CU_ASSERT_EQUAL_FATAL(shm_start(&other, rig.path, RIG_NAME), 0);
	CU_ASSERT_TRUE(rig_has_logged(RIG_NAME ": VMM "));
	shm_close(&noisy);
	shm_close(&other);
	hostile_wait_until_gone();
	CU_ASSERT_EQUAL_FATAL(shm_start(&other, rig.path, RIG_NAME), 0);
	CU_ASSERT_TRUE(rig_has_logged(" earlier lines were suppressed)"));
	shm_close(&other);
}

/* Returns how often this process had the device. */
static int
race(void)
{
	int won = 0;

	for (unsigned int i = 0; i < RACES; i++) {
		struct shm_client c;
		int rc = shm_start(&c, rig.path, RIG_NAME);

		if (rc != 0 && rc != -EBUSY)
			return 255;
		won += rc == 0;
		shm_close(&c);
	}
	return won;
}

/* Many processes for one device: at any time one of them has it, and each attachment counts. */
static void
test_race(void)
{
	uint64_t before, won = 0;
	pid_t pids[RACERS];

	hostile_start(NULL);
	before = rig_look(RIG_NAME).attaches;
	for (unsigned int i = 0; i < RACERS; i++) {
		pids[i] = hostile_fork();
		if (pids[i] == 0)
			_exit(race());
	}
	for (unsigned int i = 0; i < RACERS; i++) {
		int status = 0;

		CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
		CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) <= (int)RACES);
		won += (uint64_t)WEXITSTATUS(status);
	}
	CU_ASSERT_TRUE(won > 0);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).attaches - before, won);
}

const struct tap_suite tap_suite = {NULL, NULL, hostile_stop,
	{
		{"unaccepted", test_unaccepted},
		{"crowd", test_crowd},
		{"comings", test_comings},
		{"noise", test_noise},
		{"asking", test_asking},
		{"race", test_race},
	}};
