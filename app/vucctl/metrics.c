/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "outfile.h"

struct metrics {
	const char *output; /* NULL: standard output */
	bool openmetrics;
};

static const struct vucctl_option options[] = {
	{"output", 'o', "FILE", "Write to FILE, which is replaced when its successor is complete",
		VUCCTL_TEXT, VUCCTL_MEMBER(struct metrics, output)},
	{"openmetrics", 'O', NULL, "Print OpenMetrics instead of Prometheus' text format",
		VUCCTL_SET, VUCCTL_MEMBER(struct metrics, openmetrics)},
	{0},
};

static int
metrics_check(struct vucctl *ctl)
{
	if (ctl->json)
		app_args_error(ctl->state, "metrics are not JSON; see 'vucctl stats --json'");
	return 0;
}

static int
metrics_write(const char *path, const char *text)
{
	struct app_outfile file;
	int ret = app_outfile_open(&file, path, 0644);

	if (ret == 0 && dprintf(file.fd, "%s", text) < 0)
		ret = -errno;
	if (ret == 0)
		ret = app_outfile_commit(&file);
	else
		app_outfile_abort(&file);
	return ret == 0 ? EXIT_SUCCESS : vucctl_fail("%s: %s", path, strerror(-ret));
}

/* That the daemon does not answer is an error, and a metric as well. */
static int
metrics_run(struct vucctl *ctl)
{
	const struct metrics *metrics = ctl->own;
	char why[APP_MANAGEMENT_WHY_SIZE];
	int ret = EXIT_SUCCESS;
	size_t len;
	char *text = app_metrics_collect(ctl->management,
		ctl->timeout_ms != 0 ? ctl->timeout_ms : VUCCTL_DAEMON_TIMEOUT_MS, NULL,
		metrics->openmetrics ? APP_METRICS_OPENMETRICS : APP_METRICS_TEXT, &len, why);

	if (text == NULL)
		return vucctl_fail("%s", strerror(ENOMEM));
	if (metrics->output != NULL)
		ret = metrics_write(metrics->output, text);
	else
		fwrite(text, 1, len, stdout);
	free(text);
	if (ret == EXIT_SUCCESS && why[0] != '\0')
		ret = vucctl_fail("%s: %s", ctl->management, why);
	return ret;
}

const struct vucctl_command vucctl_metrics = {
	.name = "metrics",
	.summary = "print the daemon's statistics for Prometheus",
	.doc = "Prints what vuc-exporter serves, for the textfile collector of node_exporter. "
	       "Has no --json: use 'vucctl stats --json'.",
	.arguments = "",
	.daemon = true,
	.connects = true,
	.options = options,
	.size = sizeof(struct metrics),
	.check = metrics_check,
	.run = metrics_run,
};
