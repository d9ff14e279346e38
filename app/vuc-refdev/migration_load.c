/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

struct refdev_load *
refdev_load_new(void)
{
	struct refdev_load *load = calloc(1, sizeof(*load));

	if (load != NULL)
		load->sum = REFDEV_CHECKSUM_START;
	return load;
}

/* Whether a record can stand where it does; what follows it fits the room for a record then. */
static bool
is_valid(const struct refdev_load *load, const struct refdev_record *record)
{
	const uint32_t size = sizeof(load->image);

	if (record->magic != REFDEV_STREAM_MAGIC || load->ended)
		return false;
	switch (record->kind) {
	case REFDEV_RECORD_BEGIN:
		return !load->begun && record->offset == REFDEV_STREAM_VERSION &&
			record->length == size;
	case REFDEV_RECORD_PIECE:
		return load->begun && record->length > 0 && record->length <= REFDEV_RECORD_DATA &&
			record->offset <= size && record->length <= size - record->offset;
	case REFDEV_RECORD_END:
		return load->begun && record->offset == 0 && record->length == sizeof(load->sum);
	default:
		return false;
	}
}

/* Bytes of a record with what follows it. */
static size_t
size_of(const struct refdev_record *record)
{
	return sizeof(*record) + (record->kind == REFDEV_RECORD_BEGIN ? 0 : record->length);
}

/* A record is whole. */
static int
take_record(struct refdev_load *load, const struct refdev_record *record)
{
	const uint8_t *data = load->bytes + sizeof(*record);
	uint64_t sum;

	switch (record->kind) {
	case REFDEV_RECORD_BEGIN:
		load->begun = true;
		break;
	case REFDEV_RECORD_PIECE:
		memcpy((uint8_t *)&load->image + record->offset, data, record->length);
		break;
	default:
		memcpy(&sum, data, sizeof(sum));
		load->ended = true;
		if (sum != refdev_checksum(load->sum, load->bytes, sizeof(*record)))
			return -EINVAL;
		break;
	}
	load->sum = refdev_checksum(load->sum, load->bytes, load->len);
	load->len = 0;
	return 0;
}

/* Take as many bytes as the record at hand lacks, or fewer; returns how many. */
static size_t
load_collect(struct refdev_load *load, size_t wanted, const uint8_t *data, size_t size)
{
	size_t n = wanted - load->len;

	if (n > size)
		n = size;
	memcpy(load->bytes + load->len, data, n);
	load->len += n;
	return n;
}

/* Returns the bytes taken, or -EINVAL. */
static ssize_t
take_some(struct refdev_load *load, const uint8_t *data, size_t size)
{
	struct refdev_record record;
	size_t n = 0;

	if (load->len < sizeof(record)) {
		n = load_collect(load, sizeof(record), data, size);
		if (load->len < sizeof(record))
			return (ssize_t)n;
	}
	memcpy(&record, load->bytes, sizeof(record));
	if (!is_valid(load, &record))
		return -EINVAL;
	n += load_collect(load, size_of(&record), data + n, size - n);
	if (load->len == size_of(&record) && take_record(load, &record) != 0)
		return -EINVAL;
	return (ssize_t)n;
}

int
refdev_load_write(struct refdev_load *load, const uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size && !load->broken) {
		ssize_t n = take_some(load, data + done, size - done);

		if (n < 0)
			load->broken = true;
		else
			done += (size_t)n;
	}
	return load->broken ? -EINVAL : 0;
}

int
refdev_load_finish(const struct refdev_load *load, struct refdev *dev)
{
	if (load->broken || !load->ended || load->len > 0)
		return -EINVAL;
	return refdev_image_apply(dev, &load->image);
}
