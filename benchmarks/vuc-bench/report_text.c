/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdio.h>

#define NAME_WIDTH  14
#define TIMES_WIDTH 54 /* of all columns below, with a blank before each */

static void
print_line(const struct bench_term *term, const char *name, const char *text)
{
	fprintf(term->out, "  %s%-9s%s %s\n", bench_term_dim(term), name, bench_term_plain(term),
		text);
}

static void
print_environment(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result)
{
	char buf[400];

	fprintf(term->out, "%s%s%s: %s\n", bench_term_bold(term), result->measurement,
		bench_term_plain(term), result->headline);
	if (result->label != NULL)
		print_line(term, "label", result->label);
	snprintf(buf, sizeof(buf), "%s, measuring on CPU %u", env->cpu, env->cpus.cpu[0]);
	print_line(term, "cpu", buf);
	snprintf(buf, sizeof(buf), "%s, cpu_dma_latency %s", env->kernel, env->dma_latency);
	print_line(term, "kernel", buf);
	bench_env_versions(env, buf, sizeof(buf));
	print_line(term, "versions", buf);
	print_line(term, "clock", env->clock);
	print_line(term, "server", result->server);
	print_line(term, "floor", result->floor);
}

/* Wide enough for what a busy machine shows in the tail. */
static const struct {
	const char *head;
	int width;
} columns[] = {
	{"p50", 7},
	{"p90", 7},
	{"p99", 8},
	{"p99.9", 9},
	{"min", 7},
	{"max", 10},
};

static void
print_head(const struct bench_term *term)
{
	fprintf(term->out, "\n%s%-*s", bench_term_bold(term), NAME_WIDTH, "ns");
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		fprintf(term->out, " %*s", columns[i].width, columns[i].head);
	fprintf(term->out, "%12s%10s%8s%s\n", "accesses/s", "syscalls", "p50 to",
		bench_term_plain(term));
	fprintf(term->out, "%s%*s%10s%8s%s\n", bench_term_bold(term), NAME_WIDTH + TIMES_WIDTH + 12,
		"", "/access", "floor", bench_term_plain(term));
}

static void
print_row(const struct bench_term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	const double times[] = {sum->p50, sum->p90, sum->p99, sum->p999, sum->min, sum->max};
	char name[NAME_WIDTH + 1];
	char number[BENCH_NUMBER_MAX];

	snprintf(name, sizeof(name), "%s (%s)", series->name, series->transport);
	fprintf(term->out, "%s%-*s%s", bench_term_series(term, i), NAME_WIDTH, name,
		bench_term_plain(term));
	for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++)
		fprintf(term->out, " %*s", columns[t].width, bench_term_number(times[t], number));
	fprintf(term->out, "%12s", bench_term_number(sum->per_second, number));
	fprintf(term->out, "%10.2f%s%8.2f%s\n", sum->syscalls, bench_term_bold(term),
		result->ratios[i].p50, bench_term_plain(term));
}

static void
print_ratio(const struct bench_term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_ratio *ratio = &result->ratios[i];

	fprintf(term->out,
		"%s takes %s%.2f%s times the floor at p50 (%.2f to %.2f in the single rounds)\n",
		result->series[i].name, bench_term_bold(term), ratio->p50, bench_term_plain(term),
		ratio->min, ratio->max);
}

void
bench_report_text(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result)
{
	print_environment(term, env, result);
	print_head(term);
	for (unsigned int i = 0; i < result->nr_series; i++)
		print_row(term, result, i);
	for (unsigned int i = 1; i < result->nr_series; i++)
		print_ratio(term, result, i);
	bench_report_distribution(term, result);
}
