/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "print.h"

/* Print each element of an array, a text or a "what" with its "reason", to file. Returns how many
 * there are. */
static size_t
print_all(FILE *file, const char *before, struct app_reply *reply, struct json_object *result,
	const char *key)
{
	size_t i, n;
	struct json_object *array = app_reply_array(reply, result, key, &n);

	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		bool text = json_object_is_type(item, json_type_string);
		const char *reason = NULL;

		if (!text)
			reason = app_reply_text_or_null(reply, item, "reason");
		fputs(before, file);
		vucctl_foreign_print(file,
			text ? json_object_get_string(item) : app_reply_text(reply, item, "what"));
		fputs(reason != NULL ? ": " : "", file);
		vucctl_foreign_print(file, reason != NULL ? reason : "");
		putc('\n', file);
	}
	return n;
}

static int
print_text(const struct vucctl *ctl, struct json_object *result)
{
	struct app_reply reply = {NULL};
	size_t done, failed;

	done = print_all(stdout, "added ", &reply, result, "added");
	done += print_all(stdout, "removed ", &reply, result, "removed");
	done += print_all(stdout, "changed ", &reply, result, "changed");
	done += print_all(stdout, "needs a restart: ", &reply, result, "restart");
	failed = print_all(stderr, "vucctl: ", &reply, result, "failed");
	if (reply.lacks != NULL)
		return vucctl_fail_answer(ctl, "reload", reply.lacks);
	if (done == 0 && failed == 0)
		puts("no changes");
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_json(struct json_object *result)
{
	struct app_reply reply = {NULL};
	size_t failed;
	int ret = vucctl_print_result(result);

	app_reply_array(&reply, result, "failed", &failed);
	return failed == 0 ? ret : EXIT_FAILURE;
}

static int
reload_run(struct vucctl *ctl)
{
	struct json_object *result;
	int ret = vucctl_ask(ctl, "reload", NULL, &result);

	if (ret == 0)
		ret = ctl->json ? print_json(result) : print_text(ctl, result);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_reload = {
	.name = "reload",
	.summary = "reload the daemon's configuration",
	.doc = "Reloads the configuration: the daemon adds, removes and changes devices accordingly.",
	.arguments = "",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.run = reload_run,
};
