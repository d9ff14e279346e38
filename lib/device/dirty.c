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
#include "feature_ask.h"

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
check_page_size(struct vuc_device *dev, uint64_t page_size)
{
	if (is_power_of_two(page_size))
		return 0;
	return vuc_error_set(&dev->reason, -EINVAL,
		"a page size of 0x%" PRIx64 " is not a power of two", page_size);
}

static int
check_range(struct vuc_device *dev, const struct vuc_dirty_range *range, uint64_t page_size)
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
	return vuc_error_set(&dev->reason, -EINVAL,
		"range 0x%" PRIx64 " of 0x%" PRIx64 " bytes %s (pages of 0x%" PRIx64 " bytes)",
		range->iova, range->size, what, page_size);
}

/* Returns 1 when the feature is there, 0 when it is not. */
static int
probe(struct vuc_device *dev, uint16_t feature, uint32_t method)
{
	int rc = vuc_feature_probe(dev, feature, method);

	if (rc == 0)
		return 1;
	return device_feature_is_missing(dev, rc) ? 0 : rc;
}

VUC_EXPORT int
vuc_dirty_supported(struct vuc_device *dev, bool *supported)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	int rc = probe(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VUC_FEATURE_SET);

	if (rc == 1)
		rc = probe(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VUC_FEATURE_SET);
	if (rc == 1)
		rc = probe(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VUC_FEATURE_GET);
	if (rc < 0)
		return rc;
	*supported = rc == 1;
	return 0;
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
	int rc = check_page_size(dev, page_size);

	if (rc == 0 && nr_ranges > max_ranges(dev))
		rc = vuc_error_set(&dev->reason, -E2BIG,
			"%u ranges to log are over the limit of %u", nr_ranges, max_ranges(dev));
	for (uint32_t i = 0; rc == 0 && i < nr_ranges; i++)
		rc = check_range(dev, &ranges[i], page_size);
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

VUC_EXPORT int
vuc_dirty_start(struct vuc_device *dev, uint64_t *page_size, const struct vuc_dirty_range *ranges,
	uint32_t nr_ranges)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	size_t len = START_LEN + nr_ranges * RANGE_LEN;
	struct device_reply reply = {.size = len};
	uint8_t *buf;
	int rc = check_start(dev, *page_size, ranges, nr_ranges);

	if (rc != 0)
		return rc;
	buf = build_start(*page_size, ranges, nr_ranges, len);
	if (buf == NULL)
		return vuc_error_set(
			&dev->reason, -ENOMEM, "no memory for %u ranges to log", nr_ranges);
	reply.body = buf;
	rc = device_feature_ask(dev, buf, len, 0, &reply);
	if (rc == 0)
		rc = vuc_wire_dma_logging_start_decode(
			buf, reply.len, nr_ranges, page_size, &dev->reason);
	free(buf);
	if (rc == 0) {
		dma_dirty_forget(&dev->dma);
		dev->logging = true;
	}
	return rc;
}

VUC_EXPORT int
vuc_dirty_stop(struct vuc_device *dev)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	uint8_t request[FIXED_LEN], body[FIXED_LEN];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	size_t len = vuc_wire_dma_logging_stop_encode(request);
	int rc = device_feature_ask(dev, request, len, 0, &reply);

	if (rc == 0)
		rc = vuc_wire_dma_logging_stop_decode(body, reply.len, &dev->reason);
	if (rc == 0)
		dev->logging = false;
	return rc;
}

/* A report that is fetched in parts. */
struct report {
	uint64_t page_size;
	uint64_t max_pages; /* of a part, a multiple of 64 */
	uint64_t *bitmap;
	uint8_t *body;
	size_t size; /* of body */
};

/* Ask for n pages from iova on; their first is bit number first. */
static int
report_part(
	struct vuc_device *dev, const struct report *r, uint64_t iova, uint64_t first, uint64_t n)
{
	const struct vuc_wire_dma_range part = {.addr = iova, .size = n * r->page_size};
	struct device_reply reply = {
		.body = r->body,
		.size = REPORT_LEN + vuc_bitmap_words(n) * sizeof(uint64_t),
	};
	uint8_t request[REPORT_LEN];
	const uint8_t *bits;
	int len = vuc_wire_dma_logging_report_encode(request, &part, r->page_size);
	int rc;

	if (len < 0)
		return vuc_error_set(&dev->reason, len,
			"range 0x%" PRIx64 " of 0x%" PRIx64 " bytes cannot be asked for", part.addr,
			part.size);
	rc = device_feature_ask(dev, request, (size_t)len, 0, &reply);
	if (rc == 0)
		rc = vuc_wire_dma_logging_report_decode(
			r->body, reply.len, &part, r->page_size, &bits, &dev->reason);
	if (rc == 0)
		vuc_bitmap_or(r->bitmap, first, bits, n);
	return rc;
}

static int
report_all(struct vuc_device *dev, struct report *r, uint64_t iova, uint64_t pages)
{
	int rc = 0;

	r->body = malloc(r->size);
	if (r->body == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM,
			"no memory for a report of %" PRIu64 " pages", pages);
	for (uint64_t first = 0; rc == 0 && first < pages; first += r->max_pages) {
		uint64_t left = pages - first;

		rc = report_part(dev, r, iova + first * r->page_size, first,
			left < r->max_pages ? left : r->max_pages);
	}
	free(r->body);
	return rc;
}

static int
check_report(struct vuc_device *dev, const struct vuc_dirty_range *range, uint64_t page_size,
	size_t words)
{
	int rc = check_page_size(dev, page_size);
	uint64_t pages;

	if (rc == 0)
		rc = check_range(dev, range, page_size);
	if (rc != 0)
		return rc;
	pages = range->size / page_size;
	if (vuc_bitmap_words(pages) > words)
		return vuc_error_set(&dev->reason, -EINVAL,
			"a bitmap of %zu words is too small for %" PRIu64 " pages", words, pages);
	return 0;
}

VUC_EXPORT int
vuc_dirty_report(struct vuc_device *dev, const struct vuc_dirty_range *range, uint64_t page_size,
	uint64_t *bitmap, size_t words)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	uint32_t max_data = vuc_session_max_data(dev->session);
	struct report r = {.page_size = page_size, .bitmap = bitmap};
	uint64_t max_words, pages;
	int rc = check_report(dev, range, page_size, words);

	if (rc != 0)
		return rc;
	if (max_data < REPORT_DATA + sizeof(uint64_t))
		return vuc_error_set(&dev->reason, -EMSGSIZE,
			"max_data_xfer_size %u leaves no room for a bitmap", max_data);
	pages = range->size / page_size;
	max_words = (max_data - REPORT_DATA) / sizeof(uint64_t);
	if (max_words > vuc_bitmap_words(pages))
		max_words = vuc_bitmap_words(pages);
	r.max_pages = max_words * 64;
	r.size = REPORT_LEN + max_words * sizeof(uint64_t);
	rc = report_all(dev, &r, range->iova, pages);
	if (rc == 0)
		dma_dirty_collect(&dev->dma, range->iova, range->size, page_size, bitmap);
	return rc;
}
