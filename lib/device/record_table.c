/* SPDX-License-Identifier: BSD-3-Clause */

/* The MSI-X table in the record, for clients that let the device keep it: dwords, as they were
 * written last. Its size is at most that of 2048 entries. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "internal.h"
#include "recorded.h"

int
record_find_table(struct device_record *r)
{
	struct record_table *t = &r->table;
	struct vuc_error err;
	struct msix msix;

	/* A device whose list of capabilities is broken has none, as for those who map its BARs. */
	if (msix_find(r->first, r->first_len, &msix, &err) != 0 || msix.table.size == 0)
		return 0;
	t->taken = calloc(2, msix.table.size);
	if (t->taken == NULL)
		return -ENOMEM;
	t->is_taken = t->taken + msix.table.size;
	t->place = msix.table;
	r->dev->table = (struct recorded_range){
		.region = t->place.bar,
		.begin = t->place.offset,
		.end = t->place.offset + t->place.size,
	};
	r->dev->recorded.writes |= 1u << t->place.bar;
	return 0;
}

void
record_note_table(struct device_record *r, uint64_t offset, const void *data, size_t count)
{
	struct record_table *t = &r->table;
	const uint8_t *bytes = data;
	uint64_t skip, n;

	if (offset >= t->place.offset + t->place.size || offset + count <= t->place.offset)
		return;
	skip = offset < t->place.offset ? t->place.offset - offset : 0;
	n = count - skip;
	offset = offset + skip - t->place.offset;
	n = n < t->place.size - offset ? n : t->place.size - offset;
	memcpy(t->taken + offset, bytes + skip, n);
	memset(t->is_taken + offset, 1, n);
}

bool
record_next_entry(const struct device_record *r, uint32_t *cursor, struct record_write *write)
{
	const struct record_table *t = &r->table;

	for (; *cursor < t->place.size; *cursor += 4) {
		if (memchr(t->is_taken + *cursor, 1, 4) == NULL)
			continue;
		write->region = t->place.bar;
		write->offset = t->place.offset + *cursor;
		write->width = 4;
		memcpy(write->value, t->taken + *cursor, 4);
		*cursor += 4;
		return true;
	}
	return false;
}

int
record_learn(struct device_record *r, size_t len, struct vuc_error *err)
{
	r->first_len = len;
	record_find_registers(r);
	record_find_nvme(r);
	if (record_find_table(r) != 0)
		return vuc_error_set(err, -ENOMEM, "no memory for the MSI-X table of a device");
	return 0;
}
