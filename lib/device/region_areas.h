/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_REGION_AREAS_H
#define VUC_DEVICE_REGION_AREAS_H

/* What can be mapped of a region, by whomever: the parts that the server offers, without the pages
 * of MSI-X. */

#include <stdint.h>

#include <vuc/device.h>

struct device_area {
	uint64_t offset; /* from the start of the region */
	uint64_t size;   /* not 0; both are multiples of the page size, as the next one is */
	uint64_t file_offset;
	int fd; /* the device's */
};

struct device_areas {
	struct device_area *areas; /* to be freed */
	uint32_t nr;
};

/*
 * Find the areas of a region, ascending and apart; reads config space for that. areas has to live
 * until done is called. Returns as a function with _start does; or REGION_AREAS_FOUND when there
 * was nothing to read, and done is not called. Errors are those of vuc_region_map().
 */
#define REGION_AREAS_FOUND 1
int vuc_device_region_areas_start(struct vuc_device *dev, uint32_t region,
	struct device_areas *areas, vuc_done_fn done, void *arg);

/* The same, and wait for it. */
int device_region_areas(struct vuc_device *dev, uint32_t region, struct device_areas *areas);

/* Whether a region is there and offered to be mapped: 0, -EINVAL or -EOPNOTSUPP. */
int device_check_mappable(const struct vuc_device *dev, uint32_t index, struct vuc_error *err);

/* Say which area cannot be mapped, and return rc. */
int device_area_refuse(uint32_t region, const struct device_area *area, int rc, const char *why,
	struct vuc_error *err);

#endif /* VUC_DEVICE_REGION_AREAS_H */
