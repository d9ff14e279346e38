/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats_sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

static void
read_device(
	struct vucctl_device_sample *device, struct vucctl_reply *reply, struct json_object *obj)
{
	vucctl_foreign_copy(
		device->name, sizeof(device->name), vucctl_reply_text(reply, obj, "name"));
	vucctl_foreign_copy(
		device->state, sizeof(device->state), vucctl_reply_text(reply, obj, "state"));
	device->reads = vucctl_reply_number(reply, obj, "reads");
	device->writes = vucctl_reply_number(reply, obj, "writes");
	device->posted = vucctl_reply_number(reply, obj, "posted");
	device->errors = vucctl_reply_number(reply, obj, "errors");
	device->timeouts = vucctl_reply_number(reply, obj, "timeouts");
	device->attaches = vucctl_reply_number(reply, obj, "attaches");
	device->queues = vucctl_reply_number(reply, obj, "queues");
	device->dma_maps = vucctl_reply_number(reply, obj, "dma_maps");
}

int
vucctl_stats_sample_read(
	struct vucctl_stats_sample *sample, struct vucctl_reply *reply, struct json_object *result)
{
	struct json_object *array;
	size_t i;

	*sample = (struct vucctl_stats_sample){
		.time_ms = vucctl_reply_number(reply, result, "time_ms"),
	};
	array = vucctl_reply_array(reply, result, "devices", &sample->nr_devices);
	sample->devices = calloc(sample->nr_devices + 1, sizeof(*sample->devices));
	if (sample->devices == NULL)
		return -ENOMEM;
	for (i = 0; i < sample->nr_devices; i++)
		read_device(&sample->devices[i], reply, json_object_array_get_idx(array, i));
	return 0;
}

void
vucctl_stats_sample_free(struct vucctl_stats_sample *sample)
{
	free(sample->devices);
	*sample = (struct vucctl_stats_sample){.devices = NULL};
}

const struct vucctl_device_sample *
vucctl_stats_sample_find(const struct vucctl_stats_sample *sample, size_t i, const char *name)
{
	size_t n = sample->nr_devices;
	size_t k;

	for (k = 0; k < n; k++) {
		const struct vucctl_device_sample *device = &sample->devices[(i + k) % n];

		if (strcmp(device->name, name) == 0)
			return device;
	}
	return NULL;
}

static double
rate_between(uint64_t before, uint64_t now, uint64_t ms)
{
	return (double)(now - before) * 1000 / (double)ms;
}

bool
vucctl_rates_between(struct vucctl_rates *rates, const struct vucctl_device_sample *before,
	const struct vucctl_device_sample *now, uint64_t ms)
{
	if (before == NULL || now->reads < before->reads || now->writes < before->writes ||
		now->posted < before->posted || now->errors < before->errors ||
		now->attaches < before->attaches)
		return false;
	*rates = (struct vucctl_rates){
		.reads = rate_between(before->reads, now->reads, ms),
		.writes = rate_between(before->writes, now->writes, ms),
		.posted = rate_between(before->posted, now->posted, ms),
		.errors = rate_between(before->errors, now->errors, ms),
	};
	return true;
}
