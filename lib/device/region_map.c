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

static int
region_map_areas(struct vuc_device *dev, struct region *r)
{
	struct device_areas found;
	int rc = device_region_areas(dev, r->info.index, &found);

	if (rc != 0)
		return rc;
	r->mappings = calloc((size_t)found.nr + 1, sizeof(*r->mappings));
	if (r->mappings == NULL)
		rc = vuc_error_set(&dev->reason, -ENOMEM, "no memory for %u mappings", found.nr);
	for (uint32_t i = 0; rc == 0 && i < found.nr; i++)
		rc = region_map_area(dev, r, &found.areas[i]);
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
	if (rc != 0) {
		device_unmap_region(dev, r);
		return rc;
	}
	if (mappings != NULL)
		*mappings = r->mappings;
	return (int)r->nr_mappings;
}

VUC_EXPORT void
vuc_region_unmap(struct vuc_device *dev, uint32_t region)
{
	if (region < dev->info.num_regions)
		device_unmap_region(dev, &dev->regions[region]);
}
