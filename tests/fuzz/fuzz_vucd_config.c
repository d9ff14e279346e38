/* SPDX-License-Identifier: BSD-3-Clause */

/* The input is a configuration of vucd. */

#include <stdbool.h>

#include "config.h"
#include "fuzz.h"

struct said {
	unsigned int count;
	unsigned int lines; /* of the input */
};

static void
take_report(void *arg, unsigned int line, const char *text)
{
	struct said *said = arg;
	size_t len = strlen(text);

	said->count++;
	REQUIRE(line <= said->lines);
	REQUIRE(len > 0 && len < VUCD_REPORT_MAX);
	for (size_t i = 0; i < len; i++)
		REQUIRE((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}

static unsigned int
count_lines(const uint8_t *data, size_t size)
{
	unsigned int lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

static void
require_terminated(const char *text, size_t size)
{
	REQUIRE(memchr(text, '\0', size) != NULL);
}

/* What has been taken is what the daemon may rely on. */
static void
require_sane(const struct vucd_config *config)
{
	REQUIRE(config->nr_pollers >= 1);
	REQUIRE(config->settings.directory_mode >= 0700 && config->settings.directory_mode <= 0777);
	for (unsigned int i = 0; i < config->nr_pollers; i++) {
		require_terminated(config->pollers[i].name, sizeof(config->pollers[i].name));
		REQUIRE(config->pollers[i].name[0] != '\0');
		REQUIRE(config->pollers[i].idle <= VUC_IDLE_SLEEP);
		REQUIRE(config->pollers[i].cpu >= VUC_POLLER_CPU_NONE);
	}
	for (unsigned int i = 0; i < config->nr_devices; i++) {
		const struct vucd_device_config *device = &config->devices[i];

		require_terminated(device->name, sizeof(device->name));
		require_terminated(device->socket, sizeof(device->socket));
		require_terminated(device->poller, sizeof(device->poller));
		REQUIRE(device->name[0] != '\0' && device->socket[0] == '/');
		REQUIRE(device->long_timeout_ms >= 1 && device->users.nr <= VUCD_MAX_IDS);
		REQUIRE(device->retry_min_ms <= device->retry_max_ms);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct said said = {.lines = count_lines(data, size)};
	struct vucd_report report = {.fn = take_report, .arg = &said};
	struct vucd_config config;
	int rc = vucd_config_parse(&config, (const char *)data, size, &report);

	REQUIRE(said.count == report.count);
	REQUIRE((rc == 0) == (said.count == 0));
	if (rc == 0)
		require_sane(&config);
	vucd_config_free(&config);
	return 0;
}
