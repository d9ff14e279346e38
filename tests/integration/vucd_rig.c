/* SPDX-License-Identifier: BSD-3-Clause */
#include "vucd_rig.h"

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define TIMEOUT_S 20

/* ---- the daemon ---- */

/* Where the daemon's notifications go: a datagram socket in the folder. */
static void
open_notify(struct vucd_rig *rig)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", rig->folder);
	rig->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(rig->notify >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(rig->notify, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	/* What EAL leaves behind goes with the folder. */
	setenv("RUNTIME_DIRECTORY", rig->folder, 1);
}

void
vucd_rig_configure(const struct vucd_rig *rig, const char *more)
{
	FILE *file = fopen(rig->config, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fprintf(file, "[poller io0]\ncpu = none\nidle = sleep\n[vucd]\ndirectory = %s\n%s%s",
		rig->directory, strstr(more, "telemetry = ") == NULL ? "telemetry = off\n" : "",
		more);
	CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
}

void
vucd_rig_prepare(struct vucd_rig *rig, const char *more)
{
	*rig = (struct vucd_rig){
		.client = -1,
		.notify = -1,
		.process = {.pidfd = -1, .output = -1, .errors = -1},
	};
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(rig->folder), 0);
	snprintf(rig->config, sizeof(rig->config), "%s/vucd.conf", rig->folder);
	snprintf(rig->directory, sizeof(rig->directory), "%s/run", rig->folder);
	snprintf(rig->vmm_socket, sizeof(rig->vmm_socket), "%s/run/vmm.sock", rig->folder);
	snprintf(rig->management, sizeof(rig->management), "%s/run/management.sock", rig->folder);
	open_notify(rig);
	vucd_rig_configure(rig, more);
}

/* Each line is a comment of TAP. */
static void
print_errors(const char *errors)
{
	for (const char *line = errors; line != NULL && *line != '\0';) {
		size_t len = strcspn(line, "\n");

		printf("# %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

void
vucd_rig_run(struct vucd_rig *rig)
{
	const char *const args[] = {"--config", rig->config, NULL};

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&rig->process, getenv("VUCD"), args), 0);
	if (!vucd_rig_notified(rig, "READY=1\n")) {
		char *errors = vuc_spawn_errors(&rig->process);

		print_errors(errors);
		free(errors);
		CU_FAIL_FATAL("vucd is not ready");
	}
	rig->client = vucd_rig_connect(rig);
}

void
vucd_rig_start(struct vucd_rig *rig, const char *more)
{
	vucd_rig_prepare(rig, more);
	vucd_rig_run(rig);
}

static void
disconnect(struct vucd_rig *rig)
{
	if (rig->client >= 0)
		close(rig->client);
	rig->client = -1;
}

void
vucd_rig_end(struct vucd_rig *rig)
{
	CU_ASSERT_EQUAL(vuc_spawn_stop(&rig->process), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&rig->process), 0);
	CU_ASSERT_NOT_EQUAL(access(rig->vmm_socket, F_OK), 0);
	CU_ASSERT_NOT_EQUAL(access(rig->management, F_OK), 0);
	disconnect(rig);
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
vucd_rig_stop(struct vucd_rig *rig)
{
	vuc_spawn_free(&rig->process);
	disconnect(rig);
	if (rig->notify >= 0)
		close(rig->notify);
	CU_ASSERT_EQUAL(nftw(rig->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

bool
vucd_rig_said(const struct vucd_rig *rig, const char *text)
{
	char *errors = vuc_spawn_errors(&rig->process);
	bool said = errors != NULL && strstr(errors, text) != NULL;

	if (!said)
		print_errors(errors);
	free(errors);
	return said;
}

bool
vucd_rig_notified(const struct vucd_rig *rig, const char *text)
{
	/* The daemon's end ends the wait, too. */
	struct pollfd pfds[] = {
		{.fd = rig->notify, .events = POLLIN},
		{.fd = rig->process.pidfd, .events = POLLIN},
	};
	char buf[256];
	ssize_t n;

	if (poll(pfds, 2, TIMEOUT_S * 1000) <= 0)
		return false;
	n = recv(rig->notify, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 && strncmp(buf, text, strlen(text)) == 0;
}

/* ---- its management socket ---- */

int
vucd_rig_connect(const struct vucd_rig *rig)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", rig->management);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return fd;
}

void
vucd_rig_say(int client, const char *method, const char *params)
{
	char line[1024];
	int len = snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s,\"id\":1}\n", method, params);

	CU_ASSERT_FATAL(len > 0 && (size_t)len < sizeof(line));
	CU_ASSERT_EQUAL_FATAL(send(client, line, (size_t)len, MSG_NOSIGNAL), len);
}

struct json_object *
vucd_rig_hear(int client)
{
	static char line[1 << 20];
	struct json_object *answer;
	size_t len = 0;

	do {
		CU_ASSERT_FATAL(len < sizeof(line) - 1);
		CU_ASSERT_EQUAL_FATAL(recv(client, &line[len], 1, 0), 1);
	} while (line[len++] != '\n');
	line[len] = '\0';
	answer = json_tokener_parse(line);
	CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
	return answer;
}

struct json_object *
vucd_rig_ask(
	struct vucd_rig *rig, const char *method, const char *params, struct json_object **answer)
{
	vucd_rig_say(rig->client, method, params);
	*answer = vucd_rig_hear(rig->client);
	return json_object_object_get(*answer, "result");
}

const char *
vucd_rig_errno(struct json_object *answer)
{
	struct json_object *error = json_object_object_get(answer, "error");
	struct json_object *data = json_object_object_get(error, "data");
	const char *name = json_object_get_string(json_object_object_get(data, "errno"));

	return name != NULL ? name : "";
}

/* Whether the list of devices has one in this state. */
static bool
is_in_state(struct json_object *result, const char *device, const char *state)
{
	struct json_object *devices = json_object_object_get(result, "devices");

	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		struct json_object *d = json_object_array_get_idx(devices, i);

		if (strcmp(json_object_get_string(json_object_object_get(d, "name")), device) == 0)
			return strcmp(json_object_get_string(json_object_object_get(d, "state")),
				       state) == 0;
	}
	return false;
}

void
vucd_rig_await(struct vucd_rig *rig, const char *device, const char *state)
{
	time_t end = time(NULL) + TIMEOUT_S;
	bool there = false;

	while (!there && time(NULL) < end) {
		struct json_object *answer;
		struct json_object *result = vucd_rig_ask(rig, "devices.list", "[]", &answer);

		there = is_in_state(result, device, state);
		json_object_put(answer);
		if (!there) /* not to take the CPU from those who are waited for */
			poll(NULL, 0, 5);
	}
	CU_ASSERT_TRUE(there);
}
