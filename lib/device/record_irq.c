/* SPDX-License-Identifier: BSD-3-Clause */

/* Interrupts in the record: a sorted array of fixed size, so that nothing can fail once the server
 * has taken a change. */

#include <string.h>

#include "recorded.h"

static bool
record_irq_is_before(const struct record_irq *irq, uint32_t index, uint32_t kind, uint32_t vector)
{
	if (irq->index != index)
		return irq->index < index;
	if (irq->kind != kind)
		return irq->kind < kind;
	return irq->vector < vector;
}

unsigned int
record_irq_find(const struct device_record *r, uint32_t index, uint32_t kind, uint32_t vector)
{
	unsigned int low = 0, high = r->nr_irqs;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (record_irq_is_before(&r->irqs[mid], index, kind, vector))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
record_irq_is_at(const struct device_record *r, unsigned int i, uint32_t index, uint32_t kind,
	uint32_t vector)
{
	return i < r->nr_irqs && r->irqs[i].index == index && r->irqs[i].kind == kind &&
		r->irqs[i].vector == vector;
}

unsigned int
record_irq_count_new(const struct device_record *r, const struct vuc_irq_range *range,
	uint32_t kind, const int *fds)
{
	unsigned int i = record_irq_find(r, range->index, kind, range->start), n = 0;

	if (fds == NULL && range->count > VUC_RECORD_MAX_IRQS)
		return VUC_RECORD_MAX_IRQS + 1;
	for (uint32_t k = 0; k < range->count; k++) {
		bool known = record_irq_is_at(r, i, range->index, kind, range->start + k);

		i += known;
		n += !known && (fds == NULL || fds[k] >= 0);
	}
	return n;
}

void
record_irq_set(struct device_record *r, uint32_t index, uint32_t kind, uint32_t vector, int fd)
{
	unsigned int i = record_irq_find(r, index, kind, vector);

	if (record_irq_is_at(r, i, index, kind, vector)) {
		vuc_closer_close(r->closer, &r->irqs[i].fd, 1);
	} else {
		memmove(&r->irqs[i + 1], &r->irqs[i], (r->nr_irqs - i) * sizeof(r->irqs[0]));
		r->nr_irqs++;
	}
	r->irqs[i] = (struct record_irq){.index = index, .kind = kind, .vector = vector, .fd = fd};
}

/* Those from i on, up to end. */
static void
record_irq_cut(struct device_record *r, unsigned int i, unsigned int end)
{
	int fds[64];
	unsigned int nr = 0;

	for (unsigned int k = i; k < end; k++) {
		fds[nr++] = r->irqs[k].fd;
		if (nr == sizeof(fds) / sizeof(fds[0]) || k + 1 == end) {
			vuc_closer_close(r->closer, fds, nr);
			nr = 0;
		}
	}
	memmove(&r->irqs[i], &r->irqs[end], (r->nr_irqs - end) * sizeof(r->irqs[0]));
	r->nr_irqs -= end - i;
}

void
record_irq_clear(
	struct device_record *r, uint32_t index, uint32_t kind, uint32_t start, uint32_t count)
{
	unsigned int i = record_irq_find(r, index, kind, start), end = i;

	while (end < r->nr_irqs && r->irqs[end].index == index && r->irqs[end].kind == kind &&
		r->irqs[end].vector - start < count)
		end++;
	record_irq_cut(r, i, end);
}

void
record_irq_clear_index(struct device_record *r, uint32_t index)
{
	unsigned int i = record_irq_find(r, index, 0, 0), end = i;

	while (end < r->nr_irqs && r->irqs[end].index == index)
		end++;
	record_irq_cut(r, i, end);
}

void
record_irq_clear_all(struct device_record *r)
{
	record_irq_cut(r, 0, r->nr_irqs);
}
