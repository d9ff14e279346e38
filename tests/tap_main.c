/* SPDX-License-Identifier: BSD-3-Clause */

/* main() of the test programs that have none of their own. */

#include "tap.h"

int
main(void)
{
	return tap_run(&tap_suite);
}
