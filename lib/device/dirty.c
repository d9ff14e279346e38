/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <vuc/dirty.h>
#include <vuc/feature.h>

#include "bitmap.h"
#include "dma_dirty.h"
#include "error.h"
#include "feature.h"
#include "feature_sequence.h"

#define FIXED_LEN   sizeof(struct vfio_user_device_feature)
#define START_LEN   (FIXED_LEN + sizeof(struct vfio_user_device_feature_dma_logging_control))
#define RANGE_LEN   sizeof(struct vfio_user_device_feature_dma_logging_range)
#define REPORT_DATA sizeof(struct vfio_user_device_feature_dma_logging_report)
#define REPORT_LEN  (FIXED_LEN + REPORT_DATA)

static bool
is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static int
check_page_size(uint64_t page_size, struct vuc_error *err)
{
	if (is_power_of_two(page_size))
		return 0;
	return vuc_error_set(
		err, -EINVAL, "a page size of 0x%" PRIx64 " is not a power of two", page_size);
}

static int
check_range(const struct vuc_dirty_range *range, uint64_t page_size, struct vuc_error *err)
{
	const char *what = NULL;
	uint64_t end;

	if (range->size == 0)
		what = "is empty";
	else if (__builtin_add_overflow(range->iova, range->size, &end))
		what = "overflows";
	else if (((range->iova | range->size) & (page_size - 1)) != 0)
		what = "is not a multiple of the page size";
	if (what == NULL)
		return 0;
	return vuc_error_set(err, -EINVAL,
		"range 0x%" PRIx64 " of 0x%" PRIx64 " bytes %s (pages of 0x%" PRIx64 " bytes)",
		range->iova, range->size, what, page_size);
}

/* Which of the features there are. */
struct probe {
	struct feature_sequence s;
	unsigned int step;
	bool *supported;
};

static const struct {
	uint16_t feature;
	uint32_t method;
} probes[] = {
	{VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VUC_FEATURE_SET},
	{VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VUC_FEATURE_SET},
	{VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VUC_FEATURE_GET},
};

#define NR_PROBES (sizeof(probes) / sizeof(probes[0]))

static void
probe_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	const unsigned int step = ((struct probe *)s)->step;

	if (step == NR_PROBES)
		return;
	req->len = vuc_wire_feature_probe_encode(
		s->request, probes[step].feature, probes[step].method);
	req->reply_max = FIXED_LEN;
}

static int
probe_take(struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct probe *p = (struct probe *)s;
	unsigned int step = p->step;
	int rc = reply->status;

	if (rc == 0)
		rc = vuc_wire_feature_probe_decode(
			reply->body, reply->len, probes[step].feature, probes[step].method, err);
	if (rc != 0 && !feature_is_missing(reply))
		return rc;
	p->step = rc == 0 ? step + 1 : NR_PROBES;
	*p->supported = rc == 0;
	return 0;
}

static const struct feature_sequence_ops probe_ops = {.ask = probe_ask, .take = probe_take};

VUC_EXPORT int
vuc_dirty_supported_start(struct vuc_device *dev, bool *supported, vuc_done_fn done, void *arg)
{
	int rc;
	struct probe *p;

	if (supported == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "supported is NULL");
	p = feature_sequence_create(
		dev, sizeof(*p), &probe_ops, dev->timeout_ms, &rc, &dev->reason);
	if (p == NULL)
		return rc;
	p->supported = supported;
	return operation_start(&p->s.op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_dirty_supported(struct vuc_device *dev, bool *supported)
{
	struct operation_waiter w = {.dev = dev};
	bool answer = false;
	int rc = operation_may_wait(dev);

	if (rc == 0)
		rc = operation_wait(
			&w, vuc_dirty_supported_start(dev, &answer, operation_wake, &w));
	if (rc == 0)
		*supported = answer;
	return rc;
}

static uint32_t
max_ranges(const struct vuc_device *dev)
{
	uint32_t max_data = vuc_session_max_data(dev->session);
	uint32_t control = START_LEN - FIXED_LEN;
	uint32_t n = max_data > control ? (max_data - control) / (uint32_t)RANGE_LEN : 0;

	return n < VUC_DIRTY_MAX_RANGES ? n : VUC_DIRTY_MAX_RANGES;
}

static int
check_start(struct vuc_device *dev, uint64_t page_size, const struct vuc_dirty_range *ranges,
	uint32_t nr_ranges)
{
	struct vuc_error *err = &dev->reason;
	int rc = check_page_size(page_size, err);

	if (rc == 0 && nr_ranges > max_ranges(dev))
		rc = vuc_error_set(err, -E2BIG, "%u ranges to log are over the limit of %u",
			nr_ranges, max_ranges(dev));
	for (uint32_t i = 0; rc == 0 && i < nr_ranges; i++)
		rc = check_range(&ranges[i], page_size, err);
	return rc;
}

/* The request for ranges that have been checked; NULL when out of memory. */
static uint8_t *
build_start(uint64_t page_size, const struct vuc_dirty_range *ranges, uint32_t n, size_t len)
{
	struct vuc_wire_dma_range *wire = calloc(n + 1, sizeof(*wire));
	uint8_t *request = malloc(len);
	bool built = false;

	if (wire != NULL && request != NULL) {
		for (uint32_t i = 0; i < n; i++) {
			wire[i].addr = ranges[i].iova;
			wire[i].size = ranges[i].size;
		}
		built = vuc_wire_dma_logging_start_encode(request, len, page_size, wire, n) > 0;
	}
	free(wire);
	if (built)
		return request;
	free(request);
	return NULL;
}

struct enabling {
	struct feature_sequence s;
	uint8_t *request; /* NULL: it was answered */
	size_t len;
	uint32_t nr_ranges;
	uint64_t *page_size;
};

static void
enable_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	const struct enabling *e = (struct enabling *)s;

	if (e->request == NULL)
		return;
	req->body = e->request;
	req->len = e->len;
	req->reply_max = (uint32_t)e->len;
}

static int
enable_take(
	struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct enabling *e = (struct enabling *)s;
	int rc = reply->status;

	free(e->request);
	e->request = NULL;
	if (rc == 0)
		rc = vuc_wire_dma_logging_start_decode(
			reply->body, reply->len, e->nr_ranges, e->page_size, err);
	if (rc != 0)
		return rc;
	dma_dirty_forget(&s->op.dev->dma);
	s->op.dev->logging = true;
	return 0;
}

static void
enable_free(struct feature_sequence *s)
{
	free(((struct enabling *)s)->request);
}

static const struct feature_sequence_ops enable_ops = {
	.ask = enable_ask,
	.take = enable_take,
	.free = enable_free,
};

VUC_EXPORT int
vuc_dirty_enable_start(struct vuc_device *dev, uint64_t *page_size,
	const struct vuc_dirty_range *ranges, uint32_t nr_ranges, vuc_done_fn done, void *arg)
{
	struct enabling *e;
	int rc;

	if (page_size == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "page_size is NULL");
	rc = check_start(dev, *page_size, ranges, nr_ranges);
	if (rc != 0)
		return rc;
	e = feature_sequence_create(
		dev, sizeof(*e), &enable_ops, dev->timeout_ms, &rc, &dev->reason);
	if (e == NULL)
		return rc;
	e->nr_ranges = nr_ranges;
	e->page_size = page_size;
	e->len = START_LEN + nr_ranges * RANGE_LEN;
	e->request = build_start(*page_size, ranges, nr_ranges, e->len);
	if (e->request != NULL)
		return operation_start(&e->s.op, done, arg, &dev->reason);
	operation_free(&e->s.op);
	return vuc_error_set(&dev->reason, -ENOMEM, "no memory for %u ranges to log", nr_ranges);
}

VUC_EXPORT int
vuc_dirty_enable(struct vuc_device *dev, uint64_t *page_size, const struct vuc_dirty_range *ranges,
	uint32_t nr_ranges)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(
		&w, vuc_dirty_enable_start(dev, page_size, ranges, nr_ranges, operation_wake, &w));
}

struct disabling {
	struct feature_sequence s;
	bool answered;
};

static void
disable_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	if (((struct disabling *)s)->answered)
		return;
	req->len = vuc_wire_dma_logging_stop_encode(s->request);
	req->reply_max = FIXED_LEN;
}

static int
disable_take(
	struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	int rc = reply->status;

	((struct disabling *)s)->answered = true;
	if (rc == 0)
		rc = vuc_wire_dma_logging_stop_decode(reply->body, reply->len, err);
	if (rc == 0)
		s->op.dev->logging = false;
	return rc;
}

static const struct feature_sequence_ops disable_ops = {.ask = disable_ask, .take = disable_take};

VUC_EXPORT int
vuc_dirty_disable_start(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	int rc;
	struct disabling *d = feature_sequence_create(
		dev, sizeof(*d), &disable_ops, dev->timeout_ms, &rc, &dev->reason);

	return d != NULL ? operation_start(&d->s.op, done, arg, &dev->reason) : rc;
}

VUC_EXPORT int
vuc_dirty_disable(struct vuc_device *dev)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w, vuc_dirty_disable_start(dev, operation_wake, &w));
}

/* A report that is fetched in parts. */
struct report {
	struct feature_sequence s;
	struct vuc_dirty_range range;
	uint64_t page_size;
	uint64_t max_pages; /* of a part, a multiple of 64 */
	uint64_t done;      /* pages */
	uint64_t *bitmap;
};

static struct vuc_wire_dma_range
report_part(const struct report *r)
{
	uint64_t left = r->range.size / r->page_size - r->done;
	uint64_t pages = left < r->max_pages ? left : r->max_pages;

	return (struct vuc_wire_dma_range){
		.addr = r->range.iova + r->done * r->page_size,
		.size = pages * r->page_size,
	};
}

static void
report_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	const struct report *r = (struct report *)s;
	const struct vuc_wire_dma_range part = report_part(r);
	int len;

	if (part.size == 0)
		return;
	len = vuc_wire_dma_logging_report_encode(s->request, &part, r->page_size);
	if (len < 0) {
		operation_fail(&s->op, len,
			"range 0x%" PRIx64 " of 0x%" PRIx64 " bytes cannot be requested", part.addr,
			part.size);
		return;
	}
	req->len = (size_t)len;
	req->reply_max = (uint32_t)(REPORT_LEN +
		vuc_bitmap_words(part.size / r->page_size) * sizeof(uint64_t));
}

/* What is written by message is known here, and added to the last part. */
static int
report_take(
	struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct report *r = (struct report *)s;
	const struct vuc_wire_dma_range part = report_part(r);
	uint64_t pages = part.size / r->page_size;
	const uint8_t *bits;
	int rc = reply->status;

	if (rc == 0)
		rc = vuc_wire_dma_logging_report_decode(
			reply->body, reply->len, &part, r->page_size, &bits, err);
	if (rc != 0)
		return rc;
	vuc_bitmap_or(r->bitmap, r->done, bits, pages);
	r->done += pages;
	if (r->done * r->page_size == r->range.size)
		dma_dirty_collect(
			&s->op.dev->dma, r->range.iova, r->range.size, r->page_size, r->bitmap);
	return 0;
}

static const struct feature_sequence_ops report_ops = {.ask = report_ask, .take = report_take};

static int
check_report(struct vuc_device *dev, const struct vuc_dirty_range *range, uint64_t page_size,
	size_t words)
{
	struct vuc_error *err = &dev->reason;
	int rc = check_page_size(page_size, err);
	uint64_t pages;

	if (rc == 0)
		rc = check_range(range, page_size, err);
	if (rc != 0)
		return rc;
	pages = range->size / page_size;
	if (vuc_bitmap_words(pages) > words)
		return vuc_error_set(err, -EINVAL,
			"a bitmap of %zu words is too small for %" PRIu64 " pages", words, pages);
	return 0;
}

VUC_EXPORT int
vuc_dirty_report_start(struct vuc_device *dev, const struct vuc_dirty_range *range,
	uint64_t page_size, uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg)
{
	uint32_t max_data = vuc_session_max_data(dev->session);
	struct report *r;
	int rc;

	if (bitmap == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "bitmap is NULL");
	rc = check_report(dev, range, page_size, words);
	if (rc != 0)
		return rc;
	if (max_data < REPORT_DATA + sizeof(uint64_t))
		return vuc_error_set(&dev->reason, -EMSGSIZE,
			"max_data_xfer_size %u leaves no room for a bitmap", max_data);
	r = feature_sequence_create(
		dev, sizeof(*r), &report_ops, dev->long_timeout_ms, &rc, &dev->reason);
	if (r == NULL)
		return rc;
	r->range = *range;
	r->page_size = page_size;
	r->max_pages = (max_data - REPORT_DATA) / sizeof(uint64_t) * 64;
	r->bitmap = bitmap;
	return operation_start(&r->s.op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_dirty_report(struct vuc_device *dev, const struct vuc_dirty_range *range, uint64_t page_size,
	uint64_t *bitmap, size_t words)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w,
		vuc_dirty_report_start(dev, range, page_size, bitmap, words, operation_wake, &w));
}
