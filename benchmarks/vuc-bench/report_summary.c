/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

static void
print_verdicts(const struct bench_term *term, const struct bench_result *result)
{
	fprintf(term->out, "%s%-40s %-28s %-24s %-24s %s%s\n", bench_term_bold(term), "figure",
		"floor", "goal", "measured", "met", bench_term_plain(term));
	for (unsigned int i = 0; i < result->nr_verdicts; i++) {
		const struct bench_verdict *v = &result->verdicts[i];

		fprintf(term->out, "%-40s %-28s %-24s %-24s %s%s\n", v->figure, v->floor, v->goal,
			v->known ? v->measured : "not measured",
			!v->known        ? "-"
				: v->met ? "yes"
					 : "no",
			v->unsteady ? ", not quiet" : "");
	}
}

void
bench_report_summary(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_parts; i++) {
		const struct bench_part *part = &result->parts[i];

		if (part->skipped[0] == '\0')
			bench_report_part(term, &part->result);
		else
			fprintf(term->out, "%s: skipped: %s\n", part->name, part->skipped);
		fputc('\n', term->out);
	}
	fprintf(term->out, "%s%s%s: %s\n", bench_term_bold(term), result->measurement,
		bench_term_plain(term), result->headline);
	if (result->label != NULL)
		fprintf(term->out, "  %s\n", result->label);
	bench_report_machine(term, env);
	fputc('\n', term->out);
	print_verdicts(term, result);
}
