/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "refdev_server.h"
#include "tap.h"

void
refdev_server_prepare(struct refdev_server *s)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(s->folder), 0);
	snprintf(s->socket, sizeof(s->socket), "%s/socket", s->folder);
	snprintf(s->second, sizeof(s->second), "%s/second", s->folder);
}

void
refdev_server_run(struct refdev_server *s, const char *const *options)
{
	const char *args[REFDEV_SERVER_MAX_ARGS + 2] = {s->socket};
	size_t n = 1;

	while (*options != NULL && n <= REFDEV_SERVER_MAX_ARGS)
		args[n++] = *options++;
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&s->process, getenv("VUC_REFDEV"), args), 0);
}

void
refdev_server_start(struct refdev_server *s, const char *const *options)
{
	refdev_server_prepare(s);
	refdev_server_run(s, options);
}

void
refdev_server_start_with(struct refdev_server *s, const char *option)
{
	const char *const options[] = {option, NULL};

	refdev_server_start(s, options);
}

void
refdev_server_clean(struct refdev_server *s)
{
	vuc_tempdir_remove(s->folder);
}

void
refdev_server_stop(struct refdev_server *s)
{
	char *errors;

	CU_ASSERT_EQUAL(vuc_spawn_stop(&s->process), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&s->process), 0);
	errors = vuc_spawn_errors(&s->process);
	CU_ASSERT_PTR_NOT_NULL_FATAL(errors);
	CU_ASSERT_STRING_EQUAL(errors, "");
	free(errors);
	vuc_spawn_free(&s->process);
	CU_ASSERT_EQUAL(vuc_tempdir_count(s->folder), 0);
	refdev_server_clean(s);
}
