/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refdev.h"
#include "fault.h"
#include "number.h"

struct why {
	char *text;
	size_t size;
};

static int spec_refuse(const struct why *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int
spec_refuse(const struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The parts of a SPEC, cut out of a copy of it; NULL where there is none. */
struct parts {
	char *kind;
	char *value;
	char *command;
	char *nth;
};

/* Cut what follows the last mark off. */
static char *
cut_last(char *text, char mark)
{
	char *at = strrchr(text, mark);

	if (at != NULL)
		*at++ = '\0';
	return at;
}

/*
 * Text may contain the marks itself: what follows one there is a part of the text unless it reads
 * as a number or a command.
 */
static char *
cut_from_text(char *text, char mark, bool (*is_part)(const char *))
{
	char *at = strrchr(text, mark);

	if (at == NULL || !is_part(at + 1))
		return NULL;
	*at = '\0';
	return at + 1;
}

static bool
is_number(const char *text)
{
	uint64_t number;

	return vuc_number_parse(text, 0, 0, UINT64_MAX, &number) == 0;
}

static bool
is_command(const char *text)
{
	return refdev_command_find(text) != 0;
}

static void
cut_parts(char *copy, struct parts *parts)
{
	char *value = strchr(copy, '=');
	bool text;

	*parts = (struct parts){.kind = copy};
	if (value != NULL)
		*value++ = '\0';
	parts->value = value;
	text = value != NULL && strcmp(copy, "bad-json") == 0;
	if (text) {
		parts->nth = cut_from_text(value, '#', is_number);
		parts->command = cut_from_text(value, '@', is_command);
		return;
	}
	if (value == NULL)
		value = copy;
	parts->nth = cut_last(value, '#');
	parts->command = cut_last(value, '@');
}

static int
read_number(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (parts->value == NULL)
		return spec_refuse(why, "%s needs a number: %s=N", kind->name, kind->name);
	if (vuc_number_parse(parts->value, 0, kind->min, kind->max, &fault->number) != 0)
		return spec_refuse(why, "%s takes a number from %llu to %llu, not '%s'", kind->name,
			(unsigned long long)kind->min, (unsigned long long)kind->max, parts->value);
	return 0;
}

static int
read_text(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (parts->value == NULL)
		return spec_refuse(why, "%s needs a text: %s=TEXT", kind->name, kind->name);
	if (strlen(parts->value) > kind->max)
		return spec_refuse(why, "%s takes a text of at most %llu bytes, not %zu",
			kind->name, (unsigned long long)kind->max, strlen(parts->value));
	fault->text = strdup(parts->value);
	return fault->text != NULL ? 0 : -ENOMEM;
}

static int
read_version(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	if (parts->value == NULL || strcmp(parts->value, "major") == 0)
		return 0;
	if (strcmp(parts->value, "minor") != 0)
		return spec_refuse(
			why, "%s takes major or minor, not '%s'", fault->kind->name, parts->value);
	fault->number = 1;
	return 0;
}

static int
read_value(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	switch (fault->kind->value) {
	case REFDEV_FAULT_NUMBER:
		return read_number(parts, fault, why);
	case REFDEV_FAULT_TEXT:
		return read_text(parts, fault, why);
	case REFDEV_FAULT_VERSION:
		return read_version(parts, fault, why);
	default:
		break;
	}
	if (parts->value != NULL)
		return spec_refuse(
			why, "%s takes no value, not '%s'", fault->kind->name, parts->value);
	return 0;
}

static int
read_command(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	const struct refdev_fault_kind *kind = fault->kind;

	if (parts->command == NULL)
		return 0;
	fault->command = refdev_command_find(parts->command);
	if (fault->command == 0)
		return spec_refuse(why, "there is no command '%s'", parts->command);
	if (kind->on_accept ||
		(kind->commands != 0 && (kind->commands & 1u << fault->command) == 0))
		return spec_refuse(why, "%s can't be done to %s", kind->name, parts->command);
	return 0;
}

static int
read_nth(const struct parts *parts, struct refdev_fault *fault, const struct why *why)
{
	if (parts->nth == NULL)
		return 0;
	if (vuc_number_parse(parts->nth, 0, 1, UINT64_MAX, &fault->nth) != 0)
		return spec_refuse(why, "'#' takes a number from 1, not '%s'", parts->nth);
	return 0;
}

static int
read_fault(char *copy, struct refdev_fault *fault, const struct why *why)
{
	struct parts parts;
	int rc;

	cut_parts(copy, &parts);
	fault->kind = refdev_fault_kind_find(parts.kind);
	if (fault->kind == NULL)
		return spec_refuse(why, "there is no kind of fault '%s'", parts.kind);
	rc = read_command(&parts, fault, why);
	if (rc == 0)
		rc = read_nth(&parts, fault, why);
	if (rc == 0)
		rc = read_value(&parts, fault, why);
	return rc;
}

int
refdev_faults_add(struct refdev_faults *faults, const char *spec, char *why, size_t size)
{
	struct refdev_fault fault = {0};
	struct refdev_fault *list;
	char *copy = strdup(spec);
	int rc;

	if (copy == NULL)
		return -ENOMEM;
	rc = read_fault(copy, &fault, &(struct why){why, size});
	free(copy);
	if (rc != 0)
		return rc;
	list = realloc(faults->list, (faults->nr + 1) * sizeof(*list));
	if (list == NULL) {
		free(fault.text);
		return -ENOMEM;
	}
	list[faults->nr] = fault;
	faults->list = list;
	faults->nr++;
	return 0;
}

void
refdev_faults_free(struct refdev_faults *faults)
{
	for (unsigned int i = 0; i < faults->nr; i++)
		free(faults->list[i].text);
	free(faults->list);
	*faults = (struct refdev_faults){0};
}
