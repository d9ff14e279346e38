/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCI_FIELDS_H
#define VUCCTL_PCI_FIELDS_H

/* What is essential of a capability, by tables: for text and for JSON alike. */

#include "pci_caps.h"

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

#endif /* VUCCTL_PCI_FIELDS_H */
