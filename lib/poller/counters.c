/* SPDX-License-Identifier: BSD-3-Clause */

/* Counters of accesses, added up. */

#include "stats.h"

void
vuc_stats_sum(struct vuc_access_stats *sum, const struct access_counters *c)
{
	sum->reads += stats_get(&c->reads);
	sum->writes += stats_get(&c->writes);
	sum->posted += stats_get(&c->posted);
	sum->read_bytes += stats_get(&c->read_bytes);
	sum->written_bytes += stats_get(&c->written_bytes);
	sum->bursts += stats_get(&c->bursts);
	for (unsigned int i = 0; i < VUC_BURST_SIZES; i++)
		sum->burst_sizes[i] += stats_get(&c->burst_sizes[i]);
	sum->retries += stats_get(&c->retries);
	sum->errors += stats_get(&c->errors);
	sum->timeouts += stats_get(&c->timeouts);
	sum->broken_queues += stats_get(&c->broken_queues);
}

void
vuc_stats_merge(struct access_counters *to, const struct access_counters *from)
{
	stats_add(&to->reads, stats_get(&from->reads));
	stats_add(&to->writes, stats_get(&from->writes));
	stats_add(&to->posted, stats_get(&from->posted));
	stats_add(&to->read_bytes, stats_get(&from->read_bytes));
	stats_add(&to->written_bytes, stats_get(&from->written_bytes));
	stats_add(&to->bursts, stats_get(&from->bursts));
	for (unsigned int i = 0; i < VUC_BURST_SIZES; i++)
		stats_add(&to->burst_sizes[i], stats_get(&from->burst_sizes[i]));
	stats_add(&to->retries, stats_get(&from->retries));
	stats_add(&to->errors, stats_get(&from->errors));
	stats_add(&to->timeouts, stats_get(&from->timeouts));
	stats_add(&to->broken_queues, stats_get(&from->broken_queues));
}
