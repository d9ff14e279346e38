/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vuc/migration.h>

#include "mig_server.h"
#include "tap.h"
#include "vfio_user.h"

#define FEATURE_LEN sizeof(struct vfio_user_device_feature)
#define REPORT_LEN  sizeof(struct vfio_user_device_feature_dma_logging_report)

/* A body that came, and the one that goes. */
struct exchange {
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len;
};

uint8_t
mig_byte(size_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

bool
mig_page_is_dirty(uint64_t page)
{
	return page % 3 == 0;
}

static void __attribute__((format(printf, 2, 3))) trace(struct mig_server *f, const char *fmt, ...)
{
	size_t len = strlen(f->trace);
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->trace + len, sizeof(f->trace) - len, fmt, args);
	va_end(args);
}

/* A feature's reply: what came, with argsz for len bytes of data. */
static void
echo(struct exchange *x, size_t len)
{
	uint32_t argsz = (uint32_t)(FEATURE_LEN + len);

	memcpy(x->out, x->in, x->in_len < argsz ? x->in_len : argsz);
	memcpy(x->out, &argsz, sizeof(argsz));
	x->out_len = argsz;
}

static int
answer_migration(struct mig_server *f, struct exchange *x)
{
	echo(x, sizeof(f->migration_flags));
	memcpy(x->out + FEATURE_LEN, &f->migration_flags, sizeof(f->migration_flags));
	return 0;
}

static void
begin_data(struct mig_server *f)
{
	f->round = 0;
	f->left = 0;
	if (f->state == VUC_MIGRATION_PRE_COPY)
		f->left = f->pre_copy[0];
	if (f->state == VUC_MIGRATION_STOP_COPY)
		f->left = f->stop_copy;
}

static int
answer_state(struct mig_server *f, struct exchange *x, bool set)
{
	struct vfio_user_device_feature_mig_state state = {.device_state = f->state};

	if (set) {
		memcpy(&state, x->in + FEATURE_LEN, sizeof(state));
		f->state = state.device_state;
		begin_data(f);
		trace(f, "%s ", vuc_migration_state_name((enum vuc_migration_state)f->state));
	}
	echo(x, sizeof(state));
	memcpy(x->out + FEATURE_LEN, &state, sizeof(state));
	return 0;
}

static int
answer_log_start(struct mig_server *f, struct exchange *x)
{
	struct vfio_user_device_feature_dma_logging_control control;

	memcpy(&control, x->in + FEATURE_LEN, sizeof(control));
	trace(f, "start%x,%u ", (unsigned int)control.page_size, control.num_ranges);
	echo(x, x->in_len - FEATURE_LEN);
	if (f->log_page_size != 0)
		memcpy(x->out + FEATURE_LEN, &f->log_page_size, sizeof(f->log_page_size));
	return 0;
}

static int
answer_log_stop(struct mig_server *f, struct exchange *x)
{
	trace(f, "stop ");
	echo(x, 0);
	return 0;
}

/* Bits behind the last page are set as well, which a client must not take for pages. */
static int
answer_log_report(struct mig_server *f, struct exchange *x)
{
	struct vfio_user_device_feature_dma_logging_report report;
	uint64_t pages, words;
	uint8_t *bitmap;

	memcpy(&report, x->in + FEATURE_LEN, sizeof(report));
	pages = report.length / report.page_size;
	words = (pages + 63) / 64;
	trace(f, "report%llx,%llu ", (unsigned long long)report.iova, (unsigned long long)pages);
	echo(x, REPORT_LEN + words * sizeof(uint64_t));
	bitmap = x->out + FEATURE_LEN + REPORT_LEN;
	memset(bitmap, 0, words * sizeof(uint64_t));
	for (uint64_t i = 0; i < words * 64; i++) {
		if (i >= pages || mig_page_is_dirty(report.iova / report.page_size + i))
			bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
	}
	return 0;
}

static bool
has_feature(const struct mig_server *f, uint32_t feature)
{
	if (feature == VFIO_DEVICE_FEATURE_MIGRATION ||
		feature == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		return f->migration_flags != 0;
	return f->has_dirty && feature >= VFIO_DEVICE_FEATURE_DMA_LOGGING_START &&
		feature <= VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
}

static int
answer_feature(struct mig_server *f, struct exchange *x)
{
	struct vfio_user_device_feature fixed;
	uint32_t feature;

	memcpy(&fixed, x->in, sizeof(fixed));
	feature = fixed.flags & VFIO_DEVICE_FEATURE_MASK;
	if (!has_feature(f, feature))
		return ENOTTY;
	if (fixed.flags & VFIO_DEVICE_FEATURE_PROBE) {
		echo(x, 0);
		return 0;
	}
	switch (feature) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return answer_migration(f, x);
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return answer_state(f, x, (fixed.flags & VFIO_DEVICE_FEATURE_SET) != 0);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return answer_log_start(f, x);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return answer_log_stop(f, x);
	default:
		return answer_log_report(f, x);
	}
}

/* A read that is not filled ends the round. */
static int
answer_read(struct mig_server *f, struct exchange *x)
{
	struct vfio_user_mig_data fixed;
	size_t n;

	memcpy(&fixed, x->in, sizeof(fixed));
	n = fixed.size < f->left ? fixed.size : f->left;
	trace(f, "r%zu ", n);
	for (size_t i = 0; i < n; i++)
		x->out[sizeof(fixed) + i] = mig_byte(f->sent++);
	f->left -= n;
	if (n < fixed.size && f->state == VUC_MIGRATION_PRE_COPY)
		f->left = ++f->round < MIG_ROUNDS ? f->pre_copy[f->round] : 0;
	fixed.size = (uint32_t)n;
	fixed.argsz = (uint32_t)(sizeof(fixed) + n);
	memcpy(x->out, &fixed, sizeof(fixed));
	x->out_len = fixed.argsz;
	return 0;
}

static int
answer_write(struct mig_server *f, struct exchange *x)
{
	struct vfio_user_mig_data fixed;

	memcpy(&fixed, x->in, sizeof(fixed));
	if (fixed.size != x->in_len - sizeof(fixed) || fixed.argsz != x->in_len)
		return EINVAL;
	trace(f, "w%u ", fixed.size);
	for (size_t i = 0; i < fixed.size; i++)
		f->wrong += x->in[sizeof(fixed) + i] != mig_byte(f->taken++);
	return 0;
}

/* With the pages that were written, if they are asked for. */
static int
answer_unmap(struct exchange *x)
{
	struct vfio_user_dma_unmap unmap;
	struct vfio_user_bitmap bitmap;
	uint8_t *bits = x->out + x->in_len;

	memcpy(&unmap, x->in, sizeof(unmap));
	memcpy(x->out, x->in, x->in_len);
	x->out_len = sizeof(unmap);
	if ((unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) == 0)
		return 0;
	memcpy(&bitmap, x->in + sizeof(unmap), sizeof(bitmap));
	memset(bits, 0, bitmap.size);
	for (uint64_t i = 0; i < unmap.size / bitmap.pgsize; i++) {
		if (mig_page_is_dirty(unmap.addr / bitmap.pgsize + i))
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	}
	x->out_len = x->in_len + bitmap.size;
	return 0;
}

static int
answer(struct mig_server *f, uint16_t cmd, struct exchange *x)
{
	switch (cmd) {
	case VFIO_USER_DEVICE_FEATURE:
		return answer_feature(f, x);
	case VFIO_USER_MIG_DATA_READ:
		return answer_read(f, x);
	case VFIO_USER_MIG_DATA_WRITE:
		return answer_write(f, x);
	case VFIO_USER_DMA_UNMAP:
		return answer_unmap(x);
	case VFIO_USER_DMA_MAP:
	case VFIO_USER_DEVICE_RESET:
		return 0;
	}
	return EOPNOTSUPP;
}

int
mig_server_command(void *f, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	struct exchange x = {
		.in = request->bytes + sizeof(*header),
		.in_len = request->len - sizeof(*header),
		.out = reply->body,
	};
	int error = answer(f, header->cmd, &x);

	reply->len = x.out_len;
	return error;
}

/* A fake_deviate_fn. */
static int
enter_error_state(
	void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct mig_server *f = arg;

	(void)request;
	(void)message;
	if (f->server.faulty && f->server.fault.wrong == FAKE_ERROR_STATE)
		f->state = VUC_MIGRATION_ERROR;
	return 0;
}

void
mig_server_init(struct mig_server *f)
{
	*f = (struct mig_server){
		.server = {.max_msg_fds = 1,
			.max_data = 1048576,
			.command = mig_server_command,
			.deviate = enter_error_state,
			.arg = f},
		.migration_flags = VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY,
		.has_dirty = true,
		.state = VUC_MIGRATION_RUNNING,
	};
}

struct vuc_device *
mig_server_open(struct mig_server *f)
{
	bool is_silent = f->server.fault.nth != 0 && f->server.fault.wrong == FAKE_SILENT;
	struct vuc_device_opts opts;
	struct vuc_device *dev;

	fake_server_opts(&f->server, &opts);
	opts.timeout_ms = is_silent ? 30 : VUC_DEFAULT_TIMEOUT_MS;
	opts.long_timeout_ms = opts.timeout_ms + 1; /* the reason tells it from the other */
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	return dev;
}
