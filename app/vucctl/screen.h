/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_SCREEN_H
#define VUCCTL_SCREEN_H

/* Text on a terminal that takes the place of the one before. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct vucctl_screen {
	FILE *out;
	size_t rows; /* of the terminal */
	size_t columns;
	size_t shown; /* lines of the text before */
};

/* Whether out is a terminal that can do that. */
bool vucctl_screen_init(struct vucctl_screen *screen, FILE *out);

/* Show a text of whole lines. Those that the terminal has no room for, and the ends of those that
 * are too long, are left out. */
void vucctl_screen_show(struct vucctl_screen *screen, const char *text);

#endif /* VUCCTL_SCREEN_H */
