/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define MAX_ARGS     5
#define EXIT_SKIPPED 77

void
vmm_rig_start_vucd(struct vucd_rig *vucd, const char *socket, const char *dma)
{
	char device[256];

	snprintf(device, sizeof(device), "[device " VMM_RIG_DEVICE "]\nsocket = %s\ndma = %s\n",
		socket, dma);
	vucd_rig_start(vucd, device);
}

void
vmm_rig_start(struct vmm_rig *rig, const char *dma, const char *option)
{
	refdev_server_start_with(&rig->server, option);
	vmm_rig_start_vucd(&rig->vucd, rig->server.socket, dma);
	vucd_rig_await(&rig->vucd, VMM_RIG_DEVICE, "free");
}

void
vmm_rig_stop(struct vmm_rig *rig)
{
	vucd_rig_end(&rig->vucd);
	vucd_rig_stop(&rig->vucd);
	refdev_server_stop(&rig->server);
}

void
vmm_run(struct vmm_run *run, const char *const *args)
{
	struct vuc_spawn spawn;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUC_VMM"), args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&spawn), 0);
	run->exit = vuc_spawn_status(&spawn);
	run->out = vuc_spawn_output(&spawn);
	run->err = vuc_spawn_errors(&spawn);
	vuc_spawn_free(&spawn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->err);
}

void
vmm_run_device(struct vmm_run *run, const struct vucd_rig *vucd, const char *const *args)
{
	const char *all[4 + MAX_ARGS + 1] = {
		"--socket", vucd->vmm_socket, "--device", VMM_RIG_DEVICE};

	for (size_t i = 0; i < MAX_ARGS && args[i] != NULL; i++)
		all[4 + i] = args[i];
	vmm_run(run, all);
}

void
vmm_run_free(struct vmm_run *run)
{
	free(run->out);
	free(run->err);
}

/* For whoever looks for the reason of a failure. */
static void
print_lines(const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		printf("# %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

bool
vmm_run_passed(const struct vmm_run *run)
{
	bool passed = run->exit == 0 && run->err[0] == '\0';

	if (!passed)
		print_lines(run->err);
	return passed;
}

bool
vmm_run_complains(const struct vmm_run *run, const char *text)
{
	size_t len = strlen(run->err);
	bool complains = strncmp(run->err, "vuc-vmm: ", 9) == 0 &&
		strchr(run->err, '\n') == run->err + len - 1 && strstr(run->err, text) != NULL;

	if (!complains)
		print_lines(run->err);
	return complains;
}

bool
vmm_run_skipped(const struct vmm_run *run)
{
	if (run->exit != EXIT_SKIPPED || strstr(run->err, "/dev/kvm") == NULL)
		return false;
	vuc_tap_skip("there is no use of /dev/kvm here");
	return true;
}
