/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Random changes, losses of the server and restores, which may fail: in the end, the server has
 * what the client has set, and each operation has ended once. VUC_TEST_ROUNDS: how many rounds;
 * each begins with its own number as the seed, VUC_TEST_FIRST being the first one.
 */

#include "restore_rig.h"

#define NR_ROUNDS 1000u
#define NR_PAGES  24u /* of addresses that are mapped */
#define NR_IRQS   8u
#define MAX_JOBS  64u
#define MSIX      VFIO_PCI_MSIX_IRQ_INDEX
#define CONFIG    VFIO_PCI_CONFIG_REGION_INDEX

/* Of the client: the pages of the mapping that begins at each, and vectors. */
static unsigned int size_at[NR_PAGES];
static int fd_of[NR_IRQS]; /* -1: none */
static bool masked[NR_IRQS];

/* Of the server. */
static bool has_page[NR_PAGES], has_fd[NR_IRQS], has_mask[NR_IRQS];

static unsigned int seed;
static struct job jobs[MAX_JOBS], restoring;
static unsigned int nr_jobs;
static bool restore_runs;
static unsigned int restored, failed, losses;

static unsigned int
random_below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static void
server_forget(void)
{
	memset(has_page, 0, sizeof(has_page));
	memset(has_fd, 0, sizeof(has_fd));
	memset(has_mask, 0, sizeof(has_mask));
}

/* ---- what reaches the server ---- */

static void
read_pages(const char *line)
{
	unsigned long long at, size;
	bool maps = sscanf(line, "map %llx+%llx", &at, &size) == 2;

	if (!maps && sscanf(line, "unmap %llx+%llx", &at, &size) != 2)
		return;
	for (unsigned long long i = at / PAGE; i < (at + size) / PAGE; i++) {
		CU_ASSERT_FALSE(maps && has_page[i]);
		has_page[i] = maps;
	}
}

static void
read_irqs(const char *line)
{
	unsigned int index, start, count, fds = 0;
	char action[16], data[16];

	if (sscanf(line, "irq %u %15s %15s %u+%u fds %u", &index, action, data, &start, &count,
		    &fds) < 5 ||
		index != MSIX)
		return;
	if (strcmp(data, "eventfd") == 0) {
		for (unsigned int i = 0; i < count; i++)
			has_fd[start + i] = fds > 0;
	} else if (strcmp(action, "trigger") == 0 && count == 0) {
		memset(has_fd, 0, sizeof(has_fd));
		memset(has_mask, 0, sizeof(has_mask));
	} else if (strcmp(action, "trigger") != 0) {
		memset(has_mask + start, strcmp(action, "mask") == 0, count);
	}
}

static void
server_read_log(struct restore_server *s)
{
	char *line = s->log, *end;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		read_pages(line);
		read_irqs(line);
	}
	s->log_len = 0;
	s->log[0] = '\0';
}

static void
poll_times(unsigned int n)
{
	while (n-- > 0)
		vuc_poll_group_poll(group);
	server_read_log(&old);
	server_read_log(&fresh);
}

/* ---- what the client does ---- */

static void
check_jobs(void)
{
	for (unsigned int i = 0; i < nr_jobs; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, 0);
		if (jobs[i].status != 0)
			printf("# operation %u: %s\n", i, jobs[i].err.text);
	}
	nr_jobs = 0;
}

static struct job *
next_job(void)
{
	if (nr_jobs == MAX_JOBS) {
		poll_times(300);
		check_jobs();
	}
	jobs[nr_jobs] = (struct job){0};
	return &jobs[nr_jobs];
}

static void
do_map(void)
{
	unsigned int at = random_below(NR_PAGES), n = 1 + random_below(3);

	for (unsigned int i = 0; i < NR_PAGES; i++) {
		if (size_at[i] > 0 && i < at + n && at < i + size_at[i])
			return;
	}
	if (at + n <= NR_PAGES && map_pages((uint64_t)at * PAGE, at, n) == 0)
		size_at[at] = n;
}

static void
do_unmap(void)
{
	unsigned int at = random_below(NR_PAGES);

	if (size_at[at] > 0 &&
		vuc_dma_unmap(dut, (uint64_t)at * PAGE, (uint64_t)size_at[at] * PAGE) == 0)
		size_at[at] = 0;
}

static void
do_commit(void)
{
	nr_jobs += vuc_dma_commit_start(dut, on_done, next_job()) == 0;
}

static void
do_reset(void)
{
	nr_jobs += vuc_device_reset_start(dut, on_done, next_job()) == 0;
}

static struct vuc_irq_range
random_range(void)
{
	struct vuc_irq_range range = {.index = MSIX, .start = random_below(NR_IRQS)};

	range.count = 1 + random_below(NR_IRQS - range.start);
	return range;
}

static void
do_assign(void)
{
	const struct vuc_irq_range range = random_range();
	int which[NR_IRQS], fds[NR_IRQS];

	for (unsigned int i = 0; i < range.count; i++) {
		which[i] = random_below(3) == 0 ? -1 : (int)random_below(NR_FDS);
		fds[i] = which[i] < 0 ? -1 : eventfds[which[i]];
	}
	if (vuc_irq_assign_start(dut, &range, VUC_IRQ_TRIGGER, fds, on_done, next_job()) != 0)
		return;
	nr_jobs++;
	memcpy(fd_of + range.start, which, range.count * sizeof(which[0]));
}

static void
do_mask(void)
{
	const struct vuc_irq_range range = random_range();
	bool mask = random_below(3) > 0;

	if (vuc_irq_act_start(
		    dut, &range, mask ? VUC_IRQ_MASK : VUC_IRQ_UNMASK, on_done, next_job()) != 0)
		return;
	nr_jobs++;
	memset(masked + range.start, mask, range.count);
}

static void
do_disable(void)
{
	if (vuc_irq_disable_start(dut, MSIX, on_done, next_job()) != 0)
		return;
	nr_jobs++;
	memset(fd_of, -1, sizeof(fd_of));
	memset(masked, 0, sizeof(masked));
}

struct access {
	struct vuc_request request;
	uint64_t value;
};

static void
access_done(struct vuc_request *request, int status)
{
	(void)status;
	free(request->arg);
}

/* Registers that are recorded, and others. */
static void
do_access(void)
{
	static const struct {
		uint32_t region, at, len;
	} places[] = {{CONFIG, 4, 2}, {CONFIG, 0x10, 4}, {CONFIG, 0x44, 2}, {CONFIG, 0x54, 4},
		{CONFIG, 0x72, 2}, {CONFIG, 0xc4, 4}, {CONFIG, 0xf0, 8}, {0, PAGE + 16, 4},
		{0, PAGE + 32, 8}, {0, PAGE - 4, 8}, {0, 0x14, 4}};
	static const enum vuc_op ops[] = {VUC_OP_READ, VUC_OP_WRITE, VUC_OP_WRITE_POSTED};
	const unsigned int i = random_below(NR(places));
	struct access *a = calloc(1, sizeof(*a));

	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	a->value = (uint64_t)random_below(65536) << random_below(40);
	a->request = (struct vuc_request){
		.op = ops[random_below(3)],
		.region = places[i].region,
		.offset = places[i].at,
		.count = places[i].len,
		.data = &a->value,
		.done = access_done,
		.arg = a,
	};
	if (vuc_device_submit(dut, &a->request) != 0)
		free(a);
}

/* ---- outages ---- */

static void
do_lose(void)
{
	end_session();
	losses++;
	poll_times(3);
}

static void
look_at_restore(void)
{
	if (!restore_runs || restoring.calls == 0)
		return;
	CU_ASSERT_EQUAL(restoring.calls, 1);
	CU_ASSERT_EQUAL(vuc_device_connected(dut), restoring.status == 0);
	restored += restoring.status == 0;
	failed += restoring.status != 0;
	restore_runs = false;
}

/* A vuc_done_fn. The server refuses messages of restores only. */
static void
restore_done(void *arg, int status, const struct vuc_error *err)
{
	fresh.refuse_nth = 0;
	on_done(arg, status, err);
}

static void
take_new_server(bool may_fail)
{
	const struct vuc_restore_opts opts = {.reset = random_below(4) > 0};

	look_at_restore();
	if (restore_runs || !vuc_device_is_away(dut))
		return;
	poll_times(3); /* nobody uses the server before */
	renew_fresh();
	server_forget();
	if (may_fail && random_below(2) == 0)
		fresh.dies_at = 60 + random_below(40);
	if (may_fail && random_below(4) == 0)
		fresh.refuse_nth = 1 + random_below(20);
	begin_restore(&opts, 0, restore_done, &restoring);
	restore_runs = true;
}

static void
await_restore(void)
{
	for (unsigned int i = 0; i < 20; i++) {
		for (unsigned int k = 0; k < 300; k++) {
			poll_times(1);
			look_at_restore();
		}
		if (vuc_device_connected(dut) && !restore_runs)
			break;
		take_new_server(false);
	}
	CU_ASSERT_TRUE(vuc_device_connected(dut));
	fresh.fake.fault.nth = 0;
}

/* ---- rounds ---- */

static bool
server_has_all(bool renewed)
{
	bool wanted[NR_PAGES] = {false};
	bool same = true;

	for (unsigned int i = 0; i < NR_PAGES; i++) {
		for (unsigned int k = 0; k < size_at[i]; k++)
			wanted[i + k] = true;
	}
	same = memcmp(wanted, has_page, sizeof(wanted)) == 0;
	for (unsigned int i = 0; i < NR_IRQS; i++) {
		same = same && has_fd[i] == (fd_of[i] >= 0) && has_mask[i] == masked[i];
		if (same && fd_of[i] >= 0)
			same = reaches(renewed ? &fresh : &old, MSIX, i, (unsigned int)fd_of[i]);
	}
	return same;
}

static void
do_mask_or_disable(void)
{
	if (random_below(4) > 0)
		do_mask();
	else
		do_disable();
}

static void
do_restore(void)
{
	take_new_server(true);
}

static void
do_poll(void)
{
	poll_times(random_below(6));
}

/* How many of all steps are such ones, and of these so many are taken. */
static const struct {
	void (*step)(void);
	unsigned int of_all, one_in;
} steps[] = {
	{do_map, 3, 1},
	{do_unmap, 2, 1},
	{do_commit, 2, 1},
	{do_assign, 1, 1},
	{do_mask_or_disable, 1, 1},
	{do_reset, 1, 3},
	{do_lose, 1, 2},
	{do_restore, 1, 1},
	{do_access, 3, 1},
	{do_poll, 4, 1},
};

static void
take_step(void)
{
	unsigned int n = random_below(19), i = 0;

	while (n >= steps[i].of_all)
		n -= steps[i++].of_all;
	if (steps[i].one_in == 1 || random_below(steps[i].one_in) == 0)
		steps[i].step();
	look_at_restore();
}

static void
run_round(unsigned int number)
{
	unsigned int nr_steps, before = restored;

	seed = number;
	nr_steps = 20 + random_below(150);
	memset(size_at, 0, sizeof(size_at));
	memset(fd_of, -1, sizeof(fd_of));
	memset(masked, 0, sizeof(masked));
	server_forget();
	nr_jobs = 0;
	restore_runs = false;
	next_row("seed %u", number);
	while (nr_steps-- > 0)
		take_step();
	/* Some clients leave at any time. */
	if (random_below(3) == 0) {
		if (random_below(2) == 0)
			vuc_device_record_stop(dut);
		poll_times(random_below(3));
		return;
	}
	await_restore();
	do_commit();
	poll_times(300);
	check_jobs();
	CU_ASSERT_TRUE(server_has_all(restored > before));
}

static unsigned int
number_of(const char *variable, unsigned int otherwise)
{
	const char *text = getenv(variable);

	return text != NULL ? (unsigned int)strtoul(text, NULL, 10) : otherwise;
}

static void
test_random_outages(void)
{
	const unsigned int first = number_of("VUC_TEST_FIRST", 1);
	const unsigned int nr = number_of("VUC_TEST_ROUNDS", NR_ROUNDS);

	for (unsigned int i = 0; i < nr && CU_get_number_of_failures() == 0; i++)
		run_round(first + i);
	printf("# seeds from %u on, %u rounds: %u losses, restored %u times, failed %u times\n",
		first, nr, losses, restored, failed);
	CU_ASSERT(nr < 100 || (restored > 0 && failed > 0));
}

const struct tap_suite tap_suite = {"restore_random", set_up, tear_down,
	{
		{"after random losses, the server has what the client has set",
			test_random_outages},
	}};
