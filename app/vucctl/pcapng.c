/* SPDX-License-Identifier: BSD-3-Clause */
#include "pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

/* Blocks and their options. */
#define BLOCK_SECTION    0x0a0d0d0au
#define BLOCK_INTERFACE  1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET     6u

#define OPTION_END         0u
#define OPTION_APPLICATION 4u /* of a section */
#define OPTION_NAME        2u /* of an interface, as are the next two */
#define OPTION_DESCRIPTION 3u
#define OPTION_RESOLUTION  9u
#define OPTION_FLAGS       2u /* of a packet, as is the next one */
#define OPTION_DROPCOUNT   4u
#define OPTION_RECEIVED    4u /* of statistics, as is the next one */
#define OPTION_DROPPED     5u

#define DIRECTION_IN  1u
#define DIRECTION_OUT 2u

/* What no registered format has a number for. */
#define LINKTYPE_USER10 157u

/* Goes before each message. */
struct pseudo_header {
	uint8_t version;
	uint8_t flags;
	uint16_t nr_fds;
	uint32_t connection;
	uint32_t dropped;
};

#define PSEUDO_VERSION 1u
#define PSEUDO_SENT    0x01u
#define PSEUDO_TWIN    0x02u

_Static_assert(sizeof(struct pseudo_header) == 12, "as it is documented");

/* ---- blocks ---- */

#define BLOCK_OVERHEAD 12u /* type, and the length before and behind */

static uint32_t
padded(size_t len)
{
	return (uint32_t)(len + 3) & ~3u;
}

static void
put_bytes(FILE *out, const void *bytes, size_t len)
{
	static const char zeros[3];

	fwrite(bytes, 1, len, out);
	fwrite(zeros, 1, padded(len) - len, out);
}

static void
put_u32(FILE *out, uint32_t value)
{
	fwrite(&value, sizeof(value), 1, out);
}

static void
put_option(FILE *out, uint16_t code, const void *value, size_t len)
{
	const uint16_t head[2] = {code, (uint16_t)len};

	fwrite(head, sizeof(head), 1, out);
	put_bytes(out, value, len);
}

static uint32_t
option_size(size_t len)
{
	return 4 + padded(len);
}

/* A block of a fixed part and options, whose last one follows. */
static uint32_t
block_begin(FILE *out, uint32_t type, size_t size)
{
	uint32_t length = (uint32_t)(BLOCK_OVERHEAD + size);

	put_u32(out, type);
	put_u32(out, length);
	return length;
}

static void
put_section(FILE *out)
{
	static const char application[] = "vucctl " VUC_VERSION;
	const uint32_t fixed[] = {0x1a2b3c4d, 1 /* 1.0 */, UINT32_MAX, UINT32_MAX};
	const size_t len = sizeof(application) - 1;
	uint32_t length =
		block_begin(out, BLOCK_SECTION, sizeof(fixed) + option_size(len) + option_size(0));

	put_bytes(out, fixed, sizeof(fixed));
	put_option(out, OPTION_APPLICATION, application, len);
	put_option(out, OPTION_END, "", 0);
	put_u32(out, length);
}

static void
put_interface(FILE *out, const char *source, uint32_t snaplen)
{
	static const char description[] = "vfio-user";
	static const uint8_t nanoseconds = 9;
	const uint32_t fixed[] = {
		LINKTYPE_USER10, snaplen + (uint32_t)sizeof(struct pseudo_header)};
	uint32_t length = block_begin(out, BLOCK_INTERFACE,
		sizeof(fixed) + option_size(strlen(source)) + option_size(sizeof(description) - 1) +
			option_size(sizeof(nanoseconds)) + option_size(0));

	put_bytes(out, fixed, sizeof(fixed));
	put_option(out, OPTION_NAME, source, strlen(source));
	put_option(out, OPTION_DESCRIPTION, description, sizeof(description) - 1);
	put_option(out, OPTION_RESOLUTION, &nanoseconds, sizeof(nanoseconds));
	put_option(out, OPTION_END, "", 0);
	put_u32(out, length);
}

void
vucctl_pcapng_put(
	struct vucctl_pcapng *file, const struct vuc_capture_record *record, const void *bytes)
{
	const struct pseudo_header pseudo = {
		.version = PSEUDO_VERSION,
		.flags = (uint8_t)((record->sent ? PSEUDO_SENT : 0) |
			(record->twin ? PSEUDO_TWIN : 0)),
		.nr_fds = record->nr_fds,
		.connection = record->connection,
		.dropped = record->dropped,
	};
	const uint32_t fixed[] = {0 /* interface */, (uint32_t)(record->time_ns >> 32),
		(uint32_t)record->time_ns, record->captured + (uint32_t)sizeof(pseudo),
		record->len + (uint32_t)sizeof(pseudo)};
	const uint32_t flags = record->sent ? DIRECTION_OUT : DIRECTION_IN;
	const uint64_t dropped = record->dropped;
	uint32_t options = option_size(sizeof(flags)) + option_size(0) +
		(dropped > 0 ? option_size(sizeof(dropped)) : 0);
	uint32_t length = block_begin(file->out, BLOCK_PACKET,
		sizeof(fixed) + sizeof(pseudo) + padded(record->captured) + options);

	put_bytes(file->out, fixed, sizeof(fixed));
	put_bytes(file->out, &pseudo, sizeof(pseudo));
	put_bytes(file->out, bytes, record->captured);
	put_option(file->out, OPTION_FLAGS, &flags, sizeof(flags));
	if (dropped > 0)
		put_option(file->out, OPTION_DROPCOUNT, &dropped, sizeof(dropped));
	put_option(file->out, OPTION_END, "", 0);
	put_u32(file->out, length);
	file->messages++;
	file->dropped += dropped;
}

static uint64_t
time_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void
put_statistics(struct vucctl_pcapng *file)
{
	const uint64_t now_ns = time_now_ns();
	const uint64_t received = file->messages + file->dropped;
	const uint32_t fixed[] = {0 /* interface */, (uint32_t)(now_ns >> 32), (uint32_t)now_ns};
	uint32_t length = block_begin(file->out, BLOCK_STATISTICS,
		sizeof(fixed) + 2 * option_size(sizeof(received)) + option_size(0));

	put_bytes(file->out, fixed, sizeof(fixed));
	put_option(file->out, OPTION_RECEIVED, &received, sizeof(received));
	put_option(file->out, OPTION_DROPPED, &file->dropped, sizeof(file->dropped));
	put_option(file->out, OPTION_END, "", 0);
	put_u32(file->out, length);
}

/* ---- files ---- */

/* What guests write is in there: nobody else is to read it. */
static FILE *
file_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *out = NULL;
	struct stat st;

	/* One that was there may be open to others. */
	if (fd >= 0 && fstat(fd, &st) == 0 &&
		(!S_ISREG(st.st_mode) || (st.st_mode & 077) == 0 || fchmod(fd, 0600) == 0))
		out = fdopen(fd, "w");
	if (fd >= 0 && out == NULL)
		close(fd);
	return out;
}

int
vucctl_pcapng_open(
	struct vucctl_pcapng *file, const char *path, const char *source, uint32_t snaplen)
{
	char name[512];

	*file = (struct vucctl_pcapng){.out = strcmp(path, "-") == 0 ? stdout : file_open(path)};
	if (file->out == NULL)
		return -errno;
	put_section(file->out);
	/* It has to be UTF-8, and programs print it to terminals: a path may be neither. */
	vuc_text_escape(name, sizeof(name), source);
	put_interface(file->out, name, snaplen);
	return vucctl_pcapng_flush(file);
}

int
vucctl_pcapng_flush(struct vucctl_pcapng *file)
{
	errno = 0;
	if (fflush(file->out) == 0 && !ferror(file->out))
		return 0;
	return errno != 0 ? -errno : -EIO;
}

int
vucctl_pcapng_close(struct vucctl_pcapng *file)
{
	FILE *out = file->out;
	int rc;

	if (out == NULL)
		return 0;
	put_statistics(file);
	rc = vucctl_pcapng_flush(file);
	file->out = NULL;
	if (out != stdout && fclose(out) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

void
vucctl_pcapng_trace(void *arg, const struct vuc_trace_message *message)
{
	const uint32_t len = (uint32_t)message->len;
	const struct vuc_capture_record record = {
		.time_ns = time_now_ns(),
		.len = len,
		.captured = len < VUC_CAPTURE_SNAPLEN_MAX ? len : VUC_CAPTURE_SNAPLEN_MAX,
		.connection = message->connection,
		.nr_fds = (uint8_t)message->nr_fds,
		.sent = message->sent,
		.twin = message->twin,
	};

	vucctl_pcapng_put(arg, &record, message->bytes);
}
