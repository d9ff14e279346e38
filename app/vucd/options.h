/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_OPTIONS_H
#define VUCD_OPTIONS_H

#include <stdbool.h>

/* The command line. */
struct vucd_options {
	const char *config; /* of argv */
	bool check;         /* only */
};

enum vucd_options_result {
	VUCD_OPTIONS_RUN,
	VUCD_OPTIONS_DONE,  /* help or version has been printed */
	VUCD_OPTIONS_WRONG, /* what is wrong has been said on stderr */
};

enum vucd_options_result vucd_options_parse(struct vucd_options *options, int argc, char *argv[]);

#endif /* VUCD_OPTIONS_H */
