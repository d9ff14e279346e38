/* SPDX-License-Identifier: BSD-3-Clause */
#include "msix.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device.h"
#include "fail.h"
#include "kvm.h"

struct entry {
	uint64_t address;
	uint32_t data;
	uint32_t control;
};

_Static_assert(sizeof(struct entry) == MSIX_ENTRY_BYTES, "an entry is as PCI has it");

static uint32_t
get_long(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static struct msix_place
place_of(const uint8_t *reg, uint32_t size)
{
	uint32_t value = get_long(reg);

	return (struct msix_place){
		.bar = value & PCI_MSIX_TABLE_BIR,
		.offset = value & PCI_MSIX_TABLE_OFFSET,
		.size = size,
	};
}

static int
routes_allocate(struct msix *msix)
{
	msix->entries = calloc(msix->nr_vectors, MSIX_ENTRY_BYTES);
	msix->eventfds = calloc(msix->nr_vectors, sizeof(*msix->eventfds));
	msix->connected = calloc(msix->nr_vectors, sizeof(*msix->connected));
	if (msix->entries == NULL || msix->eventfds == NULL || msix->connected == NULL)
		return vmm_fail(-ENOMEM, "out of memory for %u interrupts", msix->nr_vectors);
	for (uint32_t i = 0; i < msix->nr_vectors; i++)
		msix->eventfds[i] = -1;
	return 0;
}

/* Vectors begin masked, as PCI has it. */
static int
init_vectors(struct msix *msix)
{
	for (uint32_t i = 0; i < msix->nr_vectors; i++) {
		uint8_t *entry = msix->entries + i * MSIX_ENTRY_BYTES;

		entry[PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		msix->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (msix->eventfds[i] < 0)
			return vmm_fail(-errno, "cannot create an eventfd for interrupt %u: %s", i,
				strerror(errno));
	}
	return 0;
}

int
msix_init(struct msix *msix, const uint8_t *capability, struct device *device, struct vm *vm)
{
	uint32_t nr = (get_long(capability) >> 16 & PCI_MSIX_FLAGS_QSIZE) + 1;
	int rc;

	*msix = (struct msix){
		.device = device,
		.vm = vm,
		.nr_vectors = nr,
		.table = place_of(capability + PCI_MSIX_TABLE, nr * MSIX_ENTRY_BYTES),
		.pending = place_of(capability + PCI_MSIX_PBA, (nr + 63) / 64 * 8),
	};
	rc = routes_allocate(msix);
	if (rc == 0)
		rc = init_vectors(msix);
	if (rc != 0)
		msix_destroy(msix);
	return rc;
}

void
msix_destroy(struct msix *msix)
{
	for (uint32_t i = 0; i < msix->nr_vectors && msix->eventfds != NULL; i++) {
		if (msix->connected != NULL && msix->connected[i])
			vm_disconnect_msi(msix->vm, i, msix->eventfds[i]);
		if (msix->eventfds[i] >= 0)
			close(msix->eventfds[i]);
	}
	free(msix->entries);
	free(msix->eventfds);
	free(msix->connected);
	*msix = (struct msix){0};
}

/* Let KVM listen to a vector's eventfd, with the message that the entry now has, or no longer. */
static void
update_vector(struct msix *msix, uint32_t vector)
{
	struct entry entry;
	bool on;

	memcpy(&entry, msix->entries + vector * MSIX_ENTRY_BYTES, sizeof(entry));
	on = (msix->control & PCI_MSIX_FLAGS_ENABLE) != 0 &&
		(msix->control & PCI_MSIX_FLAGS_MASKALL) == 0 &&
		(entry.control & PCI_MSIX_ENTRY_CTRL_MASKBIT) == 0;
	if (msix->connected[vector])
		vm_disconnect_msi(msix->vm, vector, msix->eventfds[vector]);
	msix->connected[vector] = on &&
		vm_route_msi(msix->vm, vector, entry.address, entry.data) == 0 &&
		vm_connect_msi(msix->vm, vector, msix->eventfds[vector]) == 0;
}

/* While MSI-X is off, what the device signals is lost. */
static void
drain_eventfds(struct msix *msix)
{
	uint64_t count;

	for (uint32_t i = 0; i < msix->nr_vectors; i++) {
		if (read(msix->eventfds[i], &count, sizeof(count)) < 0)
			continue; /* nothing was in it */
	}
}

/* An error of the device is the guest's: no interrupt comes. */
void
msix_set_control(struct msix *msix, uint16_t control)
{
	bool was_on = (msix->control & PCI_MSIX_FLAGS_ENABLE) != 0;
	bool on = (control & PCI_MSIX_FLAGS_ENABLE) != 0;

	msix->control = control;
	if (on && !was_on)
		device_enable_msix(msix->device, msix->eventfds, msix->nr_vectors);
	for (uint32_t i = 0; i < msix->nr_vectors; i++)
		update_vector(msix, i);
	if (was_on && !on) {
		device_disable_msix(msix->device);
		drain_eventfds(msix);
	}
}

enum overlap {
	OUTSIDE,
	WITHIN,
	ACROSS, /* its beginning or its end */
};

static enum overlap
place_compare(const struct msix_place *place, uint32_t bar, uint64_t offset, uint32_t count)
{
	uint64_t place_end = (uint64_t)place->offset + place->size;

	if (bar != place->bar || offset >= place_end || offset + count <= place->offset)
		return OUTSIDE;
	return offset >= place->offset && offset + count <= place_end ? WITHIN : ACROSS;
}

static bool
is_signalled(int eventfd)
{
	struct pollfd pollfd = {.fd = eventfd, .events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

static uint8_t
pending_byte(const struct msix *msix, uint32_t index)
{
	uint8_t byte = 0;

	for (uint32_t bit = 0; bit < 8; bit++) {
		uint32_t vector = index * 8 + bit;

		if (vector < msix->nr_vectors && !msix->connected[vector] &&
			is_signalled(msix->eventfds[vector]))
			byte |= (uint8_t)(1u << bit);
	}
	return byte;
}

bool
msix_read(struct msix *msix, uint32_t bar, uint64_t offset, void *data, uint32_t count)
{
	enum overlap table = place_compare(&msix->table, bar, offset, count);
	enum overlap pending = place_compare(&msix->pending, bar, offset, count);
	uint8_t *bytes = data;

	if (table == OUTSIDE && pending == OUTSIDE)
		return false;
	memset(data, 0xff, count);
	if (table == WITHIN) {
		memcpy(data, msix->entries + (offset - msix->table.offset), count);
	} else if (pending == WITHIN) {
		for (uint32_t i = 0; i < count; i++)
			bytes[i] =
				pending_byte(msix, (uint32_t)(offset - msix->pending.offset) + i);
	}
	return true;
}

/* Of an entry's last word the guest can write nothing but the mask bit. */
static void
write_table(struct msix *msix, uint32_t at, const uint8_t *bytes, uint32_t count)
{
	static const uint8_t writable[MSIX_ENTRY_BYTES] = {
		0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

	for (uint32_t i = 0; i < count; i++)
		msix->entries[at + i] = bytes[i] & writable[(at + i) % MSIX_ENTRY_BYTES];
	for (uint32_t i = at / MSIX_ENTRY_BYTES; i <= (at + count - 1) / MSIX_ENTRY_BYTES; i++)
		update_vector(msix, i);
}

bool
msix_write(struct msix *msix, uint32_t bar, uint64_t offset, const void *data, uint32_t count)
{
	enum overlap table = place_compare(&msix->table, bar, offset, count);

	if (table == WITHIN)
		write_table(msix, (uint32_t)(offset - msix->table.offset), data, count);
	return table != OUTSIDE || place_compare(&msix->pending, bar, offset, count) != OUTSIDE;
}
