/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCI_H
#define VUCCTL_PCI_H

/* Config space of a PCI device, of which no byte is trusted. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#include "print.h"

#define VUCCTL_PCI_HEADER_SIZE  64
#define VUCCTL_PCI_CONFIG_SIZE  256
#define VUCCTL_PCIE_CONFIG_SIZE 4096
#define VUCCTL_PCI_MAX_BARS     6

/* Config space as it was read: len bytes of it, which may be less than the device has. */
struct vucctl_pci_image {
	const uint8_t *bytes;
	size_t len;
};

/*
 * Read width (1, 2 or 4) bytes at offset, little endian. Returns false, and value as 0, when they
 * are not all inside of the image.
 */
bool vucctl_pci_get(
	const struct vucctl_pci_image *image, size_t offset, unsigned int width, uint32_t *value);

/* ---- capabilities ---- */

/* A capability begins at a multiple of 4 and no two begin at the same place. */
#define VUCCTL_PCI_MAX_CAPS     ((VUCCTL_PCI_CONFIG_SIZE - VUCCTL_PCI_HEADER_SIZE) / 4)
#define VUCCTL_PCI_MAX_EXT_CAPS ((VUCCTL_PCIE_CONFIG_SIZE - VUCCTL_PCI_CONFIG_SIZE) / 4)

/* Longest text of struct vucctl_pci_caps, terminating NUL included. */
#define VUCCTL_PCI_PROBLEM_MAX 64

struct vucctl_pci_cap {
	uint16_t offset; /* in config space */
	uint16_t id;     /* of its kind of list */
	bool extended;   /* in the list of PCI Express extended capabilities */
	uint8_t version; /* extended ones only */
};

/* Both lists, the standard one first, each in the order of its links. */
struct vucctl_pci_caps {
	unsigned int count;
	struct vucctl_pci_cap caps[VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS];
	/* Why the walk of a list ended early; "" when it reached the list's end. */
	char problem[VUCCTL_PCI_PROBLEM_MAX];
	char ext_problem[VUCCTL_PCI_PROBLEM_MAX];
};

/*
 * Walk both lists. Whatever the image holds, the walk ends: a link back, out of place or out of
 * the image is a problem that is told. The extended list is looked at when the image goes beyond
 * the first 256 bytes.
 */
void vucctl_pci_caps_walk(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps);

/* What is essential of a capability, by tables: for text and for JSON alike. */

/* How to understand the bits of a field. */
enum vucctl_pci_field_kind {
	FIELD_NUMBER,
	FIELD_COUNT,  /* the bits hold the number less one */
	FIELD_POWER,  /* the bits hold the number's logarithm to base 2 */
	FIELD_OFFSET, /* the bits stay where they are */
	FIELD_ID,
	FIELD_FLAG,
	FIELD_NAME, /* the bits are an index into names */
};

/* A place in a capability. */
struct vucctl_pci_field {
	enum vucctl_pci_field_kind kind;
	const char *key;          /* in JSON */
	uint8_t offset;           /* from the start of the capability */
	uint8_t width;            /* of the register: 1, 2 or 4 bytes */
	uint32_t mask;            /* of the bits in the register */
	const char *text;         /* in text, before the value; of a flag, when it is set */
	const char *text_off;     /* of a flag that is not set; NULL: nothing */
	const char *const *names; /* end with NULL */
};

/* A kind of capability; fields end with one without a key. */
struct vucctl_pci_cap_kind {
	uint16_t id;
	const char *key;                       /* in JSON: stable */
	const char *name;                      /* in text */
	const struct vucctl_pci_field *fields; /* NULL: none */
};

/* The kind of a capability, or NULL for one that is not known. */
const struct vucctl_pci_cap_kind *vucctl_pci_cap_kind(const struct vucctl_pci_cap *cap);

/*
 * Value of a field in an image. Returns false when the field is not all inside of the part of the
 * image that the capability's list covers.
 */
bool vucctl_pci_field_get(const struct vucctl_pci_image *image, const struct vucctl_pci_cap *cap,
	const struct vucctl_pci_field *field, uint32_t *value);

/* Hexadecimal digits of a FIELD_ID. */
int vucctl_pci_field_digits(const struct vucctl_pci_field *field);

/* Name of a value of a FIELD_NAME; "unknown" beyond its names. */
const char *vucctl_pci_field_name(const struct vucctl_pci_field *field, uint32_t value);

/* ---- all of it ---- */

#define VUCCTL_PCI_NAME_MAX 128

struct vucctl_pci_ids {
	uint16_t vendor, device;
	const char *name; /* NULL: it was not looked up */
};

/* An implemented BAR, or the expansion ROM. */
struct vucctl_pci_bar {
	uint32_t index;
	const char *type, *text; /* what it is, for JSON and for text */
	bool prefetchable;
	bool enabled; /* the ROM */
	uint64_t address;
	uint64_t size; /* of the region; 0: there is none */
};

struct vucctl_pci {
	struct vucctl_pci_image image;
	struct vucctl_pci_ids ids;
	const struct vucctl_pci_ids
		*subsystem;     /* of type 0 only, and only with a vendor; NULL: none */
	uint32_t class_code;    /* class, subclass and programming interface: 24 bits */
	const char *class_name; /* NULL: it was not looked up */
	uint8_t revision;
	uint16_t command;
	uint16_t status;
	uint8_t type; /* 0 device, 1 bridge, 2 CardBus; others are unknown */
	bool multifunction;
	uint8_t interrupt_line;
	uint8_t interrupt_pin; /* 0: none, 1: A ... 4: D */
	unsigned int nr_bars;
	struct vucctl_pci_bar bars[VUCCTL_PCI_MAX_BARS];
	const struct vucctl_pci_bar *rom; /* NULL: none */
	struct vucctl_pci_caps caps;

	/* What pointers point to: */
	struct vucctl_pci_ids subsystem_ids;
	struct vucctl_pci_bar rom_bar;
	/* Names of the PCI ID database. Unknown ones are numbers as of lspci, "Device 1234:5678" or
	 * "Class 0880"; without the database, "1234:5678" and "0880". */
	char class_text[VUCCTL_PCI_NAME_MAX];
	char device_text[VUCCTL_PCI_NAME_MAX]; /* vendor and device */
	char subsystem_text[VUCCTL_PCI_NAME_MAX];
};

/*
 * Decode config space, whose bytes stay the caller's, with the sizes of dev's regions. Names are
 * looked up in the system's database, whose absence is no error, or with numeric not at all. A
 * database that can't be understood ends the program, the error said: libpci gives no other choice.
 * Returns false when there is less than a header.
 */
bool vucctl_pci_decode(struct vucctl_pci *pci, const uint8_t *bytes, size_t len,
	const struct vuc_device *dev, bool numeric);

/* The JSON, and text of it, in pci_show.c. */
extern const struct vucctl_field vucctl_pci_fields[];
void vucctl_pci_print(const struct vucctl_pci *pci, struct json_object *obj);

#endif /* VUCCTL_PCI_H */
