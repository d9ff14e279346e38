/* SPDX-License-Identifier: BSD-3-Clause */
#include "accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* A piece of the header. */
struct piece {
	const char *text;
	size_t len;
};

static void
piece_trim(struct piece *piece)
{
	while (piece->len > 0 && strchr(BLANKS, piece->text[0]) != NULL) {
		piece->text++;
		piece->len--;
	}
	while (piece->len > 0 && strchr(BLANKS, piece->text[piece->len - 1]) != NULL)
		piece->len--;
}

/* Take the next piece, up to one of the separators, off the rest. Returns false at the end. */
static bool
piece_take(struct piece *rest, char separator, struct piece *piece)
{
	const char *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->text, separator, rest->len);
	piece->text = rest->text;
	piece->len = end != NULL ? (size_t)(end - rest->text) : rest->len;
	rest->text += piece->len + (end != NULL);
	rest->len -= piece->len + (end != NULL);
	piece_trim(piece);
	return true;
}

static bool
piece_is(const struct piece *piece, const char *text)
{
	return piece->len == strlen(text) && strncasecmp(piece->text, text, piece->len) == 0;
}

/* Whether it is "name=", which is taken off. */
static bool
piece_take_name(struct piece *piece, const char *name)
{
	size_t len = strlen(name);

	if (piece->len <= len || strncasecmp(piece->text, name, len) != 0 ||
		piece->text[len] != '=')
		return false;
	piece->text += len + 1;
	piece->len -= len + 1;
	if (piece->len >= 2 && piece->text[0] == '"' && piece->text[piece->len - 1] == '"') {
		piece->text++;
		piece->len -= 2;
	}
	return true;
}

/* "0.5" in thousandths; what is no such number is 0: the range is not wanted. */
static unsigned int
quality_parse(const struct piece *piece)
{
	unsigned int quality = 0, unit = 1000;
	size_t i;

	if (piece->len == 0 || piece->len > 5 || (piece->len > 1 && piece->text[1] != '.'))
		return 0;
	for (i = 0; i < piece->len; i += i == 0 ? 2 : 1) {
		if (piece->text[i] < '0' || piece->text[i] > '9')
			return 0;
		quality += (unsigned int)(piece->text[i] - '0') * unit;
		unit /= 10;
	}
	return quality <= 1000 ? quality : 0;
}

/* The quality of a range of our version, 1000 when it has none. */
static unsigned int
range_quality(struct piece *range, const char *version)
{
	unsigned int quality = 1000;
	struct piece param;

	while (piece_take(range, ';', &param)) {
		if (piece_take_name(&param, "q"))
			quality = quality_parse(&param);
		else if (piece_take_name(&param, "version") && !piece_is(&param, version))
			return 0;
	}
	return quality;
}

enum app_metrics_format
exporter_accept(const char *header)
{
	struct piece rest = {header, header != NULL ? strlen(header) : 0}, range, type;
	unsigned int open = 0, text = 0, quality;

	while (piece_take(&rest, ',', &range)) {
		if (!piece_take(&range, ';', &type))
			continue;
		if (piece_is(&type, "application/openmetrics-text")) {
			quality = range_quality(&range, "1.0.0");
			open = quality > open ? quality : open;
		} else if (piece_is(&type, "text/plain")) {
			quality = range_quality(&range, "0.0.4");
			text = quality > text ? quality : text;
		}
	}
	return open > 0 && open >= text ? APP_METRICS_OPENMETRICS : APP_METRICS_TEXT;
}
