/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "clock.h"
#include "command.h"
#include "device_command.h"
#include "interrupt.h"
#include "irq_select.h"
#include "irq_watch.h"
#include "json_build.h"
#include "message.h"
#include "number.h"
#include "vfio_names.h"

#define COMMAND "irq wait"

/* How long the device waits for being polled, while the interrupts themselves wake us; and how
 * often it is polled then, for a transport may look at a quiet socket only now and then. */
#define POLL_MS        20
#define POLLS_PER_STEP 256

struct wait {
	struct vucctl_target target;
	struct vucctl_irq_select select;
	uint64_t count;   /* 0: no end */
	uint64_t wait_ms; /* 0: no end */
	bool trigger;
	bool json;
	struct vuc_device *dev;
	struct vucctl_irq_watch watch;
	uint64_t start_ns;
	uint64_t seen;
};

static void
print_help(void)
{
	printf("Usage: vucctl irq wait [OPTION...] SOCKET\n"
	       "\n"
	       "Gives the server eventfds for interrupts, waits for them, and prints each with the\n"
	       "seconds since then.\n"
	       "\n"
	       "Options:\n" VUCCTL_IRQ_SELECT_HELP
	       "  -c, --count N         end after N interrupts, 1 by default; 0: never\n"
	       "  -w, --wait MS         end after so long; never by default\n"
	       "  -g, --trigger         have the server raise all of them once\n" VUCCTL_TARGET_HELP
	       "  -j, --json            print one JSON object a line\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct wait *wait = arg;

	switch (opt) {
	case 'c':
		if (vuc_number_parse(value, 0, 0, UINT64_MAX, &wait->count) == 0)
			return 0;
		return vucctl_fail_usage(COMMAND, "count '%s' is not a number", value);
	case 'w':
		if (vuc_number_parse(value, 0, 1, UINT32_MAX, &wait->wait_ms) == 0)
			return 0;
		return vucctl_fail_usage(COMMAND,
			"wait '%s' is not a number of milliseconds, 1 to 4294967295", value);
	case 'g':
		wait->trigger = true;
		return 0;
	case 'j':
		wait->json = true;
		return 0;
	default:
		return vucctl_irq_select_option(&wait->select, COMMAND, opt, value);
	}
}

static int
print_json(const struct wait *wait, uint32_t vector, uint64_t count, uint64_t ns)
{
	uint32_t index = wait->watch.range.index;
	struct app_json json;
	int ret;

	app_json_init(&json);
	app_json_number(&json, json.root, "index", index);
	app_json_text(&json, json.root, "name", vucctl_irq_name(index).text);
	app_json_number(&json, json.root, "vector", vector);
	app_json_number(&json, json.root, "count", count);
	app_json_number(&json, json.root, "time_ns", ns);
	ret = app_json_print_line(stdout, &json);
	app_json_finish(&json);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : 0;
}

/* Each line is out at once, also in a pipe. */
static int
print_interrupt(const struct wait *wait, uint32_t vector, uint64_t count)
{
	uint64_t ns = vuc_clock_ns() - wait->start_ns;
	int ret = 0;

	if (wait->json)
		ret = print_json(wait, vector, count, ns);
	else
		printf("%5" PRIu64 ".%06" PRIu64 "  %-5s vector %" PRIu32 "  count %" PRIu64 "\n",
			ns / 1000000000, ns / 1000 % 1000000,
			vucctl_irq_name(wait->watch.range.index).text, vector, count);
	fflush(stdout);
	return ret;
}

static void
poll_device(const struct wait *wait)
{
	unsigned int i;

	for (i = 0; i < POLLS_PER_STEP; i++)
		vuc_poll_group_poll(vuc_device_poll_group(wait->dev));
}

static bool
is_done(const struct wait *wait)
{
	return wait->count != 0 && wait->seen >= wait->count;
}

/* What the server masked by raising it has to be unmasked before it can come again. */
static int
irq_rearm(const struct wait *wait, uint32_t vector)
{
	struct vuc_irq_range range = {wait->watch.range.index, vector, 1};
	int ret;

	if (!(vuc_device_irq(wait->dev, range.index)->flags & VFIO_IRQ_INFO_AUTOMASKED) ||
		is_done(wait))
		return 0;
	ret = vuc_irq_act(wait->dev, &range, VUC_IRQ_UNMASK);
	if (ret != 0)
		return vucctl_target_fail(
			&wait->target, wait->dev, ret, "cannot unmask vector %" PRIu32, vector);
	return 0;
}

static int
take_interrupts(struct wait *wait)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < wait->watch.range.count && ret == 0; i++) {
		uint32_t vector = wait->watch.range.start + i;
		uint64_t count = vucctl_irq_watch_take(&wait->watch, i);

		if (count == 0)
			continue;
		wait->seen += count;
		ret = print_interrupt(wait, vector, count);
		if (ret == 0)
			ret = irq_rearm(wait, vector);
	}
	return ret;
}

/* The time that is left, in steps after which the device is polled. */
static int
step_ms(const struct wait *wait)
{
	uint64_t passed_ms = (vuc_clock_ns() - wait->start_ns) / 1000000;

	if (wait->wait_ms == 0 || wait->wait_ms >= passed_ms + POLL_MS)
		return POLL_MS;
	return wait->wait_ms > passed_ms ? (int)(wait->wait_ms - passed_ms) : 0;
}

/* The end came before all interrupts did. Without a count that is what was asked for. */
static int
irq_wait_end(const struct wait *wait, const char *why)
{
	if (wait->count == 0)
		return EXIT_SUCCESS;
	return vucctl_fail("%s: %" PRIu64 " of %" PRIu64 " interrupts came before %s",
		wait->target.path, wait->seen, wait->count, why);
}

/* A call that comes too late has the reason. */
static int
fail_lost(const struct wait *wait)
{
	int ret = vuc_irq_disable(wait->dev, wait->watch.range.index);

	return vucctl_target_fail(&wait->target, wait->dev, ret, "cannot wait for interrupts");
}

static int
wait_for_all(struct wait *wait)
{
	for (;;) {
		int timeout_ms = step_ms(wait);
		/* What was raised before the connection ended counts. */
		bool connected = vuc_device_connected(wait->dev);
		int n = vucctl_irq_watch_wait(&wait->watch, connected ? timeout_ms : 0);
		int ret = n > 0 ? take_interrupts(wait) : 0;

		if (n < 0)
			return vucctl_fail("cannot wait for interrupts: %s", strerror(-n));
		if (ret != 0 || is_done(wait))
			return ret;
		if (!connected && n == 0)
			return fail_lost(wait);
		if (vucctl_interrupted())
			return irq_wait_end(wait, "the signal to stop");
		if (timeout_ms == 0)
			return irq_wait_end(wait, "the time was over");
		poll_device(wait);
	}
}

/* With eventfds assigned. */
static int
trigger_and_wait(struct wait *wait)
{
	int ret = 0;

	if (wait->trigger)
		ret = vuc_irq_act(wait->dev, &wait->watch.range, VUC_IRQ_TRIGGER);
	if (ret != 0)
		return vucctl_target_fail(&wait->target, wait->dev, ret, "cannot trigger %s",
			vucctl_irq_name(wait->watch.range.index).text);
	return wait_for_all(wait);
}

static int
irqs_watch(struct wait *wait)
{
	uint32_t index = wait->watch.range.index;
	int ret = vuc_irq_assign(
		wait->dev, &wait->watch.range, VUC_IRQ_TRIGGER, wait->watch.eventfds, NULL);
	int off;

	if (ret != 0)
		return vucctl_target_fail(&wait->target, wait->dev, ret,
			"cannot assign eventfds to %s", vucctl_irq_name(index).text);
	wait->start_ns = vuc_clock_ns();
	ret = trigger_and_wait(wait);
	if (!vuc_device_connected(wait->dev))
		return ret;
	off = vuc_irq_disable(wait->dev, index);
	if (off != 0 && ret == EXIT_SUCCESS)
		return vucctl_target_fail(&wait->target, wait->dev, off,
			"cannot take the eventfds of %s away", vucctl_irq_name(index).text);
	return ret;
}

static int
irq_wait_command_run(void *arg, struct vuc_device *dev)
{
	struct wait *wait = arg;
	struct vuc_irq_range range;
	int ret = vucctl_irq_select_range(&wait->select, &wait->target, dev, &range);

	if (ret != 0)
		return ret;
	wait->dev = dev;
	vucctl_interrupt_install();
	ret = vucctl_irq_watch_open(&wait->watch, &range);
	if (ret == 0)
		ret = irqs_watch(wait);
	else
		ret = vucctl_fail(
			"cannot make %" PRIu32 " eventfds: %s", range.count, strerror(-ret));
	return ret;
}

int
vucctl_irq_wait_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		VUCCTL_IRQ_SELECT_LONG_OPTIONS,
		{"count", required_argument, NULL, 'c'},
		{"wait", required_argument, NULL, 'w'},
		{"trigger", no_argument, NULL, 'g'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options =
			":" VUCCTL_TARGET_SHORT_OPTIONS VUCCTL_IRQ_SELECT_SHORT_OPTIONS "c:w:gjh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.run = irq_wait_command_run,
	};
	struct wait wait = {.count = 1};
	int ret;

	vucctl_target_init(&wait.target);
	ret = vucctl_device_command_run(&command, &wait.target, &wait, argc, argv);
	/* Not before the device is closed: a message with the eventfds may wait to be sent. */
	vucctl_irq_watch_close(&wait.watch);
	return ret;
}
