/* SPDX-License-Identifier: BSD-3-Clause */

/* Checks of a client's requests, before anyone else sees them. */

#include <errno.h>

#include "command.h"
#include "dma.h"
#include "internal.h"

#define MAP_FLAGS                                                     \
	(VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE | \
		VFIO_USER_F_DMA_REGION_MMAP | VFIO_USER_F_DMA_REGION_FILE_IO)

/* Copy a fixed part that begins the body; false if the body is too short. */
static bool
copy_fixed(const struct front_message *m, void *fixed, size_t size)
{
	if (m->len < size)
		return false;
	memcpy(fixed, m->body, size);
	return true;
}

static bool
is_range(uint64_t start, uint64_t size)
{
	uint64_t last;

	return size != 0 && !__builtin_add_overflow(start, size - 1, &last);
}

static bool
is_in_region(const struct front *f, uint32_t region, uint64_t offset, uint32_t count)
{
	return region < f->nr_regions && count != 0 && count <= f->regions[region].size &&
		offset <= f->regions[region].size - count;
}

static int
decode_access(const struct front *f, const struct front_message *m, struct front_request *r)
{
	struct vfio_user_region_access got;
	bool write = m->header.cmd == VFIO_USER_REGION_WRITE;

	r->kind = FRONT_ACCESS;
	if (!copy_fixed(m, &got, sizeof(got)) || got.count > f->max_data)
		return -EINVAL;
	if (m->len - sizeof(got) != (write ? got.count : 0))
		return -EINVAL;
	if (!is_in_region(f, got.region, got.offset, got.count))
		return -EINVAL;
	r->access = (struct front_access){
		.write = write,
		.region = got.region,
		.count = got.count,
		.offset = got.offset,
		.data = write ? m->body + sizeof(got) : NULL,
	};
	return 0;
}

static int
decode_dma_map(const struct front_message *m, struct front_request *r)
{
	struct vfio_user_dma_map got;

	r->kind = FRONT_DMA_MAP;
	if (m->len != sizeof(got) || m->nr_fds > 1)
		return -EINVAL;
	memcpy(&got, m->body, sizeof(got));
	if ((got.flags & ~MAP_FLAGS) != 0 || !is_range(got.addr, got.size) ||
		!is_range(got.offset, got.size))
		return -EINVAL;
	r->map = (struct front_map){
		.addr = got.addr,
		.size = got.size,
		.offset = got.offset,
		.flags = got.flags,
	};
	return 0;
}

static int
decode_dma_unmap(const struct front_message *m, struct front_request *r)
{
	struct vfio_user_dma_unmap got;

	r->kind = FRONT_DMA_UNMAP;
	if (!copy_fixed(m, &got, sizeof(got)))
		return -EINVAL;
	if ((got.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0)
		return -EOPNOTSUPP;
	if (m->len != sizeof(got) || (got.flags & ~(uint32_t)VFIO_DMA_UNMAP_FLAG_ALL) != 0)
		return -EINVAL;
	r->unmap = (struct front_unmap){
		.all = (got.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0,
		.addr = got.addr,
		.size = got.size,
	};
	if (r->unmap.all)
		return got.addr == 0 && got.size == 0 ? 0 : -EINVAL;
	return is_range(got.addr, got.size) ? 0 : -EINVAL;
}

/* One descriptor each, in order, or none at all; or, as Alioth sends them, an index for each. */
static int
decode_eventfds(const struct front_message *m, struct front_request *r)
{
	uint32_t len = m->len - (uint32_t)sizeof(struct vfio_user_irq_set);
	uint32_t count = r->irqs.range.count;

	r->irqs.data = FRONT_IRQ_EVENTFD;
	if (len == 0)
		return m->nr_fds == 0 || m->nr_fds == count ? 0 : -EINVAL;
	if (len / sizeof(int32_t) != count || len % sizeof(int32_t) != 0)
		return -EINVAL;
	r->irqs.indexes = m->body + sizeof(struct vfio_user_irq_set);
	for (uint32_t i = 0; i < count; i++) {
		int32_t index;

		memcpy(&index, r->irqs.indexes + i * sizeof(index), sizeof(index));
		if (index < -1 || (index >= 0 && (uint32_t)index >= m->nr_fds))
			return -EINVAL;
	}
	return 0;
}

static int
decode_irq_data(
	const struct front_message *m, const struct vfio_user_irq_set *got, struct front_request *r)
{
	switch (got->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		r->irqs.data = FRONT_IRQ_NONE;
		return m->nr_fds == 0 ? 0 : -EINVAL;
	case VFIO_IRQ_SET_DATA_BOOL:
		r->irqs.data = FRONT_IRQ_BOOL;
		r->irqs.flags = m->body + sizeof(*got);
		return m->nr_fds == 0 && m->len - sizeof(*got) >= got->count ? 0 : -EINVAL;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return decode_eventfds(m, r);
	default:
		return -EINVAL;
	}
}

static bool
is_irq_action(uint32_t action)
{
	return action == VFIO_IRQ_SET_ACTION_MASK || action == VFIO_IRQ_SET_ACTION_UNMASK ||
		action == VFIO_IRQ_SET_ACTION_TRIGGER;
}

/* A count of 0 disables the index when the action is to trigger, whatever the data; otherwise it
 * asks for nothing. An index without interrupts is already disabled. */
static enum front_verdict
decode_no_irqs(const struct front *f, const struct vfio_user_irq_set *got, struct front_request *r)
{
	r->irqs.data = FRONT_IRQ_NONE;
	r->irqs.range.start = 0;
	if (r->irqs.action != VUC_WIRE_IRQ_TRIGGER || f->irqs[got->index].count == 0)
		return FRONT_ANSWER;
	return FRONT_FORWARD;
}

static enum front_verdict
decode_set_irqs(
	const struct front *f, const struct front_message *m, struct front_request *r, int *status)
{
	struct vfio_user_irq_set got;

	r->kind = FRONT_SET_IRQS;
	*status = -EINVAL;
	if (!copy_fixed(m, &got, sizeof(got)) || got.index >= f->nr_irqs)
		return FRONT_REFUSE;
	if ((got.flags &
		    ~(uint32_t)(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) !=
			0 ||
		!is_irq_action(got.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return FRONT_REFUSE;
	r->irqs = (struct front_set_irqs){
		.range = {.index = got.index, .start = got.start, .count = got.count},
		.action = (enum vuc_wire_irq_action)(got.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK),
	};
	*status = decode_irq_data(m, &got, r);
	if (*status != 0)
		return FRONT_REFUSE;
	if (got.count == 0)
		return decode_no_irqs(f, &got, r);
	if (got.start >= f->irqs[got.index].count ||
		got.count > f->irqs[got.index].count - got.start) {
		*status = -EINVAL;
		return FRONT_REFUSE;
	}
	return FRONT_FORWARD;
}

/* All queries begin with argsz, which is at least the size of the reply's fixed part, and are that
 * long.
 */
static bool
is_question(const struct front_message *m, uint32_t fixed_len)
{
	uint32_t argsz;

	return m->len >= fixed_len && copy_fixed(m, &argsz, sizeof(argsz)) && argsz >= fixed_len;
}

static enum front_verdict
decode_question(const struct front_message *m, uint32_t fixed_len, size_t index_at,
	uint32_t nr_indexes, uint32_t *index)
{
	if (!is_question(m, fixed_len))
		return FRONT_REFUSE;
	memcpy(index, m->body + index_at, sizeof(*index));
	return *index < nr_indexes ? FRONT_ANSWER : FRONT_REFUSE;
}

static enum front_verdict
decode_region_info(const struct front *f, const struct front_message *m, struct front_request *r)
{
	uint32_t index;
	enum front_verdict verdict = decode_question(m, sizeof(struct vfio_user_region_info),
		offsetof(struct vfio_user_region_info, index), f->nr_regions, &index);

	if (verdict != FRONT_ANSWER || !f->takes_fds ||
		(f->regions[index].flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
		return verdict;
	r->kind = FRONT_REGION_FD;
	r->region = index;
	return FRONT_FORWARD;
}

static int
decode_reset(const struct front_message *m, struct front_request *r)
{
	r->kind = FRONT_RESET;
	return m->len == 0 ? 0 : -EINVAL;
}

#define FEATURE_METHODS ((uint32_t)(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET))
#define FEATURE_LEN     sizeof(struct vfio_user_device_feature)

/* The methods of the features that are passed on; 0: it is not one of them. */
static uint32_t
feature_methods(uint16_t feature)
{
	switch (feature) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return VFIO_DEVICE_FEATURE_GET;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return FEATURE_METHODS;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return VFIO_DEVICE_FEATURE_SET;
	default:
		return 0;
	}
}

/* Copy the data behind the fixed part, of exactly this size. */
static int
copy_data(const struct front_message *m, void *data, size_t size)
{
	if (m->len != FEATURE_LEN + size)
		return -EINVAL;
	memcpy(data, m->body + FEATURE_LEN, size);
	return 0;
}

static int
decode_logging_start(const struct front_message *m, struct front_feature *feature)
{
	struct vfio_user_device_feature_dma_logging_control *control = &feature->start.control;
	const uint32_t each = sizeof(struct vfio_user_device_feature_dma_logging_range);

	if (m->len < FEATURE_LEN + sizeof(*control))
		return -EINVAL;
	memcpy(control, m->body + FEATURE_LEN, sizeof(*control));
	feature->start.ranges = m->body + FEATURE_LEN + sizeof(*control);
	feature->data_len = m->len - (uint32_t)FEATURE_LEN;
	return (uint64_t)control->num_ranges * each == feature->data_len - sizeof(*control)
		? 0
		: -EINVAL;
}

static int
decode_logging_report(
	const struct front *f, const struct front_message *m, struct front_feature *feature)
{
	struct vfio_user_device_feature_dma_logging_report *report = &feature->report;
	uint32_t bitmap;
	int rc = copy_data(m, report, sizeof(*report));

	if (rc != 0)
		return rc;
	if (!is_range(report->iova, report->length))
		return -EINVAL;
	rc = vuc_wire_bitmap_size(report->length, report->page_size, &bitmap);
	if (rc != 0 || bitmap > f->max_data)
		return rc != 0 ? rc : -EMSGSIZE;
	feature->data_len = (uint32_t)sizeof(*report) + bitmap;
	return 0;
}

/* Sets data_len, too. */
static int
decode_feature_data(
	const struct front *f, const struct front_message *m, struct front_feature *feature)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET;

	switch (feature->flags & ~(uint32_t)VFIO_DEVICE_FEATURE_SET) {
	case get | VFIO_DEVICE_FEATURE_MIGRATION:
		feature->data_len = sizeof(struct vfio_user_device_feature_migration);
		break;
	case get | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		feature->data_len = sizeof(feature->state);
		break;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		feature->data_len = sizeof(feature->state);
		return copy_data(m, &feature->state, sizeof(feature->state));
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return decode_logging_start(m, feature);
	case get | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return decode_logging_report(f, m, feature);
	default: /* a probe, or DMA_LOGGING_STOP */
		break;
	}
	return m->len == FEATURE_LEN ? 0 : -EINVAL;
}

static int
decode_feature(const struct front *f, const struct front_message *m, struct front_request *r)
{
	struct vfio_user_device_feature got;
	uint32_t methods;
	int rc;

	r->kind = FRONT_FEATURE;
	if (!copy_fixed(m, &got, sizeof(got)))
		return -EINVAL;
	methods = got.flags & FEATURE_METHODS;
	if ((got.flags &
		    ~(VFIO_DEVICE_FEATURE_MASK | FEATURE_METHODS |
			    (uint32_t)VFIO_DEVICE_FEATURE_PROBE)) != 0)
		return -EINVAL;
	if ((got.flags & VFIO_DEVICE_FEATURE_PROBE) == 0 &&
		(methods == 0 || methods == FEATURE_METHODS))
		return -EINVAL;
	if (feature_methods(got.flags & VFIO_DEVICE_FEATURE_MASK) == 0)
		return -ENOTTY;
	if ((methods & ~feature_methods(got.flags & VFIO_DEVICE_FEATURE_MASK)) != 0)
		return -EINVAL;
	r->feature = (struct front_feature){.flags = got.flags};
	rc = decode_feature_data(f, m, &r->feature);
	if (rc == 0 && got.argsz < FEATURE_LEN + r->feature.data_len)
		rc = -EINVAL;
	return rc;
}

static int
decode_migration_data(const struct front *f, const struct front_message *m, struct front_request *r)
{
	bool write = m->header.cmd == VFIO_USER_MIG_DATA_WRITE;
	struct vfio_user_mig_data got;

	r->kind = write ? FRONT_MIGRATION_WRITE : FRONT_MIGRATION_READ;
	if (!copy_fixed(m, &got, sizeof(got)) || got.size > f->max_data ||
		m->len - sizeof(got) != (write ? got.size : 0))
		return -EINVAL;
	/* The reply to a write has no data. */
	if (!write && got.argsz < sizeof(got) + got.size)
		return -EINVAL;
	r->migration = (struct front_migration_data){
		.size = got.size,
		.data = write ? m->body + sizeof(got) : NULL,
	};
	return 0;
}

static enum front_verdict
decode_command(
	const struct front *f, const struct front_message *m, struct front_request *r, int *status)
{
	uint32_t index;

	*status = -EINVAL;
	switch (m->header.cmd) {
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		*status = decode_access(f, m, r);
		break;
	case VFIO_USER_DMA_MAP:
		*status = decode_dma_map(m, r);
		break;
	case VFIO_USER_DMA_UNMAP:
		*status = decode_dma_unmap(m, r);
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		return decode_set_irqs(f, m, r, status);
	case VFIO_USER_DEVICE_RESET:
		*status = decode_reset(m, r);
		break;
	case VFIO_USER_DEVICE_GET_INFO:
		return is_question(m, sizeof(struct vfio_user_device_info)) ? FRONT_ANSWER
									    : FRONT_REFUSE;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return decode_region_info(f, m, r);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return decode_question(m, sizeof(struct vfio_user_irq_info),
			offsetof(struct vfio_user_irq_info, index), f->nr_irqs, &index);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return decode_question(m, sizeof(struct vfio_user_region_io_fds),
			offsetof(struct vfio_user_region_io_fds, index), f->nr_regions, &index);
	case VFIO_USER_DEVICE_FEATURE:
		*status = decode_feature(f, m, r);
		break;
	case VFIO_USER_MIG_DATA_READ:
	case VFIO_USER_MIG_DATA_WRITE:
		*status = decode_migration_data(f, m, r);
		break;
	case VFIO_USER_VERSION:
		break;
	default:
		*status = -EOPNOTSUPP;
	}
	return *status == 0 ? FRONT_FORWARD : FRONT_REFUSE;
}

enum front_verdict
front_decode(
	const struct front *f, const struct front_message *m, struct front_request *r, int *status)
{
	const struct vuc_wire_command *row = vuc_wire_command(m->header.cmd);

	if ((m->header.flags & ~VFIO_USER_F_NO_REPLY) != 0 ||
		(m->nr_fds > 0 && (row == NULL || !row->request_fds))) {
		*status = -EINVAL;
		return FRONT_REFUSE;
	}
	return decode_command(f, m, r, status);
}

int
front_irq_fd(const struct front_request *r, uint32_t i)
{
	int32_t index = (int32_t)i;

	if (r->irqs.indexes != NULL)
		memcpy(&index, r->irqs.indexes + i * sizeof(index), sizeof(index));
	return index >= 0 && (uint32_t)index < r->nr_fds ? r->fds[index] : -1;
}
