/* SPDX-License-Identifier: BSD-3-Clause */
#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being done to a device. */
struct vucd_reload_step {
	LIST_ENTRY(vucd_reload_step) link;
	struct vucd_reload *reload;
	char name[VUC_CONTROL_NAME_SIZE];
	unsigned int i; /* of wanted */
	bool change;    /* it is added again when it has been taken away */
};

static void
reload_tell(struct vucd_reload *r, enum vucd_reload_kind kind, const char *what, const char *why)
{
	static const char *const words[] = {
		[VUCD_RELOAD_ADDED] = "added",
		[VUCD_RELOAD_REMOVED] = "removed",
		[VUCD_RELOAD_CHANGED] = "changed",
		[VUCD_RELOAD_RESTART] = "needs a restart",
		[VUCD_RELOAD_FAILED] = "failed",
	};
	bool bad = kind == VUCD_RELOAD_RESTART || kind == VUCD_RELOAD_FAILED;

	vucd_log(r->log, bad ? VUC_LOG_WARNING : VUC_LOG_NOTICE, "reload: %s %s%s%s", what,
		words[kind], why[0] != '\0' ? ": " : "", why);
	r->failed |= kind == VUCD_RELOAD_FAILED;
	if (r->fn != NULL)
		r->fn(r->arg, kind, what, why);
}

static void
reload_finish(struct vucd_reload *r)
{
	vucd_config_free(&r->wanted);
	free(r->changed);
	r->changed = NULL;
	r->busy = false;
	vucd_log(r->log, VUC_LOG_NOTICE, "reload: done%s", r->failed ? ", with failures" : "");
	r->done(r->arg, 0, "");
	if (r->again)
		vucd_reload_request(r);
}

/* ---- devices ---- */

static struct vucd_reload_step *
new_step(struct vucd_reload *r, const char *name)
{
	struct vucd_reload_step *step = calloc(1, sizeof(*step));

	if (step == NULL) {
		reload_tell(r, VUCD_RELOAD_FAILED, name, "out of memory");
		return NULL;
	}
	step->reload = r;
	snprintf(step->name, sizeof(step->name), "%s", name);
	r->pending++;
	LIST_INSERT_HEAD(&r->steps, step, link);
	return step;
}

static void
device_added(void *arg, int rc, const char *why)
{
	struct vucd_reload_step *step = arg;
	struct vucd_reload *r = step->reload;

	if (rc != 0)
		reload_tell(r, VUCD_RELOAD_FAILED, step->name, why);
	else
		reload_tell(
			r, step->change ? VUCD_RELOAD_CHANGED : VUCD_RELOAD_ADDED, step->name, "");
	LIST_REMOVE(step, link);
	free(step);
	if (--r->pending == 0)
		reload_finish(r);
}

/* What is still there by now is as it should be, or could not be taken away, which was told. */
static void
add_devices(struct vucd_reload *r)
{
	unsigned int i;

	r->pending = 1;
	for (i = 0; i < r->wanted.nr_devices; i++) {
		const struct vucd_device_config *device = &r->wanted.devices[i];
		struct vucd_reload_step *step;

		if (vucd_device_find(r->devices->known, r->devices->nr_known, device->name) !=
				NULL ||
			!vucd_config_has_poller(r->config, device->poller))
			continue;
		step = new_step(r, device->name);
		if (step == NULL)
			continue;
		step->change = r->changed[i];
		vucd_devices_add(r->devices, device, device_added, step);
	}
	if (--r->pending == 0)
		reload_finish(r);
}

static void
device_removed(void *arg, int rc, const char *why)
{
	struct vucd_reload_step *step = arg;
	struct vucd_reload *r = step->reload;

	if (rc != 0)
		reload_tell(r, VUCD_RELOAD_FAILED, step->name, why);
	else if (step->change)
		r->changed[step->i] = true;
	else
		reload_tell(r, VUCD_RELOAD_REMOVED, step->name, "");
	LIST_REMOVE(step, link);
	free(step);
	if (--r->pending == 0)
		add_devices(r);
}

static void
remove_device(struct vucd_reload *r, const char *name, const struct vucd_device_config *wanted)
{
	struct vucd_reload_step *step = new_step(r, name);

	if (step == NULL)
		return;
	step->change = wanted != NULL;
	if (wanted != NULL)
		step->i = (unsigned int)(wanted - r->wanted.devices);
	vucd_devices_remove(r->devices, step->name, false, device_removed, step);
}

/* Remove the devices that are not in the file any longer or differ there. A VMM keeps its
 * device. */
static void
remove_devices(struct vucd_reload *r)
{
	unsigned int i;

	r->pending = 1;
	for (i = 0; i < r->devices->nr_known; i++) {
		struct vucd_device_config *known = &r->devices->known[i];
		const struct vucd_device_config *wanted =
			vucd_device_find(r->wanted.devices, r->wanted.nr_devices, known->name);

		if (wanted != NULL) /* from now on it is the file's, whoever has added it */
			known->lines.section = wanted->lines.section;
		if (wanted == NULL && known->lines.section != 0)
			remove_device(r, known->name, NULL);
		else if (wanted != NULL && vucd_config_has_poller(r->config, wanted->poller) &&
			!vucd_section_equal(&vucd_section_device, known, wanted))
			remove_device(r, known->name, wanted);
	}
	if (--r->pending == 0)
		add_devices(r);
}

/* ---- what needs a restart ---- */

static void
compare_settings(struct vucd_reload *r)
{
	const struct vucd_settings *now = &r->config->settings, *wanted = &r->wanted.settings;
	size_t i;

	for (i = 0; i < vucd_section_vucd.nr_keys; i++) {
		const struct vucd_key *key = &vucd_section_vucd.keys[i];
		char what[80];

		snprintf(what, sizeof(what), "[vucd] %s", key->name);
		if (strcmp(key->name, "log-level") != 0 && !vucd_key_equal(key, now, wanted))
			reload_tell(r, VUCD_RELOAD_RESTART, what, "");
	}
	if (wanted->log_level != r->log_level) {
		r->log_level = wanted->log_level;
		vucd_log_set_level(r->log, (enum vuc_log_level)wanted->log_level);
		reload_tell(r, VUCD_RELOAD_CHANGED, "[vucd] log-level", "");
	}
}

/* Tell of the pollers of a that b has not, or otherwise when why_changed is not NULL. */
static void
compare_pollers(struct vucd_reload *r, const struct vucd_config *a, const struct vucd_config *b,
	const char *why_missing, const char *why_changed)
{
	unsigned int i, k;

	for (i = 0; i < a->nr_pollers; i++) {
		const char *why = why_missing;
		char what[32];

		for (k = 0; k < b->nr_pollers; k++) {
			if (strcmp(a->pollers[i].name, b->pollers[k].name) != 0)
				continue;
			why = vucd_section_equal(
				      &vucd_section_poller, &a->pollers[i], &b->pollers[k])
				? NULL
				: why_changed;
		}
		snprintf(what, sizeof(what), "[poller %s]", a->pollers[i].name);
		if (why != NULL)
			reload_tell(r, VUCD_RELOAD_RESTART, what, why);
	}
}

static void
compare_devices(struct vucd_reload *r)
{
	unsigned int i;

	for (i = 0; i < r->wanted.nr_devices; i++) {
		const struct vucd_device_config *device = &r->wanted.devices[i];
		char what[80], why[64];

		if (vucd_config_has_poller(r->config, device->poller))
			continue;
		snprintf(what, sizeof(what), "[device %s]", device->name);
		snprintf(why, sizeof(why), "poller %s is not running yet", device->poller);
		reload_tell(r, VUCD_RELOAD_RESTART, what, why);
	}
}

/* ---- the file ---- */

struct reading {
	struct vucd_reload *reload;
	struct vuc_error first;
};

static void
take_report(void *arg, unsigned int line, const char *text)
{
	struct reading *reading = arg;
	const struct vucd_reload *r = reading->reload;
	char where[16] = "";

	if (line > 0)
		snprintf(where, sizeof(where), ":%u", line);
	vucd_log(r->log, VUC_LOG_ERROR, "reload: %s%s: %s", r->path, where, text);
	if (reading->first.text[0] == '\0')
		snprintf(reading->first.text, sizeof(reading->first.text), "%.100s%s: %.120s",
			r->path, where, text);
}

static int
read_wanted(struct vucd_reload *r, struct reading *reading)
{
	struct vucd_report report = {.fn = take_report, .arg = reading};
	int rc = vucd_config_load(&r->wanted, r->path, &report);

	if (rc == 0) {
		r->changed = calloc(r->wanted.nr_devices + 1, sizeof(*r->changed));
		if (r->changed == NULL) {
			rc = -ENOMEM;
			take_report(reading, 0, "out of memory");
		}
	}
	if (rc != 0) {
		vucd_config_free(&r->wanted);
		vucd_log(r->log, VUC_LOG_ERROR, "reload: nothing has been changed");
	}
	return rc;
}

/* While another one is under way. */
static void
reload_refuse(struct vucd_reload *r, vucd_done_fn done, void *arg)
{
	const struct vucd_reload_step *step = LIST_FIRST(&r->steps);
	char why[128];

	snprintf(why, sizeof(why), "another reload is waiting for device %s",
		step != NULL ? step->name : "");
	vucd_log(r->log, VUC_LOG_WARNING, "reload: refused: %s", why);
	done(arg, -EBUSY, why);
}

void
vucd_reload_start(struct vucd_reload *r, vucd_reload_fn fn, vucd_done_fn done, void *arg)
{
	struct reading reading = {.reload = r};
	int rc;

	if (r->busy) {
		reload_refuse(r, done, arg);
		return;
	}
	vucd_log(r->log, VUC_LOG_NOTICE, "reload: reading %s", r->path);
	rc = read_wanted(r, &reading);
	if (rc != 0) {
		done(arg, rc, reading.first.text);
		return;
	}
	r->busy = true;
	r->failed = false;
	r->fn = fn;
	r->done = done;
	r->arg = arg;
	compare_settings(r);
	compare_pollers(r, &r->wanted, r->config, "it is new", "it has changed");
	compare_pollers(r, r->config, &r->wanted, "it was removed", NULL);
	compare_devices(r);
	remove_devices(r);
}

static void
ignore_result(void *arg, int rc, const char *why)
{
	(void)arg;
	(void)rc;
	(void)why; /* the log has it */
}

void
vucd_reload_request(struct vucd_reload *r)
{
	r->again = r->busy;
	if (!r->busy)
		vucd_reload_start(r, NULL, ignore_result, NULL);
}
