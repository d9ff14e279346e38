/* SPDX-License-Identifier: BSD-3-Clause */
#include "screen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_ROWS    24
#define DEFAULT_COLUMNS 80

bool
vucctl_screen_init(struct vucctl_screen *screen, FILE *out)
{
	const char *term = getenv("TERM");

	*screen = (struct vucctl_screen){
		.out = out, .rows = DEFAULT_ROWS, .columns = DEFAULT_COLUMNS};
	return isatty(fileno(out)) && term != NULL && strcmp(term, "dumb") != 0;
}

/* It may have changed since. */
static void
screen_measure(struct vucctl_screen *screen)
{
	struct winsize size;

	if (ioctl(fileno(screen->out), TIOCGWINSZ, &size) != 0 || size.ws_row < 2 ||
		size.ws_col == 0)
		return;
	screen->rows = size.ws_row;
	screen->columns = size.ws_col;
}

void
vucctl_screen_show(struct vucctl_screen *screen, const char *text)
{
	size_t lines = 0;

	screen_measure(screen);
	if (screen->shown > 0)
		fprintf(screen->out, "\033[%zuA\r", screen->shown);
	while (*text != '\0' && lines + 1 < screen->rows) {
		size_t len = strcspn(text, "\n");
		size_t shown = len < screen->columns ? len : screen->columns;

		fprintf(screen->out, "%.*s\033[K\n", (int)shown, text);
		text += len + (text[len] == '\n');
		lines++;
	}
	fputs("\033[J", screen->out);
	fflush(screen->out);
	screen->shown = lines;
}
