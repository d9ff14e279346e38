/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "clock.h"
#include "format.h"
#include "interrupt.h"

#define BAR_WIDTH   30
#define INTERVAL_NS UINT64_C(100000000)

void
vucctl_progress_start(struct vucctl_progress *progress, uint64_t total, bool lines)
{
	*progress = (struct vucctl_progress){
		.out = !lines && isatty(STDERR_FILENO) ? stderr : NULL,
		.total = total,
		.start_ns = vuc_clock_ns(),
	};
}

static uint64_t
progress_rate(uint64_t bytes, uint64_t ns)
{
	double per_second = ns > 0 ? (double)bytes * 1e9 / (double)ns : 0;

	return per_second < 1e18 ? (uint64_t)per_second : 0;
}

static void
print_bar(FILE *out, uint64_t bytes, uint64_t total)
{
	double part = bytes < total ? (double)bytes / (double)total : 1;
	int i;

	putc('[', out);
	for (i = 0; i < BAR_WIDTH; i++)
		putc(i < (int)(part * BAR_WIDTH) ? '#' : ' ', out);
	fprintf(out, "] %3d%%  ", (int)(part * 100));
}

void
vucctl_progress_print(
	FILE *out, const struct vuc_migration_progress *migration, uint64_t total, uint64_t ns)
{
	if (total > 0)
		print_bar(out, migration->bytes, total);
	fputs(vuc_migration_state_name(migration->state), out);
	if (migration->round > 0)
		fprintf(out, " round %" PRIu32, migration->round);
	fprintf(out, "  %s  %s/s", vucctl_size_format(migration->bytes).text,
		vucctl_size_format(progress_rate(migration->bytes, ns)).text);
}

int
vucctl_progress_migration(void *arg, const struct vuc_migration_progress *migration)
{
	struct vucctl_progress *progress = arg;
	uint64_t now = vuc_clock_ns();

	if (vucctl_interrupted())
		return -EINTR;
	if (progress->out == NULL || now - progress->shown_ns < INTERVAL_NS)
		return 0;
	fputs("\r\033[K", progress->out);
	vucctl_progress_print(progress->out, migration, progress->total, now - progress->start_ns);
	fflush(progress->out);
	progress->shown_ns = now;
	return 0;
}

uint64_t
vucctl_progress_end(struct vucctl_progress *progress)
{
	if (progress->shown_ns != 0)
		fputs("\r\033[K", progress->out);
	return vuc_clock_ns() - progress->start_ns;
}
