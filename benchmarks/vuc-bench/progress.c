/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 40

void
bench_progress_begin(struct bench_progress *progress, const char *name, unsigned int total)
{
	const char *term = getenv("TERM");

	*progress = (struct bench_progress){.name = name, .total = total};
	progress->shown = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
	bench_progress_step(progress, 0);
}

void
bench_progress_step(struct bench_progress *progress, unsigned int done)
{
	char bar[BAR_WIDTH + 1];
	unsigned int filled;

	if (!progress->shown || progress->total == 0)
		return;
	filled = (unsigned int)((unsigned long long)BAR_WIDTH * done / progress->total);
	if (filled > BAR_WIDTH)
		filled = BAR_WIDTH;
	memset(bar, '#', filled);
	memset(bar + filled, '.', BAR_WIDTH - filled);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %u%%", progress->name, bar, 100 * filled / BAR_WIDTH);
	fflush(stderr);
}

void
bench_progress_end(struct bench_progress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress->shown = false;
}
