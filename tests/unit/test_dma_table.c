/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/kcmp.h>

#include "dma_table.h"
#include "tap.h"

#define READ  1u
#define WRITE 2u

static void
insert(struct dma_table *t, uint64_t iova, uint64_t size, uint8_t *addr, uint32_t flags)
{
	const struct dma_entry e = {.iova = iova, .size = size, .addr = addr, .flags = flags};

	CU_ASSERT_EQUAL_FATAL(dma_table_insert(t, &e), 0);
}

static void
test_sorted(void)
{
	struct dma_table t = {0};

	for (uint64_t i = 0; i < 5000; i++)
		insert(&t, (i * 7919 % 5000) * 0x2000, 0x1000, NULL, READ);
	CU_ASSERT_EQUAL(t.entries.nr, 5000);
	for (uint64_t i = 0; i < 5000; i++) {
		CU_ASSERT_EQUAL(t.entries.at[i].iova, i * 0x2000);
		CU_ASSERT_EQUAL(dma_table_lower_bound(&t, i * 0x2000), i);
		CU_ASSERT_EQUAL(dma_table_lower_bound(&t, i * 0x2000 + 0xfff), i);
		CU_ASSERT_EQUAL(dma_table_lower_bound(&t, i * 0x2000 + 0x1000), i + 1);
	}
	while (t.entries.nr > 1)
		dma_table_remove(&t, t.entries.nr / 2);
	CU_ASSERT_EQUAL(t.entries.at[0].iova, 0);
	dma_table_free(&t);
}

static void
test_overlap(void)
{
	struct dma_table t = {0};

	insert(&t, 0x2000, 0x2000, NULL, READ);
	insert(&t, 0xfffffffffffff000, 0xfff, NULL, READ);
	CU_ASSERT_PTR_NULL(dma_table_overlap(&t, 0x0, 0x2000));
	CU_ASSERT_PTR_NOT_NULL(dma_table_overlap(&t, 0x0, 0x2001));
	CU_ASSERT_PTR_NOT_NULL(dma_table_overlap(&t, 0x2000, 1));
	CU_ASSERT_PTR_NOT_NULL(dma_table_overlap(&t, 0x3fff, 1));
	CU_ASSERT_PTR_NULL(dma_table_overlap(&t, 0x4000, 1));
	CU_ASSERT_PTR_NOT_NULL(dma_table_overlap(&t, 0x1000, 0x10000));
	CU_ASSERT_PTR_NOT_NULL(dma_table_overlap(&t, 0xffffffffffffff00, 0x10));
	dma_table_free(&t);
}

static void
test_translate(void)
{
	static uint8_t memory[0x3000];
	struct dma_table t = {0};
	uint64_t len = 0x100;
	int error = 0;

	insert(&t, 0x1000, 0x1000, memory, READ | WRITE);
	insert(&t, 0x2000, 0x1000, memory + 0x2000, READ);
	insert(&t, 0x3000, 0x1000, NULL, READ);
	CU_ASSERT_PTR_EQUAL(dma_table_translate(&t, 0x1f80, &len, READ, &error), memory + 0xf80);
	CU_ASSERT_EQUAL(len, 0x80);
	CU_ASSERT_PTR_EQUAL(dma_table_translate(&t, 0x2000, &len, READ, &error), memory + 0x2000);
	CU_ASSERT_EQUAL(len, 0x80);
	CU_ASSERT_PTR_NULL(dma_table_translate(&t, 0x2000, &len, WRITE, &error));
	CU_ASSERT_EQUAL(error, EACCES);
	CU_ASSERT_PTR_NULL(dma_table_translate(&t, 0xfff, &len, READ, &error));
	CU_ASSERT_EQUAL(error, EFAULT);
	CU_ASSERT_PTR_NULL(dma_table_translate(&t, 0x3000, &len, READ, &error));
	CU_ASSERT_EQUAL(error, EFAULT);
	CU_ASSERT_PTR_NULL(dma_table_translate(&t, UINT64_MAX, &len, READ, &error));
	CU_ASSERT_EQUAL(error, EFAULT);
	dma_table_free(&t);
}

/* What is being unmapped goes first: the server has not let go of it. */
static void
test_translate_leaving(void)
{
	static uint8_t old[0x1000], new[0x1000];
	struct dma_entry e = {.iova = 0x1000, .size = 0x1000, .addr = old, .flags = READ};
	struct dma_table t = {0};
	uint64_t len = 1;
	int error;

	CU_ASSERT_EQUAL(dma_entries_push(&t.leaving, &e), 0);
	insert(&t, 0x1000, 0x1000, new, READ);
	CU_ASSERT_PTR_EQUAL(dma_table_translate(&t, 0x1010, &len, READ, &error), old + 0x10);
	t.leaving.at[0].left = true;
	CU_ASSERT_PTR_EQUAL(dma_table_translate(&t, 0x1010, &len, READ, &error), new + 0x10);
	dma_entries_compact(&t.leaving);
	CU_ASSERT_EQUAL(t.leaving.nr, 0);
	dma_table_free(&t);
}

/* Entries of the same file, and the same ones without a file. */
static void
test_runs_on(void)
{
	static uint8_t memory[0x2000];
	static struct dma_file file, other;
	static const struct dma_entry first = {0x1000, 0x1000, 0x5000, memory, &file, READ};
	static const struct {
		struct dma_entry next;
		bool with_file, without; /* whether it runs on */
	} cases[] = {
		{{0x2000, 0x1000, 0x6000, memory + 0x1000, &file, READ}, true, true},
		{{0x2001, 0x1000, 0x6000, memory + 0x1000, &file, READ}, false, false},
		{{0x2000, 0x1000, 0x6001, memory + 0x1000, &file, READ}, false, true},
		{{0x2000, 0x1000, 0x6000, memory + 0x1000, &other, READ}, false, true},
		{{0x2000, 0x1000, 0x6000, memory + 0x1000, &file, READ | WRITE}, false, false},
		/* Where it is mapped here matters only for memory without a file. */
		{{0x2000, 0x1000, 0x6000, memory + 0x1001, &file, READ}, true, false},
		{{0x2000, 0x1000, 0x6000, NULL, &file, READ}, true, false},
	};
	const struct dma_entry unmapped[2] = {
		{.iova = 0x1000, .size = 0x1000}, {.iova = 0x2000, .size = 0x1000}};

	CU_ASSERT_TRUE(dma_entry_runs_on(&unmapped[0], &unmapped[1]));
	for (size_t i = 0; i < NR(cases); i++) {
		struct dma_entry a = first, b = cases[i].next;

		CU_ASSERT_EQUAL(dma_entry_runs_on(&a, &b), cases[i].with_file);
		a.file = b.file = NULL;
		CU_ASSERT_EQUAL(dma_entry_runs_on(&a, &b), cases[i].without);
	}
}

/* One descriptor a file, however many mappings there are, and none when they are gone. */
static void
test_files(void)
{
	struct dma_table t = {0};
	int fd = memfd_create("a", MFD_CLOEXEC), again = dup(fd);
	int other = memfd_create("b", MFD_CLOEXEC);
	struct dma_entry e = {.iova = 0x1000, .size = 0x1000, .flags = READ};
	struct dma_file *file = dma_file_get(&t, fd);

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_PTR_EQUAL(dma_file_get(&t, again), file);
	CU_ASSERT_EQUAL(file->refs, 2);
	e.file = file;
	CU_ASSERT_EQUAL(dma_table_insert(&t, &e), 0);
	e.iova = 0x2000;
	CU_ASSERT_EQUAL(dma_table_insert(&t, &e), 0);
	e.iova = 0x3000;
	e.file = dma_file_get(&t, other);
	CU_ASSERT_PTR_NOT_EQUAL(e.file, file);
	CU_ASSERT_EQUAL(dma_table_insert(&t, &e), 0);
	dma_table_remove(&t, 0);
	CU_ASSERT_EQUAL(file->refs, 1);
	dma_table_remove(&t, 0);
	CU_ASSERT_PTR_EQUAL(t.files, e.file);
	dma_table_free(&t);
	CU_ASSERT_PTR_NULL(t.files);
	CU_ASSERT_PTR_NULL(dma_file_get(&t, -1));
	CU_ASSERT_EQUAL(errno, EBADF);
	close(fd);
	close(again);
	close(other);
}

/* The files of descriptors; released together with these. */
static void
get_files(struct dma_table *t, struct dma_entry *e, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		e[i].file = dma_file_get(t, fds[i]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(e[i].file);
	}
}

static void
release_files(struct dma_table *t, struct dma_entry *e, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		dma_entry_release(t, &e[i]);
		close(fds[i]);
	}
	CU_ASSERT_PTR_NULL(t->files);
	dma_table_free(t);
}

/* Whoever gives a file for reading alone does not give it for writing by what came before. */
static void
test_files_by_mode(void)
{
	int fds[] = {memfd_create("a", MFD_CLOEXEC), -1};
	struct dma_entry e[2] = {{0}};
	struct dma_table t = {0};
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	get_files(&t, e, fds, 2);
	CU_ASSERT_EQUAL(fcntl(e[0].file->fd, F_GETFL) & O_ACCMODE, O_RDWR);
	CU_ASSERT_EQUAL(fcntl(e[1].file->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	release_files(&t, e, fds, 2);
}

/* Whatever has no inode of its own is known by the open file alone. */
static void
test_anonymous_files(void)
{
	int fds[] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), -1};
	struct dma_entry e[3] = {{0}};
	struct dma_table t = {0};

	fds[2] = dup(fds[0]);
	get_files(&t, e, fds, 3);
	CU_ASSERT_PTR_NOT_EQUAL(e[0].file, e[1].file);
	/* Where kcmp(2) is not allowed, each has a descriptor of its own. */
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fds[0], fds[2]) == 0)
		CU_ASSERT_PTR_EQUAL(e[0].file, e[2].file);
	release_files(&t, e, fds, 3);
}

const struct tap_suite tap_suite = {"dma_table", NULL, NULL,
	{
		{"sorted", test_sorted},
		{"overlap", test_overlap},
		{"translate", test_translate},
		{"translate what is being unmapped", test_translate_leaving},
		{"what runs on", test_runs_on},
		{"files", test_files},
		{"files by mode", test_files_by_mode},
		{"files without an inode of their own", test_anonymous_files},
	}};
