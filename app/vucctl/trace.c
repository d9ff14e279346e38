/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "trace_body.h"
#include "vfio_user.h"

void
vucctl_trace_start(struct vucctl_trace *trace, FILE *out)
{
	*trace = (struct vucctl_trace){.out = out, .start_ns = vuc_clock_ns()};
}

void
vucctl_trace_message(void *arg, const struct vuc_trace_message *message)
{
	const struct vucctl_trace *trace = arg;
	uint64_t ns = vuc_clock_ns() - trace->start_ns;

	fprintf(trace->out, "%5" PRIu64 ".%06" PRIu64 " ", ns / 1000000000, ns / 1000 % 1000000);
	vucctl_trace_line_print(trace->out, message);
}

/* Messages of the socket for the server's commands have a double line. */
static const char *
direction_arrow(const struct vuc_trace_message *message)
{
	if (message->twin)
		return message->sent ? "=>" : "<=";
	return message->sent ? "->" : "<-";
}

static const char *
type_name(uint32_t flags)
{
	switch (flags & VFIO_USER_F_TYPE_MASK) {
	case VFIO_USER_F_TYPE_COMMAND:
		return "command";
	case VFIO_USER_F_TYPE_REPLY:
		return "reply";
	default:
		return "unknown";
	}
}

static void
print_header(FILE *out, const struct vfio_user_header *header, unsigned int nr_fds)
{
	const char *name = vucctl_trace_command_name(header->cmd);

	fprintf(out, "#%-5u ", header->msg_id);
	if (name != NULL)
		fprintf(out, "%-24s", name);
	else
		fprintf(out, "COMMAND_%-16u", header->cmd);
	fprintf(out, " %-7s %6" PRIu32 " bytes", type_name(header->flags), header->msg_size);
	if (nr_fds > 0)
		fprintf(out, " %u fd%s", nr_fds, nr_fds == 1 ? "" : "s");
	if (header->flags & VFIO_USER_F_NO_REPLY)
		fputs(" no_reply", out);
	if (header->flags & VFIO_USER_F_ERROR)
		fprintf(out, " error %" PRIu32, header->error_no);
	if (header->flags & ~VFIO_USER_F_KNOWN)
		fprintf(out, " flags 0x%" PRIx32, header->flags & ~VFIO_USER_F_KNOWN);
}

/* An error's number means something only where it is one of this system's. */
static void
print_error(FILE *out, const struct vfio_user_header *header)
{
	if (header->error_no > 0 && header->error_no < 4096)
		fprintf(out, " (%s)", strerror((int)header->error_no));
}

void
vucctl_trace_line_print(FILE *out, const struct vuc_trace_message *message)
{
	struct vfio_user_header header;

	fprintf(out, "%s ", direction_arrow(message));
	if (message->len < sizeof(header)) {
		fprintf(out, "%zu bytes: too short for a header\n", message->len);
		return;
	}
	memcpy(&header, message->bytes, sizeof(header));
	print_header(out, &header, message->nr_fds);
	if (header.flags & VFIO_USER_F_ERROR)
		print_error(out, &header);
	else
		vucctl_trace_body_print(out, &header, message->bytes + sizeof(header),
			message->len - sizeof(header));
	putc('\n', out);
}
