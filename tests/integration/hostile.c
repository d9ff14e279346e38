/* SPDX-License-Identifier: BSD-3-Clause */
#include "hostile.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fd_count.h"

#define ROUNDS 100u /* of the neighbour, until it counts as going on */

/* What the neighbour's process shares. */
struct neighbour {
	_Atomic uint64_t rounds;
	_Atomic unsigned int errors;
	_Atomic int first_error; /* what its first access that failed ended with */
	_Atomic bool stop;
};

/* As it was before an attack. */
static struct {
	struct neighbour *neighbour;
	pid_t neighbour_pid;
	unsigned int fds, mappings;
	uint64_t generation;
	bool trusting; /* the server's connection stays */
} before;

uint64_t
hostile_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint32_t
hostile_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((hostile_random(state) >> 32) % n);
}

void
hostile_fill(uint64_t *state, void *bytes, size_t len)
{
	uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(hostile_random(state) >> 24);
}

pid_t
hostile_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

/* ---- the one that behaves ---- */

/* Returns 0, the error of an access, or -EILSEQ for a value that is another one's. */
static int
neighbour_use_device(struct shm_queue *q, uint64_t value)
{
	uint32_t id = 0, maps = 0;
	uint64_t scratch = 0;
	int rc = shm_read(q, BAR0, REFDEV_REG_ID, &id, sizeof(id));

	if (rc == 0)
		rc = shm_write(q, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value));
	if (rc == 0)
		rc = shm_read(q, BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch));
	if (rc == 0)
		rc = shm_read(q, BAR0, REFDEV_REG_DMA_MAPS, &maps, sizeof(maps));
	if (rc == 0 && (id != REFDEV_ID_VALUE || scratch != value || maps != 1))
		rc = -EILSEQ;
	return rc;
}

static void
be_good(const char *path, struct neighbour *n)
{
	struct shm_client c;
	struct shm_queue q;
	int memory, rc;

	/* What came with fork() is the daemon's. */
	close_range(3, ~0u, 0);
	memory = rig_memory(PAGE, F_SEAL_SHRINK);
	/* When a packet is answered, all of the one before is closed. */
	if (shm_start(&c, path, RIG_SECOND) != 0 ||
		shm_dma_map(&c, 0, PAGE, 0, VUC_SHM_DMA_READ, memory) != 0 ||
		shm_open_queue(&c, 16, 64, &q) != 0)
		_exit(1);
	while (!atomic_load(&n->stop)) {
		rc = neighbour_use_device(&q, atomic_load(&n->rounds));
		if (rc != 0 && atomic_fetch_add(&n->errors, 1) == 0)
			atomic_store(&n->first_error, rc);
		atomic_fetch_add(&n->rounds, 1);
	}
	_exit(shm_state(&c).state == VUC_SHM_ATTACHED && shm_plain(&c, VUC_SHM_DETACH) == 0 ? 0
											    : 1);
}

void
hostile_neighbour_goes_on(void)
{
	struct neighbour *n = before.neighbour;
	uint64_t until = atomic_load(&n->rounds) + ROUNDS;
	unsigned int ms = 0;

	while (atomic_load(&n->rounds) < until && rig_wait(&ms))
		continue;
	CU_ASSERT_TRUE(atomic_load(&n->rounds) >= until);
	CU_ASSERT_EQUAL(atomic_load(&n->errors), 0);
	if (atomic_load(&n->errors) != 0)
		printf("# the neighbour's first error: %s\n",
			strerror(-atomic_load(&n->first_error)));
}

static void
start_neighbour(void)
{
	void *shared = mmap(NULL, sizeof(*before.neighbour), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(shared != MAP_FAILED);
	before.neighbour = shared;
	before.neighbour_pid = hostile_fork();
	if (before.neighbour_pid == 0)
		be_good(rig.path, before.neighbour);
	hostile_neighbour_goes_on();
}

static void
stop_neighbour(void)
{
	int status = -1;

	hostile_neighbour_goes_on();
	atomic_store(&before.neighbour->stop, true);
	CU_ASSERT_EQUAL(waitpid(before.neighbour_pid, &status, 0), before.neighbour_pid);
	CU_ASSERT_EQUAL(status, 0);
	munmap(before.neighbour, sizeof(*before.neighbour));
	before.neighbour = NULL;
}

/* ---- what is left of an attack ---- */

/* Those of memory that a VMM has, or had, too; the rest is the allocators'. */
static unsigned int
count_shared_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512], mode[8];

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file) != NULL)
		n += sscanf(line, "%*s %7s", mode) == 1 && mode[3] == 's';
	fclose(file);
	return n;
}

unsigned int
hostile_extra_fds(void)
{
	return fd_count() - before.fds;
}

/* Whoever is greeted knows that all who came before have been accepted. */
void
hostile_wait_until_gone(void)
{
	unsigned int ms = 0;
	struct shm_client c;
	int rc;

	/* In a crowd it is sent away, too. */
	for (;;) {
		CU_ASSERT_EQUAL_FATAL(shm_connect(&c, rig.path), 0);
		rc = shm_hello(&c);
		if (rc == 0 || !rig_wait(&ms))
			break;
		shm_close(&c);
	}
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_TRUE_FATAL(rig_has_connections(2));
	shm_close(&c);
	CU_ASSERT_TRUE_FATAL(rig_has_connections(1));
}

/* The attacker's thread may just be ending. */
static void
expect_as_before(void)
{
	unsigned int ms = 0;

	while ((fd_count() != before.fds || count_shared_mappings() != before.mappings) &&
		rig_wait(&ms))
		continue;
	CU_ASSERT_EQUAL(fd_count(), before.fds);
	CU_ASSERT_EQUAL(count_shared_mappings(), before.mappings);
}

void
hostile_survived(void)
{
	hostile_wait_until_gone();
	rig_expect_new();
	if (before.trusting)
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, before.generation);
	hostile_neighbour_goes_on();
	CU_ASSERT_TRUE(rig_has_connections(1));
	expect_as_before();
}

void
hostile_start(const struct rig_opts *opts)
{
	static const struct rig_opts trusting = {.reset = VUC_CONTROL_RESET_TRUST};

	hostile_stop();
	rig_start(opts != NULL ? opts : &trusting);
	start_neighbour();
	before.trusting = opts == NULL;
	before.generation = rig_look(RIG_NAME).generation;
	before.fds = fd_count();
	before.mappings = count_shared_mappings();
	hostile_survived();
}

void
hostile_start_attached(const struct rig_opts *opts)
{
	hostile_start(opts);
	rig_attach(&client, RIG_NAME);
}

void
hostile_set_up(void)
{
	hostile_start(NULL);
}

void
hostile_stop(void)
{
	if (before.neighbour != NULL) {
		shm_close(&client);
		hostile_survived();
		CU_ASSERT_EQUAL(rig_look(RIG_SECOND).attaches, 1);
		stop_neighbour();
		CU_ASSERT_TRUE(rig_has_connections(0));
	}
	rig_stop();
}
