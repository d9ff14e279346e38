/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_list.h"

int
vucctl_device_list_get(struct vucctl_daemon *daemon, struct app_json *json)
{
	struct json_object *result;
	struct vucctl_reply reply = {NULL};
	size_t n;
	int ret = vucctl_daemon_call(daemon, "devices.list", NULL, &result);

	app_json_init_copy(json, result);
	json_object_put(result);
	if (ret != 0)
		return ret;
	vucctl_reply_array(&reply, json->root, "devices", &n);
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(daemon, "devices.list", reply.lacks);
	return 0;
}

void
vucctl_device_list_read(struct vucctl_reply *reply, struct json_object *array, size_t i,
	struct vucctl_device_row *row)
{
	struct json_object *device = json_object_array_get_idx(array, i);

	*row = (struct vucctl_device_row){
		.name = vucctl_reply_text(reply, device, "name"),
		.state = vucctl_reply_text(reply, device, "state"),
		.poller = vucctl_reply_text(reply, device, "poller"),
		.socket = vucctl_reply_text(reply, device, "socket"),
		.generation = vucctl_reply_number(reply, device, "generation"),
		.since_ms = vucctl_reply_number(reply, device, "since_ms"),
		.reason = vucctl_reply_text_or_null(reply, device, "reason"),
		.vmm = vucctl_reply_object_or_null(reply, device, "vmm"),
	};
	if (row->vmm == NULL)
		return;
	row->pid = vucctl_reply_number(reply, row->vmm, "pid");
	row->uid = vucctl_reply_number(reply, row->vmm, "uid");
	row->vmm_name = vucctl_reply_text(reply, row->vmm, "name");
	row->queues = vucctl_reply_number(reply, row->vmm, "queues");
}
