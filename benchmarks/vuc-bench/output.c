/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

int
bench_output_init(struct bench_output *output, const struct bench_options *options, bool folder,
	struct vuc_error *err)
{
	int ret = 0;

	*output = (struct bench_output){0};
	output->json_to_stdout = options->json != NULL && strcmp(options->json, "-") == 0;
	bench_term_init(&output->term, output->json_to_stdout ? stderr : stdout);
	if (options->plot != NULL)
		ret = bench_pictures_init(&output->pictures, options->plot, folder, err);
	if (ret == 0 && options->json != NULL && !output->json_to_stdout)
		ret = bench_outfile_open(&output->json, options->json, err);
	return ret;
}

void
bench_output_fini(struct bench_output *output)
{
	bench_outfile_abort(&output->json);
	bench_pictures_fini(&output->pictures);
}

static int
write_text(const struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	FILE *out = output->term.out;

	if (result->nr_parts > 0)
		bench_report_summary(&output->term, env, result);
	else
		bench_report_text(&output->term, env, result);
	errno = 0;
	if (fflush(out) != 0 || ferror(out))
		return bench_fail(err, errno != 0 ? -errno : -EIO, "writing the table: %s",
			strerror(errno != 0 ? errno : EIO));
	return 0;
}

static int
write_json(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	const char *name = output->json_to_stdout ? "stdout" : output->json.path;
	int fd = output->json_to_stdout ? STDOUT_FILENO : output->json.fd;
	int ret;

	if (name == NULL)
		return 0;
	ret = bench_report_json(fd, env, result);
	if (ret != 0)
		return bench_fail(err, ret, "%s: %s", name, strerror(-ret));
	return output->json_to_stdout ? 0 : bench_outfile_commit(&output->json, err);
}

int
bench_output_write(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	int ret = write_text(output, env, result, err);

	if (ret == 0)
		ret = write_json(output, env, result, err);
	if (ret == 0)
		ret = bench_pictures_draw(&output->pictures, env, result, err);
	return ret;
}
