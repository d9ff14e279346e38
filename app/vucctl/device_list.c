/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_list.h"

#include <string.h>

/* The VMM of a device, in the answer to vmms.list; NULL when another one has come or gone since. */
static struct json_object *
find_vmm(struct json_object *vmms, size_t n, const char *device, uint64_t pid)
{
	struct vucctl_reply reply = {NULL};
	size_t i;

	for (i = 0; i < n; i++) {
		struct json_object *vmm = json_object_array_get_idx(vmms, i);

		if (strcmp(vucctl_reply_text(&reply, vmm, "device"), device) == 0 &&
			vucctl_reply_number(&reply, vmm, "pid") == pid)
			return vmm;
	}
	return NULL;
}

/* Add what vmms.list tells of a VMM beside what devices.list does. */
static void
add_vmm(struct vucctl_json *json, struct json_object *to, struct json_object *from)
{
	static const char *const keys[] = {"queues", "dma_maps", "attached_ms"};
	struct json_object *value;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (json_object_object_get_ex(from, keys[i], &value))
			vucctl_json_copy(json, to, keys[i], value);
	}
}

static void
add_vmms(struct vucctl_json *json, struct json_object *vmms, size_t nr_vmms)
{
	struct vucctl_reply reply = {NULL};
	size_t i, n;
	struct json_object *devices = vucctl_reply_array(&reply, json->root, "devices", &n);

	for (i = 0; i < n; i++) {
		struct vucctl_device_row row;
		struct json_object *vmm;

		vucctl_device_list_read(&reply, devices, i, &row);
		if (row.vmm == NULL)
			continue;
		vmm = find_vmm(vmms, nr_vmms, row.name, row.pid);
		if (vmm != NULL)
			add_vmm(json, row.vmm, vmm);
	}
}

int
vucctl_device_list_get(struct vucctl_daemon *daemon, struct vucctl_json *json)
{
	struct json_object *result, *array;
	struct vucctl_reply reply = {NULL};
	size_t n;
	int ret = vucctl_daemon_call(daemon, "devices.list", NULL, &result);

	vucctl_json_init_copy(json, result);
	json_object_put(result);
	if (ret != 0)
		return ret;
	vucctl_reply_array(&reply, json->root, "devices", &n);
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(daemon, "devices.list", reply.lacks);
	ret = vucctl_daemon_call(daemon, "vmms.list", NULL, &result);
	if (ret != 0)
		return ret;
	array = vucctl_reply_array(&reply, result, "vmms", &n);
	if (reply.lacks == NULL)
		add_vmms(json, array, n);
	else
		ret = vucctl_daemon_fail_answer(daemon, "vmms.list", reply.lacks);
	json_object_put(result);
	return ret;
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
		.reason = vucctl_reply_text_or_null(reply, device, "reason"),
		.vmm = vucctl_reply_object_or_null(reply, device, "vmm"),
	};
	if (row->vmm == NULL)
		return;
	row->pid = vucctl_reply_number(reply, row->vmm, "pid");
	row->uid = vucctl_reply_number(reply, row->vmm, "uid");
	row->vmm_name = vucctl_reply_text(reply, row->vmm, "name");
	row->has_queues = json_object_object_get_ex(row->vmm, "queues", NULL);
	if (row->has_queues)
		row->queues = vucctl_reply_number(reply, row->vmm, "queues");
}
