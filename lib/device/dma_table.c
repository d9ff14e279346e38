/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "dma_table.h"

#define FIRST_ROOM 16u

static bool
dma_entries_make_room(struct dma_entries *list)
{
	size_t room = list->room == 0 ? FIRST_ROOM : list->room * 2;
	struct dma_entry *at;

	if (list->nr < list->room)
		return true;
	at = realloc(list->at, room * sizeof(*at));
	if (at == NULL)
		return false;
	list->at = at;
	list->room = room;
	return true;
}

static void
dma_file_put(struct dma_table *t, struct dma_file *file)
{
	if (file == NULL || --file->refs > 0)
		return;
	for (struct dma_file **p = &t->files; *p != NULL; p = &(*p)->next) {
		if (*p == file) {
			*p = file->next;
			break;
		}
	}
	close(file->fd);
	free(file);
}

void
dma_entry_release(struct dma_table *t, struct dma_entry *entry)
{
	dma_file_put(t, entry->file);
	free(entry->dirty);
	entry->file = NULL;
	entry->dirty = NULL;
}

static void
dma_entries_free(struct dma_table *t, struct dma_entries *list)
{
	for (size_t i = 0; i < list->nr; i++)
		dma_entry_release(t, &list->at[i]);
	free(list->at);
	*list = (struct dma_entries){0};
}

void
dma_table_free(struct dma_table *t)
{
	dma_entries_free(t, &t->entries);
	dma_entries_free(t, &t->leaving);
}

void
dma_table_lose(struct dma_table *t)
{
	for (size_t i = 0; i < t->leaving.nr; i++)
		dma_entry_release(t, &t->leaving.at[i]);
	t->leaving.nr = 0;
	for (size_t i = 0; i < t->entries.nr; i++) {
		struct dma_entry *e = &t->entries.at[i];

		e->on_server = false;
		e->queued = true;
		e->rest = false;
		e->window_size = 0;
		e->commit = t->next_commit;
	}
}

bool
dma_table_is_committed(const struct dma_table *t)
{
	for (size_t i = 0; i < t->entries.nr; i++) {
		if (!t->entries.at[i].on_server)
			return false;
	}
	return t->leaving.nr == 0;
}

size_t
dma_table_windows(const struct dma_table *t)
{
	const struct dma_entries *list = &t->entries;
	size_t n = 0;

	for (size_t i = 0; i < list->nr; i++)
		n += i == 0 || !dma_table_merges(t, &list->at[i - 1], &list->at[i]);
	return n;
}

size_t
dma_table_lower_bound(const struct dma_table *t, uint64_t iova)
{
	size_t low = 0, high = t->entries.nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct dma_entry *e = &t->entries.at[mid];

		if (e->iova + (e->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct dma_entry *
dma_table_overlap(const struct dma_table *t, uint64_t iova, uint64_t size)
{
	size_t i = dma_table_lower_bound(t, iova);

	if (i < t->entries.nr && t->entries.at[i].iova <= iova + (size - 1))
		return &t->entries.at[i];
	return NULL;
}

int
dma_table_insert(struct dma_table *t, const struct dma_entry *entry)
{
	size_t i = dma_table_lower_bound(t, entry->iova);

	if (!dma_entries_make_room(&t->entries))
		return -ENOMEM;
	memmove(&t->entries.at[i + 1], &t->entries.at[i],
		(t->entries.nr - i) * sizeof(t->entries.at[0]));
	t->entries.at[i] = *entry;
	t->entries.nr++;
	return 0;
}

static int
compare_iova(const void *a, const void *b)
{
	const struct dma_entry *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static bool
dma_entry_is_behind(const struct dma_entry *e, const struct dma_entry *before)
{
	return e->iova - before->iova >= before->size;
}

void
dma_table_put_back(struct dma_table *t, uint32_t commit)
{
	struct dma_entries merged = {0}, *leaving = &t->leaving;
	const struct dma_entries *list = &t->entries;
	size_t next = 0; /* in the list */

	dma_entries_compact(leaving);
	if (leaving->nr == 0)
		return;
	merged.room = list->nr + leaving->nr;
	merged.at = malloc(merged.room * sizeof(*merged.at));
	if (merged.at == NULL)
		return;
	qsort(leaving->at, leaving->nr, sizeof(leaving->at[0]), compare_iova);
	for (size_t i = 0; i < leaving->nr; i++) {
		struct dma_entry *e = &leaving->at[i];

		while (next < list->nr && list->at[next].iova < e->iova)
			merged.at[merged.nr++] = list->at[next++];
		if (!dma_entry_is_due(e, commit) ||
			(merged.nr > 0 && !dma_entry_is_behind(e, &merged.at[merged.nr - 1])) ||
			(next < list->nr && !dma_entry_is_behind(&list->at[next], e)))
			continue;
		merged.at[merged.nr++] = *e;
		e->left = true;
	}
	while (next < list->nr)
		merged.at[merged.nr++] = list->at[next++];
	free(t->entries.at);
	t->entries = merged;
	dma_entries_compact(leaving);
}

void
dma_table_cut(struct dma_table *t, size_t i, size_t n)
{
	if (n == 0)
		return;
	t->entries.nr -= n;
	memmove(&t->entries.at[i], &t->entries.at[i + n],
		(t->entries.nr - i) * sizeof(t->entries.at[0]));
}

void
dma_table_remove(struct dma_table *t, size_t i)
{
	dma_entry_release(t, &t->entries.at[i]);
	dma_table_cut(t, i, 1);
}

int
dma_entries_push(struct dma_entries *list, const struct dma_entry *entry)
{
	if (!dma_entries_make_room(list))
		return -ENOMEM;
	list->at[list->nr++] = *entry;
	return 0;
}

void
dma_entries_compact(struct dma_entries *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->nr; i++) {
		if (!list->at[i].left)
			list->at[kept++] = list->at[i];
	}
	list->nr = kept;
}

/*
 * Whether two descriptors with the same inode are of one file: true of memory (memfd, tmpfs,
 * hugetlbfs). Files behind anonymous inodes share one, and a file system may number its files as it
 * likes: of all these only the open file itself tells.
 */
static bool
dma_file_is_same(int a, int b)
{
	if (fcntl(a, F_GET_SEALS) >= 0 && fcntl(b, F_GET_SEALS) >= 0)
		return true;
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

struct dma_file *
dma_file_get(struct dma_table *t, int fd)
{
	struct dma_file *file;
	struct stat st;
	int mode = fcntl(fd, F_GETFL);

	if (mode < 0 || fstat(fd, &st) != 0)
		return NULL;
	mode &= O_ACCMODE;
	for (file = t->files; file != NULL; file = file->next) {
		if (file->dev == st.st_dev && file->ino == st.st_ino && file->mode == mode &&
			dma_file_is_same(file->fd, fd)) {
			file->refs++;
			return file;
		}
	}
	file = malloc(sizeof(*file));
	if (file == NULL)
		return NULL;
	*file = (struct dma_file){
		.next = t->files, .refs = 1, .dev = st.st_dev, .ino = st.st_ino, .mode = mode};
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file->fd < 0) {
		free(file);
		return NULL;
	}
	t->files = file;
	return file;
}

bool
dma_entry_runs_on(const struct dma_entry *a, const struct dma_entry *b)
{
	if (a->iova + a->size != b->iova || a->file != b->file || a->flags != b->flags)
		return false;
	/* A server that has the file does not see the client's addresses. */
	if (a->file != NULL)
		return a->offset + a->size == b->offset;
	return a->addr == NULL ? b->addr == NULL : b->addr == a->addr + a->size;
}

/* Memory that is being unmapped is the device's until the server says otherwise. */
static const struct dma_entry *
dma_table_find_const(const struct dma_table *t, uint64_t iova)
{
	size_t i;

	for (i = 0; i < t->leaving.nr; i++) {
		const struct dma_entry *e = &t->leaving.at[i];

		if (!e->left && iova >= e->iova && iova - e->iova < e->size)
			return e;
	}
	i = dma_table_lower_bound(t, iova);
	if (i < t->entries.nr && t->entries.at[i].iova <= iova)
		return &t->entries.at[i];
	return NULL;
}

struct dma_entry *
dma_table_find(struct dma_table *t, uint64_t iova)
{
	return (struct dma_entry *)(uintptr_t)dma_table_find_const(t, iova);
}

uint8_t *
dma_table_translate(
	const struct dma_table *t, uint64_t iova, uint64_t *len, uint32_t flags, int *error)
{
	const struct dma_entry *e = dma_table_find_const(t, iova);
	uint64_t skip;

	if (e == NULL || e->addr == NULL) {
		*error = EFAULT;
		return NULL;
	}
	if ((e->flags & flags) != flags) {
		*error = EACCES;
		return NULL;
	}
	skip = iova - e->iova;
	if (*len > e->size - skip)
		*len = e->size - skip;
	return e->addr + skip;
}
