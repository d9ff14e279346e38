/* SPDX-License-Identifier: BSD-3-Clause */
#include "vucctl_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

void
vucctl_run_program(struct vucctl_run *run, const char *program, const char *const *args)
{
	struct vuc_spawn spawn;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, program, args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&spawn), 0);
	run->exit = vuc_spawn_status(&spawn);
	run->out = vuc_spawn_output(&spawn);
	run->err = vuc_spawn_errors(&spawn);
	vuc_spawn_free(&spawn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->err);
}

void
vucctl_run(struct vucctl_run *run, const char *const *args)
{
	vucctl_run_program(run, getenv("VUCCTL"), args);
}

void
vucctl_run_free(struct vucctl_run *run)
{
	free(run->out);
	free(run->err);
}

bool
vucctl_run_complains(const struct vucctl_run *run, const char *text)
{
	static const char prefix[] = "vucctl: ";
	size_t len = strlen(run->err);

	return strncmp(run->err, prefix, sizeof(prefix) - 1) == 0 &&
		strchr(run->err, '\n') == run->err + len - 1 && strstr(run->err, text) != NULL;
}

void
vucctl_run_expect(const char *const *args, int status, const char *out, const char *err)
{
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, status);
	CU_ASSERT_STRING_EQUAL(run.out, out != NULL ? out : "");
	if (err != NULL)
		CU_ASSERT(vucctl_run_complains(&run, err));
	if (err == NULL)
		CU_ASSERT_STRING_EQUAL(run.err, "");
	if (run.exit != status || (err != NULL && !vucctl_run_complains(&run, err)))
		printf("# vucctl %s: exit %d and '%.*s'\n", args[0], run.exit,
			(int)strcspn(run.err, "\n"), run.err);
	vucctl_run_free(&run);
}

void
vucctl_device_start(struct vucctl_device *device, const char *fault)
{
	char option[128];
	const char *args[4] = {device->socket};
	int ret;

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(device->folder), 0);
	snprintf(device->socket, sizeof(device->socket), "%s/s", device->folder);
	if (fault != NULL) {
		snprintf(option, sizeof(option), "--fault=%s", fault);
		args[1] = option;
		/* The descriptor of a twin socket would come without the words that go with it. */
		if (strncmp(fault, "bad-json", 8) == 0)
			args[2] = "--no-twin-socket";
	}
	ret = vuc_spawn_server(&device->server, getenv("VUC_REFDEV"), args);
	if (ret != 0)
		vuc_tempdir_remove(device->folder);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

void
vucctl_device_stop(struct vucctl_device *device)
{
	CU_ASSERT_EQUAL(vuc_spawn_stop(&device->server), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&device->server), 0);
	vuc_spawn_free(&device->server);
	vuc_tempdir_remove(device->folder);
}
