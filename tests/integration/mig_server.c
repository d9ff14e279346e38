/* SPDX-License-Identifier: BSD-3-Clause */
#include <vuc/migration.h>

#include "mig_server.h"
#include "outcome.h"
#include "vfio_user.h"

#define FEATURE_LEN sizeof(struct vfio_user_device_feature)

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

static const uint8_t *
body_of(const struct vuc_loopback_msg *request)
{
	return request->bytes + sizeof(struct vfio_user_header);
}

/* A feature's reply: what came, with argsz for len bytes of data, which are returned. */
static uint8_t *
echo(const struct vuc_loopback_msg *request, struct fake_reply *reply, size_t len)
{
	uint32_t argsz = (uint32_t)(FEATURE_LEN + len);
	size_t came = request->len - sizeof(struct vfio_user_header);

	memcpy(reply->body, body_of(request), came < argsz ? came : argsz);
	memcpy(reply->body, &argsz, sizeof(argsz));
	reply->len = argsz;
	return reply->body + FEATURE_LEN;
}

static void
set_state(struct mig_server *f, uint32_t state)
{
	f->state = state;
	f->round = 0;
	f->left = 0;
	if (state == VUC_MIGRATION_PRE_COPY)
		f->left = f->pre_copy[0];
	if (state == VUC_MIGRATION_STOP_COPY)
		f->left = f->stop_copy;
	fake_server_log(
		&f->server, "%s ", vuc_migration_state_name((enum vuc_migration_state)state));
}

/* A bit for each page that was written. */
static void
put_dirty(uint8_t *bits, uint64_t first_page, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++) {
		if (mig_page_is_dirty(first_page + i))
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	}
}

/* Bits behind the last page are set as well, which a client must not take for pages. */
static void
answer_log_report(
	struct mig_server *f, const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	struct vfio_user_device_feature_dma_logging_report report;
	uint64_t pages, words;
	uint8_t *bitmap;

	memcpy(&report, body_of(request) + FEATURE_LEN, sizeof(report));
	pages = report.length / report.page_size;
	words = (pages + 63) / 64;
	fake_server_log(&f->server, "report%llx,%llu ", (unsigned long long)report.iova,
		(unsigned long long)pages);
	bitmap = echo(request, reply, sizeof(report) + words * sizeof(uint64_t)) + sizeof(report);
	memset(bitmap, 0, words * sizeof(uint64_t));
	put_dirty(bitmap, report.iova / report.page_size, pages);
	for (uint64_t i = pages; i < words * 64; i++)
		bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
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
answer_feature(
	struct mig_server *f, const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	const uint8_t *data = body_of(request) + FEATURE_LEN;
	struct vfio_user_device_feature_dma_logging_control control;
	struct vfio_user_device_feature_mig_state state;
	struct vfio_user_device_feature fixed;
	uint8_t *out;

	fake_server_body(request, &fixed, sizeof(fixed));
	if (!has_feature(f, fixed.flags & VFIO_DEVICE_FEATURE_MASK))
		return ENOTTY;
	if (fixed.flags & VFIO_DEVICE_FEATURE_PROBE) {
		echo(request, reply, 0);
		return 0;
	}
	switch (fixed.flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		memcpy(echo(request, reply, sizeof(f->migration_flags)), &f->migration_flags,
			sizeof(f->migration_flags));
		return 0;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if ((fixed.flags & VFIO_DEVICE_FEATURE_SET) != 0) {
			memcpy(&state, data, sizeof(state));
			set_state(f, state.device_state);
		}
		state = (struct vfio_user_device_feature_mig_state){.device_state = f->state};
		memcpy(echo(request, reply, sizeof(state)), &state, sizeof(state));
		return 0;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		memcpy(&control, data, sizeof(control));
		fake_server_log(&f->server, "start%x,%u ", (unsigned int)control.page_size,
			control.num_ranges);
		out = echo(request, reply,
			request->len - sizeof(struct vfio_user_header) - FEATURE_LEN);
		if (f->log_page_size != 0)
			memcpy(out, &f->log_page_size, sizeof(f->log_page_size));
		return 0;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		fake_server_log(&f->server, "stop ");
		echo(request, reply, 0);
		return 0;
	default:
		answer_log_report(f, request, reply);
		return 0;
	}
}

/* A read that is not filled ends the round. */
static int
answer_read(struct mig_server *f, const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	struct vfio_user_mig_data fixed;
	size_t n;

	fake_server_body(request, &fixed, sizeof(fixed));
	n = fixed.size < f->left ? fixed.size : f->left;
	fake_server_log(&f->server, "r%zu ", n);
	for (size_t i = 0; i < n; i++)
		reply->body[sizeof(fixed) + i] = mig_byte(f->sent++);
	f->left -= n;
	if (n < fixed.size && f->state == VUC_MIGRATION_PRE_COPY)
		f->left = ++f->round < MIG_ROUNDS ? f->pre_copy[f->round] : 0;
	fixed.size = (uint32_t)n;
	fixed.argsz = (uint32_t)(sizeof(fixed) + n);
	memcpy(reply->body, &fixed, sizeof(fixed));
	reply->len = fixed.argsz;
	return 0;
}

static int
answer_write(struct mig_server *f, const struct vuc_loopback_msg *request)
{
	size_t came = request->len - sizeof(struct vfio_user_header);
	struct vfio_user_mig_data fixed;

	fake_server_body(request, &fixed, sizeof(fixed));
	if (fixed.size != came - sizeof(fixed) || fixed.argsz != came)
		return EINVAL;
	fake_server_log(&f->server, "w%u ", fixed.size);
	for (size_t i = 0; i < fixed.size; i++)
		f->wrong += body_of(request)[sizeof(fixed) + i] != mig_byte(f->taken++);
	return 0;
}

/* With the pages that were written, if they are asked for. */
static int
answer_unmap(const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	struct {
		struct vfio_user_dma_unmap unmap;
		struct vfio_user_bitmap bitmap;
	} fixed = {0};

	fake_server_body(request, &fixed.unmap, sizeof(fixed.unmap));
	reply->len = sizeof(fixed.unmap);
	if ((fixed.unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0) {
		fake_server_body(request, &fixed, sizeof(fixed));
		reply->len = sizeof(fixed) + fixed.bitmap.size;
		memset(reply->body, 0, reply->len);
		put_dirty(reply->body + sizeof(fixed), fixed.unmap.addr / fixed.bitmap.pgsize,
			fixed.unmap.size / fixed.bitmap.pgsize);
	}
	memcpy(reply->body, &fixed, reply->len < sizeof(fixed) ? reply->len : sizeof(fixed));
	return 0;
}

int
mig_server_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	switch (header->cmd) {
	case VFIO_USER_DEVICE_FEATURE:
		return answer_feature(arg, request, reply);
	case VFIO_USER_MIG_DATA_READ:
		return answer_read(arg, request, reply);
	case VFIO_USER_MIG_DATA_WRITE:
		return answer_write(arg, request);
	case VFIO_USER_DMA_UNMAP:
		return answer_unmap(request, reply);
	case VFIO_USER_DMA_MAP:
	case VFIO_USER_DEVICE_RESET:
		return 0;
	}
	return EOPNOTSUPP;
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

	fake_server_opts(&f->server, &opts);
	opts.timeout_ms = is_silent ? 30 : VUC_DEFAULT_TIMEOUT_MS;
	opts.long_timeout_ms = opts.timeout_ms + 1; /* the reason tells it from the other */
	return open_well(&opts);
}
