/* SPDX-License-Identifier: BSD-3-Clause */
#include "report_json.h"

#include <linux/vfio.h>

#include "vfio_names.h"

static void
add_version(struct vucctl_json *json, const struct vuc_device_version *version)
{
	struct json_object *object = vucctl_json_object(json, json->root, "version");

	vucctl_json_number(json, object, "major", version->major);
	vucctl_json_number(json, object, "minor", version->minor);
	vucctl_json_number(json, object, "max_msg_fds", version->max_msg_fds);
	vucctl_json_number(json, object, "max_data_xfer_size", version->max_data_xfer_size);
	vucctl_json_number(json, object, "max_dma_maps", version->max_dma_maps);
	vucctl_json_number(json, object, "pgsizes", version->pgsizes);
	vucctl_json_bool(json, object, "twin_socket", version->twin_socket);
	vucctl_json_bool(json, object, "write_multiple", version->write_multiple);
	vucctl_json_text_or_null(json, object, "server_data", version->json);
}

static void
add_flags(struct vucctl_json *json, struct json_object *object, uint32_t value,
	const struct vucctl_flag *flags)
{
	struct json_object *names;

	vucctl_json_hex(json, object, "flags", 1, value);
	names = vucctl_json_array(json, object, "flag_names");
	for (; flags->name != NULL; flags++) {
		if ((value & flags->bits) == flags->bits)
			vucctl_json_text(json, names, NULL, flags->name);
	}
}

static void
add_device(struct vucctl_json *json, const struct vuc_device_info *info)
{
	struct json_object *object = vucctl_json_object(json, json->root, "device");

	add_flags(json, object, info->flags, vucctl_device_flags);
	vucctl_json_number(json, object, "num_regions", info->num_regions);
	vucctl_json_number(json, object, "num_irqs", info->num_irqs);
}

static void
add_areas(struct vucctl_json *json, struct json_object *object, const struct vuc_region *region)
{
	struct json_object *areas = vucctl_json_array(json, object, "areas");
	struct json_object *area;
	uint32_t i;

	for (i = 0; i < region->nr_areas; i++) {
		area = vucctl_json_object(json, areas, NULL);
		vucctl_json_number(json, area, "offset", region->areas[i].offset);
		vucctl_json_number(json, area, "size", region->areas[i].size);
	}
}

static void
add_region(struct vucctl_json *json, struct json_object *regions, const struct vuc_region *region)
{
	struct json_object *object = vucctl_json_object(json, regions, NULL);

	vucctl_json_number(json, object, "index", region->index);
	vucctl_json_text(json, object, "name", vucctl_region_name(region->index).text);
	vucctl_json_number(json, object, "size", region->size);
	add_flags(json, object, region->flags, vucctl_region_flags);
	vucctl_json_number(json, object, "offset", region->offset);
	vucctl_json_number(json, object, "fds", region->nr_fds);
	add_areas(json, object, region);
	vucctl_json_hex(json, object, "type", 1, region->type);
	vucctl_json_hex(json, object, "subtype", 1, region->subtype);
}

static void
add_irq(struct vucctl_json *json, struct json_object *irqs, const struct vuc_irq *irq)
{
	struct json_object *object = vucctl_json_object(json, irqs, NULL);

	vucctl_json_number(json, object, "index", irq->index);
	vucctl_json_text(json, object, "name", vucctl_irq_name(irq->index).text);
	vucctl_json_number(json, object, "count", irq->count);
	add_flags(json, object, irq->flags, vucctl_irq_flags);
}

static void
add_indexes(struct vucctl_json *json, const struct vucctl_report *report)
{
	struct json_object *regions = vucctl_json_array(json, json->root, "regions");
	struct json_object *irqs = vucctl_json_array(json, json->root, "irqs");
	uint32_t i;

	for (i = 0; i < report->info->num_regions; i++)
		add_region(json, regions, &report->regions[i]);
	for (i = 0; i < report->info->num_irqs; i++)
		add_irq(json, irqs, &report->irqs[i]);
}

static void
add_config(struct vucctl_json *json, const struct vucctl_config *config)
{
	char digits[2 * sizeof(config->bytes) + 1] = "";
	struct json_object *object;
	size_t i;

	if (!config->present) {
		vucctl_json_null(json, json->root, "config");
		return;
	}
	for (i = 0; i < config->len; i++)
		snprintf(digits + 2 * i, 3, "%02x", config->bytes[i]);
	object = vucctl_json_object(json, json->root, "config");
	vucctl_json_number(json, object, "size", config->size);
	vucctl_json_number(json, object, "read", config->len);
	vucctl_json_text_or_null(json, object, "error", config->error);
	vucctl_json_text(json, object, "bytes", digits);
}

int
vucctl_report_print_json(FILE *out, const struct vucctl_report *report)
{
	struct vucctl_json json;
	int ret;

	vucctl_json_init(&json);
	vucctl_json_text(&json, json.root, "socket", report->socket);
	vucctl_json_text(&json, json.root, "transport", report->transport);
	add_version(&json, report->version);
	add_device(&json, report->info);
	add_indexes(&json, report);
	vucctl_report_add_pci(&json, report);
	add_config(&json, &report->config);
	ret = vucctl_json_print(out, &json);
	vucctl_json_finish(&json);
	return ret;
}
