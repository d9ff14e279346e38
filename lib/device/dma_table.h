/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_DMA_TABLE_H
#define VUC_DEVICE_DMA_TABLE_H

/*
 * The mappings of a device, sorted by address: a plain array, since there are thousands of them at
 * most, looked up far more often than changed, and changed mostly at its end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A file behind mappings; one descriptor serves all of them. */
struct dma_file {
	struct dma_file *next;
	int fd;
	unsigned int refs;
	dev_t dev;
	ino_t ino;
	int mode; /* O_RDONLY, O_RDWR … */
};

struct dma_entry {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	uint8_t *addr;
	struct dma_file *file; /* NULL: not shared */
	uint32_t flags;
	uint32_t commit; /* number of the commit that is to map it or, of those leaving, unmap it */
	bool queued;     /* to be mapped by that */
	bool rest;      /* was a part of a mapping of the server of which another one is unmapped */
	bool on_server; /* as a part of the following; it stays so while a commit is under way */
	uint64_t window_iova; /* the server's mapping, also one that is being made */
	uint64_t window_size;
	uint64_t *dirty; /* pages written by message, NULL while there are none */
	bool left;       /* of those leaving: it is gone, and dropped when the commit is over */
	bool all_dirty;  /* there was no memory for dirty */
	bool unmapping;  /* by vuc_dma_unmap_dirty() */
};

struct dma_entries {
	struct dma_entry *at;
	size_t nr;
	size_t room;
};

struct dma_table {
	struct dma_entries entries; /* sorted, apart */
	struct dma_entries leaving; /* to be unmapped by a commit, in no order */
	struct dma_file *files;
	uint32_t next_commit;    /* number of the next one that is started */
	uint32_t running_commit; /* number of the one that runs ... */
	bool commits_run;        /* ... if there is one */
	bool replays;            /* it maps what was there before; see record.h */
	bool apart;              /* each entry is a mapping of the server of its own */
	uint32_t commits_left;   /* that have not ended */
};

/* Whether a commit deals with what was queued for this one. Numbers go round. */
static inline bool
dma_entry_is_due(const struct dma_entry *e, uint32_t commit)
{
	return (int32_t)(commit - e->commit) >= 0;
}

void dma_table_free(struct dma_table *t);

/* Whether the server has all that is mapped, and nothing else. */
bool dma_table_is_committed(const struct dma_table *t);

/* The server is gone: nothing is on it, nothing leaves it, and all is to be mapped by the next
 * commit, which makes so many messages of it. */
void dma_table_lose(struct dma_table *t);
size_t dma_table_windows(const struct dma_table *t);

/* Whether an entry is to be mapped by the commit that runs. */
static inline bool
dma_entry_is_being_mapped(const struct dma_table *t, const struct dma_entry *e)
{
	return t->commits_run && e->queued && dma_entry_is_due(e, t->running_commit);
}

/* The first entry that ends behind iova, or nr. */
size_t dma_table_lower_bound(const struct dma_table *t, uint64_t iova);

/* Any entry that overlaps [iova, iova + size), or NULL. */
const struct dma_entry *dma_table_overlap(const struct dma_table *t, uint64_t iova, uint64_t size);

/* Add an entry that overlaps no other; the table takes over its reference to the file. -ENOMEM. */
int dma_table_insert(struct dma_table *t, const struct dma_entry *entry);

/* Move those of the leaving that this commit was to unmap and that have not left back into the
 * table, where nothing else is by now. Those for which there is no memory go on leaving. */
void dma_table_put_back(struct dma_table *t, uint32_t commit);

/* Take n entries out, from entry i on. What they refer to is somebody else's by now. */
void dma_table_cut(struct dma_table *t, size_t i, size_t n);

/* Take entry i out, and release what it refers to. */
void dma_table_remove(struct dma_table *t, size_t i);

/* Append to a list in no order, and drop those that have left. */
int dma_entries_push(struct dma_entries *list, const struct dma_entry *entry);
void dma_entries_compact(struct dma_entries *list);

/* A reference to the file behind fd, duplicated if it is new. Returns NULL with errno. */
struct dma_file *dma_file_get(struct dma_table *t, int fd);
void dma_entry_release(struct dma_table *t, struct dma_entry *entry);

/* Whether b goes on where a ends: addresses, permissions, and offsets of a file or, without one,
 * memory. */
bool dma_entry_runs_on(const struct dma_entry *a, const struct dma_entry *b);

/* Whether a commit makes both one mapping of the server. */
static inline bool
dma_table_merges(const struct dma_table *t, const struct dma_entry *a, const struct dma_entry *b)
{
	return !t->apart && dma_entry_runs_on(a, b);
}

/* The entry that holds iova, or NULL; one that is being unmapped comes first. */
struct dma_entry *dma_table_find(struct dma_table *t, uint64_t iova);

/*
 * The memory at iova, which the device may access by flags, and in *len how much of it lies behind
 * each other, at most what *len says before. NULL with an errno in *error: EFAULT for memory that
 * is not there for access by message, EACCES for memory that must not be accessed like that.
 */
uint8_t *dma_table_translate(
	const struct dma_table *t, uint64_t iova, uint64_t *len, uint32_t flags, int *error);

#endif /* VUC_DEVICE_DMA_TABLE_H */
