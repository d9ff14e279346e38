/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "fds.h"
#include "number.h"
#include "refdev.h"
#include "vfio_user.h"

enum kind_id {
	CLOSE_ON_ACCEPT, /* the only one that concerns clients, not replies */
	/* What becomes of a reply on its way: its plan ... */
	DELAY,
	REORDER,
	DROP,
	NEVER,
	CLOSE,
	DUPLICATE,
	TRUNCATE,
	SPLIT,
	EXTRA_FDS,
	/* ... and what of its bytes. */
	WRONG_ID,
	WRONG_SIZE,
	WRONG_TYPE,
	WRONG_CMD,
	ERROR,
	LENGTH,
	WRONG_COUNT,
	ARGSZ,
	FD_INDEX,
	CAP_LOOP,
	WRONG_VERSION,
	BAD_JSON,
};

enum value {
	NO_VALUE,
	NUMBER,  /* required, within min ... max */
	TEXT,    /* required, at most max bytes */
	VERSION, /* "major" or "minor", optional */
};

struct refdev_fault_kind {
	const char *name;
	enum kind_id id;
	uint32_t commands; /* a bit for each command that it means something for; 0: all */
	enum value value;
	uint64_t min;
	uint64_t max;
};

#define MAX_DELAY_MS  3600000u
#define MAX_JSON      4096u
#define MAX_EXTRA_FDS 250u
#define MAX_LENGTH    8192u

#define ON(cmd) (1u << VFIO_USER_##cmd)

#define ON_ARGSZ                                                                              \
	(ON(DMA_UNMAP) | ON(DEVICE_GET_INFO) | ON(DEVICE_GET_REGION_INFO) |                   \
		ON(DEVICE_GET_IRQ_INFO) | ON(DEVICE_GET_REGION_IO_FDS) | ON(DEVICE_FEATURE) | \
		ON(MIG_DATA_READ))
#define ON_COUNT                                                             \
	(ON(REGION_READ) | ON(REGION_WRITE) | ON(DMA_READ) | ON(DMA_WRITE) | \
		ON(REGION_WRITE_MULTI) | ON(MIG_DATA_READ))

/* The device's own commands, which may have a socket of their own, where replies don't pass. */
#define ON_OWN (ON(DMA_READ) | ON(DMA_WRITE))

/* clang-format off */
static const struct refdev_fault_kind kinds[] = {
	{"delay", DELAY, 0, NUMBER, .max = MAX_DELAY_MS},
	{"reorder", REORDER, ~ON_OWN, NUMBER, .min = 1, .max = MAX_DELAY_MS},
	{"drop", DROP},
	{"duplicate", DUPLICATE},
	{"truncate", TRUNCATE, 0, NUMBER, .max = UINT32_MAX},
	{"split", SPLIT},
	{"wrong-id", WRONG_ID},
	{"wrong-size", WRONG_SIZE, 0, NUMBER, .max = UINT32_MAX},
	{"length", LENGTH, 0, NUMBER, .min = sizeof(struct vfio_user_header), .max = MAX_LENGTH},
	{"fd-index", FD_INDEX, ON(DEVICE_GET_REGION_IO_FDS), NUMBER, .max = UINT32_MAX},
	{"wrong-count", WRONG_COUNT, ON_COUNT},
	{"wrong-type", WRONG_TYPE},
	{"wrong-cmd", WRONG_CMD},
	{"wrong-version", WRONG_VERSION, ON(VERSION), VERSION},
	{"bad-json", BAD_JSON, ON(VERSION), TEXT, .max = MAX_JSON},
	{"extra-fds", EXTRA_FDS, 0, NUMBER, .min = 1, .max = MAX_EXTRA_FDS},
	{"argsz", ARGSZ, ON_ARGSZ, NUMBER, .max = UINT32_MAX},
	{"cap-loop", CAP_LOOP, ON(DEVICE_GET_REGION_INFO)},
	{"error", ERROR, 0, NUMBER, .max = UINT32_MAX},
	{"close", CLOSE},
	{"never", NEVER},
	{"close-on-accept", CLOSE_ON_ACCEPT},
};
/* clang-format on */

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *
refdev_fault_kind_name(size_t index)
{
	return index < NR_KINDS ? kinds[index].name : NULL;
}

static void
apply_to_plan(const struct refdev_fault *fault, struct refdev_plan *plan)
{
	switch (fault->kind->id) {
	case DELAY:
		plan->delay_ms += fault->number;
		break;
	case REORDER:
		plan->reorder_ms = fault->number;
		break;
	case DROP:
		plan->drop = true;
		break;
	case NEVER:
		plan->mute = true;
		break;
	case CLOSE:
		plan->hang_up = true;
		break;
	case DUPLICATE:
		plan->repeats++;
		break;
	case TRUNCATE:
		plan->limited = true;
		plan->limit = (size_t)fault->number;
		break;
	case SPLIT:
		plan->split = true;
		break;
	default:
		plan->extra_fds = (unsigned int)fault->number;
		break;
	}
}

/* Cut a reply, or fill it up with zeros. */
static void
set_length(struct vuc_loopback_msg *reply, struct vfio_user_header *header, size_t len)
{
	if (len > reply->size)
		return;
	if (len > reply->len)
		memset(reply->bytes + reply->len, 0, len - reply->len);
	reply->len = len;
	header->msg_size = (uint32_t)len;
}

/* Where a reply has its body, a field of it, and that of the first sub-region. */
#define BODY           sizeof(struct vfio_user_header)
#define AT(type, name) (BODY + offsetof(struct vfio_user_##type, name))
#define FD_INDEX_AT    (sizeof(struct vfio_user_region_io_fds) + AT(sub_region_ioeventfd, fd_index))

/* Where a reply to a command has its count, or the low half of it. */
static size_t
count_offset(uint16_t cmd)
{
	switch (cmd) {
	case VFIO_USER_DMA_READ:
	case VFIO_USER_DMA_WRITE:
		return AT(dma_region_access, count);
	case VFIO_USER_REGION_WRITE_MULTI:
		return AT(write_multi, wr_cnt);
	case VFIO_USER_MIG_DATA_READ:
		return AT(mig_data, size);
	default:
		return AT(region_access, count);
	}
}

/* Change the 32 bits at an offset, where a reply has so many; add to what is there, or not. */
static void
set_u32(struct vuc_loopback_msg *reply, size_t at, uint64_t value, bool add)
{
	uint32_t old;

	if (reply->len < at + sizeof(old))
		return;
	memcpy(&old, reply->bytes + at, sizeof(old));
	value += add ? old : 0;
	memcpy(reply->bytes + at, &(uint32_t){(uint32_t)value}, sizeof(old));
}

/* The first capability of a region names itself as the next. */
static void
loop_capability(struct vuc_loopback_msg *reply)
{
	struct vfio_user_region_info info;

	if (reply->len < BODY + sizeof(info))
		return;
	memcpy(&info, reply->bytes + BODY, sizeof(info));
	if (info.cap_offset >= sizeof(info))
		set_u32(reply, info.cap_offset + AT(cap_header, next), info.cap_offset, false);
}

/* No client can have proposed less than the highest minor there is, but for that one itself. */
static void
set_version(struct vuc_loopback_msg *reply, bool minor)
{
	if (minor)
		set_u32(reply, AT(version, major), 0xffff0000u, false);
	else
		set_u32(reply, AT(version, major), 1, true);
}

static void
set_json(struct vuc_loopback_msg *reply, struct vfio_user_header *header, const char *text)
{
	size_t at = AT(version, data);
	size_t len = strlen(text) + 1;

	if (reply->len < at || reply->size < at + len)
		return;
	set_length(reply, header, at + len);
	memcpy(reply->bytes + at, text, len);
}

/* Every reply that has an argsz begins with it. */
static void
apply_to_bytes(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;

	memcpy(&header, reply->bytes, sizeof(header));
	switch (fault->kind->id) {
	case WRONG_ID:
		header.msg_id ^= 0xffff;
		break;
	case WRONG_SIZE:
		header.msg_size = (uint32_t)fault->number;
		break;
	case WRONG_TYPE:
		header.flags &= ~VFIO_USER_F_TYPE_MASK;
		break;
	case WRONG_CMD:
		header.cmd = header.cmd == VFIO_USER_REGION_READ ? VFIO_USER_REGION_WRITE
								 : VFIO_USER_REGION_READ;
		break;
	case ERROR:
		vuc_fds_close(reply->fds, reply->nr_fds);
		reply->nr_fds = 0;
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = (uint32_t)fault->number;
		set_length(reply, &header, sizeof(header));
		break;
	case LENGTH:
		set_length(reply, &header, (size_t)fault->number);
		break;
	case WRONG_COUNT:
		set_u32(reply, count_offset(header.cmd), 1, true);
		break;
	case ARGSZ:
		set_u32(reply, BODY, fault->number, false);
		break;
	case FD_INDEX:
		set_u32(reply, FD_INDEX_AT, fault->number, false);
		break;
	case CAP_LOOP:
		loop_capability(reply);
		break;
	case WRONG_VERSION:
		set_version(reply, fault->number == 1);
		break;
	default:
		set_json(reply, &header, fault->text);
		break;
	}
	memcpy(reply->bytes, &header, sizeof(header));
}

/* What the device itself commands is spoiled by its name only. */
static bool
fault_matches(const struct refdev_fault *fault, uint16_t cmd)
{
	uint32_t bit = cmd < VFIO_USER_MAX ? 1u << cmd : 0;

	if (fault->kind->id == CLOSE_ON_ACCEPT)
		return false;
	if (fault->command != 0)
		return fault->command == cmd;
	return (bit & ON_OWN) == 0 &&
		(fault->kind->commands == 0 || (fault->kind->commands & bit) != 0);
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
	struct vfio_user_header header;

	memcpy(&header, reply->bytes, sizeof(header));
	for (unsigned int i = 0; i < faults->nr; i++) {
		const struct refdev_fault *fault = &faults->list[i];

		if (!fault_matches(fault, header.cmd) || !is_turn(fault, &seen[i]))
			continue;
		if (fault->kind->id < WRONG_ID)
			apply_to_plan(fault, plan);
		else
			apply_to_bytes(fault, reply);
	}
}

bool
refdev_faults_refuse(const struct refdev_faults *faults, uint64_t *seen)
{
	bool refuse = false;

	for (unsigned int i = 0; i < faults->nr; i++)
		if (faults->list[i].kind->id == CLOSE_ON_ACCEPT &&
			is_turn(&faults->list[i], &seen[i]))
			refuse = true;
	return refuse;
}

/* ---- Reading a SPEC ---- */

struct why {
	char *text;
	size_t size;
};

static int spec_refuse(const struct why *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int
spec_refuse(const struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool
is_number(const char *text)
{
	uint64_t number;

	return vuc_number_parse(text, 0, 0, UINT64_MAX, &number) == 0;
}

static bool
is_command(const char *text)
{
	return refdev_command_find(text) != 0;
}

/* Cut off what follows the last mark; NULL where there is none. Text may contain the marks itself:
 * what follows one there is a part of the text unless it reads as it should. */
static char *
cut_last(char *text, char mark, bool (*reads)(const char *))
{
	char *at = strrchr(text, mark);

	if (at == NULL || (reads != NULL && !reads(at + 1)))
		return NULL;
	*at = '\0';
	return at + 1;
}

static int
read_value(struct refdev_fault *fault, const char *value, const struct why *why)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (value == NULL && (kind->value == NUMBER || kind->value == TEXT))
		return spec_refuse(why, "%s requires a %s: %s=%s", kind->name,
			kind->value == NUMBER ? "number" : "text", kind->name,
			kind->value == NUMBER ? "N" : "TEXT");
	if (value == NULL)
		return 0;
	switch (kind->value) {
	case NUMBER:
		if (vuc_number_parse(value, 0, kind->min, kind->max, &fault->number) == 0)
			return 0;
		return spec_refuse(why, "%s takes a number from %llu to %llu, not '%s'", kind->name,
			(unsigned long long)kind->min, (unsigned long long)kind->max, value);
	case TEXT:
		if (strlen(value) > kind->max)
			return spec_refuse(why, "%s takes a text of at most %llu bytes, not %zu",
				kind->name, (unsigned long long)kind->max, strlen(value));
		fault->text = strdup(value);
		return fault->text != NULL ? 0 : -ENOMEM;
	case VERSION:
		fault->number = strcmp(value, "minor") == 0;
		if (fault->number == 1 || strcmp(value, "major") == 0)
			return 0;
		return spec_refuse(why, "%s takes major or minor, not '%s'", kind->name, value);
	default:
		return spec_refuse(why, "%s takes no value: '%s'", kind->name, value);
	}
}

static int
read_command(struct refdev_fault *fault, const char *command, const struct why *why)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (command == NULL)
		return 0;
	fault->command = refdev_command_find(command);
	if (fault->command == 0)
		return spec_refuse(why, "unknown command '%s'", command);
	if (kind->id == CLOSE_ON_ACCEPT ||
		(kind->commands != 0 && (kind->commands & 1u << fault->command) == 0))
		return spec_refuse(why, "%s does not apply to %s", kind->name, command);
	return 0;
}

/* spec is cut into its parts. */
static int
read_fault(char *spec, struct refdev_fault *fault, const struct why *why)
{
	char *value = strchr(spec, '=');
	char *rest = value != NULL ? value + 1 : spec;
	bool text = value != NULL && strncmp(spec, "bad-json=", 9) == 0;
	const char *nth = cut_last(rest, '#', text ? is_number : NULL);
	const char *command = cut_last(rest, '@', text ? is_command : NULL);
	int rc;

	if (value != NULL)
		*value = '\0';
	for (size_t i = 0; i < NR_KINDS; i++)
		if (strcmp(kinds[i].name, spec) == 0)
			fault->kind = &kinds[i];
	if (fault->kind == NULL)
		return spec_refuse(why, "unknown kind of fault '%s'", spec);
	rc = read_command(fault, command, why);
	if (rc != 0)
		return rc;
	if (nth != NULL && vuc_number_parse(nth, 0, 1, UINT64_MAX, &fault->nth) != 0)
		return spec_refuse(why, "'#' takes a number from 1, not '%s'", nth);
	return read_value(fault, value != NULL ? rest : NULL, why);
}

int
refdev_faults_add(struct refdev_faults *faults, const char *spec, char *why, size_t size)
{
	struct refdev_fault *list = realloc(faults->list, (faults->nr + 1) * sizeof(*list));
	char *copy = strdup(spec);
	int rc = -ENOMEM;

	if (list != NULL)
		faults->list = list;
	if (list != NULL && copy != NULL) {
		list[faults->nr] = (struct refdev_fault){0};
		rc = read_fault(copy, &list[faults->nr], &(struct why){why, size});
	}
	faults->nr += rc == 0;
	free(copy);
	return rc;
}

void
refdev_faults_free(struct refdev_faults *faults)
{
	for (unsigned int i = 0; i < faults->nr; i++)
		free(faults->list[i].text);
	free(faults->list);
	*faults = (struct refdev_faults){0};
}
