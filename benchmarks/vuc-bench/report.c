/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

/* path must live as long as the file. */
static int
file_open(struct app_outfile *file, const char *path, struct vuc_error *err)
{
	int ret = app_outfile_open(file, path, 0666);

	return ret != 0 ? bench_fail(err, ret, "%s: %s", path, strerror(-ret)) : 0;
}

static int
file_commit(struct app_outfile *file, struct vuc_error *err)
{
	const char *path = file->path;
	int ret = app_outfile_commit(file);

	return ret != 0 ? bench_fail(err, ret, "%s: %s", path, strerror(-ret)) : 0;
}

static int
folder_open(struct bench_output *output, const char *path, struct vuc_error *err)
{
	struct stat st;

	output->folder = path;
	output->folder_made = mkdir(path, 0777) == 0;
	if ((!output->folder_made && errno != EEXIST) || stat(path, &st) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return bench_fail(err, -ENOTDIR, "--plot: %s is not a folder", path);
	if (access(path, W_OK | X_OK) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	return 0;
}

int
bench_output_init(struct bench_output *output, const char *json, const char *plot, bool is_folder,
	struct vuc_error *err)
{
	int ret = 0;

	*output = (struct bench_output){.text = stdout};
	output->json_to_stdout = json != NULL && strcmp(json, "-") == 0;
	if (output->json_to_stdout)
		output->text = stderr;
	if (plot != NULL)
		ret = bench_plot_init(&output->plot, is_folder ? NULL : plot, err);
	if (ret == 0 && plot != NULL)
		ret = is_folder ? folder_open(output, plot, err)
				: file_open(&output->picture, plot, err);
	if (ret == 0 && json != NULL && !output->json_to_stdout)
		ret = file_open(&output->json, json, err);
	return ret;
}

void
bench_output_fini(struct bench_output *output)
{
	app_outfile_abort(&output->json);
	app_outfile_abort(&output->picture);
	bench_plot_fini(&output->plot);
	/* One with pictures stays. */
	if (output->folder_made)
		rmdir(output->folder);
}

static int
write_text(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	bench_report_text(output->text, env, result);
	if (fflush(output->text) == 0 && !ferror(output->text))
		return 0;
	return bench_fail(err, -EIO, "writing the table: %s", strerror(errno != 0 ? errno : EIO));
}

static int
write_json(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	const char *name = output->json_to_stdout ? "stdout" : output->json.path;
	FILE *out;
	int ret;

	if (name == NULL)
		return 0;
	out = output->json_to_stdout ? stdout : fdopen(dup(output->json.fd), "w");
	if (out == NULL)
		return bench_fail(err, -errno, "%s: %s", name, strerror(errno));
	ret = bench_report_json(out, env, result);
	if (ret != 0)
		bench_fail(err, ret, "%s: %s", name, strerror(-ret));
	if (output->json_to_stdout)
		return ret;
	fclose(out);
	return ret == 0 ? file_commit(&output->json, err) : ret;
}

static int
write_picture(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	int ret = bench_plot_draw(&output->plot, output->picture.fd, env, result, err);

	return ret != 0 ? ret : file_commit(&output->picture, err);
}

static int
write_part_picture(struct bench_output *output, const struct bench_env *env,
	const struct bench_part *part, struct vuc_error *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s.svg", output->folder, part->name);
	int ret;

	if (n < 0 || (size_t)n >= sizeof(path))
		return bench_fail(err, -ENAMETOOLONG, "--plot: %s: %s", output->folder,
			strerror(ENAMETOOLONG));
	ret = file_open(&output->picture, path, err);
	if (ret == 0)
		ret = write_picture(output, env, &part->result, err);
	/* Its name is about to go. */
	app_outfile_abort(&output->picture);
	return ret;
}

int
bench_output_write(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	int ret = write_text(output, env, result, err);

	if (ret == 0)
		ret = write_json(output, env, result, err);
	if (ret == 0 && output->picture.path != NULL)
		ret = write_picture(output, env, result, err);
	for (unsigned int i = 0; i < result->nr_parts && ret == 0 && output->folder != NULL; i++) {
		if (result->parts[i].skipped[0] == '\0')
			ret = write_part_picture(output, env, &result->parts[i], err);
	}
	return ret;
}
