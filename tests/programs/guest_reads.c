/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Inside of a guest: test_guest_reads TURNS FILE... maps the first page of each FILE, resources of
 * PCI devices in sysfs, and reads a register at its start, by turns. Prints the median of what a
 * read of each takes, in nanoseconds.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define MAX_FILES 8
#define READS     10u /* between looks at the clock, which cost as much as a read */

/* Samples in a turn: a poller that is idle may spin for milliseconds into the next file's turn. */
#define SAMPLES 50u

struct file {
	volatile uint32_t *page;
	uint64_t *times;
};

static uint64_t
clock_read(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
compare_times(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
file_open(struct file *file, const char *path, unsigned int samples)
{
	int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	void *page = MAP_FAILED;

	if (fd >= 0)
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	file->times = calloc(samples, sizeof(*file->times));
	if (page == MAP_FAILED || !file->times) {
		perror(path);
		exit(1);
	}
	file->page = page;
}

static uint64_t
file_read(const struct file *file)
{
	uint64_t start = clock_read();

	for (unsigned int i = 0; i < READS; i++)
		(void)*file->page;
	return (clock_read() - start) / READS;
}

int
main(int argc, char *argv[])
{
	unsigned int turns = argc > 2 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0;
	unsigned int samples = turns * SAMPLES;
	struct file files[MAX_FILES];
	int nr = argc - 2;

	if (turns == 0 || nr > MAX_FILES)
		return 2;
	for (int i = 0; i < nr; i++)
		file_open(&files[i], argv[2 + i], samples);
	for (unsigned int done = 0; done < samples; done += SAMPLES) {
		for (int i = 0; i < nr; i++) {
			for (unsigned int k = 0; k < SAMPLES; k++)
				files[i].times[done + k] = file_read(&files[i]);
		}
	}
	for (int i = 0; i < nr; i++) {
		qsort(files[i].times, samples, sizeof(files[i].times[0]), compare_times);
		printf("%lu\n", files[i].times[samples / 2]);
	}
	return 0;
}
