/* SPDX-License-Identifier: BSD-3-Clause */
#include "accesses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "record.h"
#include "source.h"

#define STANDARD_CONFIG 256u /* bytes of config space that a record has */

/* Where extended capabilities begin; all of the list is zero if there are none. */
#define EXTENDED_CONFIG     256u
#define EXTENDED_CONFIG_END (EXTENDED_CONFIG + 4)

/* Returns NULL if other accesses leave too little memory. */
static uint8_t *
large_take(struct front_accesses *a, uint32_t count)
{
	uint8_t *at;

	if (a->nr_large == 0)
		a->large_used = 0;
	if (count > a->large_size - a->large_used)
		return NULL;
	at = a->large + a->large_used;
	a->large_used += count;
	a->nr_large++;
	return at;
}

static struct front_access_slot *
slot_take(struct front_accesses *a, const struct front_request *r)
{
	const struct front_access *access = &r->access;
	struct front_access_slot *slot = a->free;

	/* Expired reads keep their slots until the device has answered. */
	if (slot == NULL)
		return NULL;
	slot->data =
		access->count <= FRONT_SMALL_ACCESS ? slot->small : large_take(a, access->count);
	if (slot->data == NULL)
		return NULL;
	a->free = slot->next;
	slot->token = r->token;
	slot->write = access->write;
	slot->region = access->region;
	slot->offset = access->offset;
	slot->count = access->count;
	slot->piece = 0;
	slot->done = 0;
	if (access->write)
		memcpy(slot->data, access->data, access->count);
	return slot;
}

static void
slot_free(struct front_accesses *a, struct front_access_slot *slot)
{
	if (slot->data != slot->small)
		a->nr_large--;
	slot->next = a->free;
	a->free = slot;
}

static void
slot_find_pieces(struct front_accesses *a, struct front_access_slot *slot)
{
	struct front *f = a->front;

	if (slot->region != VFIO_PCI_CONFIG_REGION_INDEX) {
		slot->pieces[0] =
			(struct front_piece){.count = slot->count, .offset = slot->offset};
		slot->nr_pieces = 1;
	} else if (slot->write) {
		slot->nr_pieces =
			front_config_write(f, slot->offset, slot->count, slot->data, slot->pieces);
	} else {
		slot->nr_pieces = front_config_pieces(f, slot->offset, slot->count, slot->pieces);
	}
}

static void
slot_answer(struct front_accesses *a, struct front_access_slot *slot, int status)
{
	struct front *f = a->front;

	if (slot->write) {
		front_reply(f, slot->token, status);
	} else {
		if (status == 0 && slot->region == VFIO_PCI_CONFIG_REGION_INDEX)
			front_config_merge(f, slot->offset, slot->count, slot->data);
		front_reply_read(f, slot->token, status, slot->data);
	}
	slot_free(a, slot);
}

/* Whether a part of an access, from an offset on, asks whether there are extended capabilities, and
 * for more of them. */
static bool
slot_asks_for_extended(const struct front_access_slot *slot, uint64_t offset, uint32_t count)
{
	return !slot->write && slot->region == VFIO_PCI_CONFIG_REGION_INDEX &&
		slot->offset <= EXTENDED_CONFIG && offset < EXTENDED_CONFIG_END &&
		offset + count > EXTENDED_CONFIG_END;
}

/* 959 registers are not read one by one if the first one says that there is nothing: QEMU reads all
 * of them at once, stands still meanwhile, and some servers take a millisecond for each. */
static bool
slot_has_no_extended(const struct front_access_slot *slot, uint64_t end)
{
	static const uint8_t none[EXTENDED_CONFIG_END - EXTENDED_CONFIG];

	return !slot->write && slot->region == VFIO_PCI_CONFIG_REGION_INDEX &&
		slot->offset <= EXTENDED_CONFIG && end == EXTENDED_CONFIG_END &&
		memcmp(slot->data + (EXTENDED_CONFIG - slot->offset), none, sizeof(none)) == 0;
}

/* A write completes as on PCI: it is posted if the device allows posted writes. */
static int
slot_submit(struct front_accesses *a, struct front_access_slot *slot)
{
	const struct front_piece *piece = &slot->pieces[slot->piece];
	struct vuc_queue_request request = {
		.op = slot->write ? VUC_QUEUE_WRITE_PCI : VUC_QUEUE_READ,
		.region = slot->region,
		.offset = piece->offset + slot->done,
		.count = piece->count - slot->done,
		.data = slot->data + piece->at + slot->done,
		.arg = slot,
	};
	int rc;

	if (slot_asks_for_extended(slot, request.offset, request.count))
		request.count = (uint32_t)(EXTENDED_CONFIG_END - request.offset);
	if (request.count > vuc_queue_max_data(a->queue))
		request.count = vuc_queue_max_data(a->queue);
	slot->part = request.count;
	rc = vuc_queue_submit(a->queue, &request, 1);
	if (rc == 1)
		a->nr_busy++;
	return rc == 1 ? 0 : rc == 0 ? -EBUSY : rc;
}

/* Answer a read of config space from the record. Returns false if it is none, or not recorded. A
 * VMM that reads more than the standard part finds no extended capabilities, of which nothing is
 * kept: that is better than 960 registers, each of which takes the device's timeout. */
static bool
slot_recall(struct front_accesses *a, struct front_access_slot *slot)
{
	uint32_t known = slot->count;

	if (slot->write || slot->region != VFIO_PCI_CONFIG_REGION_INDEX)
		return false;
	memset(slot->data, 0, slot->count);
	if (slot->offset >= STANDARD_CONFIG)
		return true;
	if (slot->count > STANDARD_CONFIG - slot->offset)
		known = (uint32_t)(STANDARD_CONFIG - slot->offset);
	return vuc_device_record_read_config(a->dev, slot->offset, slot->data, known) == 0;
}

static void
slot_go_on(struct front_accesses *a, struct front_access_slot *slot)
{
	int rc;

	if (slot->piece == slot->nr_pieces) {
		slot_answer(a, slot, 0);
		return;
	}
	rc = slot_submit(a, slot);
	if (rc != 0)
		slot_answer(a, slot, rc);
}

/*
 * While the device is away, or its server does not answer, what was known of config space answers
 * without waiting: QEMU stands still meanwhile, and a vendor id of ones is a device that is gone.
 * One read at a time is sent to a silent server nevertheless, whose reply shows that it is back.
 */
static bool
slot_answer_from_record(struct front_accesses *a, struct front_access_slot *slot)
{
	bool away = vuc_device_is_away(a->dev);
	uint64_t since_ms;

	if ((!away && !vuc_device_is_silent(a->dev, &since_ms)) || !slot_recall(a, slot))
		return false;
	if (away || a->nr_busy > 0) {
		slot_answer(a, slot, 0);
		return true;
	}
	front_config_merge(a->front, slot->offset, slot->count, slot->data);
	front_reply_read(a->front, slot->token, 0, slot->data);
	slot_go_on(a, slot);
	return true;
}

bool
front_accesses_begin(struct front_accesses *a, const struct front_request *r)
{
	struct front_access_slot *slot = slot_take(a, r);

	if (slot == NULL)
		return false;
	slot_find_pieces(a, slot);
	if (!slot_answer_from_record(a, slot))
		slot_go_on(a, slot);
	return true;
}

void
front_accesses_take(struct front_accesses *a, const struct vuc_queue_result *result)
{
	struct front_access_slot *slot = result->arg;
	const struct front_piece *piece = &slot->pieces[slot->piece];

	a->nr_busy--;
	if (result->status != 0) {
		bool known = result->status == -ETIMEDOUT && slot_recall(a, slot);

		slot_answer(a, slot, known ? 0 : result->status);
		return;
	}
	slot->done += slot->part;
	if (slot_has_no_extended(slot, piece->offset + slot->done)) {
		memset(slot->data + piece->at + slot->done, 0, piece->count - slot->done);
		slot->done = piece->count;
	}
	if (slot->done == piece->count) {
		slot->piece++;
		slot->done = 0;
	}
	slot_go_on(a, slot);
}

int
front_accesses_init(struct front_accesses *a, struct front *front, struct vuc_device *dev,
	struct vuc_queue *queue)
{
	a->front = front;
	a->dev = dev;
	a->queue = queue;
	for (unsigned int i = 0; i < FRONT_MAX_REQUESTS; i++) {
		a->slots[i].next = a->free;
		a->free = &a->slots[i];
	}
	a->large_size = front_max_data(front);
	a->large = malloc(a->large_size);
	return a->large != NULL ? 0 : -ENOMEM;
}

void
front_accesses_free(struct front_accesses *a)
{
	free(a->large);
}
