/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/poll_group.h>
#include <vuc/stats.h>

#include "error.h"

/* On the poller's thread, to whom the poll group belongs. */
static int
learn_transport(void *arg)
{
	struct vucd_poller *poller = arg;

	snprintf(poller->transport, sizeof(poller->transport), "%s",
		vuc_poll_group_transport(vuc_poller_poll_group(poller->poller)));
	return 0;
}

static int
poller_start(struct vucd_poller *poller, const struct vucd_poller_config *config,
	struct vucd_log *log, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int rc;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = config->name;
	opts.cpu = config->cpu;
	opts.idle = (enum vuc_idle)config->idle;
	opts.idle_loops = config->idle_loops;
	if (config->transport != 0)
		opts.transport =
			vucd_key_word(&vucd_section_poller, "transport", config->transport);
	opts.log = vucd_log_line;
	opts.log_arg = log;
	rc = vuc_poller_create(&opts, &poller->poller, err);
	if (rc != 0)
		return vuc_error_set(err, rc, "[poller %s]: %s", config->name, err->text);
	poller->idle = opts.idle;
	vuc_poller_set_latency(poller->poller, config->latency != 0);
	return vuc_poller_call(poller->poller, learn_transport, poller);
}

/* Which come first: a CPU that is asked for is known before others are chosen, and those that spin
 * choose before those that can share one. */
static int
poller_rank(const struct vucd_poller_config *config)
{
	if (config->cpu >= 0)
		return 0;
	return config->idle == VUC_IDLE_SPIN ? 1 : 2;
}

#define NR_RANKS 3

static int
start_rank(struct vucd_pollers *pollers, const struct vucd_config *config, int rank,
	struct vucd_log *log, struct vuc_error *err)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < config->nr_pollers && rc == 0; i++) {
		if (poller_rank(&config->pollers[i]) == rank)
			rc = poller_start(&pollers->all[i], &config->pollers[i], log, err);
	}
	return rc;
}

static bool
pollers_both_spin(const struct vucd_poller *a, const struct vucd_poller *b)
{
	int cpu = vuc_poller_cpu(a->poller);

	return a->idle == VUC_IDLE_SPIN && b->idle == VUC_IDLE_SPIN && cpu >= 0 &&
		cpu == vuc_poller_cpu(b->poller);
}

/* Wherever it was that they were put there. */
static void
warn_of_crowds(const struct vucd_pollers *pollers, struct vucd_log *log)
{
	unsigned int i, k;

	for (i = 0; i < pollers->nr; i++) {
		for (k = 0; k < i; k++) {
			if (pollers_both_spin(&pollers->all[k], &pollers->all[i]))
				vucd_log(log, VUC_LOG_WARNING,
					"pollers %s and %s both spin on CPU %d, and delay each "
					"other by milliseconds; change cpu or idle",
					vuc_poller_name(pollers->all[k].poller),
					vuc_poller_name(pollers->all[i].poller),
					vuc_poller_cpu(pollers->all[i].poller));
		}
	}
}

int
vucd_pollers_start(struct vucd_pollers *pollers, const struct vucd_config *config,
	struct vucd_log *log, struct vuc_error *err)
{
	int rank, rc = 0;

	*pollers = (struct vucd_pollers){.all = calloc(config->nr_pollers, sizeof(*pollers->all))};
	if (pollers->all == NULL)
		return vuc_error_set(err, -ENOMEM, "out of memory");
	pollers->nr = config->nr_pollers;
	for (rank = 0; rank < NR_RANKS && rc == 0; rank++)
		rc = start_rank(pollers, config, rank, log, err);
	if (rc != 0)
		vucd_pollers_stop(pollers);
	else
		warn_of_crowds(pollers, log);
	return rc;
}

void
vucd_pollers_stop(struct vucd_pollers *pollers)
{
	while (pollers->nr > 0)
		vuc_poller_destroy(pollers->all[--pollers->nr].poller);
	free(pollers->all);
	pollers->all = NULL;
}

/* ---- choosing one ---- */

static struct vucd_poller *
poller_find(const struct vucd_pollers *pollers, const char *name)
{
	unsigned int i;

	for (i = 0; i < pollers->nr; i++) {
		if (strcmp(vuc_poller_name(pollers->all[i].poller), name) == 0)
			return &pollers->all[i];
	}
	return NULL;
}

static void
count_device(void *pollers, const struct vuc_control_device *device)
{
	struct vucd_poller *poller = poller_find(pollers, device->poller);

	if (poller != NULL)
		poller->devices++;
}

struct vucd_poller *
vucd_pollers_choose(struct vucd_pollers *pollers, const char *name, struct vuc_control *control)
{
	struct vucd_poller *best = pollers->all;
	unsigned int i;

	if (name[0] != '\0')
		return poller_find(pollers, name);
	for (i = 0; i < pollers->nr; i++)
		pollers->all[i].devices = 0;
	vuc_control_list(control, count_device, pollers);
	for (i = 1; i < pollers->nr; i++) {
		if (pollers->all[i].devices < best->devices)
			best = &pollers->all[i];
	}
	return best;
}
