/* SPDX-License-Identifier: BSD-3-Clause */
#include "hostile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "fd_count.h"
#include "refdev_regs.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define PAGE   4096u
#define ROUNDS 100u /* of the neighbour, until it counts as going on */

struct neighbour {
	_Atomic uint64_t rounds;
	_Atomic unsigned int errors;
	_Atomic int first_error; /* what its first access that failed ended with */
	_Atomic bool stop;
};

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
	memory = rig_memory(PAGE, true);
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

uint64_t
hostile_neighbour_rounds(const struct hostile *h)
{
	return atomic_load(&h->neighbour->rounds);
}

void
hostile_neighbour_goes_on(const struct hostile *h)
{
	uint64_t until = hostile_neighbour_rounds(h) + ROUNDS;

	for (unsigned int i = 0; i < RIG_WAIT_MS && hostile_neighbour_rounds(h) < until; i++)
		vuc_clock_sleep_ms(1);
	CU_ASSERT_TRUE(hostile_neighbour_rounds(h) >= until);
	CU_ASSERT_EQUAL(atomic_load(&h->neighbour->errors), 0);
	if (atomic_load(&h->neighbour->errors) != 0)
		printf("# the neighbour's first error: %s\n",
			strerror(-atomic_load(&h->neighbour->first_error)));
}

static void
start_neighbour(struct hostile *h)
{
	h->neighbour = mmap(NULL, sizeof(*h->neighbour), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(h->neighbour != MAP_FAILED);
	h->neighbour_pid = hostile_fork();
	if (h->neighbour_pid == 0)
		be_good(h->rig.path, h->neighbour);
	hostile_neighbour_goes_on(h);
}

static void
stop_neighbour(struct hostile *h)
{
	int status = -1;

	hostile_neighbour_goes_on(h);
	atomic_store(&h->neighbour->stop, true);
	CU_ASSERT_EQUAL(waitpid(h->neighbour_pid, &status, 0), h->neighbour_pid);
	CU_ASSERT_EQUAL(status, 0);
	munmap(h->neighbour, sizeof(*h->neighbour));
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

/* The attacker's thread may just be ending. */
static bool
is_as_before(const struct hostile *h)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (vuc_control_connections(h->rig.control) == 1 && fd_count() == h->fds &&
			count_shared_mappings() == h->mappings)
			return true;
		vuc_clock_sleep_ms(1);
	}
	printf("# %u connections; %u descriptors, %u before; %u mappings, %u before\n",
		vuc_control_connections(h->rig.control), fd_count(), h->fds,
		count_shared_mappings(), h->mappings);
	return false;
}

static bool
connections_become(const struct hostile *h, unsigned int nr)
{
	for (unsigned int i = 0; i < RIG_WAIT_MS; i++) {
		if (vuc_control_connections(h->rig.control) == nr)
			return true;
		vuc_clock_sleep_ms(1);
	}
	return false;
}

/* Whoever is greeted knows that all who came before have been accepted. */
void
hostile_wait_until_gone(const struct hostile *h)
{
	struct shm_client c;
	int rc = SHM_GONE;

	/* In a crowd it is sent away, too. */
	for (unsigned int i = 0; rc != 0 && i < RIG_WAIT_MS; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_connect(&c, h->rig.path), 0);
		rc = shm_hello(&c);
		if (rc != 0) {
			shm_close(&c);
			vuc_clock_sleep_ms(1);
		}
	}
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_TRUE_FATAL(connections_become(h, 2));
	shm_close(&c);
	CU_ASSERT_TRUE_FATAL(connections_become(h, 1));
}

static void
be_next(const struct hostile *h)
{
	uint64_t scratch = 1;
	uint32_t maps = 1;
	struct shm_client c;
	struct shm_queue q;

	rig_attach(&h->rig, &c, RIG_NAME);
	CU_ASSERT(c.reply.attach_reply.generation >= h->generation);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&c, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch)), 0);
	CU_ASSERT_EQUAL(scratch, 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_DMA_MAPS, &maps, sizeof(maps)), 0);
	CU_ASSERT_EQUAL(maps, 0);
	scratch = 1;
	CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch)), 0);
	shm_forget_queue(&q);
	CU_ASSERT_EQUAL(shm_plain(&c, VUC_SHM_DETACH), 0);
	shm_close(&c);
}

void
hostile_survived(struct hostile *h)
{
	hostile_wait_until_gone(h);
	CU_ASSERT_TRUE(rig_becomes(&h->rig, RIG_NAME, VUC_CONTROL_FREE));
	be_next(h);
	hostile_neighbour_goes_on(h);
	CU_ASSERT_TRUE(is_as_before(h));
}

void
hostile_start(struct hostile *h, const struct rig_opts *opts)
{
	struct rig_opts trusting;

	*h = (struct hostile){.neighbour_pid = -1};
	rig_opts_init(&trusting);
	if (opts != NULL)
		trusting = *opts;
	/* The server's connection stays: an attack that ends it shows. */
	trusting.device.reset = VUC_CONTROL_RESET_TRUST;
	rig_start(&h->rig, &trusting);
	start_neighbour(h);
	h->generation = rig_look(&h->rig, RIG_NAME).generation;
	h->fds = fd_count();
	h->mappings = count_shared_mappings();
	hostile_survived(h);
}

void
hostile_stop(struct hostile *h)
{
	CU_ASSERT_EQUAL(rig_look(&h->rig, RIG_SECOND).attaches, 1);
	stop_neighbour(h);
	CU_ASSERT_TRUE(rig_is_left(&h->rig));
	rig_stop(&h->rig);
}
