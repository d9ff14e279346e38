/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_CONFIG_KEYS_H
#define VUCD_CONFIG_KEYS_H

#include <stddef.h>

#include "value.h"

/* The sections that there are, and the keys of each. */
struct vucd_section {
	const char *name;
	const char *help;
	const char *name_expected; /* what may stand behind the name; NULL: nothing */
	const struct vucd_key *keys;
	size_t nr_keys;
};

extern const struct vucd_section vucd_section_vucd;   /* a struct vucd_settings */
extern const struct vucd_section vucd_section_poller; /* a struct vucd_poller_config */
extern const struct vucd_section vucd_section_device; /* a struct vucd_device_config */

/* The key of this name; NULL when there is none. */
const struct vucd_key *vucd_section_key(const struct vucd_section *section, const char *name);

/* Set a key's field of a section's struct. Returns whether text is what is expected. */
bool vucd_key_set(const struct vucd_key *key, void *config, const char *text);

/* Whether the values of a key, or of all keys, are the same in two structs of a section. */
bool vucd_key_equal(const struct vucd_key *key, const void *a, const void *b);
bool vucd_section_equal(const struct vucd_section *section, const void *a, const void *b);

/* Set all fields of a section's struct that have a default. */
void vucd_section_init(const struct vucd_section *section, void *config);

#endif /* VUCD_CONFIG_KEYS_H */
