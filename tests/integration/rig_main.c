/* SPDX-License-Identifier: BSD-3-Clause */

/* main() of the programs with a rig: each runs once for each transport, its only argument. */

#include <vuc/eal.h>

#include "rig.h"

static char eal_folder[VUC_TEMPDIR_SIZE];

static int
start_eal(void)
{
	struct vuc_eal_opts opts;
	struct vuc_error err = {0};
	int rc = vuc_tempdir_make(eal_folder);

	if (rc == 0) {
		setenv("RUNTIME_DIRECTORY", eal_folder, 1);
		vuc_eal_opts_init(&opts, sizeof(opts));
		opts.log = rig_log;
		rc = vuc_eal_init(&opts, &err);
	}
	if (rc != 0)
		printf("Bail out! %s\n", err.text);
	return rc;
}

static void
stop_eal(void)
{
	char path[sizeof(eal_folder) + 8];

	vuc_eal_fini();
	snprintf(path, sizeof(path), "%s/dpdk", eal_folder);
	rmdir(path);
	vuc_tempdir_remove(eal_folder);
}

int
main(int argc, char **argv)
{
	const char *transport = argv[argc - 1], *why = peer_begin(transport);
	struct tap_suite suite;
	int rc;

	if (why != NULL) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	if (start_eal() != 0)
		return 1;
	suite = tap_suite;
	suite.name = transport;
	if (suite.tear_down == NULL)
		suite.tear_down = rig_stop;
	rc = tap_run(&suite);
	stop_eal();
	return rc;
}
