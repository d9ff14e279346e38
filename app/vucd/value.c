/* SPDX-License-Identifier: BSD-3-Clause */
#include "value.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include <vuc/poller.h>

#include "config.h"
#include "number.h"

#define MAX_CPU   4095
#define MAX_WORD  64    /* of a list, with its NUL */
#define DB_BUFFER 16384 /* of an entry of the users' or groups' database */

static bool
parse_number(const char *text, int base, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t number;

	if (vuc_number_parse(text, base, min, max, &number) != 0)
		return false;
	*value = (uint32_t)number;
	return true;
}

bool
vucd_value_number(const struct vucd_key *key, const char *text, void *field)
{
	return parse_number(text, 10, key->min, key->max, field);
}

bool
vucd_value_mode(const struct vucd_key *key, const char *text, void *field)
{
	return parse_number(text, 8, key->min, key->max, field);
}

bool
vucd_value_word(const struct vucd_key *key, const char *text, void *field)
{
	const struct vucd_word *word = key->words;

	while (word->word != NULL && strcmp(word->word, text) != 0)
		word++;
	if (word->word == NULL)
		return false;
	memcpy(field, &word->value, sizeof(word->value));
	return true;
}

bool
vucd_value_switch(const struct vucd_key *key, const char *text, void *field)
{
	bool on = strcmp(text, "on") == 0;

	(void)key;
	if (!on && strcmp(text, "off") != 0)
		return false;
	*(bool *)field = on;
	return true;
}

bool
vucd_value_cpu(const struct vucd_key *key, const char *text, void *field)
{
	int *cpu = field;
	uint32_t number;

	(void)key;
	if (strcmp(text, "auto") == 0)
		*cpu = VUC_POLLER_CPU_AUTO;
	else if (strcmp(text, "none") == 0)
		*cpu = VUC_POLLER_CPU_NONE;
	else if (parse_number(text, 10, 0, MAX_CPU, &number))
		*cpu = (int)number;
	else
		return false;
	return true;
}

bool
vucd_value_path(const struct vucd_key *key, const char *text, void *field)
{
	if (text[0] != '/' || strlen(text) >= key->size)
		return false;
	snprintf(field, key->size, "%s", text);
	return true;
}

bool
vucd_value_directory(const struct vucd_key *key, const char *text, void *field)
{
	if (strcmp(text, "auto") != 0)
		return vucd_value_path(key, text, field);
	*(char *)field = '\0';
	return true;
}

bool
vucd_value_optional_path(const struct vucd_key *key, const char *text, void *field)
{
	if (strcmp(text, "none") != 0)
		return vucd_value_path(key, text, field);
	*(char *)field = '\0';
	return true;
}

bool
vucd_value_transport(const struct vucd_key *key, const char *text, void *field)
{
	static const char *const transports[] = {"uring", "posix"};
	const char **transport = field;
	size_t i;

	(void)key;
	if (strcmp(text, "auto") == 0) {
		*transport = NULL;
		return true;
	}
	for (i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		if (strcmp(text, transports[i]) == 0) {
			*transport = transports[i];
			return true;
		}
	}
	return false;
}

bool
vucd_value_is_name(const char *text, size_t size)
{
	size_t len = strlen(text);

	return len > 0 && len < size &&
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		len;
}

bool
vucd_value_poller(const struct vucd_key *key, const char *text, void *field)
{
	if (!vucd_value_is_name(text, key->size))
		return false;
	snprintf(field, key->size, "%s", strcmp(text, "auto") == 0 ? "" : text);
	return true;
}

bool
vucd_value_prefix(const struct vucd_key *key, const char *text, void *field)
{
	if (!vucd_value_is_name(text, key->size) || text[0] == '.')
		return false;
	snprintf(field, key->size, "%s", text);
	return true;
}

/* ---- users and groups ---- */

/* The id that a number or a name stands for. */
typedef bool (*id_fn)(const char *text, uint32_t *id);

static bool
find_user(const char *text, uint32_t *id)
{
	char buffer[DB_BUFFER];
	struct passwd entry, *found = NULL;

	if (parse_number(text, 10, 0, VUCD_NO_ID - 1, id))
		return true;
	if (getpwnam_r(text, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
		return false;
	*id = entry.pw_uid;
	return true;
}

static bool
find_group(const char *text, uint32_t *id)
{
	char buffer[DB_BUFFER];
	struct group entry, *found = NULL;

	if (parse_number(text, 10, 0, VUCD_NO_ID - 1, id))
		return true;
	if (getgrnam_r(text, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
		return false;
	*id = entry.gr_gid;
	return true;
}

/* The next word of a list, up to a comma; returns what is behind it, NULL when there is no word or
 * too long a one. */
static const char *
next_word(const char *list, char word[MAX_WORD])
{
	size_t len, blanks;

	list += strspn(list, " \t");
	len = strcspn(list, ", \t");
	if (len == 0 || len >= MAX_WORD)
		return NULL;
	memcpy(word, list, len);
	word[len] = '\0';
	list += len;
	blanks = strspn(list, " \t");
	if (list[blanks] != ',' && list[blanks] != '\0')
		return NULL;
	return list + blanks;
}

static bool
parse_ids(const char *list, id_fn find, struct vucd_ids *ids)
{
	char word[MAX_WORD];

	ids->nr = 0;
	if (strcmp(list, "none") == 0)
		return true;
	for (;;) {
		list = next_word(list, word);
		if (list == NULL || ids->nr == VUCD_MAX_IDS || !find(word, &ids->ids[ids->nr]))
			return false;
		ids->nr++;
		if (*list == '\0')
			return true;
		list++;
	}
}

bool
vucd_value_group(const struct vucd_key *key, const char *text, void *field)
{
	uint32_t *group = field;

	(void)key;
	if (strcmp(text, "none") != 0)
		return find_group(text, group);
	*group = VUCD_NO_ID;
	return true;
}

bool
vucd_value_users(const struct vucd_key *key, const char *text, void *field)
{
	(void)key;
	return parse_ids(text, find_user, field);
}

bool
vucd_value_groups(const struct vucd_key *key, const char *text, void *field)
{
	(void)key;
	return parse_ids(text, find_group, field);
}

bool
vucd_value_unknown_name(const struct vucd_key *key, const char *text, char name[VUCD_WORD_SIZE])
{
	bool is_user = key->parse == vucd_value_users;
	id_fn find = is_user ? find_user : find_group;
	char word[MAX_WORD];
	uint32_t id;

	if (!is_user && key->parse != vucd_value_groups && key->parse != vucd_value_group)
		return false;
	while (text != NULL && (text = next_word(text, word)) != NULL) {
		if (!isdigit((unsigned char)word[0]) && !find(word, &id)) {
			snprintf(name, VUCD_WORD_SIZE, "%s %s", is_user ? "user" : "group", word);
			return true;
		}
		text = *text == ',' ? text + 1 : NULL;
	}
	return false;
}
