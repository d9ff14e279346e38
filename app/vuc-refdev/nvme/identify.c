/* SPDX-License-Identifier: BSD-3-Clause */

/* Identify: what the controller and its namespace are (section 5.15 of the specification). */

#include <stdio.h>

#include "nvme.h"

/* Fields of Identify Controller that are always the same. */
static const struct refdev_field controller_fields[] = {
	{0, 2, NVME_VENDOR_ID, 0}, /* VID */
	{2, 2, NVME_VENDOR_ID, 0}, /* SSVID */
	{77, 1, NVME_MDTS, 0},     /* MDTS */
	{80, 4, NVME_VERSION, 0},  /* VER */
	{92, 4, NVME_FIRMWARE_NOTICES,
		0},     /* OAES: without any of these, Linux requests no events */
	{111, 1, 1, 0}, /* CNTRLTYPE: an I/O controller */
	{258, 1, 3, 0}, /* ACL: 4 */
	{259, 1, NVME_MAX_EVENT_REQS - 1, 0}, /* AERL */
	{260, 1, 1 << 1 | 1, 0},              /* FRMW: one slot, read-only */
	{261, 1, 1 << 2, 0},                  /* LPA: offsets in log pages */
	{262, 1, NVME_NR_ERRORS - 1, 0},      /* ELPE */
	{266, 2, NVME_TEMPERATURE + 30, 0},   /* WCTEMP */
	{268, 2, NVME_TEMPERATURE + 40, 0},   /* CCTEMP */
	{512, 1, 0x66, 0},                    /* SQES */
	{513, 1, 0x44, 0},                    /* CQES */
	{516, 4, 1, 0},                       /* NN */
	{520, 2, 1 << 3 | 1 << 2, 0},         /* ONCS: Write Zeroes, Dataset Management */
	{525, 1, 3 << 1 | 1, 0}, /* VWC: there is a cache, and Flush of all namespaces */
	{2048, 2, 2500, 0},      /* PSD0: 25 W */
};

/* Of Identify Namespace. */
static const struct refdev_field namespace_fields[] = {
	{128, 4, NVME_BLOCK_SHIFT << 16, 0}, /* LBAF0 */
};

static void
fields_put(uint8_t *data, const struct refdev_field *fields, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		memcpy(data + fields[i].offset, &fields[i].value, fields[i].bytes);
}

#define FIELDS_PUT(data, fields) fields_put(data, fields, sizeof(fields) / sizeof((fields)[0]))

/* Padded with blanks, without a 0 at the end. */
static void
text_put(uint8_t *at, size_t size, const char *text)
{
	size_t len = strlen(text);

	memset(at, ' ', size);
	memcpy(at, text, len < size ? len : size);
}

static void
serial_make(const struct nvme_namespace *ns, char *serial, size_t size)
{
	uint64_t parts[2];

	memcpy(parts, ns->id, sizeof(parts));
	snprintf(serial, size, "VUC%06llX%011llX", (unsigned long long)parts[0] & 0xffffff,
		(unsigned long long)parts[1] & 0xfffffffffffull);
}

static void
controller_fill(const struct refdev_nvme *nvme, uint8_t *data)
{
	char serial[21], nqn[64];

	serial_make(&nvme->ns, serial, sizeof(serial));
	snprintf(nqn, sizeof(nqn), "nqn.2026-01.vuc:refdev-nvme:%s", serial);
	FIELDS_PUT(data, controller_fields);
	text_put(data + 4, 20, serial);
	text_put(data + 24, 40, "vuc-refdev NVMe");
	text_put(data + 64, 8, "1");
	memcpy(data + 768, nqn, strlen(nqn));
}

static void
namespace_fill(const struct nvme_namespace *ns, uint8_t *data)
{
	for (unsigned int i = 0; i < 3; i++) /* NSZE, NCAP, NUSE */
		memcpy(data + i * sizeof(ns->blocks), &ns->blocks, sizeof(ns->blocks));
	FIELDS_PUT(data, namespace_fields);
	memcpy(data + 104, ns->id, sizeof(ns->id));
}

static void
descriptors_fill(const struct nvme_namespace *ns, uint8_t *data)
{
	data[0] = NVME_DESCRIPTOR_TYPE_NGUID;
	data[1] = NVME_NGUID_SIZE;
	memcpy(data + NVME_DESCRIPTOR_HEADER_SIZE, ns->id, sizeof(ns->id));
}

static uint16_t
identity_fill(const struct refdev_nvme *nvme, const struct nvme_command *cmd, uint8_t *data)
{
	switch (cmd->cdw10 & 0xff) {
	case NVME_IDENTIFY_NAMESPACE:
		if (cmd->nsid != 1)
			return NVME_INVALID_NAMESPACE;
		namespace_fill(&nvme->ns, data);
		return NVME_SUCCESS;
	case NVME_IDENTIFY_CONTROLLER:
		controller_fill(nvme, data);
		return NVME_SUCCESS;
	case NVME_IDENTIFY_ACTIVE_LIST:
		if (cmd->nsid >= NVME_NSID_ALL - 1)
			return NVME_INVALID_NAMESPACE;
		data[0] = cmd->nsid == 0; /* those above this one */
		return NVME_SUCCESS;
	case NVME_IDENTIFY_DESCRIPTORS:
		if (cmd->nsid != 1)
			return NVME_INVALID_NAMESPACE;
		descriptors_fill(&nvme->ns, data);
		return NVME_SUCCESS;
	default:
		return NVME_INVALID_FIELD;
	}
}

void
refdev_nvme_identify(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint8_t *data = nvme->buffer.bytes + NVME_BUFFER_DATA;
	uint16_t status;

	memset(data, 0, NVME_IDENTIFY_SIZE);
	status = identity_fill(nvme, cmd, data);
	if (status != NVME_SUCCESS)
		refdev_nvme_job_complete(dev, status);
	else
		refdev_nvme_data_move(dev, NVME_IDENTIFY_SIZE, true, NULL);
}
