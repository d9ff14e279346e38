/* SPDX-License-Identifier: BSD-3-Clause */
#include "telemetry_client.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"

#define ANSWER_SIZE (32 * 1024)

static void
receive(int sock, char *answer)
{
	ssize_t n = recv(sock, answer, ANSWER_SIZE - 1, 0);

	CU_ASSERT_TRUE_FATAL(n > 0);
	answer[n] = '\0';
}

int
telemetry_connect(const char *folder)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char greeting[ANSWER_SIZE];
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/dpdk_telemetry.v2", folder);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
		recv(sock, greeting, sizeof(greeting), 0) > 0)
		return sock;
	close(sock);
	return -1;
}

struct json_object *
telemetry_ask(int sock, const char *command, struct json_object **answer)
{
	char text[ANSWER_SIZE], name[64];
	struct json_object *value;

	CU_ASSERT_EQUAL_FATAL(send(sock, command, strlen(command), 0), (ssize_t)strlen(command));
	receive(sock, text);
	*answer = json_tokener_parse(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(*answer);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(command, ","), command);
	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(*answer, name, &value));
	return value;
}

int
telemetry_refuses(int sock, const char *command)
{
	struct json_object *answer;
	int refused = telemetry_ask(sock, command, &answer) == NULL;

	json_object_put(answer);
	return refused;
}

struct json_object *
telemetry_member(struct json_object *object, const char *key)
{
	struct json_object *member = NULL;

	if (!json_object_object_get_ex(object, key, &member))
		printf("# no member %s\n", key);
	CU_ASSERT_PTR_NOT_NULL_FATAL(member);
	return member;
}

uint64_t
telemetry_number(struct json_object *object, const char *key)
{
	struct json_object *member = telemetry_member(object, key);

	CU_ASSERT_TRUE_FATAL(json_object_is_type(member, json_type_int));
	return json_object_get_uint64(member);
}

const char *
telemetry_string(struct json_object *object, const char *key)
{
	struct json_object *member = telemetry_member(object, key);

	CU_ASSERT_TRUE_FATAL(json_object_is_type(member, json_type_string));
	return json_object_get_string(member);
}
