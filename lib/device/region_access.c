/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses that go through a region's mapping where there is one. */

#include <string.h>

#include <vuc/region_map.h>

#include "access_check.h"
#include "internal.h"

static bool
is_aligned(const void *addr, size_t count)
{
	return ((uintptr_t)addr & (count - 1)) == 0;
}

/* What the device would see as one access must not be taken apart or repeated. */
static void
register_load(void *data, const void *addr, size_t count)
{
	if (count == sizeof(uint8_t)) {
		*(uint8_t *)data = *(const volatile uint8_t *)addr;
	} else if (count == sizeof(uint16_t) && is_aligned(addr, count)) {
		uint16_t value = *(const volatile uint16_t *)addr;

		memcpy(data, &value, sizeof(value));
	} else if (count == sizeof(uint32_t) && is_aligned(addr, count)) {
		uint32_t value = *(const volatile uint32_t *)addr;

		memcpy(data, &value, sizeof(value));
	} else if (count == sizeof(uint64_t) && is_aligned(addr, count)) {
		uint64_t value = *(const volatile uint64_t *)addr;

		memcpy(data, &value, sizeof(value));
	} else {
		memcpy(data, addr, count);
	}
}

static void
register_store(void *addr, const void *data, size_t count)
{
	if (count == sizeof(uint8_t)) {
		*(volatile uint8_t *)addr = *(const uint8_t *)data;
	} else if (count == sizeof(uint16_t) && is_aligned(addr, count)) {
		uint16_t value;

		memcpy(&value, data, sizeof(value));
		*(volatile uint16_t *)addr = value;
	} else if (count == sizeof(uint32_t) && is_aligned(addr, count)) {
		uint32_t value;

		memcpy(&value, data, sizeof(value));
		*(volatile uint32_t *)addr = value;
	} else if (count == sizeof(uint64_t) && is_aligned(addr, count)) {
		uint64_t value;

		memcpy(&value, data, sizeof(value));
		*(volatile uint64_t *)addr = value;
	} else {
		memcpy(addr, data, count);
	}
}

/* The first mapping that ends behind offset, or NULL. */
static const struct vuc_region_mapping *
find_mapping(const struct region *r, uint64_t offset)
{
	uint32_t low = 0, high = r->nr_mappings;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (r->mappings[mid].offset + r->mappings[mid].size <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->nr_mappings ? &r->mappings[low] : NULL;
}

/*
 * Where offset is mapped, or NULL when it is not. count becomes what of it lies in that mapping, or
 * in front of the next one.
 */
static uint8_t *
mapping_locate(const struct region *r, uint64_t offset, size_t *count)
{
	const struct vuc_region_mapping *m = find_mapping(r, offset);
	uint64_t end;

	if (m == NULL)
		return NULL;
	end = offset < m->offset ? m->offset : m->offset + m->size;
	if (*count > end - offset)
		*count = (size_t)(end - offset);
	return offset < m->offset ? NULL : (uint8_t *)m->addr + (offset - m->offset);
}

VUC_EXPORT int
vuc_region_load(struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	const struct vuc_request whole = {
		.op = VUC_OP_READ, .region = region, .offset = offset, .count = count};
	int rc = device_check_request(dev, &whole, &dev->reason);
	uint8_t *to = data;

	while (rc == 0 && count > 0) {
		size_t n = count;
		const uint8_t *mapped = mapping_locate(&dev->regions[region], offset, &n);

		if (mapped != NULL)
			register_load(to, mapped, n);
		else
			rc = vuc_device_read(dev, region, offset, to, n);
		to += n;
		offset += n;
		count -= n;
	}
	return rc;
}

VUC_EXPORT int
vuc_region_store(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	const struct vuc_request whole = {
		.op = VUC_OP_WRITE, .region = region, .offset = offset, .count = count};
	int rc = device_check_request(dev, &whole, &dev->reason);
	const uint8_t *from = data;

	while (rc == 0 && count > 0) {
		size_t n = count;
		uint8_t *mapped = mapping_locate(&dev->regions[region], offset, &n);

		if (mapped != NULL)
			register_store(mapped, from, n);
		else
			rc = vuc_device_write(dev, region, offset, from, n);
		from += n;
		offset += n;
		count -= n;
	}
	return rc;
}
