/* SPDX-License-Identifier: BSD-3-Clause */

/* irq mask, irq unmask and irq trigger, which differ in the action of SET_IRQS; and irq wait. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/irq.h>

#include "clock.h"
#include "command.h"
#include "number.h"

/* ---- which interrupts ---- */

/* As named on the command line; a command's own struct begins with it. */
struct irqs {
	bool has_index, has_vectors;
	uint32_t index;
	uint32_t first, last;
};

/* "A" or "A-B" with A <= B. */
static bool
parse_range(const char *text, struct irqs *irqs)
{
	uint64_t first, last;
	const char *end;

	if (vuc_number_scan(text, 0, &first, &end) != 0)
		return false;
	if (*end == '-')
		text = end + 1;
	else if (*end != '\0')
		return false;
	if (vuc_number_parse(text, 0, first, UINT32_MAX - 1, &last) != 0)
		return false;
	irqs->first = (uint32_t)first;
	irqs->last = (uint32_t)last;
	return true;
}

static void
take_index(struct vucctl *ctl, const char *value)
{
	struct irqs *irqs = ctl->own;

	if (vucctl_irq_parse(value, &irqs->index) != 0)
		app_args_error(ctl->state,
			"index '%s' is neither a number nor intx, msi, msix, err or req", value);
	irqs->has_index = true;
}

static void
take_vectors(struct vucctl *ctl, const char *value)
{
	struct irqs *irqs = ctl->own;

	if (!parse_range(value, irqs))
		app_args_error(
			ctl->state, "vector '%s' is neither a number nor a range 'A-B'", value);
	irqs->has_vectors = true;
}

#define OPTION_INDEX                                                                     \
	{                                                                                \
		"index", 'i', "INDEX",                                                   \
			"intx, msi, msix, err, req or a number; the first of msix, msi " \
			"and intx that the device has by default",                       \
			.take = take_index                                               \
	}
#define OPTION_VECTOR                                                           \
	{                                                                       \
		"vector", 'v', "N|A-B", "Vectors of the index; all by default", \
			.take = take_vectors                                    \
	}

static uint32_t
count_of(const struct vuc_device *dev, uint32_t index)
{
	const struct vuc_irq *irq = vuc_device_irq(dev, index);

	return irq != NULL ? irq->count : 0;
}

/* The index that a driver of the device would use. */
static uint32_t
default_index(const struct vuc_device *dev)
{
	if (count_of(dev, VFIO_PCI_MSIX_IRQ_INDEX) > 0)
		return VFIO_PCI_MSIX_IRQ_INDEX;
	if (count_of(dev, VFIO_PCI_MSI_IRQ_INDEX) > 0)
		return VFIO_PCI_MSI_IRQ_INDEX;
	return VFIO_PCI_INTX_IRQ_INDEX;
}

/* What that is on the device. Returns 0; EXIT_FAILURE, the error said. */
static int
irqs_find(const struct vucctl *ctl, struct vuc_irq_range *range)
{
	const struct irqs *irqs = ctl->own;
	uint32_t index = irqs->has_index ? irqs->index : default_index(ctl->dev);
	uint32_t count = count_of(ctl->dev, index);
	struct vucctl_index_name name = vucctl_irq_name(index);

	*range = (struct vuc_irq_range){.index = index, .count = count};
	if (count == 0 && index >= VFIO_PCI_NUM_IRQS)
		return vucctl_fail(
			"%s: the device has no interrupts of index %u", ctl->args[0], index);
	if (count == 0)
		return vucctl_fail("%s: the device has no %s interrupt", ctl->args[0], name.text);
	if (!irqs->has_vectors)
		return 0;
	if (irqs->last >= count)
		return vucctl_fail("%s: there is no vector %u, %s has %u", ctl->args[0], irqs->last,
			name.text, count);
	range->start = irqs->first;
	range->count = irqs->last - irqs->first + 1;
	return 0;
}

/* ---- mask, unmask, trigger ---- */

static const struct vucctl_option act_options[] = {OPTION_INDEX, OPTION_VECTOR, {0}};

static int
irq_act(struct vucctl *ctl, enum vuc_irq_action action, const char *verb)
{
	struct vuc_irq_range range;
	int ret = irqs_find(ctl, &range);

	if (ret != 0)
		return ret;
	ret = vuc_irq_act(ctl->dev, &range, action);
	if (ret != 0)
		return vucctl_fail_device(
			ctl, ret, "cannot %s %s", verb, vucctl_irq_name(range.index).text);
	return EXIT_SUCCESS;
}

static int
irq_mask_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_MASK, "mask");
}

static int
irq_unmask_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_UNMASK, "unmask");
}

static int
irq_trigger_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_TRIGGER, "trigger");
}

#define FORGETS                                                                                       \
	" of the device on SOCKET. When the command exits, the server may reset the masks and drops " \
	"the eventfds."
#define COMMON .arguments = "SOCKET", .options = act_options, .size = sizeof(struct irqs)

const struct vucctl_command vucctl_irq_mask = {
	.name = "irq mask",
	.summary = "mask interrupts",
	.doc = "Masks interrupts" FORGETS,
	COMMON,
	.run = irq_mask_run,
};

const struct vucctl_command vucctl_irq_unmask = {
	.name = "irq unmask",
	.summary = "unmask interrupts",
	.doc = "Unmasks interrupts" FORGETS,
	COMMON,
	.run = irq_unmask_run,
};

const struct vucctl_command vucctl_irq_trigger = {
	.name = "irq trigger",
	.summary = "make the server raise interrupts",
	.doc = "Makes the server raise interrupts" FORGETS,
	COMMON,
	.run = irq_trigger_run,
};

/* ---- wait ---- */

/* How long the device waits for being polled, while the interrupts themselves wake us; and how
 * often it is polled then, for a transport may look at a quiet socket only now and then. */
#define POLL_MS        20
#define POLLS_PER_STEP 256

struct wait {
	struct irqs irqs;
	uint64_t count;   /* 0: no end */
	bool has_count;   /* else it is 1 */
	uint64_t wait_ms; /* 0: no end */
	bool trigger;
	struct vuc_irq_range range;
	int *eventfds;         /* range.count of them */
	struct pollfd *polled; /* likewise */
	uint64_t start_ns;
	uint64_t seen;
};

static void
take_count(struct vucctl *ctl, const char *value)
{
	struct wait *wait = ctl->own;

	wait->count = vucctl_take_number(ctl, "count", value, 0, UINT64_MAX);
	wait->has_count = true;
}

static const struct vucctl_option wait_options[] = {
	OPTION_INDEX,
	OPTION_VECTOR,
	{"count", 'c', "N", "Exit after N interrupts; 1 by default, 0: no limit",
		.take = take_count},
	{"wait", 'w', "MS", "Exit after MS milliseconds; no limit by default", VUCCTL_NUMBER,
		VUCCTL_MEMBER(struct wait, wait_ms), .min = 1, .max = UINT32_MAX},
	{"trigger", 'g', NULL, "Make the server raise each interrupt once", VUCCTL_SET,
		VUCCTL_MEMBER(struct wait, trigger)},
	{"json", 'j', NULL, "Print one JSON object per line", VUCCTL_SET,
		VUCCTL_COMMON_MEMBER(json)},
	{0},
};

static int
irq_wait_check(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;

	if (!wait->has_count)
		wait->count = 1;
	return 0;
}

/* Returns 0; the exit status, the error said. */
static int
eventfds_open(struct wait *wait, const struct vuc_irq_range *range)
{
	uint32_t i;

	wait->range = (struct vuc_irq_range){.index = range->index, .start = range->start};
	wait->eventfds = calloc(range->count, sizeof(*wait->eventfds));
	wait->polled = calloc(range->count, sizeof(*wait->polled));
	for (i = 0; i < range->count && wait->eventfds != NULL && wait->polled != NULL; i++) {
		wait->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (wait->eventfds[i] < 0)
			break;
		wait->polled[i] = (struct pollfd){.fd = wait->eventfds[i], .events = POLLIN};
		wait->range.count++;
	}
	if (wait->range.count == range->count)
		return 0;
	return vucctl_fail("cannot make %" PRIu32 " eventfds: %s", range->count, strerror(errno));
}

/* Wait for an interrupt, or until a signal comes. Returns how many vectors were raised; -errno. */
static int
eventfds_wait(struct wait *wait, int timeout_ms)
{
	int n = poll(wait->polled, wait->range.count, timeout_ms);

	if (n < 0 && errno == EINTR)
		return 0;
	return n < 0 ? -errno : n;
}

/* How often vector i of the range was raised since it was last asked. */
static uint64_t
eventfd_take(const struct wait *wait, uint32_t i)
{
	uint64_t count;

	return read(wait->eventfds[i], &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static int
print_json(const struct wait *wait, uint32_t vector, uint64_t count, uint64_t ns)
{
	uint32_t index = wait->range.index;
	struct app_json json;

	app_json_init(&json);
	app_json_number(&json, json.root, "index", index);
	app_json_text(&json, json.root, "name", vucctl_irq_name(index).text);
	app_json_number(&json, json.root, "vector", vector);
	app_json_number(&json, json.root, "count", count);
	app_json_number(&json, json.root, "time_ns", ns);
	return vucctl_print_json_line(&json);
}

/* Each line is out at once, also in a pipe. */
static int
print_interrupt(struct vucctl *ctl, uint32_t vector, uint64_t count)
{
	struct wait *wait = ctl->own;
	uint64_t ns = vuc_clock_ns() - wait->start_ns;
	int ret = 0;

	if (ctl->json) {
		ret = print_json(wait, vector, count, ns);
	} else {
		vucctl_time_print(stdout, ns);
		printf("  %-5s vector %" PRIu32 "  count %" PRIu64 "\n",
			vucctl_irq_name(wait->range.index).text, vector, count);
	}
	fflush(stdout);
	return ret;
}

static void
poll_device(struct vucctl *ctl)
{
	unsigned int i;

	for (i = 0; i < POLLS_PER_STEP; i++)
		vuc_poll_group_poll(vuc_device_poll_group(ctl->dev));
}

static bool
is_done(const struct wait *wait)
{
	return wait->count != 0 && wait->seen >= wait->count;
}

/* What the server masked by raising it has to be unmasked before it can come again. */
static int
irq_rearm(struct vucctl *ctl, uint32_t vector)
{
	struct wait *wait = ctl->own;
	struct vuc_irq_range range = {wait->range.index, vector, 1};
	int ret;

	if (!(vuc_device_irq(ctl->dev, range.index)->flags & VFIO_IRQ_INFO_AUTOMASKED) ||
		is_done(wait))
		return 0;
	ret = vuc_irq_act(ctl->dev, &range, VUC_IRQ_UNMASK);
	if (ret != 0)
		return vucctl_fail_device(ctl, ret, "cannot unmask vector %" PRIu32, vector);
	return 0;
}

static int
take_interrupts(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < wait->range.count && ret == 0; i++) {
		uint32_t vector = wait->range.start + i;
		uint64_t count = eventfd_take(wait, i);

		if (count == 0)
			continue;
		wait->seen += count;
		ret = print_interrupt(ctl, vector, count);
		if (ret == 0)
			ret = irq_rearm(ctl, vector);
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
irq_wait_end(struct vucctl *ctl, const char *why)
{
	struct wait *wait = ctl->own;

	if (wait->count == 0)
		return EXIT_SUCCESS;
	return vucctl_fail("%s: %" PRIu64 " of %" PRIu64 " interrupts occurred before the %s",
		ctl->args[0], wait->seen, wait->count, why);
}

/* A call that comes too late has the reason. */
static int
fail_lost(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	int ret = vuc_irq_disable(ctl->dev, wait->range.index);

	return vucctl_fail_device(ctl, ret, "cannot wait for interrupts");
}

static int
wait_for_all(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;

	for (;;) {
		int timeout_ms = step_ms(wait);
		/* What was raised before the connection ended counts. */
		bool connected = vuc_device_connected(ctl->dev);
		int n = eventfds_wait(wait, connected ? timeout_ms : 0);
		int ret = n > 0 ? take_interrupts(ctl) : 0;

		if (n < 0)
			return vucctl_fail("cannot wait for interrupts: %s", strerror(-n));
		if (ret != 0 || is_done(wait))
			return ret;
		if (!connected && n == 0)
			return fail_lost(ctl);
		if (vucctl_interrupted())
			return irq_wait_end(ctl, "signal");
		if (timeout_ms == 0)
			return irq_wait_end(ctl, "timeout");
		poll_device(ctl);
	}
}

/* With eventfds assigned. */
static int
trigger_and_wait(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	int ret = 0;

	if (wait->trigger)
		ret = vuc_irq_act(ctl->dev, &wait->range, VUC_IRQ_TRIGGER);
	if (ret != 0)
		return vucctl_fail_device(
			ctl, ret, "cannot trigger %s", vucctl_irq_name(wait->range.index).text);
	return wait_for_all(ctl);
}

static int
irqs_watch(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	uint32_t index = wait->range.index;
	int ret = vuc_irq_assign(ctl->dev, &wait->range, VUC_IRQ_TRIGGER, wait->eventfds, NULL);
	int off;

	if (ret != 0)
		return vucctl_fail_device(
			ctl, ret, "cannot assign eventfds to %s", vucctl_irq_name(index).text);
	wait->start_ns = vuc_clock_ns();
	ret = trigger_and_wait(ctl);
	if (!vuc_device_connected(ctl->dev))
		return ret;
	off = vuc_irq_disable(ctl->dev, index);
	if (off != 0 && ret == EXIT_SUCCESS)
		return vucctl_fail_device(
			ctl, off, "cannot remove the eventfds of %s", vucctl_irq_name(index).text);
	return ret;
}

static int
irq_wait_run(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	struct vuc_irq_range range;
	int ret = irqs_find(ctl, &range);

	if (ret != 0)
		return ret;
	vucctl_interrupt_install(0);
	ret = eventfds_open(wait, &range);
	return ret == 0 ? irqs_watch(ctl) : ret;
}

static void
irq_wait_free(struct vucctl *ctl)
{
	struct wait *wait = ctl->own;
	uint32_t i;

	for (i = 0; i < wait->range.count; i++)
		close(wait->eventfds[i]);
	free(wait->eventfds);
	free(wait->polled);
}

const struct vucctl_command vucctl_irq_wait = {
	.name = "irq wait",
	.summary = "wait for interrupts and print them",
	.doc = "Assigns eventfds to interrupts of the device on SOCKET, waits for them, and prints each "
	       "interrupt with its time in seconds.",
	.arguments = "SOCKET",
	.options = wait_options,
	.size = sizeof(struct wait),
	.check = irq_wait_check,
	.run = irq_wait_run,
	/* Not before the device is closed: a message with the eventfds may wait to be sent. */
	.end = irq_wait_free,
};
