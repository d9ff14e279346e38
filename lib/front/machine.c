/* SPDX-License-Identifier: BSD-3-Clause */

/* The machine itself: it turns messages into requests, and keeps their answers and deadlines. */

#include <errno.h>
#include <stdlib.h>

#include "command.h"
#include "info.h"
#include "internal.h"

#define MIN_DATA 4096u
#define MAX_DATA (64u << 20)

/* Minimum size of the buffer for replies that the client has not read. */
#define MIN_OUTPUT 131072u

static uint32_t
clamp_u32(uint32_t value, uint32_t min, uint32_t max)
{
	if (value < min)
		return min;
	return value < max ? value : max;
}

/* Copy the areas of all regions into one array. Returns 0 or -ENOMEM. */
static int
copy_areas(struct front *f)
{
	size_t n = 0;

	for (uint32_t i = 0; i < f->nr_regions; i++)
		n += f->regions[i].nr_areas;
	f->areas = malloc((n + 1) * sizeof(*f->areas));
	if (f->areas == NULL)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < f->nr_regions; i++) {
		struct front_region *region = &f->regions[i];

		if (region->nr_areas > 0)
			memcpy(f->areas + n, region->areas, region->nr_areas * sizeof(*f->areas));
		region->areas = f->areas + n;
		n += region->nr_areas;
	}
	return 0;
}

/* Whether an index is one of the two that notify a VMM, with a single interrupt each. */
static bool
is_notice(uint32_t index)
{
	return index == VFIO_PCI_ERR_IRQ_INDEX || index == VFIO_PCI_REQ_IRQ_INDEX;
}

static int
copy_shape(struct front *f, const struct front_shape *shape)
{
	uint32_t nr_regions = clamp_u32(shape->nr_regions, 0, FRONT_MAX_REGIONS);
	uint32_t nr_irqs = clamp_u32(shape->nr_irqs, 0, FRONT_MAX_IRQS);

	f->flags = shape->flags;
	f->nr_regions = clamp_u32(nr_regions, FRONT_MIN_REGIONS, FRONT_MAX_REGIONS);
	f->nr_irqs = clamp_u32(nr_irqs, FRONT_MIN_IRQS, FRONT_MAX_IRQS);
	for (uint32_t i = 0; i < nr_regions; i++) {
		f->regions[i] = shape->regions[i];
		f->regions[i].nr_areas =
			clamp_u32(f->regions[i].nr_areas, 0, VUC_WIRE_MAX_SPARSE_AREAS);
	}
	for (uint32_t i = 0; i < nr_irqs; i++)
		f->irqs[i] = shape->irqs[i];
	for (uint32_t i = 0; i < f->nr_irqs; i++) {
		if (is_notice(i) && f->irqs[i].count == 0)
			f->irqs[i] = (struct front_irq){VFIO_IRQ_INFO_EVENTFD, 1};
	}
	front_config_init(f, shape->config);
	return copy_areas(f);
}

static int
create_buffers(struct front *f)
{
	uint32_t data = f->max_data;
	uint32_t max_reply;

	if (data < VUC_WIRE_MAX_IRQ_COUNT)
		data = VUC_WIRE_MAX_IRQ_COUNT;
	f->max_message = (uint32_t)FRONT_HEADER_SIZE + FRONT_MAX_FIXED + data;
	f->in_size = f->max_message + FRONT_READ_AHEAD;
	max_reply = (uint32_t)FRONT_HEADER_SIZE + FRONT_MAX_FIXED + f->max_data;
	if (max_reply < FRONT_HEADER_SIZE + front_max_region_info(f))
		max_reply = (uint32_t)FRONT_HEADER_SIZE + front_max_region_info(f);
	f->out_size = 2 * (size_t)max_reply > MIN_OUTPUT ? 2 * (size_t)max_reply : MIN_OUTPUT;
	f->in = malloc(f->in_size);
	f->out = malloc(f->out_size);
	return f->in != NULL && f->out != NULL ? 0 : -ENOMEM;
}

struct front *
front_create(const struct front_opts *opts)
{
	struct front *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->max_data = clamp_u32(opts->max_data, MIN_DATA, MAX_DATA);
	f->reply_ms = clamp_u32(opts->reply_ms, 1, INT32_MAX);
	f->hello_ms = opts->now_ms != 0 ? opts->now_ms + f->reply_ms : 0;
	f->max_dma_maps = clamp_u32(opts->max_dma_maps, 1, VFIO_USER_DEFAULT_MAX_DMA_MAPS);
	f->pgsizes = opts->pgsizes & ~(uint64_t)(VFIO_USER_DEFAULT_PGSIZES - 1);
	if (f->pgsizes == 0)
		f->pgsizes = VFIO_USER_DEFAULT_PGSIZES;
	f->migration_pgsize = opts->migration_pgsize;
	if (f->migration_pgsize % VFIO_USER_DEFAULT_PGSIZES != 0)
		f->migration_pgsize = VFIO_USER_DEFAULT_PGSIZES;
	f->out_fd = -1;
	if (copy_shape(f, opts->shape) != 0 || create_buffers(f) != 0) {
		front_destroy(f);
		return NULL;
	}
	return f;
}

void
front_destroy(struct front *f)
{
	if (f == NULL)
		return;
	free(f->areas);
	free(f->in);
	free(f->out);
	free(f);
}

static struct front_slot *
next_slot(struct front *f, uint64_t *left)
{
	struct front_slot *slot;

	if (*left == 0)
		return NULL;
	slot = &f->slots[__builtin_ctzll(*left)];
	*left &= *left - 1;
	return slot;
}

static bool
id_is_in_use(struct front *f, uint16_t id)
{
	uint64_t left = f->used;
	struct front_slot *slot;

	while ((slot = next_slot(f, &left)) != NULL) {
		if (slot->owed && slot->header.msg_id == id)
			return true;
	}
	return false;
}

static int
fail_message(struct front *f, const struct front_message *m, const char *what)
{
	return front_fail(f, -EPROTO, "message 0x%04x (%s): %s", m->header.msg_id,
		vuc_wire_command_name(m->header.cmd), what);
}

/* Check for violations that cannot be answered. Returns 0 or -EPROTO. */
static int
check_message(struct front *f, const struct front_message *m)
{
	const struct vuc_wire_command *row = vuc_wire_command(m->header.cmd);
	bool owed = (m->header.flags & VFIO_USER_F_NO_REPLY) == 0;

	if ((m->header.flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_COMMAND)
		return fail_message(f, m, "not a command");
	if (!f->negotiated && m->header.cmd != VFIO_USER_VERSION)
		return fail_message(f, m, "a command before VFIO_USER_VERSION");
	if (!owed && row != NULL && !row->no_reply)
		return fail_message(f, m, "a command without its reply is of no use");
	if (owed && id_is_in_use(f, m->header.msg_id))
		return fail_message(f, m, "an earlier command has this message id");
	return 0;
}

/* Whether a request may be carried out while others are outstanding. */
static bool
may_pass(const struct front *f, enum front_kind kind)
{
	if (f->used == 0)
		return true;
	return kind == f->kind &&
		(kind == FRONT_ACCESS || kind == FRONT_DMA_MAP || kind == FRONT_DMA_UNMAP);
}

static void
fill_slot(struct front *f, const struct front_message *m, struct front_request *r,
	uint32_t fixed_len, uint32_t body_len)
{
	unsigned int index = (unsigned int)__builtin_ctzll(~f->used);
	struct front_slot *slot = &f->slots[index];

	r->token = ++f->nr_tokens * FRONT_MAX_REQUESTS + index;
	*slot = (struct front_slot){
		.header = m->header,
		.token = r->token,
		.owed = r->owed,
		.fixed_len = fixed_len,
		.body_len = body_len,
		.due_ms = front_head_due_ms(f, m),
	};
	if (fixed_len > 0)
		memcpy(slot->fixed, m->body, fixed_len);
	if (slot->owed)
		f->out_kept += FRONT_HEADER_SIZE + body_len;
	f->used |= UINT64_C(1) << index;
	f->kind = r->kind;
}

/* Most bytes that the reply to a request can have behind its header. */
static uint32_t
max_body_len(const struct front *f, const struct front_request *r, uint32_t body_len)
{
	switch (r->kind) {
	case FRONT_REGION_FD:
		return front_region_info_len(f, r->region, true);
	case FRONT_FEATURE:
		return body_len + r->feature.data_len;
	case FRONT_MIGRATION_READ:
		return body_len + r->migration.size;
	default:
		return body_len;
	}
}

/* Returns whether the request can be handed out now. */
static bool
hand_out(struct front *f, const struct front_message *m, struct front_request *r)
{
	uint32_t fixed_len, body_len;

	front_reply_shape(f, m, &fixed_len, &body_len);
	body_len = max_body_len(f, r, body_len);
	r->owed = (m->header.flags & VFIO_USER_F_NO_REPLY) == 0;
	if (!may_pass(f, r->kind) || ~f->used == 0 || (r->owed && !front_has_room(f, body_len)) ||
		(r->kind == FRONT_REGION_FD && f->out_fd != -1))
		return false;
	fill_slot(f, m, r, fixed_len, body_len);
	front_consume(f, m);
	r->fds = f->taken;
	r->nr_fds = m->nr_fds;
	return true;
}

static bool
has_room_to_refuse(const struct front *f, const struct front_message *m)
{
	uint32_t fixed_len, body_len;

	front_reply_shape(f, m, &fixed_len, &body_len);
	return front_has_room(f, body_len);
}

static int
negotiate(struct front *f, const struct front_message *m)
{
	struct vuc_error err;
	int rc = front_answer_version(f, m, &err);

	if (rc != 0)
		return front_fail(f, rc, "%s", err.text);
	front_consume(f, m);
	front_drop_fds(f, f->taken, m->nr_fds);
	return 0;
}

enum step {
	STEP_DONE, /* answered here */
	STEP_WAIT,
	STEP_REQUEST,
};

/* Returns an enum step or -EPROTO. */
static int
handle_message(struct front *f, const struct front_message *m, struct front_request *r)
{
	int rc = check_message(f, m);
	int status = 0;

	if (rc != 0)
		return rc;
	if (!f->negotiated)
		return negotiate(f, m);
	switch (front_decode(f, m, r, &status)) {
	case FRONT_FORWARD:
		return hand_out(f, m, r) ? STEP_REQUEST : STEP_WAIT;
	case FRONT_ANSWER:
		if (!has_room_to_refuse(f, m))
			return STEP_WAIT;
		front_answer_info(f, m);
		break;
	case FRONT_REFUSE:
		if (!has_room_to_refuse(f, m))
			return STEP_WAIT;
		front_put_refusal(f, m, status);
		break;
	}
	front_consume(f, m);
	front_drop_fds(f, f->taken, m->nr_fds);
	return STEP_DONE;
}

int
front_next(struct front *f, struct front_request *r)
{
	struct front_message m;

	while (!f->ended && front_head_message(f, &m)) {
		int rc = handle_message(f, &m, r);

		if (rc < 0)
			return rc;
		if (rc != STEP_DONE)
			return rc == STEP_REQUEST;
	}
	return f->ended ? f->error : 0;
}

uint32_t
front_max_data(const struct front *f)
{
	return f->max_data;
}

unsigned int
front_outstanding(const struct front *f)
{
	return (unsigned int)__builtin_popcountll(f->used);
}

/* End a request. Returns NULL if it has been answered before. */
static struct front_slot *
end_request(struct front *f, unsigned int token)
{
	unsigned int index = token % FRONT_MAX_REQUESTS;
	struct front_slot *slot = &f->slots[index];

	if ((f->used >> index & 1) == 0 || slot->token != token)
		return NULL;
	f->used &= ~(UINT64_C(1) << index);
	if (slot->owed)
		f->out_kept -= FRONT_HEADER_SIZE + slot->body_len;
	return slot;
}

/* Only reads have errors with data. */
static uint32_t
error_len(const struct front_slot *slot)
{
	return slot->header.cmd == VFIO_USER_REGION_READ ? slot->body_len : slot->fixed_len;
}

static void
put_answer(struct front *f, const struct front_slot *slot, int status, const void *data)
{
	const struct front_body body = {
		.fixed = slot->fixed,
		.fixed_len = slot->fixed_len,
		.data = status == 0 ? data : NULL,
		.body_len = status == 0 ? slot->body_len : error_len(slot),
		.fill = status == 0 ? 0 : 0xff,
	};

	if (slot->owed)
		front_put_reply(f, &slot->header, status, &body);
}

void
front_reply_read(struct front *f, unsigned int token, int status, const void *data)
{
	struct front_slot *slot = end_request(f, token);

	if (slot != NULL)
		put_answer(f, slot, status, data);
}

void
front_reply(struct front *f, unsigned int token, int status)
{
	front_reply_read(f, token, status, NULL);
}

void
front_reply_fd(struct front *f, unsigned int token, int status, int fd)
{
	struct front_slot *slot = end_request(f, token);
	struct vfio_user_region_info ask;

	if (slot == NULL || status != 0) {
		if (fd >= 0)
			front_drop_fd(f, fd);
		fd = -1;
	}
	if (slot == NULL)
		return;
	memcpy(&ask, slot->fixed, sizeof(ask));
	if (fd >= 0) {
		f->out_fd = fd;
		f->out_fd_at = f->out_len;
	}
	front_put_region_info(f, &slot->header, &ask, fd >= 0);
}

/* What argsz says of data that was asked for is its size; that of a request which sets something or
 * asks whether there is something is repeated. */
static void
count_data(struct front_slot *slot, uint32_t len)
{
	struct vfio_user_device_feature feature;
	const struct vfio_user_mig_data data = {.argsz = sizeof(data) + len, .size = len};

	memcpy(&feature, slot->fixed, sizeof(feature));
	if (slot->header.cmd == VFIO_USER_MIG_DATA_READ) {
		memcpy(slot->fixed, &data, sizeof(data));
	} else if ((feature.flags & VFIO_DEVICE_FEATURE_PROBE) == 0 &&
		(feature.flags & VFIO_DEVICE_FEATURE_GET) != 0) {
		feature.argsz = (uint32_t)sizeof(feature) + len;
		memcpy(slot->fixed, &feature, sizeof(feature));
	}
}

void
front_reply_data(struct front *f, unsigned int token, int status, const void *data, uint32_t len)
{
	struct front_slot *slot = end_request(f, token);

	if (slot == NULL)
		return;
	if (status == 0) {
		assert(len <= slot->body_len - slot->fixed_len);
		count_data(slot, len);
		slot->body_len = slot->fixed_len + len;
	}
	put_answer(f, slot, status, data);
}

uint64_t
front_deadline_ms(const struct front *f)
{
	uint64_t earliest = f->stall_ms != 0 ? f->stall_ms : UINT64_MAX;
	uint64_t left = f->used;
	struct front_message m;

	if (f->hello_ms != 0 && f->hello_ms < earliest)
		earliest = f->hello_ms;
	while (left != 0) {
		const struct front_slot *slot = &f->slots[__builtin_ctzll(left)];

		left &= left - 1;
		if (slot->due_ms < earliest)
			earliest = slot->due_ms;
	}
	if (!f->ended && !f->no_room && front_head_message(f, &m) &&
		front_head_due_ms(f, &m) < earliest)
		earliest = front_head_due_ms(f, &m);
	return earliest != UINT64_MAX ? earliest : 0;
}

/* Returns 0, or ends the connection if an answer would come so late that the client may take it for
 * the answer to another request. */
static int
check_lateness(struct front *f, const struct vfio_user_header *h, uint64_t due_ms, uint64_t now_ms)
{
	if (now_ms < due_ms + f->reply_ms / 4)
		return 0;
	return front_fail(f, -ETIMEDOUT,
		"message 0x%04x (%s): not answered for %llu ms, the process did not run", h->msg_id,
		vuc_wire_command_name(h->cmd), (unsigned long long)(now_ms - due_ms + f->reply_ms));
}

static int
expire_requests(struct front *f, uint64_t now_ms)
{
	uint64_t left = f->used;
	struct front_slot *slot;

	while ((slot = next_slot(f, &left)) != NULL) {
		if (now_ms < slot->due_ms)
			continue;
		if (slot->owed && check_lateness(f, &slot->header, slot->due_ms, now_ms) != 0)
			return f->error;
		end_request(f, slot->token);
		put_answer(f, slot, -ETIMEDOUT, NULL);
	}
	return 0;
}

/* Refuse messages that have not been returned as requests in time. */
static int
expire_waiting(struct front *f, uint64_t now_ms)
{
	struct front_message m;

	while (front_head_message(f, &m)) {
		uint64_t due_ms = front_head_due_ms(f, &m);

		if (now_ms < due_ms)
			return 0;
		if (check_message(f, &m) != 0)
			return f->error;
		if ((m.header.flags & VFIO_USER_F_NO_REPLY) == 0 &&
			check_lateness(f, &m.header, due_ms, now_ms) != 0)
			return f->error;
		if (!has_room_to_refuse(f, &m)) {
			f->no_room = true;
			return 0;
		}
		front_put_refusal(f, &m, -ETIMEDOUT);
		front_consume(f, &m);
		front_drop_fds(f, f->taken, m.nr_fds);
	}
	return 0;
}

int
front_expire(struct front *f, uint64_t now_ms)
{
	if (f->ended)
		return f->error;
	if (f->hello_ms != 0 && now_ms >= f->hello_ms)
		return front_fail(f, -ETIMEDOUT, "no %s within %u ms",
			vuc_wire_command_name(VFIO_USER_VERSION), f->reply_ms);
	if (f->stall_ms != 0 && now_ms >= f->stall_ms)
		return front_fail(f, -ETIMEDOUT, "the client has not taken its replies for %u ms",
			f->reply_ms);
	if (expire_requests(f, now_ms) != 0)
		return f->error;
	return expire_waiting(f, now_ms);
}
