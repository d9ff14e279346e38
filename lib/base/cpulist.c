/* SPDX-License-Identifier: BSD-3-Clause */
#include "cpulist.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static int
parse_number(const char **list, unsigned int *number)
{
	uint64_t value;

	if (vuc_number_scan(*list, 10, &value, list) != 0 || value >= CPU_SETSIZE)
		return -EINVAL;
	*number = (unsigned int)value;
	return 0;
}

static int
parse_range(const char **list, cpu_set_t *set)
{
	unsigned int first;
	unsigned int last;

	if (parse_number(list, &first) != 0)
		return -EINVAL;
	last = first;
	if (**list == '-') {
		(*list)++;
		if (parse_number(list, &last) != 0 || last < first)
			return -EINVAL;
	}
	for (unsigned int cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, set);
	return 0;
}

int
vuc_cpulist_parse(const char *list, cpu_set_t *set)
{
	CPU_ZERO(set);
	while (parse_range(&list, set) == 0) {
		if (*list == '\0')
			return 0;
		if (*list++ != ',')
			return -EINVAL;
	}
	return -EINVAL;
}

/* The last of the CPUs in a row that begins with first. */
static unsigned int
end_of_row(const cpu_set_t *set, unsigned int first)
{
	while (first + 1 < CPU_SETSIZE && CPU_ISSET(first + 1, set))
		first++;
	return first;
}

void
vuc_cpulist_format(const cpu_set_t *set, char *list, size_t size)
{
	static const char more[] = "...";
	size_t used = 0;

	snprintf(list, size, "%s", "");
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char row[32];
		unsigned int last;
		int len;

		if (!CPU_ISSET(cpu, set))
			continue;
		last = end_of_row(set, cpu);
		len = snprintf(row, sizeof(row), last > cpu ? "%s%u-%u" : "%s%u",
			used > 0 ? "," : "", cpu, last);
		if (used + (size_t)len + sizeof(more) > size) {
			snprintf(list + used, size - used, "%s", more);
			return;
		}
		memcpy(list + used, row, (size_t)len + 1);
		used += (size_t)len;
		cpu = last;
	}
}
