/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

/* The command line. */

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *socket; /* NULL: the library's default */
	const char *device;
	uint32_t program; /* GUEST_DRIVE or GUEST_TORMENT */
	uint32_t rounds;
	uint32_t timeout_s;
	bool json;
};

/* The program ends after a wrong option, and after --help and the like. */
void options_parse(struct options *options, int argc, char *argv[]);

#endif /* VMM_OPTIONS_H */
