/* SPDX-License-Identifier: BSD-3-Clause */
#include "region_areas.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "internal.h"
#include "memfd.h"
#include "msix.h"
#include "recorded.h"
#include "vfio_user.h"

/* MSI-X has two places that are left out; each can split one area. */
#define NR_HOLES 2u

/* Bytes of a region: start … end - 1. */
struct span {
	uint64_t start;
	uint64_t end;
};

/* The areas of one region, while they are being found. */
struct finder {
	struct vuc_device *dev;
	struct vuc_error *err;
	const struct vuc_region *region;
	struct msix_place msix[NR_HOLES]; /* by offset */
	struct device_area *areas;
	uint32_t nr;
	uint32_t max; /* that there is room for */
};

/* The same while config space is being read for it. */
struct areas_search {
	struct vuc_request read;
	struct vuc_device *dev;
	uint32_t region;
	struct device_areas *areas; /* the caller's */
	vuc_done_fn done;
	void *done_arg;
	uint8_t config[MSIX_CONFIG_SIZE];
	size_t config_len; /* 0: MSI-X is not in the region */
};

/* Bytes of config space that tell where MSI-X is; 0 where it cannot be in the region. */
static size_t
region_config_size(const struct vuc_device *dev, uint32_t region)
{
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);

	if (config == NULL || region > VFIO_PCI_BAR5_REGION_INDEX)
		return 0;
	return config->size < MSIX_CONFIG_SIZE ? (size_t)config->size : MSIX_CONFIG_SIZE;
}

/* Learn which places of MSI-X lie in the region, in the order of their offsets. */
static int
region_find_msix(struct finder *m, const uint8_t *config, size_t len)
{
	uint32_t index = m->region->index;
	struct msix msix = {0};
	int rc;

	if (len == 0)
		return 0;
	rc = msix_find(config, len, &msix, m->err);
	if (rc != 0)
		return rc;
	if (msix.table.bar != index)
		msix.table.size = 0;
	if (msix.pending.bar != index)
		msix.pending.size = 0;
	m->msix[0] = msix.table.offset <= msix.pending.offset ? msix.table : msix.pending;
	m->msix[1] = msix.table.offset <= msix.pending.offset ? msix.pending : msix.table;
	return 0;
}

static struct vuc_region_area
region_area_at(const struct vuc_region *r, uint32_t i)
{
	return r->nr_areas > 0 ? r->areas[i] : (struct vuc_region_area){.size = r->size};
}

static uint32_t
region_nr_areas(const struct vuc_region *r)
{
	return r->nr_areas > 0 ? r->nr_areas : 1;
}

int
device_area_refuse(uint32_t region, const struct device_area *area, int rc, const char *why,
	struct vuc_error *err)
{
	return vuc_error_set(err, rc,
		"region %" PRIu32 ": 0x%" PRIx64 " bytes at 0x%" PRIx64 ", 0x%" PRIx64
		" in their file, cannot be mapped: %s",
		region, area->size, area->offset, area->file_offset, why);
}

static int
area_refuse(const struct finder *m, const struct vuc_region_area *area, int rc, const char *why)
{
	const struct device_area refused = {
		.offset = area->offset,
		.size = area->size,
		.file_offset = m->region->offset + area->offset,
	};

	return device_area_refuse(m->region->index, &refused, rc, why, m->err);
}

/* As the kernel knows it: the file system of the file may be the server itself (FUSE). */
static int
file_size(int fd, uint64_t *size)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &stx) != 0)
		return -errno;
	*size = stx.stx_size;
	return 0;
}

/* A page behind the end of its file raises SIGBUS. The sum does not overflow: offset + size of a
 * region does not, and areas lie in it. */
static int
area_check(const struct finder *m, const struct vuc_region_area *area, int fd, uint64_t *page)
{
	uint64_t start = m->region->offset + area->offset;
	uint64_t file = 0;
	int rc = file_size(fd, &file);

	*page = vuc_memfd_page_size(fd);
	if (rc != 0)
		return area_refuse(m, area, rc, strerror(-rc));
	if (((area->offset | start | area->size) & (*page - 1)) != 0)
		return area_refuse(m, area, -EPROTO, "not aligned to pages");
	if (start + area->size > file)
		return area_refuse(m, area, -EPROTO, "beyond the end of the file");
	return 0;
}

static void
area_add_span(struct finder *m, const struct span *span, int fd)
{
	assert(m->nr < m->max);
	m->areas[m->nr++] = (struct device_area){
		.offset = span->start,
		.size = span->end - span->start,
		.file_offset = m->region->offset + span->start,
		.fd = fd,
	};
}

/* The pages of a place of MSI-X; none when there is no such place. */
static struct span
msix_pages_of(const struct msix_place *place, uint64_t page)
{
	struct span pages = {0};

	if (place->size == 0)
		return pages;
	pages.start = place->offset & ~(page - 1);
	pages.end = (place->offset + place->size + page - 1) & ~(page - 1);
	return pages;
}

/* An area but for the pages of MSI-X. */
static int
area_add(struct finder *m, uint32_t i)
{
	const struct vuc_region *r = m->region;
	struct vuc_region_area area = region_area_at(r, i);
	int fd = r->fds[r->nr_fds == 1 ? 0 : i];
	struct span left = {area.offset, area.offset + area.size};
	uint64_t page = 0;
	int rc = area_check(m, &area, fd, &page);

	for (unsigned int n = 0; rc == 0 && n < NR_HOLES; n++) {
		struct span hole = msix_pages_of(&m->msix[n], page);

		if (hole.end <= left.start || hole.start >= left.end)
			continue;
		if (hole.start > left.start)
			area_add_span(m, &(struct span){left.start, hole.start}, fd);
		left.start = hole.end;
	}
	if (rc == 0 && left.start < left.end)
		area_add_span(m, &left, fd);
	return rc;
}

int
device_check_mappable(const struct vuc_device *dev, uint32_t index, struct vuc_error *err)
{
	const struct vuc_region *r = vuc_device_region(dev, index);

	if (r == NULL || r->size == 0)
		return vuc_error_set(err, -EINVAL, "there is no region %u", index);
	if ((r->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0 || r->nr_fds == 0)
		return vuc_error_set(err, -EOPNOTSUPP,
			"region %u cannot be mapped: its flags are 0x%x, and it has %u "
			"file descriptors",
			index, r->flags, r->nr_fds);
	return 0;
}

static int
region_find_areas(struct finder *m, const uint8_t *config, size_t len)
{
	uint32_t n = region_nr_areas(m->region);
	int rc = region_find_msix(m, config, len);

	if (rc != 0)
		return rc;
	m->max = n + NR_HOLES;
	m->areas = calloc(m->max, sizeof(*m->areas));
	if (m->areas == NULL)
		return vuc_error_set(m->err, -ENOMEM, "no memory for %u areas", m->max);
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = area_add(m, i);
	return rc;
}

/* What the areas are, when config space has been read. */
static int
search_finish(struct areas_search *s)
{
	struct vuc_device *dev = s->dev;
	struct finder m = {
		.dev = dev,
		.err = &dev->reason,
		.region = vuc_device_region(dev, s->region),
	};
	int rc = region_find_areas(&m, s->config, s->config_len);

	if (rc != 0) {
		free(m.areas);
		return rc;
	}
	s->areas->areas = m.areas;
	s->areas->nr = m.nr;
	dev->bypassed = dev->bypassed || m.nr > 0;
	return 0;
}

/* A vuc_request_fn. */
static void
search_read_config(struct vuc_request *req, int status)
{
	struct areas_search *s = req->arg;
	struct vuc_error err = {0};

	if (status == 0)
		status = search_finish(s);
	if (status != 0)
		err = s->dev->reason;
	s->done(s->done_arg, status, &err);
	free(s);
}

/* Returns REGION_AREAS_FOUND if nothing needs to be read, since the record has it. */
static int
search_start(struct areas_search *s)
{
	const struct device_record *r = s->dev->record;
	int rc;

	s->config_len = region_config_size(s->dev, s->region);
	if (s->config_len > 0 && (r == NULL || r->first_len < s->config_len)) {
		s->read = (struct vuc_request){.op = VUC_OP_READ,
			.region = VFIO_PCI_CONFIG_REGION_INDEX,
			.data = s->config,
			.count = s->config_len,
			.done = search_read_config,
			.arg = s};
		return vuc_device_submit(s->dev, &s->read);
	}
	if (s->config_len > 0)
		memcpy(s->config, r->first, s->config_len);
	rc = search_finish(s);
	return rc == 0 ? REGION_AREAS_FOUND : rc;
}

VUC_PRIVATE int
vuc_device_region_areas_start(struct vuc_device *dev, uint32_t region, struct device_areas *areas,
	vuc_done_fn done, void *arg)
{
	struct areas_search *s;
	int rc = device_check_mappable(dev, region, &dev->reason);

	*areas = (struct device_areas){0};
	if (rc != 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return vuc_error_set(
			&dev->reason, -ENOMEM, "no memory to look at region %u", region);
	s->dev = dev;
	s->region = region;
	s->areas = areas;
	s->done = done;
	s->done_arg = arg;
	rc = search_start(s);
	if (rc != 0)
		free(s);
	return rc;
}

int
device_region_areas(struct vuc_device *dev, uint32_t region, struct device_areas *areas)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	struct operation_waiter w = {.dev = dev};
	int rc = region_config_size(dev, region) > 0 ? operation_may_wait(dev) : 0;

	*areas = (struct device_areas){0};
	if (rc == 0)
		rc = vuc_device_region_areas_start(dev, region, areas, operation_wake, &w);
	if (rc == REGION_AREAS_FOUND)
		return 0;
	return operation_wait(&w, rc);
}
