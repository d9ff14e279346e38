/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Inside of a guest: test_guest FILE writes slots of a file or a block device past the page cache
 * and verifies them, with several threads. Commands come by standard input, a line each, and each
 * is answered by a line of its counters:
 *
 * run     open the file, verify what was written before, and let the threads begin
 * report  only answer; the longest pause is the one since the last answer
 * stop    end the threads, verify all that was acknowledged, and close the file
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NR_THREADS 4u
#define NR_SLOTS   64u    /* of each thread */
#define SLOT_SIZE  16384u /* more than two pages: a PRP list */
#define NR_WORDS   (SLOT_SIZE / sizeof(uint64_t))

struct worker {
	pthread_t thread;
	unsigned int first_slot;
	uint64_t *data;
	uint64_t sequence;
	uint64_t acknowledged[NR_SLOTS]; /* the sequence number there; 0: unknown */
	atomic_ulong rounds;
};

static const char *path;
static int fd = -1;
static struct worker workers[NR_THREADS];
static atomic_bool stopping;
static atomic_ulong nr_written, nr_verified, nr_errors, nr_wrong, longest_ns;

static uint64_t
clock_read(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Each word depends on all: a slot that is mixed of two writes shows. */
static uint64_t
pattern_word(uint64_t slot, uint64_t sequence, uint64_t word)
{
	uint64_t x = slot << 48 ^ sequence << 16 ^ word;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void
pause_note(uint64_t since)
{
	unsigned long took = clock_read() - since, longest = atomic_load(&longest_ns);

	while (took > longest && !atomic_compare_exchange_weak(&longest_ns, &longest, took))
		;
}

static void
slot_write(struct worker *worker, unsigned int slot)
{
	uint64_t sequence = ++worker->sequence, start = clock_read();

	for (unsigned int i = 0; i < NR_WORDS; i++)
		worker->data[i] = pattern_word(worker->first_slot + slot, sequence, i);
	worker->acknowledged[slot] = 0;
	if (pwrite(fd, worker->data, SLOT_SIZE, (off_t)(worker->first_slot + slot) * SLOT_SIZE) ==
		SLOT_SIZE) {
		worker->acknowledged[slot] = sequence;
		nr_written++;
	} else {
		nr_errors++;
	}
	pause_note(start);
}

static void
slot_verify(struct worker *worker, unsigned int slot)
{
	uint64_t start = clock_read();
	bool right = true;

	if (worker->acknowledged[slot] == 0)
		return;
	if (pread(fd, worker->data, SLOT_SIZE, (off_t)(worker->first_slot + slot) * SLOT_SIZE) !=
		SLOT_SIZE) {
		nr_errors++;
		return;
	}
	pause_note(start);
	for (unsigned int i = 0; i < NR_WORDS; i++)
		right &= worker->data[i] ==
			pattern_word(worker->first_slot + slot, worker->acknowledged[slot], i);
	nr_verified++;
	nr_wrong += !right;
}

static void *
worker_run(void *arg)
{
	struct worker *worker = arg;
	unsigned int seed = worker->first_slot;

	while (!stopping) {
		slot_write(worker, (unsigned int)rand_r(&seed) % NR_SLOTS);
		slot_verify(worker, (unsigned int)rand_r(&seed) % NR_SLOTS);
		worker->rounds++;
	}
	return NULL;
}

static void
all_verify(void)
{
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		for (unsigned int slot = 0; slot < NR_SLOTS; slot++)
			slot_verify(&workers[i], slot);
	}
}

static void
threads_start(void)
{
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	all_verify();
	stopping = false;
	for (unsigned int i = 0; i < NR_THREADS; i++)
		pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);
}

static void
threads_stop(void)
{
	stopping = true;
	for (unsigned int i = 0; i < NR_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	all_verify();
	close(fd);
}

/* The number of rounds is that of the slowest thread. */
static void
report_print(void)
{
	unsigned long rounds = workers[0].rounds;

	for (unsigned int i = 1; i < NR_THREADS; i++) {
		if (workers[i].rounds < rounds)
			rounds = workers[i].rounds;
	}
	printf("rounds=%lu written=%lu verified=%lu errors=%lu wrong=%lu longest_ms=%lu\n", rounds,
		nr_written, nr_verified, nr_errors, nr_wrong,
		atomic_exchange(&longest_ns, 0) / 1000000);
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	char line[16];

	if (argc != 2)
		return 2;
	path = argv[1];
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		workers[i].first_slot = i * NR_SLOTS;
		if (posix_memalign((void **)&workers[i].data, 4096, SLOT_SIZE) != 0)
			return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "run\n") == 0)
			threads_start();
		else if (strcmp(line, "stop\n") == 0)
			threads_stop();
		report_print();
	}
	return 0;
}
