/* SPDX-License-Identifier: BSD-3-Clause */

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

#include "ticks.h"
#endif

#define CALIBRATION_MS 20
#define READINGS       16

/* Both clocks at the same moment. */
struct reading {
	uint64_t ns;
	uint64_t ticks;
};

#if defined(__x86_64__) || defined(__i386__)
#define CPUID_POWER         0x80000007u
#define CPUID_INVARIANT_TSC (1u << 8)

static bool
tsc_is_constant(void)
{
	unsigned int eax, ebx, ecx, edx;

	if (__get_cpuid(CPUID_POWER, &eax, &ebx, &ecx, &edx) == 0)
		return false;
	return (edx & CPUID_INVARIANT_TSC) != 0;
}
#else
/* What rte_rdtsc() reads elsewhere may tick slowly or not at all. */
static bool
tsc_is_constant(void)
{
	return false;
}
#endif

/* Of several readings the one that took least time, so that an interrupt in between spoils none. */
static struct reading
read_both(void)
{
	struct reading best = {0};
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = rte_rdtsc();
		uint64_t ns = vuc_clock_ns();
		uint64_t after = rte_rdtsc();

		if (after - before < shortest) {
			shortest = after - before;
			best.ns = ns;
			best.ticks = before + shortest / 2;
		}
	}
	return best;
}

void
bench_clock_init(struct bench_clock *clock)
{
	struct reading first, last;

	clock->tsc = false;
	clock->ns_per_tick = 1;
	if (!tsc_is_constant())
		return;
	first = read_both();
	vuc_clock_sleep_ms(CALIBRATION_MS);
	last = read_both();
	if (last.ticks <= first.ticks || last.ns <= first.ns)
		return;
	clock->tsc = true;
	clock->ns_per_tick = (double)(last.ns - first.ns) / (double)(last.ticks - first.ticks);
}
