/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define NR_PIECES \
	((uint32_t)((sizeof(struct refdev_image) + REFDEV_RECORD_DATA - 1) / REFDEV_RECORD_DATA))

struct refdev_save *
refdev_save_new(void)
{
	struct refdev_save *save = calloc(1, sizeof(*save));

	if (save == NULL)
		return NULL;
	save->all = true;
	save->sum = REFDEV_CHECKSUM_START;
	return save;
}

static void
put_record(
	struct refdev_save *save, const struct refdev_record *record, const void *data, size_t len)
{
	memcpy(save->bytes, record, sizeof(*record));
	if (len > 0)
		memcpy(save->bytes + sizeof(*record), data, len);
	save->len = sizeof(*record) + len;
	save->taken = 0;
	save->sum = refdev_checksum(save->sum, save->bytes, save->len);
}

static void
put_begin(struct refdev_save *save)
{
	const struct refdev_record record = {
		.magic = REFDEV_STREAM_MAGIC,
		.kind = REFDEV_RECORD_BEGIN,
		.offset = REFDEV_STREAM_VERSION,
		.length = sizeof(struct refdev_image),
	};

	save->begun = true;
	put_record(save, &record, NULL, 0);
}

static void
put_end(struct refdev_save *save)
{
	const struct refdev_record record = {
		.magic = REFDEV_STREAM_MAGIC,
		.kind = REFDEV_RECORD_END,
		.length = sizeof(save->sum),
	};
	uint64_t sum = refdev_checksum(save->sum, &record, sizeof(record));

	save->ended = true;
	put_record(save, &record, &sum, sizeof(sum));
}

/* The next piece that the reader does not know as it is. */
static bool
put_piece(struct refdev_save *save)
{
	for (; save->next < NR_PIECES; save->next++) {
		uint32_t offset = save->next * REFDEV_RECORD_DATA;
		uint32_t left = (uint32_t)sizeof(save->now) - offset;
		uint32_t len = left < REFDEV_RECORD_DATA ? left : REFDEV_RECORD_DATA;
		const uint8_t *now = (const uint8_t *)&save->now + offset;
		uint8_t *known = (uint8_t *)&save->known + offset;

		if (!save->all && memcmp(now, known, len) == 0)
			continue;
		memcpy(known, now, len);
		put_record(save,
			&(struct refdev_record){
				.magic = REFDEV_STREAM_MAGIC,
				.kind = REFDEV_RECORD_PIECE,
				.offset = offset,
				.length = len,
			},
			now, len);
		save->next++;
		return true;
	}
	return false;
}

/* Have a record that is not all taken. False at the end: of the round, or of the stream. */
static bool
next_record(struct refdev_save *save, bool final)
{
	if (save->taken < save->len)
		return true;
	if (save->ended)
		return false;
	if (!save->begun) {
		put_begin(save);
		return true;
	}
	if (put_piece(save))
		return true;
	save->next = 0;
	save->all = false;
	if (final)
		put_end(save);
	return final;
}

/* A round looks at the device as it is at each read: what changes behind it is for the next. */
size_t
refdev_save_read(
	struct refdev_save *save, const struct refdev *dev, bool final, uint8_t *data, size_t size)
{
	size_t done = 0;

	refdev_image_capture(dev, &save->now);
	while (done < size && next_record(save, final)) {
		size_t left = save->len - save->taken;
		size_t n = left < size - done ? left : size - done;

		memcpy(data + done, save->bytes + save->taken, n);
		save->taken += n;
		done += n;
	}
	return done;
}
