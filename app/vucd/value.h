/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_VALUE_H
#define VUCD_VALUE_H

/* What the values of keys may be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vucd_key;

/* Reads text into the key's field of a configuration. Returns whether text is what is expected. */
typedef bool (*vucd_value_fn)(const struct vucd_key *key, const char *text, void *field);

/* A word and what it stands for. */
struct vucd_word {
	const char *word;
	uint32_t value;
};

/* A key of a section. */
struct vucd_key {
	const char *name;
	vucd_value_fn parse;
	size_t offset; /* of its field */
	size_t width;
	union {
		struct {
			uint32_t min, max;
		};
		const struct vucd_word *words; /* up to one without a word */
		size_t size;                   /* of a text, with its NUL */
	};
	const char *expected; /* goes behind "expected " */
	const char *fallback; /* stands for it when it is not given; NULL: it has to be given */
	const char *help;
};

bool vucd_value_number(const struct vucd_key *key, const char *text, void *field); /* uint32_t */
bool vucd_value_mode(const struct vucd_key *key, const char *text, void *field);   /* uint32_t */
bool vucd_value_word(const struct vucd_key *key, const char *text, void *field);   /* uint32_t */
bool vucd_value_switch(const struct vucd_key *key, const char *text, void *field); /* bool */
bool vucd_value_cpu(const struct vucd_key *key, const char *text, void *field);    /* int */
bool vucd_value_transport(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_path(const struct vucd_key *key, const char *text, void *field); /* char[size] */
bool vucd_value_directory(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_optional_path(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_prefix(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_poller(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_group(const struct vucd_key *key, const char *text, void *field); /* uint32_t */
bool vucd_value_users(const struct vucd_key *key, const char *text, void *field);
bool vucd_value_groups(const struct vucd_key *key, const char *text, void *field);

#define VUCD_WORD_SIZE 80

/* Whether text names an unknown user or group; fills in which: "user NAME". */
bool vucd_value_unknown_name(
	const struct vucd_key *key, const char *text, char name[VUCD_WORD_SIZE]);

/* Whether text is letters, digits and "._-", at least one and in less than size bytes. */
bool vucd_value_is_name(const char *text, size_t size);

#endif /* VUCD_VALUE_H */
