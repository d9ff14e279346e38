/* SPDX-License-Identifier: BSD-3-Clause */
#include "log_to_rte.h"

#include <pthread.h>

#include <rte_log.h>

/* Types of rte_log last as long as EAL does; negative where there was no memory for one. */
static int types[LOG_PARTS];

static void
register_types(void)
{
	static const char *const names[LOG_PARTS] = {
		[LOG_PART_POLLER] = "vuc.poller",
		[LOG_PART_DEVICE] = "vuc.device",
	};

	for (unsigned int i = 0; i < LOG_PARTS; i++)
		types[i] = rte_log_register_type_and_pick_level(names[i], RTE_LOG_NOTICE);
}

void *
vuc_log_part(enum log_part part)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_types);
	return &types[part];
}

void
vuc_log_to_rte(void *part, enum vuc_log_level level, const char *line)
{
	static const uint32_t levels[] = {
		[VUC_LOG_ERROR] = RTE_LOG_ERR,
		[VUC_LOG_WARNING] = RTE_LOG_WARNING,
		[VUC_LOG_NOTICE] = RTE_LOG_NOTICE,
		[VUC_LOG_DEBUG] = RTE_LOG_DEBUG,
	};
	const int *type = part;

	if (*type >= 0)
		rte_log(levels[level], (uint32_t)*type, "%s\n", line);
}
