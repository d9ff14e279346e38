/* SPDX-License-Identifier: BSD-3-Clause */
#include "report_json.h"

#include <linux/vfio.h>

#include "vfio_names.h"

static void
add_version(struct app_json *json, const struct vuc_device_version *version)
{
	struct json_object *object = app_json_object(json, json->root, "version");

	app_json_number(json, object, "major", version->major);
	app_json_number(json, object, "minor", version->minor);
	app_json_number(json, object, "max_msg_fds", version->max_msg_fds);
	app_json_number(json, object, "max_data_xfer_size", version->max_data_xfer_size);
	app_json_number(json, object, "max_dma_maps", version->max_dma_maps);
	app_json_number(json, object, "pgsizes", version->pgsizes);
	app_json_bool(json, object, "twin_socket", version->twin_socket);
	app_json_bool(json, object, "write_multiple", version->write_multiple);
	app_json_text_or_null(json, object, "server_data", version->json);
}

static void
add_flags(struct app_json *json, struct json_object *object, uint32_t value,
	const struct vucctl_flag *flags)
{
	struct json_object *names;

	app_json_hex(json, object, "flags", 1, value);
	names = app_json_array(json, object, "flag_names");
	for (; flags->name != NULL; flags++) {
		if ((value & flags->bits) == flags->bits)
			app_json_text(json, names, NULL, flags->name);
	}
}

static void
add_device(struct app_json *json, const struct vuc_device_info *info)
{
	struct json_object *object = app_json_object(json, json->root, "device");

	add_flags(json, object, info->flags, vucctl_device_flags);
	app_json_number(json, object, "num_regions", info->num_regions);
	app_json_number(json, object, "num_irqs", info->num_irqs);
}

static void
add_areas(struct app_json *json, struct json_object *object, const struct vuc_region *region)
{
	struct json_object *areas = app_json_array(json, object, "areas");
	struct json_object *area;
	uint32_t i;

	for (i = 0; i < region->nr_areas; i++) {
		area = app_json_object(json, areas, NULL);
		app_json_number(json, area, "offset", region->areas[i].offset);
		app_json_number(json, area, "size", region->areas[i].size);
	}
}

static void
add_region(struct app_json *json, struct json_object *regions, const struct vuc_region *region)
{
	struct json_object *object = app_json_object(json, regions, NULL);

	app_json_number(json, object, "index", region->index);
	app_json_text(json, object, "name", vucctl_region_name(region->index).text);
	app_json_number(json, object, "size", region->size);
	add_flags(json, object, region->flags, vucctl_region_flags);
	app_json_number(json, object, "offset", region->offset);
	app_json_number(json, object, "fds", region->nr_fds);
	add_areas(json, object, region);
	app_json_hex(json, object, "type", 1, region->type);
	app_json_hex(json, object, "subtype", 1, region->subtype);
}

static void
add_irq(struct app_json *json, struct json_object *irqs, const struct vuc_irq *irq)
{
	struct json_object *object = app_json_object(json, irqs, NULL);

	app_json_number(json, object, "index", irq->index);
	app_json_text(json, object, "name", vucctl_irq_name(irq->index).text);
	app_json_number(json, object, "count", irq->count);
	add_flags(json, object, irq->flags, vucctl_irq_flags);
}

static void
add_indexes(struct app_json *json, const struct vucctl_report *report)
{
	struct json_object *regions = app_json_array(json, json->root, "regions");
	struct json_object *irqs = app_json_array(json, json->root, "irqs");
	uint32_t i;

	for (i = 0; i < report->info->num_regions; i++)
		add_region(json, regions, &report->regions[i]);
	for (i = 0; i < report->info->num_irqs; i++)
		add_irq(json, irqs, &report->irqs[i]);
}

static void
add_config(struct app_json *json, const struct vucctl_config *config)
{
	char digits[2 * sizeof(config->bytes) + 1] = "";
	struct json_object *object;
	size_t i;

	if (!config->present) {
		app_json_null(json, json->root, "config");
		return;
	}
	for (i = 0; i < config->len; i++)
		snprintf(digits + 2 * i, 3, "%02x", config->bytes[i]);
	object = app_json_object(json, json->root, "config");
	app_json_number(json, object, "size", config->size);
	app_json_number(json, object, "read", config->len);
	app_json_text_or_null(json, object, "error", config->error);
	app_json_text(json, object, "bytes", digits);
}

int
vucctl_report_print_json(FILE *out, const struct vucctl_report *report)
{
	struct app_json json;
	int ret;

	app_json_init(&json);
	app_json_text(&json, json.root, "socket", report->socket);
	app_json_text(&json, json.root, "transport", report->transport);
	add_version(&json, report->version);
	add_device(&json, report->info);
	add_indexes(&json, report);
	vucctl_report_add_pci(&json, report);
	add_config(&json, &report->config);
	ret = app_json_print(out, &json);
	app_json_finish(&json);
	return ret;
}
