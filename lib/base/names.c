/* SPDX-License-Identifier: BSD-3-Clause */
#include "names.h"

#include <vuc/shm.h>
#include <vuc/stats.h>

#define COUNTER(of, field) #field, offsetof(struct of, field), sizeof(((struct of *)NULL)->field)

const struct vuc_counter vuc_access_counters[] = {
	{COUNTER(vuc_access_stats, reads)},
	{COUNTER(vuc_access_stats, writes)},
	{COUNTER(vuc_access_stats, posted)},
	{COUNTER(vuc_access_stats, read_bytes)},
	{COUNTER(vuc_access_stats, written_bytes)},
	{COUNTER(vuc_access_stats, retries)},
	{COUNTER(vuc_access_stats, errors)},
	{COUNTER(vuc_access_stats, timeouts)},
	{COUNTER(vuc_access_stats, broken_queues)},
	{COUNTER(vuc_access_stats, held_reads)},
	{COUNTER(vuc_access_stats, dropped_writes)},
	{COUNTER(vuc_access_stats, bursts)},
	{NULL, 0, 0},
};

const struct vuc_counter vuc_device_counters[] = {
	{COUNTER(vuc_device_stats, silent_ms)},
	{COUNTER(vuc_device_stats, queues)},
	{COUNTER(vuc_device_stats, outages)},
	{COUNTER(vuc_device_stats, outage_ms)},
	{COUNTER(vuc_device_stats, outage_last_ms)},
	{NULL, 0, 0},
};

const struct vuc_counter vuc_poller_counters[] = {
	{COUNTER(vuc_poller_stats, devices)},
	{COUNTER(vuc_poller_stats, queues)},
	{COUNTER(vuc_poller_stats, loops_busy)},
	{COUNTER(vuc_poller_stats, loops_empty)},
	{COUNTER(vuc_poller_stats, sleeps)},
	{COUNTER(vuc_poller_stats, calls)},
	{NULL, 0, 0},
};

const char *
vuc_shm_message_name(unsigned int type)
{
	static const char *const names[] = {
		[VUC_SHM_HELLO] = "HELLO",
		[VUC_SHM_ATTACH] = "ATTACH",
		[VUC_SHM_REGION_INFO] = "REGION_INFO",
		[VUC_SHM_IRQ_INFO] = "IRQ_INFO",
		[VUC_SHM_OPEN_QUEUE] = "OPEN_QUEUE",
		[VUC_SHM_CLOSE_QUEUE] = "CLOSE_QUEUE",
		[VUC_SHM_DMA] = "DMA",
		[VUC_SHM_SET_IRQS] = "SET_IRQS",
		[VUC_SHM_IO_FDS] = "IO_FDS",
		[VUC_SHM_RESET] = "RESET",
		[VUC_SHM_DETACH] = "DETACH",
		[VUC_SHM_LIST] = "LIST",
	};

	if (type >= sizeof(names) / sizeof(names[0]) || names[type] == NULL)
		return "a packet";
	return names[type];
}
