/* SPDX-License-Identifier: BSD-3-Clause */
#include "pictures.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static int
open_folder(struct bench_pictures *p, const char *path, struct vuc_error *err)
{
	struct stat st;

	if (mkdir(path, 0777) == 0)
		p->made = true;
	else if (errno != EEXIST)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	p->folder = path;
	if (stat(path, &st) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return bench_fail(err, -ENOTDIR, "--plot: %s is no folder", path);
	if (access(path, W_OK | X_OK) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	return 0;
}

int
bench_pictures_init(struct bench_pictures *p, const char *path, bool folder, struct vuc_error *err)
{
	int ret = bench_plot_init(&p->plot, folder ? NULL : path, err);

	if (ret != 0)
		return ret;
	return folder ? open_folder(p, path, err) : bench_outfile_open(&p->file, path, err);
}

void
bench_pictures_fini(struct bench_pictures *p)
{
	bench_outfile_abort(&p->file);
	bench_plot_fini(&p->plot);
	if (p->made)
		rmdir(p->folder);
}

static int
picture_draw(struct bench_pictures *p, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	int ret = bench_plot_draw(&p->plot, p->file.fd, env, result, err);

	return ret != 0 ? ret : bench_outfile_commit(&p->file, err);
}

static int
draw_part(struct bench_pictures *p, const struct bench_env *env, const struct bench_part *part,
	struct vuc_error *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s.svg", p->folder, part->name);
	int ret;

	if (n < 0 || (size_t)n >= sizeof(path))
		return bench_fail(
			err, -ENAMETOOLONG, "--plot: %s: %s", p->folder, strerror(ENAMETOOLONG));
	ret = bench_outfile_open(&p->file, path, err);
	if (ret == 0)
		ret = picture_draw(p, env, &part->result, err);
	/* It is about to lose its name. */
	bench_outfile_abort(&p->file);
	return ret;
}

int
bench_pictures_draw(struct bench_pictures *p, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err)
{
	int ret = 0;

	if (p->folder == NULL)
		return p->file.path != NULL ? picture_draw(p, env, result, err) : 0;
	for (unsigned int i = 0; i < result->nr_parts && ret == 0; i++) {
		if (result->parts[i].skipped[0] == '\0')
			ret = draw_part(p, env, &result->parts[i], err);
	}
	return ret;
}
