/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#define NAME_WIDTH  14
#define MAX_DRAWN   4  /* distributions under each other */
#define TIMES_WIDTH 54 /* of all columns below, with a blank before each */

static void
print_line(const struct bench_term *term, const char *name, const char *text)
{
	fprintf(term->out, "  %s%-9s%s %s\n", bench_term_dim(term), name, bench_term_plain(term),
		text);
}

/* "load 0.10 before, 0.98 after; 0.0 % of CPU time stolen; 3 involuntary context switches" */
static const char *
machine_text(const struct bench_env *env, char *buf, size_t size)
{
	char steal[48] = "";

	if (env->steal >= 0)
		snprintf(
			steal, sizeof(steal), " %.1f %% of the CPU time stolen;", 100 * env->steal);
	snprintf(buf, size,
		"load %.2f before, %.2f after;%s %" PRIu64 " involuntary context switches",
		env->load_before, env->load_after, steal, env->preemptions);
	return buf;
}

void
bench_report_machine(const struct bench_term *term, const struct bench_env *env)
{
	char buf[400];

	snprintf(buf, sizeof(buf), "%s, measuring on CPU %u", env->cpu, env->cpus.cpu[0]);
	print_line(term, "cpu", buf);
	snprintf(buf, sizeof(buf), "%s, cpu_dma_latency %s", env->kernel, env->dma_latency);
	print_line(term, "kernel", buf);
	bench_env_versions(env, buf, sizeof(buf));
	print_line(term, "versions", buf);
	print_line(term, "clock", env->clock);
	print_line(term, "machine", machine_text(env, buf, sizeof(buf)));
}

static void
print_headline(const struct bench_term *term, const struct bench_result *result)
{
	fprintf(term->out, "%s%s%s: %s\n", bench_term_bold(term), result->measurement,
		bench_term_plain(term), result->headline);
	if (result->label != NULL)
		print_line(term, "label", result->label);
}

static void
print_circumstances(const struct bench_term *term, const struct bench_result *result)
{
	print_line(term, "server", result->server);
	print_line(term, "floor", result->floor);
	if (result->timed[0] != '\0')
		print_line(term, "timed", result->timed);
	if (result->note[0] != '\0')
		print_line(term, "note", result->note);
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
print_head(const struct bench_term *term, const struct bench_result *result)
{
	char rate[24], unit[24];

	snprintf(rate, sizeof(rate), "%s/s", result->units);
	snprintf(unit, sizeof(unit), "/%s", result->unit);
	fprintf(term->out, "\n%s%-*s", bench_term_bold(term), NAME_WIDTH, "ns");
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		fprintf(term->out, " %*s", columns[i].width, columns[i].head);
	fprintf(term->out, "%12s%10s%8s%s\n", rate, "syscalls", "p50 to", bench_term_plain(term));
	fprintf(term->out, "%s%*s%10s%8s%s\n", bench_term_bold(term), NAME_WIDTH + TIMES_WIDTH + 12,
		"", unit, "floor", bench_term_plain(term));
}

static void
print_row(const struct bench_term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	const double times[] = {sum->p50, sum->p90, sum->p99, sum->p999, sum->min, sum->max};
	char name[NAME_WIDTH + 1];
	char number[BENCH_NUMBER_MAX];

	if (series->topic != NULL && i == bench_result_floor(result, i))
		fprintf(term->out, "%s%s%s\n", bench_term_bold(term), series->topic,
			bench_term_plain(term));
	if (snprintf(name, sizeof(name), "%s (%s)", series->name, series->transport) > NAME_WIDTH)
		snprintf(name, sizeof(name), "%s", series->name);
	fprintf(term->out, "%s%-*s%s", bench_term_series(term, i), NAME_WIDTH, name,
		bench_term_plain(term));
	for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++)
		fprintf(term->out, " %*s", columns[t].width, bench_term_number(times[t], number));
	fprintf(term->out, "%12s", bench_term_number(sum->per_second, number));
	fprintf(term->out, "%10.2f%s%8.2f%s\n", sum->syscalls, bench_term_bold(term),
		result->ratios[i].p50.median, bench_term_plain(term));
}

/* "2.00 times BETWEEN (1.90 to 2.10 in the single rounds)" */
static void
print_ratio(const struct bench_term *term, const struct bench_ratio *ratio, const char *between)
{
	fprintf(term->out, "%s%.2f%s times %s (%.2f to %.2f in the single rounds)\n",
		bench_term_bold(term), ratio->median, bench_term_plain(term), between, ratio->min,
		ratio->max);
}

static void
print_end_to_end(const struct bench_term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_summary *sum = &result->series[i].summary;
	const struct bench_summary *floor = &result->series[bench_result_floor(result, i)].summary;
	char ours[BENCH_NUMBER_MAX], theirs[BENCH_NUMBER_MAX];

	fprintf(term->out, "until the server has caught up: %s/s to %s/s, ",
		bench_term_number(sum->end_to_end_per_second, ours),
		bench_term_number(floor->end_to_end_per_second, theirs));
	print_ratio(term, &result->ratios[i].end_to_end, "as many");
}

static double
gigabytes_per_second(const struct bench_result *result, unsigned int i)
{
	return result->series[i].summary.per_second * result->bytes / 1e9;
}

static void
print_verdict(const struct bench_term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const char *subject = series->subject != NULL ? series->subject : series->name;
	char between[64];

	if (series->topic != NULL)
		fprintf(term->out, "%s: ", series->topic);
	if (!series->by_rate) {
		fprintf(term->out, "%s takes ", subject);
		print_ratio(term, &result->ratios[i].p50, "the floor at p50");
		return;
	}
	snprintf(between, sizeof(between), "as many %s/s as the floor", result->units);
	fprintf(term->out, "%s makes ", subject);
	print_ratio(term, &result->ratios[i].rate, between);
	if (result->bytes > 0)
		fprintf(term->out, "%s moves %.2f GB/s, the floor %.2f GB/s\n", series->name,
			gigabytes_per_second(result, i),
			gigabytes_per_second(result, bench_result_floor(result, i)));
	if (series->summary.end_to_end_per_second > 0)
		print_end_to_end(term, result, i);
}

static void
print_idle(const struct bench_term *term, const struct bench_series *series)
{
	fprintf(term->out, "%s: an idle poller takes %s%.3f%s %% of a CPU\n", series->name,
		bench_term_bold(term), 100 * series->summary.cpu_share, bench_term_plain(term));
}

static void
print_ticks(const struct bench_term *term, const struct bench_series *series)
{
	char number[BENCH_NUMBER_MAX];

	fprintf(term->out, "%s: %s%s%s ticks of the guest's time stamp counter\n", series->name,
		bench_term_bold(term),
		bench_term_number((double)bench_series_p50_ticks(series), number),
		bench_term_plain(term));
}

static void
print_traced(const struct bench_term *term, const struct bench_result *result,
	const struct bench_series *series)
{
	fprintf(term->out,
		"%s: %s%" PRIu64 "%s system calls of this thread in %zu %s, %" PRIu64
		" of them futex (counted by ptrace)\n",
		series->name, bench_term_bold(term), series->syscalls, bench_term_plain(term),
		series->samples.nr * series->per_sample, result->units, series->futexes);
}

/* When the rounds of any series disagree. */
static void
print_unsteady(const struct bench_term *term, const struct bench_result *result)
{
	if (bench_result_is_unsteady(result))
		fprintf(term->out, "%sthe machine was not quiet: do not quote this%s\n",
			bench_term_bold(term), bench_term_plain(term));
}

/* A row for each topic: its floor, and next to it the others with what they take more. */
static void
print_differences(const struct bench_term *term, const struct bench_result *result)
{
	fprintf(term->out, "\n%s%-*s%10s", bench_term_bold(term), NAME_WIDTH, "ms at p50",
		result->series[0].name);
	for (unsigned int i = 1; i < result->per_group; i++)
		fprintf(term->out, "%11s    ratio", result->series[i].name);
	fputs(bench_term_plain(term), term->out);
	for (unsigned int i = 0; i < result->nr_series; i++) {
		double floor = result->series[bench_result_floor(result, i)].summary.p50;
		double p50 = result->series[i].summary.p50;

		if (i % result->per_group == 0)
			fprintf(term->out, "\n%-*s%10.1f", NAME_WIDTH, result->series[i].topic,
				p50 / 1e6);
		else
			fprintf(term->out, "%s%+11.1f%9.2f%s", bench_term_series(term, i),
				(p50 - floor) / 1e6, result->ratios[i].p50.median,
				bench_term_plain(term));
	}
	fputc('\n', term->out);
}

static void
print_figures(const struct bench_term *term, const struct bench_result *result)
{
	if (result->shows_more) {
		print_differences(term, result);
		print_unsteady(term, result);
		return;
	}
	print_head(term, result);
	for (unsigned int i = 0; i < result->nr_series; i++)
		print_row(term, result, i);
	for (unsigned int i = 0; i < result->nr_series; i++) {
		if (i != bench_result_floor(result, i))
			print_verdict(term, result, i);
		if (result->series[i].idle_ns > 0)
			print_idle(term, &result->series[i]);
		if (result->series[i].ticks)
			print_ticks(term, &result->series[i]);
		if (result->series[i].traced)
			print_traced(term, result, &result->series[i]);
	}
	print_unsteady(term, result);
}

void
bench_report_part(const struct bench_term *term, const struct bench_result *result)
{
	print_headline(term, result);
	print_circumstances(term, result);
	print_figures(term, result);
}

void
bench_report_text(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result)
{
	print_headline(term, result);
	bench_report_machine(term, env);
	print_circumstances(term, result);
	print_figures(term, result);
	if (result->nr_series <= MAX_DRAWN)
		bench_report_distribution(term, result);
}
