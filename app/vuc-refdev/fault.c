/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "vfio_user.h"

#define MAX_DELAY_MS  3600000u
#define MAX_JSON      4096u
#define MAX_EXTRA_FDS 250u
#define MAX_LENGTH    8192u

/* Where the body of a reply begins, and whether it is as long as one of a type. */
#define BODY                  sizeof(struct vfio_user_header)
#define HAS_BODY(reply, type) ((reply)->len >= BODY + sizeof(struct type))

static struct vfio_user_header
get_header(const struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;

	memcpy(&header, reply->bytes, sizeof(header));
	return header;
}

static void
put_header(struct vuc_loopback_msg *reply, const struct vfio_user_header *header)
{
	memcpy(reply->bytes, header, sizeof(*header));
}

static void
apply_delay(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)reply;
	plan->delay_ms += fault->number;
}

static void
apply_reorder(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)reply;
	plan->reorder_ms = fault->number;
}

static void
apply_drop(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)fault;
	(void)reply;
	plan->drop = true;
}

static void
apply_never(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)fault;
	(void)reply;
	plan->mute = true;
}

static void
apply_close(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)fault;
	(void)reply;
	plan->hang_up = true;
}

static void
apply_duplicate(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)fault;
	(void)reply;
	plan->repeats++;
}

static void
apply_truncate(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)reply;
	plan->limited = true;
	plan->limit = (size_t)fault->number;
}

static void
apply_split(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)fault;
	(void)reply;
	plan->split = true;
}

static void
apply_extra_fds(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	(void)reply;
	plan->extra_fds = (unsigned int)fault->number;
}

static void
apply_wrong_id(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);

	(void)fault;
	(void)plan;
	header.msg_id ^= 0xffff;
	put_header(reply, &header);
}

static void
apply_wrong_size(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);

	(void)plan;
	header.msg_size = (uint32_t)fault->number;
	put_header(reply, &header);
}

static void
apply_wrong_type(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);

	(void)fault;
	(void)plan;
	header.flags = (header.flags & ~VFIO_USER_F_TYPE_MASK) | VFIO_USER_F_TYPE_COMMAND;
	put_header(reply, &header);
}

static void
apply_wrong_cmd(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);

	(void)fault;
	(void)plan;
	header.cmd = header.cmd == VFIO_USER_REGION_READ ? VFIO_USER_REGION_WRITE
							 : VFIO_USER_REGION_READ;
	put_header(reply, &header);
}

static void
apply_error(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);

	(void)plan;
	while (reply->nr_fds > 0)
		close(reply->fds[--reply->nr_fds]);
	header.msg_size = sizeof(header);
	header.flags |= VFIO_USER_F_ERROR;
	header.error_no = (uint32_t)fault->number;
	put_header(reply, &header);
	reply->len = sizeof(header);
}

/* Where a body has its count, or the low half of it. */
static size_t
count_offset(uint16_t cmd)
{
	switch (cmd) {
	case VFIO_USER_DMA_READ:
	case VFIO_USER_DMA_WRITE:
		return offsetof(struct vfio_user_dma_region_access, count);
	case VFIO_USER_REGION_WRITE_MULTI:
		return offsetof(struct vfio_user_write_multi, wr_cnt);
	case VFIO_USER_MIG_DATA_READ:
		return offsetof(struct vfio_user_mig_data, size);
	default:
		return offsetof(struct vfio_user_region_access, count);
	}
}

static void
apply_wrong_count(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	size_t at = BODY + count_offset(get_header(reply).cmd);
	uint32_t count;

	(void)fault;
	(void)plan;
	if (reply->len < at + sizeof(count))
		return;
	memcpy(&count, reply->bytes + at, sizeof(count));
	count++;
	memcpy(reply->bytes + at, &count, sizeof(count));
}

/* Cut, or filled up with zeros, and the header says so. */
static void
apply_length(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_header header = get_header(reply);
	size_t len = (size_t)fault->number;

	(void)plan;
	if (len > reply->size)
		return;
	if (len > reply->len)
		memset(reply->bytes + reply->len, 0, len - reply->len);
	reply->len = len;
	header.msg_size = (uint32_t)len;
	put_header(reply, &header);
}

/* Of the first sub-region. */
static void
apply_fd_index(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	size_t at = BODY + sizeof(struct vfio_user_region_io_fds) +
		offsetof(struct vfio_user_sub_region_ioeventfd, fd_index);
	uint32_t index = (uint32_t)fault->number;

	(void)plan;
	if (reply->len >= at + sizeof(index))
		memcpy(reply->bytes + at, &index, sizeof(index));
}

/* Every reply that has an argsz begins with it. */
static void
apply_argsz(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	uint32_t argsz = (uint32_t)fault->number;

	(void)plan;
	if (reply->len >= BODY + sizeof(argsz))
		memcpy(reply->bytes + BODY, &argsz, sizeof(argsz));
}

/* No client can have proposed less than the highest minor there is, but for that one itself. */
static void
apply_wrong_version(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_version version;

	(void)plan;
	if (!HAS_BODY(reply, vfio_user_version))
		return;
	memcpy(&version, reply->bytes + BODY, sizeof(version));
	if (fault->number == 1)
		version.minor = UINT16_MAX;
	else
		version.major++;
	memcpy(reply->bytes + BODY, &version, sizeof(version));
}

static void
apply_bad_json(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	size_t text = strlen(fault->text) + 1;
	size_t at = BODY + sizeof(struct vfio_user_version);
	struct vfio_user_header header = get_header(reply);

	(void)plan;
	if (!HAS_BODY(reply, vfio_user_version) || reply->size < at + text)
		return;
	memcpy(reply->bytes + at, fault->text, text);
	reply->len = at + text;
	header.msg_size = (uint32_t)reply->len;
	put_header(reply, &header);
}

/* The first capability of a region names itself as the next. */
static void
apply_cap_loop(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	struct vfio_user_region_info info;
	struct vfio_user_cap_header cap;

	(void)fault;
	(void)plan;
	if (!HAS_BODY(reply, vfio_user_region_info))
		return;
	memcpy(&info, reply->bytes + BODY, sizeof(info));
	if (info.cap_offset < sizeof(info) ||
		reply->len < BODY + info.cap_offset + sizeof(struct vfio_user_cap_header))
		return;
	memcpy(&cap, reply->bytes + BODY + info.cap_offset, sizeof(cap));
	cap.next = info.cap_offset;
	memcpy(reply->bytes + BODY + info.cap_offset, &cap, sizeof(cap));
}

#define ON(cmd) (1u << (cmd))

#define ON_ARGSZ                                                                           \
	(ON(VFIO_USER_DMA_UNMAP) | ON(VFIO_USER_DEVICE_GET_INFO) |                         \
		ON(VFIO_USER_DEVICE_GET_REGION_INFO) | ON(VFIO_USER_DEVICE_GET_IRQ_INFO) | \
		ON(VFIO_USER_DEVICE_GET_REGION_IO_FDS) | ON(VFIO_USER_DEVICE_FEATURE) |    \
		ON(VFIO_USER_MIG_DATA_READ))

#define ON_COUNT                                                                           \
	(ON(VFIO_USER_REGION_READ) | ON(VFIO_USER_REGION_WRITE) | ON(VFIO_USER_DMA_READ) | \
		ON(VFIO_USER_DMA_WRITE) | ON(VFIO_USER_REGION_WRITE_MULTI) |               \
		ON(VFIO_USER_MIG_DATA_READ))

/* The device's own commands may have a socket of their own, where replies don't pass. */
#define ON_REPLIES (~(ON(VFIO_USER_DMA_READ) | ON(VFIO_USER_DMA_WRITE)))

static const struct refdev_fault_kind kinds[] = {
	{"delay", REFDEV_FAULT_NUMBER, .max = MAX_DELAY_MS, .apply = apply_delay},
	{"reorder", REFDEV_FAULT_NUMBER, .min = 1, .max = MAX_DELAY_MS, .commands = ON_REPLIES,
		.apply = apply_reorder},
	{"drop", .apply = apply_drop},
	{"duplicate", .apply = apply_duplicate},
	{"truncate", REFDEV_FAULT_NUMBER, .max = UINT32_MAX, .apply = apply_truncate},
	{"split", .apply = apply_split},
	{"wrong-id", .apply = apply_wrong_id},
	{"wrong-size", REFDEV_FAULT_NUMBER, .max = UINT32_MAX, .apply = apply_wrong_size},
	{"length", REFDEV_FAULT_NUMBER, .min = sizeof(struct vfio_user_header), .max = MAX_LENGTH,
		.apply = apply_length},
	{"fd-index", REFDEV_FAULT_NUMBER, .max = UINT32_MAX,
		.commands = ON(VFIO_USER_DEVICE_GET_REGION_IO_FDS), .apply = apply_fd_index},
	{"wrong-count", .commands = ON_COUNT, .apply = apply_wrong_count},
	{"wrong-type", .apply = apply_wrong_type},
	{"wrong-cmd", .apply = apply_wrong_cmd},
	{"wrong-version", REFDEV_FAULT_VERSION, .commands = ON(VFIO_USER_VERSION),
		.apply = apply_wrong_version},
	{"bad-json", REFDEV_FAULT_TEXT, .max = MAX_JSON, .commands = ON(VFIO_USER_VERSION),
		.apply = apply_bad_json},
	{"extra-fds", REFDEV_FAULT_NUMBER, .min = 1, .max = MAX_EXTRA_FDS,
		.apply = apply_extra_fds},
	{"argsz", REFDEV_FAULT_NUMBER, .max = UINT32_MAX, .commands = ON_ARGSZ,
		.apply = apply_argsz},
	{"cap-loop", .commands = ON(VFIO_USER_DEVICE_GET_REGION_INFO), .apply = apply_cap_loop},
	{"error", REFDEV_FAULT_NUMBER, .max = UINT32_MAX, .apply = apply_error},
	{"close", .apply = apply_close},
	{"never", .apply = apply_never},
	{"close-on-accept", .on_accept = true},
};

const struct refdev_fault_kind *
refdev_fault_kind_get(size_t index)
{
	return index < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[index] : NULL;
}

const struct refdev_fault_kind *
refdev_fault_kind_find(const char *name)
{
	const struct refdev_fault_kind *kind;
	size_t i = 0;

	while ((kind = refdev_fault_kind_get(i++)) != NULL)
		if (strcmp(kind->name, name) == 0)
			break;
	return kind;
}

/* What the device itself commands is spoiled by its name only. */
static bool
fault_matches(const struct refdev_fault *fault, uint16_t cmd)
{
	if (fault->kind->on_accept)
		return false;
	if (fault->command != 0)
		return fault->command == cmd;
	if (cmd == VFIO_USER_DMA_READ || cmd == VFIO_USER_DMA_WRITE)
		return false;
	return fault->kind->commands == 0 ||
		(cmd < VFIO_USER_MAX && (fault->kind->commands & ON(cmd)) != 0);
}

static bool
is_turn(const struct refdev_fault *fault, uint64_t *seen)
{
	(*seen)++;
	return fault->nth == 0 || fault->nth == *seen;
}

void
refdev_faults_apply(const struct refdev_faults *faults, uint64_t *seen,
	struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	uint16_t cmd = get_header(reply).cmd;

	for (unsigned int i = 0; i < faults->nr; i++) {
		const struct refdev_fault *fault = &faults->list[i];

		if (fault_matches(fault, cmd) && is_turn(fault, &seen[i]))
			fault->kind->apply(fault, reply, plan);
	}
}

bool
refdev_faults_refuse(const struct refdev_faults *faults, uint64_t *seen)
{
	bool refuse = false;

	for (unsigned int i = 0; i < faults->nr; i++)
		if (faults->list[i].kind->on_accept && is_turn(&faults->list[i], &seen[i]))
			refuse = true;
	return refuse;
}
