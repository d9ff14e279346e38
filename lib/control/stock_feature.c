/* SPDX-License-Identifier: BSD-3-Clause */

/* Features and migration data of a stock VMM. Nothing of it is recorded. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/dirty.h>
#include <vuc/feature.h>
#include <vuc/migration.h>

#include "command.h"
#include "error.h"
#include "machine.h"
#include "record.h"
#include "stock.h"

_Static_assert(
	VUC_FEATURE_GET == VFIO_DEVICE_FEATURE_GET && VUC_FEATURE_SET == VFIO_DEVICE_FEATURE_SET,
	"methods are passed on as they are");
_Static_assert(sizeof(struct vuc_dirty_range) ==
			sizeof(struct vfio_user_device_feature_dma_logging_range) &&
		offsetof(struct vuc_dirty_range, size) ==
			offsetof(struct vfio_user_device_feature_dma_logging_range, length),
	"ranges are passed on as they are");

#define SETS(feature) ((uint32_t)(VFIO_DEVICE_FEATURE_SET | (feature)))
#define GETS(feature) ((uint32_t)(VFIO_DEVICE_FEATURE_GET | (feature)))

/* A request under way. The VMM's thread waits for its end. */
struct feature_use {
	struct control_vmm *v;
	const struct front_request *r; /* but for what it points to */
	struct stock_data *reply;
	control_start_fn start;
	bool is_part; /* of a migration, which continues on the connection that it began on */
	bool is_broken;
	uint64_t renewals; /* of the connection that it was begun on */
	enum vuc_migration_state state;
	uint64_t flags, page_size;
	size_t count;
};

/* A control_start_fn. */
static int
feature_use_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;
	const struct control_vmm *v = u->v;

	if (!vuc_device_connected(dev))
		return -ENOTCONN;
	u->renewals = vuc_device_record_renewals(dev);
	u->is_broken = u->is_part && v->migrates && v->migrates_since != u->renewals;
	return u->is_broken ? -ECONNRESET : u->start(dev, u, done, done_arg);
}

static int
feature_use_run(struct feature_use *u, control_start_fn start, struct vuc_error *err)
{
	int rc;

	u->start = start;
	rc = vmm_operate(u->v, feature_use_start, u, err);
	if (u->is_broken)
		vuc_error_set(
			err, rc, "the server was restarted during the migration: reset the device");
	return rc;
}

/* Room for the reply, which is data_len bytes of zeros. */
static int
feature_use_prepare(struct feature_use *u, uint32_t len, struct vuc_error *err)
{
	u->reply->bytes = calloc(1, len);
	if (u->reply->bytes == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %u bytes of data", len);
	u->reply->len = len;
	return 0;
}

/* ---- the parts of migration ---- */

static int
probe_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	const struct feature_use *u = arg;
	uint32_t flags = u->r->feature.flags;

	return vuc_feature_probe_start(dev, flags & VFIO_DEVICE_FEATURE_MASK,
		flags & (VUC_FEATURE_GET | VUC_FEATURE_SET), done, done_arg);
}

static int
supported_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;

	return vuc_migration_supported_start(dev, &u->flags, done, done_arg);
}

static int
get_support(struct feature_use *u, struct vuc_error *err)
{
	int rc = feature_use_run(u, supported_start, err);

	if (rc == 0 && u->flags == 0)
		rc = vuc_error_set(err, -ENOTTY, "the device cannot be migrated");
	if (rc == 0)
		memcpy(u->reply->bytes, &u->flags, sizeof(u->flags));
	return rc;
}

static int
get_state_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;

	return vuc_migration_get_state_start(dev, &u->state, done, done_arg);
}

static int
get_state(struct feature_use *u, struct vuc_error *err)
{
	struct vfio_user_device_feature_mig_state reply = {0};
	int rc;

	u->is_part = true;
	rc = feature_use_run(u, get_state_start, err);
	if (rc != 0 && !u->is_broken)
		return rc;
	reply.device_state = u->is_broken ? VUC_MIGRATION_ERROR : (uint32_t)u->state;
	memcpy(u->reply->bytes, &reply, sizeof(reply));
	return 0;
}

static int
set_state_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	const struct feature_use *u = arg;

	return vuc_migration_set_state_start(
		dev, (enum vuc_migration_state)u->r->feature.state.device_state, done, done_arg);
}

/* A server that has not answered in time may be in that state. */
static int
set_state(struct feature_use *u, struct vuc_error *err)
{
	const struct vfio_user_device_feature_mig_state *state = &u->r->feature.state;
	struct control_vmm *v = u->v;
	int rc;

	u->is_part = true;
	rc = feature_use_run(u, set_state_start, err);
	if (rc == 0 || rc == -ETIMEDOUT) {
		v->migrates = rc != 0 || state->device_state != VUC_MIGRATION_RUNNING;
		v->migrates_since = u->renewals;
		v->features_set = true;
	}
	memcpy(u->reply->bytes, state, sizeof(*state));
	return rc;
}

void
stock_feature_note_reset(struct control_vmm *v, int status)
{
	/* Without a reset, it is enough that the VMM knows. */
	if (status == 0 || status == -EOPNOTSUPP)
		v->migrates = false;
}

/* ---- migration data ---- */

static int
read_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;

	return vuc_migration_read_start(
		dev, u->reply->bytes, u->reply->len, &u->count, done, done_arg);
}

static int
read_data(struct feature_use *u, struct vuc_error *err)
{
	int rc;

	u->is_part = true;
	rc = feature_use_run(u, read_start, err);
	u->reply->len = rc == 0 ? (uint32_t)u->count : 0;
	return rc;
}

static int
write_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	const struct feature_use *u = arg;

	return vuc_migration_write_start(
		dev, u->reply->bytes, u->r->migration.size, done, done_arg);
}

/* What has come with the request is lost when more is received. */
static int
write_data(struct feature_use *u, struct vuc_error *err)
{
	u->is_part = true;
	u->reply->len = 0;
	if (u->r->migration.size > 0)
		memcpy(u->reply->bytes, u->r->migration.data, u->r->migration.size);
	return feature_use_run(u, write_start, err);
}

/* ---- the log of DMA writes ---- */

static int
logging_start_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;
	const struct vfio_user_device_feature_dma_logging_control *control =
		&u->r->feature.start.control;
	const struct vuc_dirty_range *ranges = (const void *)(u->reply->bytes + sizeof(*control));

	return vuc_dirty_enable_start(
		dev, &u->page_size, ranges, control->num_ranges, done, done_arg);
}

/* The reply is the request, with the page size that the server has chosen. */
static int
start_logging(struct feature_use *u, struct vuc_error *err)
{
	struct vfio_user_device_feature_dma_logging_control control = u->r->feature.start.control;
	int rc;

	memcpy(u->reply->bytes + sizeof(control), u->r->feature.start.ranges,
		u->reply->len - sizeof(control));
	u->page_size = control.page_size;
	rc = feature_use_run(u, logging_start_start, err);
	u->v->features_set = u->v->features_set || rc == 0 || rc == -ETIMEDOUT;
	control.page_size = u->page_size;
	memcpy(u->reply->bytes, &control, sizeof(control));
	return rc;
}

static int
logging_stop_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	(void)arg;
	return vuc_dirty_disable_start(dev, done, done_arg);
}

static int
report_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct feature_use *u = arg;
	const struct vfio_user_device_feature_dma_logging_report *report = &u->r->feature.report;
	const struct vuc_dirty_range range = {.iova = report->iova, .size = report->length};
	uint64_t *bitmap = (void *)(u->reply->bytes + sizeof(*report));

	return vuc_dirty_report_start(dev, &range, report->page_size, bitmap,
		(u->reply->len - sizeof(*report)) / sizeof(*bitmap), done, done_arg);
}

static int
report_logged(struct feature_use *u, struct vuc_error *err)
{
	memcpy(u->reply->bytes, &u->r->feature.report, sizeof(u->r->feature.report));
	return feature_use_run(u, report_start, err);
}

/* ---- which it is ---- */

static int
feature_use_one(struct feature_use *u, struct vuc_error *err)
{
	if (u->r->kind == FRONT_MIGRATION_READ)
		return read_data(u, err);
	if (u->r->kind == FRONT_MIGRATION_WRITE)
		return write_data(u, err);
	if ((u->r->feature.flags & VFIO_DEVICE_FEATURE_PROBE) != 0)
		return feature_use_run(u, probe_start, err);
	switch (u->r->feature.flags) {
	case GETS(VFIO_DEVICE_FEATURE_MIGRATION):
		return get_support(u, err);
	case GETS(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE):
		return get_state(u, err);
	case SETS(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE):
		return set_state(u, err);
	case SETS(VFIO_DEVICE_FEATURE_DMA_LOGGING_START):
		return start_logging(u, err);
	case SETS(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP):
		return feature_use_run(u, logging_stop_start, err);
	case GETS(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT):
		return report_logged(u, err);
	default:
		return vuc_error_set(err, -ENOTTY, "unknown feature 0x%x", u->r->feature.flags);
	}
}

int
stock_feature_use(struct control_vmm *v, const struct front_request *r, struct stock_data *reply,
	struct vuc_error *err)
{
	struct feature_use u = {.v = v, .r = r, .reply = reply};
	uint32_t len = r->kind == FRONT_FEATURE ? r->feature.data_len : r->migration.size;
	int rc = len > 0 ? feature_use_prepare(&u, len, err) : 0;

	if (rc == 0)
		rc = feature_use_one(&u, err);
	return rc;
}

const char *
stock_feature_name(const struct front_request *r)
{
	if (r->kind == FRONT_FEATURE)
		return vuc_wire_command_name(VFIO_USER_DEVICE_FEATURE);
	return vuc_wire_command_name(r->kind == FRONT_MIGRATION_READ ? VFIO_USER_MIG_DATA_READ
								     : VFIO_USER_MIG_DATA_WRITE);
}
