/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-vmm and its guest with libvfio-user's samples, behind vucd. */

#include <poll.h>
#include <string.h>

#include "sample.h"
#include "vmm_rig.h"

#define MAX_TRIES 500

static bool
start(struct vucd_rig *vucd, struct sample *sample, const char *name)
{
	if (!sample_start(sample, name))
		return false;
	vmm_rig_start_vucd(vucd, sample->path, "shared");
	return true;
}

static void
stop(struct vucd_rig *vucd, struct sample *sample)
{
	vucd_rig_end(vucd);
	vucd_rig_stop(vucd);
	sample_stop(sample);
}

static bool
has_ended(const struct sample *sample)
{
	struct pollfd p = {.fd = sample->process.pidfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static bool
is_away(const struct vmm_run *run)
{
	return strstr(run->err, " is away: ") != NULL;
}

/* Until the sample listens, or has ended, vucd knows it as away. */
static void
run_vmm(struct vmm_run *run, const struct vucd_rig *vucd, const struct sample *sample,
	const char *const *args)
{
	vmm_run_device(run, vucd, args);
	for (unsigned int i = 0; i < MAX_TRIES && is_away(run) && !has_ended(sample); i++) {
		vmm_run_free(run);
		vmm_run_device(run, vucd, args);
	}
}

static void
test_gpio(void)
{
	static const char *const args[] = {"--rounds=50", NULL};
	struct sample sample;
	struct vucd_rig vucd;
	struct vmm_run run;

	if (!start(&vucd, &sample, "gpio-pci-idio-16"))
		return;
	run_vmm(&run, &vucd, &sample, args);
	if (!vmm_run_skipped(&run)) {
		CU_ASSERT(vmm_run_passed(&run));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  BAR2: 0x100 bytes of I/O ports"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  pass  read and write an I/O port\n"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  read by the queue  "));
	}
	vmm_run_free(&run);
	stop(&vucd, &sample);
}

/* What it does with a device that it knows, it does with one that it does not know, too. */
static void
test_torment(void)
{
	static const char *const args[] = {"--guest=torment", "--rounds=50", NULL};
	struct sample sample;
	struct vucd_rig vucd;
	struct vmm_run run;

	if (!start(&vucd, &sample, "gpio-pci-idio-16"))
		return;
	run_vmm(&run, &vucd, &sample, args);
	if (!vmm_run_skipped(&run)) {
		CU_ASSERT(vmm_run_passed(&run));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  pass  use the device as before\n"));
	}
	vmm_run_free(&run);
	stop(&vucd, &sample);
}

/* A device without a driver is found and placed, and nothing more. */
static void
test_unknown(void)
{
	static const char *const args[] = {NULL};
	struct sample sample;
	struct vucd_rig vucd;
	struct vmm_run run;

	if (!start(&vucd, &sample, "server"))
		return;
	run_vmm(&run, &vucd, &sample, args);
	if (is_away(&run)) {
		CU_ASSERT(sample_skip_if_ended(
			&sample, "this version of the sample refuses its own BAR1"));
	} else if (!vmm_run_skipped(&run)) {
		CU_ASSERT_EQUAL(run.exit, 77);
		CU_ASSERT(vmm_run_complains(&run, "nothing was tested"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  pass  size and place its BARs\n"));
	}
	vmm_run_free(&run);
	stop(&vucd, &sample);
}

static CU_TestInfo tests[] = {
	{"gpio", test_gpio},
	{"torment", test_torment},
	{"unknown device", test_unknown},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return sample_main(argc, argv, tests);
}
