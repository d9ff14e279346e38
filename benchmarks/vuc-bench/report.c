/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* path must live as long as the file. */
static int
file_open(struct app_outfile *file, const char *path, struct vuc_error *err)
{
	int ret = app_outfile_open(file, path, 0666);

	return ret != 0 ? bench_fail(err, ret, "%s: %s", path, strerror(-ret)) : 0;
}

/* For the file's content; closing it leaves the file open. NULL with errno set on failure. */
static FILE *
file_stream(const struct app_outfile *file, struct vuc_error *err)
{
	int fd = dup(file->fd), error;
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (out != NULL)
		return out;
	error = errno;
	if (fd >= 0)
		close(fd);
	bench_fail(err, -error, "%s: %s", file->path, strerror(error));
	errno = error;
	return NULL;
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
bench_output_init(struct bench_output *output, const char *json, const char *plot, const char *html,
	bool is_folder, struct vuc_error *err)
{
	bool json_out = json != NULL && strcmp(json, "-") == 0;
	bool html_out = html != NULL && strcmp(html, "-") == 0;
	int ret = 0;

	*output = (struct bench_output){.text = json_out || html_out ? stderr : stdout};
	if (json_out && html_out)
		return bench_fail(err, -EINVAL, "--json and --html: only one can be stdout");
	if (plot != NULL || html != NULL)
		ret = bench_plot_init(&output->plot, is_folder ? NULL : plot, err);
	if (ret == 0 && plot != NULL)
		ret = is_folder ? folder_open(output, plot, err)
				: file_open(&output->picture, plot, err);
	if (ret == 0 && json != NULL)
		ret = file_open(&output->json, json, err);
	if (ret == 0 && html != NULL)
		ret = file_open(&output->html, html, err);
	return ret;
}

void
bench_output_fini(struct bench_output *output)
{
	app_outfile_abort(&output->json);
	app_outfile_abort(&output->picture);
	app_outfile_abort(&output->html);
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
	const char *path = output->json.path;
	FILE *out = file_stream(&output->json, err);
	int ret;

	if (out == NULL)
		return -errno;
	ret = bench_report_json(out, env, result);
	fclose(out);
	if (ret != 0)
		return bench_fail(err, ret, "%s: %s", path, strerror(-ret));
	return file_commit(&output->json, err);
}

static int
write_html(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	const char *path = output->html.path;
	FILE *out = file_stream(&output->html, err);
	int ret;

	if (out == NULL)
		return -errno;
	ret = bench_report_html(out, &output->plot, env, result, err);
	if (fclose(out) != 0 && ret == 0)
		ret = bench_fail(err, -errno, "%s: %s", path, strerror(errno));
	return ret != 0 ? ret : file_commit(&output->html, err);
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

	if (ret == 0 && output->json.path != NULL)
		ret = write_json(output, env, result, err);
	if (ret == 0 && output->html.path != NULL)
		ret = write_html(output, env, result, err);
	if (ret == 0 && output->picture.path != NULL)
		ret = write_picture(output, env, result, err);
	for (unsigned int i = 0; i < result->nr_parts && ret == 0 && output->folder != NULL; i++) {
		if (result->parts[i].skipped[0] == '\0')
			ret = write_part_picture(output, env, &result->parts[i], err);
	}
	return ret;
}
