/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fault.h"
#include "fds.h"
#include "number.h"
#include "refdev.h"
#include "vfio_user.h"

enum value {
	NO_VALUE,
	NUMBER,  /* required, within min ... max */
	TEXT,    /* required, at most max bytes */
	VERSION, /* "major" or "minor", optional */
};

/* A kind is a function, or changes one number: of a plan, or 32 bits of a reply. */
struct refdev_fault_kind {
	const char *name;
	enum {
		CLIENT, /* the only kind that is about clients, not replies */
		PLAN,
		REPLY,
	} what;
	size_t at; /* offset of the number, of which this remains: */
	uint64_t keep;
	uint64_t flip; /* bits that are inverted */
	uint64_t add;  /* what is added, beside the fault's own value */
	void (*apply)(const struct refdev_fault *fault, struct vuc_loopback_msg *reply);
	enum value value;
	uint64_t min;
	uint64_t max;
	uint32_t commands; /* a bit for each command that it is valid for; 0: all */
};

/* ---- What kinds do to the bytes of a reply ---- */

#define BODY           sizeof(struct vfio_user_header)
#define HEADER(name)   offsetof(struct vfio_user_header, name)
#define AT(type, name) (BODY + offsetof(struct vfio_user_##type, name))

static uint32_t
reply_get(const struct vuc_loopback_msg *reply, size_t at)
{
	uint32_t value = 0;

	if (reply->len >= at + sizeof(value))
		memcpy(&value, reply->bytes + at, sizeof(value));
	return value;
}

/* Replies that are too short stay as they are. */
static void
reply_set(struct vuc_loopback_msg *reply, size_t at, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	if (reply->len >= at + sizeof(low))
		memcpy(reply->bytes + at, &low, sizeof(low));
}

static uint16_t
reply_cmd(const struct vuc_loopback_msg *reply)
{
	return (uint16_t)(reply_get(reply, HEADER(msg_id)) >> 16);
}

/* Cut a reply, or fill it up with zeros. */
static void
reply_resize(struct vuc_loopback_msg *reply, size_t len)
{
	if (len > reply->size)
		return;
	if (len > reply->len)
		memset(reply->bytes + reply->len, 0, len - reply->len);
	reply->len = len;
	reply_set(reply, HEADER(msg_size), len);
}

static void
apply_length(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	reply_resize(reply, (size_t)fault->number);
}

static void
apply_error(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	vuc_fds_close(reply->fds, reply->nr_fds);
	reply->nr_fds = 0;
	reply_resize(reply, BODY);
	reply_set(reply, HEADER(flags), reply_get(reply, HEADER(flags)) | VFIO_USER_F_ERROR);
	reply_set(reply, HEADER(error_no), fault->number);
}

static void
apply_cmd(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	uint16_t cmd = reply_cmd(reply) == VFIO_USER_REGION_READ ? VFIO_USER_REGION_WRITE
								 : VFIO_USER_REGION_READ;

	(void)fault;
	memcpy(reply->bytes + HEADER(cmd), &cmd, sizeof(cmd));
}

/* The count, or the low half of it. */
static void
apply_count(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	static const size_t offsets[VFIO_USER_MAX] = {
		[VFIO_USER_REGION_READ] = AT(region_access, count),
		[VFIO_USER_REGION_WRITE] = AT(region_access, count),
		[VFIO_USER_REGION_WRITE_MULTI] = AT(write_multi, wr_cnt),
		[VFIO_USER_MIG_DATA_READ] = AT(mig_data, size),
		[VFIO_USER_DMA_READ] = AT(dma_region_access, count),
		[VFIO_USER_DMA_WRITE] = AT(dma_region_access, count),
	};
	size_t at = offsets[reply_cmd(reply)];

	(void)fault;
	reply_set(reply, at, (uint64_t)reply_get(reply, at) + 1);
}

/* The first capability of a region names itself as the next. */
static void
apply_cap_loop(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	uint32_t cap_offset = reply_get(reply, AT(region_info, cap_offset));

	(void)fault;
	if (cap_offset >= sizeof(struct vfio_user_region_info))
		reply_set(reply, cap_offset + AT(cap_header, next), cap_offset);
}

/* The highest possible minor version, which a client may have proposed, or another major. */
static void
apply_version(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	size_t at = AT(version, major);

	reply_set(reply, at, fault->number == 1 ? 0xffff0000u : reply_get(reply, at) + 1);
}

static void
apply_json(const struct refdev_fault *fault, struct vuc_loopback_msg *reply)
{
	size_t at = AT(version, data);
	size_t len = strlen(fault->text) + 1;

	if (reply->len < at || reply->size < at + len)
		return;
	reply_resize(reply, at + len);
	memcpy(reply->bytes + at, fault->text, len);
}

/* ---- The kinds ---- */

#define MAX_DELAY_MS  3600000u
#define MAX_JSON      4096u
#define MAX_EXTRA_FDS 250u
#define MAX_LENGTH    8192u

#define ON(cmd) (1u << VFIO_USER_##cmd)

/* Replies that begin with an argsz; that have a count. */
#define ON_ARGSZ                                                                              \
	(ON(DMA_UNMAP) | ON(DEVICE_GET_INFO) | ON(DEVICE_GET_REGION_INFO) |                   \
		ON(DEVICE_GET_IRQ_INFO) | ON(DEVICE_GET_REGION_IO_FDS) | ON(DEVICE_FEATURE) | \
		ON(MIG_DATA_READ))
#define ON_COUNT                                                             \
	(ON(REGION_READ) | ON(REGION_WRITE) | ON(DMA_READ) | ON(DMA_WRITE) | \
		ON(REGION_WRITE_MULTI) | ON(MIG_DATA_READ))

/* The device's own commands, which may have a socket of their own, where replies don't pass. */
#define ON_OWN (ON(DMA_READ) | ON(DMA_WRITE))

#define FD_INDEX_AT (sizeof(struct vfio_user_region_io_fds) + AT(sub_region_ioeventfd, fd_index))

#define IN_PLAN(field)        PLAN, offsetof(struct refdev_plan, field)
#define BY(function)          REPLY, .apply = function
#define TAKES(kind, from, to) .value = kind, .min = from, .max = to

#define ALL UINT64_MAX

/* clang-format off */
static const struct refdev_fault_kind kinds[] = {
	{"delay", IN_PLAN(delay_ms), .keep = ALL, TAKES(NUMBER, 0, MAX_DELAY_MS)},
	{"reorder", IN_PLAN(reorder_ms), TAKES(NUMBER, 1, MAX_DELAY_MS), .commands = ~ON_OWN},
	{"drop", IN_PLAN(drop), .add = 1},
	{"duplicate", IN_PLAN(repeats), .keep = ALL, .add = 1},
	{"truncate", IN_PLAN(limit), .add = 1, TAKES(NUMBER, 0, UINT32_MAX)},
	{"split", IN_PLAN(split), .add = 1},
	{"wrong-id", REPLY, HEADER(msg_id), .keep = ALL, .flip = 0xffff},
	{"wrong-size", REPLY, HEADER(msg_size), TAKES(NUMBER, 0, UINT32_MAX)},
	{"length", BY(apply_length), TAKES(NUMBER, BODY, MAX_LENGTH)},
	{"fd-index", REPLY, FD_INDEX_AT, TAKES(NUMBER, 0, UINT32_MAX),
		.commands = ON(DEVICE_GET_REGION_IO_FDS)},
	{"wrong-count", BY(apply_count), .commands = ON_COUNT},
	{"wrong-type", REPLY, HEADER(flags), .keep = ~(uint64_t)VFIO_USER_F_TYPE_MASK},
	{"wrong-cmd", BY(apply_cmd)},
	{"wrong-version", BY(apply_version), .value = VERSION, .commands = ON(VERSION)},
	{"bad-json", BY(apply_json), TAKES(TEXT, 0, MAX_JSON), .commands = ON(VERSION)},
	{"extra-fds", IN_PLAN(extra_fds), TAKES(NUMBER, 1, MAX_EXTRA_FDS)},
	{"argsz", REPLY, BODY, TAKES(NUMBER, 0, UINT32_MAX), .commands = ON_ARGSZ},
	{"cap-loop", BY(apply_cap_loop), .commands = ON(DEVICE_GET_REGION_INFO)},
	{"error", BY(apply_error), TAKES(NUMBER, 0, UINT32_MAX)},
	{"close", IN_PLAN(hang_up), .add = 1},
	{"never", IN_PLAN(mute), .add = 1},
	{"close-on-accept", CLIENT},
};
/* clang-format on */

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *
refdev_fault_kind_name(size_t index)
{
	return index < NR_KINDS ? kinds[index].name : NULL;
}

static uint64_t
number_change(const struct refdev_fault *fault, uint64_t old)
{
	return ((old & fault->kind->keep) ^ fault->kind->flip) + fault->kind->add + fault->number;
}

static void
fault_apply(
	const struct refdev_fault *fault, struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	const struct refdev_fault_kind *kind = fault->kind;
	uint64_t number;

	if (kind->apply != NULL) {
		kind->apply(fault, reply);
	} else if (kind->what == REPLY) {
		reply_set(reply, kind->at, number_change(fault, reply_get(reply, kind->at)));
	} else {
		memcpy(&number, (uint8_t *)plan + kind->at, sizeof(number));
		number = number_change(fault, number);
		memcpy((uint8_t *)plan + kind->at, &number, sizeof(number));
	}
}

/* Only what names them spoils the device's own commands. */
static bool
fault_matches(const struct refdev_fault *fault, uint16_t cmd)
{
	uint32_t bit = cmd < VFIO_USER_MAX ? 1u << cmd : 0;

	if (fault->kind->what == CLIENT)
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

/* What is sent is known by the command that it had before any fault. */
void
refdev_faults_apply(const struct refdev_faults *faults, uint64_t *seen,
	struct vuc_loopback_msg *reply, struct refdev_plan *plan)
{
	uint16_t cmd = reply_cmd(reply);

	for (unsigned int i = 0; i < faults->nr; i++)
		if (fault_matches(&faults->list[i], cmd) && is_turn(&faults->list[i], &seen[i]))
			fault_apply(&faults->list[i], reply, plan);
}

bool
refdev_faults_refuse(const struct refdev_faults *faults, uint64_t *seen)
{
	bool refuse = false;

	for (unsigned int i = 0; i < faults->nr; i++)
		if (faults->list[i].kind->what == CLIENT && is_turn(&faults->list[i], &seen[i]))
			refuse = true;
	return refuse;
}

/* ---- Reading a SPEC ---- */

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
read_value(struct refdev_fault *fault, const char *value, struct vuc_error *err)
{
	const struct refdev_fault_kind *kind = fault->kind;
	unsigned long long min = kind->min, max = kind->max;

	if (value == NULL && (kind->value == NUMBER || kind->value == TEXT))
		return vuc_error_set_utf8(err, -EINVAL, "%s requires a %s: %s=%s", kind->name,
			kind->value == NUMBER ? "number" : "text", kind->name,
			kind->value == NUMBER ? "N" : "TEXT");
	if (value == NULL)
		return 0;
	switch (kind->value) {
	case NUMBER:
		if (vuc_number_parse(value, 0, min, max, &fault->number) == 0)
			return 0;
		return vuc_error_set_utf8(err, -EINVAL,
			"%s requires a number from %llu to %llu, not '%s'", kind->name, min, max,
			value);
	case TEXT:
		if (strlen(value) > max)
			return vuc_error_set_utf8(err, -EINVAL,
				"%s takes a text of at most %llu bytes, not %zu", kind->name, max,
				strlen(value));
		fault->text = strdup(value);
		return fault->text != NULL ? 0 : -ENOMEM;
	case VERSION:
		fault->number = strcmp(value, "minor") == 0;
		if (fault->number == 1 || strcmp(value, "major") == 0)
			return 0;
		return vuc_error_set_utf8(
			err, -EINVAL, "%s takes major or minor, not '%s'", kind->name, value);
	default:
		return vuc_error_set_utf8(
			err, -EINVAL, "%s takes no value: '%s'", kind->name, value);
	}
}

static int
read_command(struct refdev_fault *fault, const char *command, struct vuc_error *err)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (command == NULL)
		return 0;
	fault->command = refdev_command_find(command);
	if (fault->command == 0)
		return vuc_error_set_utf8(err, -EINVAL, "unknown command '%s'", command);
	if (kind->what == CLIENT ||
		(kind->commands != 0 && (kind->commands & 1u << fault->command) == 0))
		return vuc_error_set_utf8(
			err, -EINVAL, "%s does not apply to %s", kind->name, command);
	return 0;
}

/* spec is cut into its parts. */
static int
read_fault(char *spec, struct refdev_fault *fault, struct vuc_error *err)
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
		return vuc_error_set_utf8(err, -EINVAL, "unknown kind of fault '%s'", spec);
	rc = read_command(fault, command, err);
	if (rc != 0)
		return rc;
	if (nth != NULL && vuc_number_parse(nth, 0, 1, UINT64_MAX, &fault->nth) != 0)
		return vuc_error_set_utf8(
			err, -EINVAL, "'#' requires a number from 1, not '%s'", nth);
	return read_value(fault, value != NULL ? rest : NULL, err);
}

int
refdev_faults_add(struct refdev_faults *faults, const char *spec, struct vuc_error *err)
{
	struct refdev_fault *list = realloc(faults->list, (faults->nr + 1) * sizeof(*list));
	char *copy = strdup(spec);
	int rc = -ENOMEM;

	if (list != NULL)
		faults->list = list;
	if (list != NULL && copy != NULL) {
		list[faults->nr] = (struct refdev_fault){0};
		rc = read_fault(copy, &list[faults->nr], err);
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
