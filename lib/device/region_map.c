/* SPDX-License-Identifier: BSD-3-Clause */

/* Mapping the parts of a region that the server offers. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vuc/region_map.h>

#include "error.h"
#include "internal.h"
#include "region_areas.h"
#include "vfio_user.h"

static int
region_protection(const struct vuc_region *r)
{
	int prot = PROT_NONE;

	if (r->flags & VFIO_REGION_INFO_FLAG_READ)
		prot |= PROT_READ;
	if (r->flags & VFIO_REGION_INFO_FLAG_WRITE)
		prot |= PROT_WRITE;
	return prot;
}

static int
region_map_area(struct vuc_device *dev, struct region *r, const struct device_area *area)
{
	void *addr = mmap(NULL, area->size, region_protection(&r->info), MAP_SHARED, area->fd,
		(off_t)area->file_offset);

	if (addr == MAP_FAILED)
		return device_area_refuse(
			r->info.index, area, -errno, strerror(errno), &dev->reason);
	r->mappings[r->nr_mappings++] = (struct vuc_region_mapping){
		.offset = area->offset,
		.size = area->size,
		.addr = addr,
	};
	return 0;
}

/* If another call has mapped the region in the meantime, its mappings are the same. */
static int
region_map_found(struct vuc_device *dev, struct region *r, const struct device_areas *found)
{
	int rc = 0;

	if (r->mappings != NULL)
		return 0;
	r->mappings = calloc((size_t)found->nr + 1, sizeof(*r->mappings));
	if (r->mappings == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for %u mappings", found->nr);
	for (uint32_t i = 0; rc == 0 && i < found->nr; i++)
		rc = region_map_area(dev, r, &found->areas[i]);
	if (rc != 0)
		device_unmap_region(dev, r);
	return rc;
}

static int
region_map_areas(struct vuc_device *dev, struct region *r)
{
	struct device_areas found;
	int rc = device_region_areas(dev, r->info.index, &found);

	if (rc != 0)
		return rc;
	rc = region_map_found(dev, r, &found);
	free(found.areas);
	return rc;
}

void
device_unmap_region(struct vuc_device *dev, struct region *region)
{
	for (uint32_t i = 0; i < region->nr_mappings; i++)
		vuc_closer_unmap(dev->closer, region->mappings[i].addr, region->mappings[i].size);
	free(region->mappings);
	region->mappings = NULL;
	region->nr_mappings = 0;
}

VUC_EXPORT int
vuc_region_map(struct vuc_device *dev, uint32_t region, const struct vuc_region_mapping **mappings)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	struct region *r;
	int rc = device_check_mappable(dev, region, &dev->reason);

	if (mappings != NULL)
		*mappings = NULL;
	if (rc != 0)
		return rc;
	r = &dev->regions[region];
	if (r->mappings == NULL)
		rc = region_map_areas(dev, r);
	if (rc != 0)
		return rc;
	if (mappings != NULL)
		*mappings = r->mappings;
	return (int)r->nr_mappings;
}

/* ---- the same without waiting ---- */

struct region_mapping_start {
	struct vuc_device *dev;
	uint32_t region;
	struct device_areas found;
	const struct vuc_region_mapping **mappings; /* the caller's, as is the next one */
	uint32_t *nr_mappings;
	vuc_done_fn done;
	void *arg;
};

/* A vuc_done_fn: what can be mapped is known, or it is mapped already. */
static void
mapping_start_found(void *arg, int status, const struct vuc_error *err)
{
	struct region_mapping_start *m = arg;
	struct region *r = &m->dev->regions[m->region];
	struct vuc_error why = *err;

	if (status == 0) {
		status = region_map_found(m->dev, r, &m->found);
		if (status != 0)
			why = m->dev->reason;
	}
	if (status == 0) {
		*m->mappings = r->mappings;
		*m->nr_mappings = r->nr_mappings;
	}
	free(m->found.areas);
	m->done(m->arg, status, &why);
	free(m);
}

static int
mapping_start_run(struct operation *op)
{
	(void)op;
	return 0;
}

/* Where there is nothing to ask: an operation without messages, for nobody is called back now. */
static int
mapping_start_later(struct region_mapping_start *m)
{
	static const struct operation_ops ops = {
		.name = "mapping a region", .run = mapping_start_run};
	struct operation *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return vuc_error_set(
			&m->dev->reason, -ENOMEM, "no memory to map region %u", m->region);
	operation_init(op, &ops, m->dev, m->dev->timeout_ms);
	return operation_start(op, mapping_start_found, m, &m->dev->reason);
}

static int
mapping_start_begin(struct region_mapping_start *m)
{
	int rc = REGION_AREAS_FOUND;

	if (m->dev->regions[m->region].mappings == NULL)
		rc = vuc_device_region_areas_start(
			m->dev, m->region, &m->found, mapping_start_found, m);
	return rc == REGION_AREAS_FOUND ? mapping_start_later(m) : rc;
}

VUC_EXPORT int
vuc_region_map_start(struct vuc_device *dev, uint32_t region,
	const struct vuc_region_mapping **mappings, uint32_t *nr_mappings, vuc_done_fn done,
	void *arg)
{
	struct region_mapping_start *m;
	int rc;

	if (mappings == NULL || nr_mappings == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "mappings or nr_mappings is NULL");
	rc = device_check_mappable(dev, region, &dev->reason);
	*mappings = NULL;
	*nr_mappings = 0;
	if (rc != 0)
		return rc;
	m = malloc(sizeof(*m));
	if (m == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory to map region %u", region);
	*m = (struct region_mapping_start){
		.dev = dev,
		.region = region,
		.mappings = mappings,
		.nr_mappings = nr_mappings,
		.done = done,
		.arg = arg,
	};
	rc = mapping_start_begin(m);
	if (rc != 0) {
		free(m->found.areas);
		free(m);
	}
	return rc;
}

VUC_EXPORT void
vuc_region_unmap(struct vuc_device *dev, uint32_t region)
{
	if (region < dev->info.num_regions)
		device_unmap_region(dev, &dev->regions[region]);
}
