/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_OPTIONS_H
#define REFDEV_OPTIONS_H

#include <stdbool.h>

#include "fault.h"
#include "refdev.h"

/* The command line. */
struct refdev_options {
	const char **paths; /* of argv */
	unsigned int nr_paths;
	int fd;       /* -1: none */
	int ready_fd; /* -1: none */
	int cpu;      /* -1: any */
	bool poll;    /* never sleep */
	bool once;
	bool verbose;
	struct refdev_config device;
	struct refdev_faults faults;
};

/* Read the command line; the program ends if it is wrong, or asks for help. */
void refdev_options_parse(struct refdev_options *options, int argc, char *argv[]);
void refdev_options_free(struct refdev_options *options);

#endif /* REFDEV_OPTIONS_H */
