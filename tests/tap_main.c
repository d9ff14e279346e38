/* SPDX-License-Identifier: BSD-3-Clause */

/* main() of the test programs that have none of their own. */

#include "tap.h"

int
main(int argc, char **argv)
{
	const char *why = tap_suite.begin != NULL ? tap_suite.begin(argv[argc - 1]) : NULL;

	if (why != NULL) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	vuc_tap_count_fds();
	return tap_run(&tap_suite);
}
