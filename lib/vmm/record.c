/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fds.h"

/* ---- files ---- */

static struct vmm_file *
file_find(const struct vmm_record *record, const struct stat *st, int mode)
{
	struct vmm_file *f;

	LIST_FOREACH (f, &record->files, link) {
		if (f->device == st->st_dev && f->inode == st->st_ino && f->mode == mode)
			return f;
	}
	return NULL;
}

static int
file_create(
	struct vmm_record *record, int fd, const struct stat *st, int mode, struct vmm_file **file)
{
	struct vmm_file *f = malloc(sizeof(*f));
	int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int rc = held < 0 ? -errno : 0;

	if (f == NULL || rc != 0) {
		vuc_fds_close(&held, 1);
		free(f);
		return rc != 0 ? rc : -ENOMEM;
	}
	*f = (struct vmm_file){
		.device = st->st_dev,
		.inode = st->st_ino,
		.mode = mode,
		.fd = held,
		.refs = 1,
	};
	LIST_INSERT_HEAD(&record->files, f, link);
	*file = f;
	return 0;
}

int
vmm_file_get(struct vmm_record *record, int fd, struct vmm_file **file)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) != 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	*file = file_find(record, &st, flags & O_ACCMODE);
	if (*file == NULL)
		return file_create(record, fd, &st, flags & O_ACCMODE, file);
	(*file)->refs++;
	return 0;
}

void
vmm_file_put(struct vmm_file *file)
{
	if (file == NULL || --file->refs > 0)
		return;
	LIST_REMOVE(file, link);
	close(file->fd);
	free(file);
}

/* ---- mappings ---- */

int
vmm_record_reserve_maps(struct vmm_record *record, size_t nr)
{
	size_t need = record->nr_maps + record->reserved + nr;
	size_t room = record->room > 0 ? record->room : 16;
	struct vmm_mapping *maps;

	while (room < need)
		room *= 2;
	maps = room > record->room ? realloc(record->maps, room * sizeof(*maps)) : record->maps;
	if (maps == NULL && need > 0)
		return -ENOMEM;
	record->maps = maps;
	record->room = room;
	record->reserved += nr;
	return 0;
}

/* The first one that begins there or behind it. */
static size_t
map_find(const struct vmm_record *record, uint64_t iova)
{
	size_t low = 0, high = record->nr_maps;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (record->maps[middle].iova < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
vmm_record_map(struct vmm_record *record, const struct vmm_mapping *mapping)
{
	size_t i = map_find(record, mapping->iova);

	memmove(&record->maps[i + 1], &record->maps[i],
		(record->nr_maps - i) * sizeof(record->maps[0]));
	record->maps[i] = *mapping;
	record->nr_maps++;
}

void
vmm_record_unmap(struct vmm_record *record, uint64_t iova, uint64_t last)
{
	size_t first = map_find(record, iova), end = first;

	while (end < record->nr_maps && record->maps[end].iova <= last)
		vmm_file_put(record->maps[end++].file);
	if (end == first)
		return;
	memmove(&record->maps[first], &record->maps[end],
		(record->nr_maps - end) * sizeof(record->maps[0]));
	record->nr_maps -= end - first;
}

/* ---- interrupts ---- */

static struct vmm_irqs *
irqs_find(const struct vmm_record *record, uint32_t index)
{
	struct vmm_irqs *irqs;

	SLIST_FOREACH (irqs, &record->irqs, link) {
		if (irqs->index == index)
			return irqs;
	}
	return NULL;
}

static int
irqs_grow(struct vmm_irqs *irqs, uint32_t nr)
{
	bool *masked = realloc(irqs->masked, nr * sizeof(*masked));

	if (masked == NULL)
		return -ENOMEM;
	irqs->masked = masked;
	for (unsigned int e = 0; e < VMM_IRQ_EVENTS; e++) {
		int *eventfds = realloc(irqs->eventfds[e], nr * sizeof(*eventfds));

		if (eventfds == NULL)
			return -ENOMEM;
		irqs->eventfds[e] = eventfds;
	}
	for (uint32_t i = irqs->nr; i < nr; i++) {
		irqs->masked[i] = false;
		for (unsigned int e = 0; e < VMM_IRQ_EVENTS; e++)
			irqs->eventfds[e][i] = -1;
	}
	irqs->nr = nr;
	return 0;
}

int
vmm_record_reserve_irqs(struct vmm_record *record, uint32_t index, uint32_t nr)
{
	struct vmm_irqs *irqs = irqs_find(record, index);

	if (irqs == NULL) {
		irqs = calloc(1, sizeof(*irqs));
		if (irqs == NULL)
			return -ENOMEM;
		irqs->index = index;
		SLIST_INSERT_HEAD(&record->irqs, irqs, link);
	}
	return nr > irqs->nr ? irqs_grow(irqs, nr) : 0;
}

void
vmm_record_assign(struct vmm_record *record, uint32_t index, uint32_t start, unsigned int event,
	const int *eventfds, uint32_t count)
{
	struct vmm_irqs *irqs = irqs_find(record, index);

	vuc_fds_close(&irqs->eventfds[event][start], count);
	memcpy(&irqs->eventfds[event][start], eventfds, count * sizeof(*eventfds));
}

void
vmm_record_mask(struct vmm_record *record, uint32_t index, uint32_t start, uint32_t count,
	const uint8_t *which, bool masked)
{
	struct vmm_irqs *irqs = irqs_find(record, index);

	for (uint32_t i = 0; i < count; i++) {
		if (which == NULL || which[i] != 0)
			irqs->masked[start + i] = masked;
	}
}

void
vmm_record_disable(struct vmm_record *record, uint32_t index)
{
	struct vmm_irqs *irqs = irqs_find(record, index);

	if (irqs == NULL)
		return;
	for (unsigned int e = 0; e < VMM_IRQ_EVENTS; e++) {
		vuc_fds_close(irqs->eventfds[e], irqs->nr);
		if (irqs->nr > 0)
			memset(irqs->eventfds[e], 0xff, irqs->nr * sizeof(int));
	}
	if (irqs->nr > 0)
		memset(irqs->masked, 0, irqs->nr * sizeof(*irqs->masked));
}

/* One that is full is readable already, and its writing could block. */
static void
eventfd_signal(int fd)
{
	const uint64_t one = 1;
	struct pollfd poller = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	if (poll(&poller, 1, 0) != 1 || (poller.revents & POLLOUT) == 0)
		return;
	n = write(fd, &one, sizeof(one));
	(void)n;
}

void
vmm_record_signal(const struct vmm_record *record)
{
	const struct vmm_irqs *irqs;

	SLIST_FOREACH (irqs, &record->irqs, link) {
		for (uint32_t i = 0; irqs->index <= VFIO_PCI_MSIX_IRQ_INDEX && i < irqs->nr; i++) {
			if (irqs->eventfds[0][i] >= 0)
				eventfd_signal(irqs->eventfds[0][i]);
		}
	}
}

void
vmm_record_free(struct vmm_record *record)
{
	struct vmm_irqs *irqs;

	vmm_record_unmap(record, 0, UINT64_MAX);
	free(record->maps);
	while ((irqs = SLIST_FIRST(&record->irqs)) != NULL) {
		vmm_record_disable(record, irqs->index);
		SLIST_REMOVE_HEAD(&record->irqs, link);
		for (unsigned int e = 0; e < VMM_IRQ_EVENTS; e++)
			free(irqs->eventfds[e]);
		free(irqs->masked);
		free(irqs);
	}
}
