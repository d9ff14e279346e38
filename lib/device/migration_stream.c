/* SPDX-License-Identifier: BSD-3-Clause */

/* A device's whole state to a file descriptor, and back from one. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/migration.h>

#include "error.h"
#include "internal.h"
#include "opts.h"

/*
 * What to do about a call that has failed: a descriptor with O_NONBLOCK is waited for. Returns 0
 * when it can be tried again.
 */
static int
fd_get_over(int fd, short events, int error)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	if (error == EINTR)
		return 0;
	if (error != EAGAIN)
		return -error;
	if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Read size bytes, fewer only at the end of the file. Sets got, also on failure. */
static int
fd_read_full(int fd, void *data, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size) {
		ssize_t n = read(fd, (uint8_t *)data + *got, size - *got);
		int rc;

		if (n == 0)
			return 0;
		if (n > 0) {
			*got += (size_t)n;
			continue;
		}
		rc = fd_get_over(fd, POLLIN, errno);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
fd_write_full(int fd, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		int rc;

		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
			continue;
		}
		rc = fd_get_over(fd, POLLOUT, n == 0 ? EIO : errno);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* A save or a load under way. */
struct stream {
	struct vuc_device *dev;
	int fd;
	uint8_t *buf; /* room for a message of chunk bytes */
	uint32_t chunk;
	bool end_pre_copy; /* as the progress callback wants it */
	vuc_migration_progress_fn progress;
	void *arg;
	struct vuc_migration_progress now;
};

static int
stream_open(struct stream *s, uint32_t chunk_size, uint32_t max)
{
	s->chunk = chunk_size != 0 && chunk_size < max ? chunk_size : max;
	s->buf = malloc(s->chunk);
	if (s->buf == NULL)
		return vuc_error_set(&s->dev->reason, -ENOMEM, "no memory for migration data");
	return 0;
}

static int
stream_move_to(struct stream *s, enum vuc_migration_state state)
{
	s->now.state = state;
	return vuc_migration_set_state(s->dev, state);
}

/* count bytes were moved. */
static int
stream_tell(struct stream *s, uint32_t count)
{
	int rc;

	s->now.bytes += count;
	if (s->progress == NULL)
		return 0;
	rc = s->progress(s->arg, &s->now);
	if (rc < 0)
		return vuc_error_set(&s->dev->reason, rc,
			"given up in migration state %s after %" PRIu64 " bytes: %s",
			vuc_migration_state_name(s->now.state), s->now.bytes, strerror(-rc));
	if (s->now.state == VUC_MIGRATION_PRE_COPY && rc == VUC_MIGRATION_END_PRE_COPY)
		s->end_pre_copy = true;
	return 0;
}

static int
migration_check_supported(struct vuc_device *dev, uint64_t *flags)
{
	int rc = vuc_migration_supported(dev, flags);

	if (rc == 0 && *flags == 0)
		return vuc_error_set(&dev->reason, -EOPNOTSUPP, "the device cannot be migrated");
	return rc;
}

/* After a failure. Keeps its reason, and adds to it what went wrong in turn. */
static void
migration_bring_back(struct vuc_device *dev, enum vuc_migration_state state, int error)
{
	struct vuc_error why = dev->reason;
	struct vuc_error again;

	if (!vuc_device_connected(dev))
		return;
	if (vuc_migration_set_state(dev, state) == 0) {
		dev->reason = why;
		return;
	}
	again = dev->reason;
	/* The state that it is in comes first: a long reason is cut at its end. */
	vuc_error_set(&dev->reason, error, "not brought back to %s: %.120s%s; first error: %.80s%s",
		vuc_migration_state_name(state), again.text, strlen(again.text) > 120 ? "..." : "",
		why.text, strlen(why.text) > 80 ? "..." : "");
}

VUC_EXPORT void
vuc_migration_save_opts_init(struct vuc_migration_save_opts *opts, size_t size)
{
	const struct vuc_migration_save_opts defaults = {.max_bytes = UINT64_MAX};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
stream_save_chunk(struct stream *s, uint64_t max_bytes, uint32_t *count)
{
	size_t got;
	int rc = vuc_migration_read(s->dev, s->buf, s->chunk, &got);

	if (rc != 0)
		return rc;
	*count = (uint32_t)got;
	if (*count > max_bytes - s->now.bytes)
		return vuc_error_set(&s->dev->reason, -EFBIG,
			"the server has more than %" PRIu64 " bytes of migration data", max_bytes);
	rc = fd_write_full(s->fd, s->buf, *count);
	if (rc != 0)
		return vuc_error_set(
			&s->dev->reason, rc, "writing migration data: %s", strerror(-rc));
	return stream_tell(s, *count);
}

/* All that the server has for now; adds it to *bytes. */
static int
stream_save_data(struct stream *s, uint64_t max_bytes, uint64_t *bytes)
{
	uint64_t before = s->now.bytes;
	uint32_t count;
	int rc;

	do {
		rc = stream_save_chunk(s, max_bytes, &count);
	} while (rc == 0 && count == s->chunk && !s->end_pre_copy);
	*bytes += s->now.bytes - before;
	return rc;
}

static int
stream_pre_copy(struct stream *s, const struct vuc_migration_save_opts *opts,
	struct vuc_migration_saved *saved)
{
	uint64_t before;
	int rc = stream_move_to(s, VUC_MIGRATION_PRE_COPY);

	if (rc != 0)
		return rc;
	do {
		before = s->now.bytes;
		s->now.round = ++saved->pre_copy_rounds;
		rc = stream_save_data(s, opts->max_bytes, &saved->pre_copy_bytes);
	} while (rc == 0 && s->now.bytes > before && !s->end_pre_copy &&
		saved->pre_copy_rounds < opts->pre_copy_rounds);
	s->now.round = 0;
	s->end_pre_copy = false;
	return rc;
}

static int
stream_stop_copy(struct stream *s, const struct vuc_migration_save_opts *opts,
	struct vuc_migration_saved *saved)
{
	int rc = stream_move_to(s, VUC_MIGRATION_STOP_COPY);

	if (rc == 0)
		rc = stream_save_data(s, opts->max_bytes, &saved->stop_copy_bytes);
	return rc == 0 ? stream_move_to(s, VUC_MIGRATION_STOP) : rc;
}

static bool
migration_wants_pre_copy(
	const struct vuc_migration_save_opts *opts, enum vuc_migration_state from, uint64_t flags)
{
	return opts->pre_copy_rounds > 0 && (flags & VUC_MIGRATION_CAN_PRE_COPY) != 0 &&
		from != VUC_MIGRATION_STOP;
}

/* What state the device is in, which must be one to save it from. */
static int
migration_find_source(struct vuc_device *dev, enum vuc_migration_state *from, uint64_t *flags)
{
	int rc = migration_check_supported(dev, flags);

	if (rc == 0)
		rc = vuc_migration_get_state(dev, from);
	if (rc != 0 || *from == VUC_MIGRATION_RUNNING || *from == VUC_MIGRATION_PRE_COPY ||
		*from == VUC_MIGRATION_STOP)
		return rc;
	return vuc_error_set(&dev->reason, -EINVAL,
		"a device in migration state %s cannot be saved", vuc_migration_state_name(*from));
}

static int
migration_save(struct vuc_device *dev, int fd, const struct vuc_migration_save_opts *opts,
	struct vuc_migration_saved *saved)
{
	struct stream s = {.dev = dev, .fd = fd, .progress = opts->progress, .arg = opts->arg};
	enum vuc_migration_state from;
	uint64_t flags;
	int rc = migration_find_source(dev, &from, &flags);

	if (rc == 0)
		rc = stream_open(&s, opts->chunk_size, migration_read_max(dev));
	if (rc != 0)
		return rc;
	if (migration_wants_pre_copy(opts, from, flags))
		rc = stream_pre_copy(&s, opts, saved);
	if (rc == 0)
		rc = stream_stop_copy(&s, opts, saved);
	if (rc != 0)
		migration_bring_back(dev,
			from == VUC_MIGRATION_STOP ? VUC_MIGRATION_STOP : VUC_MIGRATION_RUNNING,
			rc);
	free(s.buf);
	return rc;
}

VUC_EXPORT int
vuc_migration_save(struct vuc_device *dev, int fd, const struct vuc_migration_save_opts *opts,
	struct vuc_migration_saved *saved)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	struct vuc_migration_save_opts known;
	struct vuc_migration_saved unwanted;
	int rc;

	if (saved == NULL)
		saved = &unwanted;
	memset(saved, 0, sizeof(*saved));
	vuc_migration_save_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_migration_save_opts, arg), "vuc_migration_save_opts",
		&dev->reason);
	return rc == 0 ? migration_save(dev, fd, &known, saved) : rc;
}

VUC_EXPORT void
vuc_migration_load_opts_init(struct vuc_migration_load_opts *opts, size_t size)
{
	const struct vuc_migration_load_opts defaults = {.bytes = UINT64_MAX};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

/* Returns 1 while there may be more, 0 at the end, or a negative errno. */
static int
stream_load_chunk(struct stream *s, uint64_t size)
{
	uint64_t left = size - s->now.bytes;
	uint32_t want = left < s->chunk ? (uint32_t)left : s->chunk;
	size_t got;
	int rc = fd_read_full(s->fd, s->buf, want, &got);

	if (rc != 0)
		return vuc_error_set(
			&s->dev->reason, rc, "reading migration data: %s", strerror(-rc));
	if (got < want && size != UINT64_MAX)
		return vuc_error_set(&s->dev->reason, -ENODATA,
			"the migration data ends after %" PRIu64 " of %" PRIu64 " bytes",
			s->now.bytes + got, size);
	if (got > 0)
		rc = vuc_migration_write(s->dev, s->buf, got);
	if (rc == 0 && got > 0)
		rc = stream_tell(s, (uint32_t)got);
	return rc == 0 ? got == s->chunk : rc;
}

static int
stream_load_steps(struct stream *s, const struct vuc_migration_load_opts *opts)
{
	int rc = stream_move_to(s, VUC_MIGRATION_RESUMING);

	if (rc == 0) {
		do {
			rc = stream_load_chunk(s, opts->bytes);
		} while (rc > 0);
	}
	if (rc == 0)
		rc = stream_move_to(s, VUC_MIGRATION_STOP);
	if (rc == 0 && opts->run)
		rc = stream_move_to(s, VUC_MIGRATION_RUNNING);
	return rc;
}

static int
migration_load(
	struct vuc_device *dev, int fd, const struct vuc_migration_load_opts *opts, uint64_t *bytes)
{
	struct stream s = {.dev = dev, .fd = fd, .progress = opts->progress, .arg = opts->arg};
	uint64_t flags;
	int rc = migration_check_supported(dev, &flags);

	/* By way of STOP also from RESUMING, so that the stream begins anew. */
	if (rc == 0)
		rc = stream_move_to(&s, VUC_MIGRATION_STOP);
	if (rc == 0)
		rc = stream_open(&s, opts->chunk_size, migration_write_max(dev));
	if (rc != 0)
		return rc;
	rc = stream_load_steps(&s, opts);
	*bytes = s.now.bytes;
	if (rc != 0)
		migration_bring_back(dev, VUC_MIGRATION_STOP, rc);
	free(s.buf);
	return rc;
}

VUC_EXPORT int
vuc_migration_load(
	struct vuc_device *dev, int fd, const struct vuc_migration_load_opts *opts, uint64_t *bytes)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	struct vuc_migration_load_opts known;
	uint64_t unwanted;
	int rc;

	if (bytes == NULL)
		bytes = &unwanted;
	*bytes = 0;
	vuc_migration_load_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_migration_load_opts, arg), "vuc_migration_load_opts",
		&dev->reason);
	return rc == 0 ? migration_load(dev, fd, &known, bytes) : rc;
}
