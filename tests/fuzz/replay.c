/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Runs files, and all files of folders, through a fuzz target: what was found once stays found,
 * without a fuzzer. Speaks TAP, one test in all.
 */

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Corpora are small by intent. */
#define MAX_FILE_SIZE (1024 * 1024)

/* In memory of exactly its size, so that a byte read behind it shows. Returns NULL, with errno. */
static uint8_t *
read_all(FILE *file, size_t *size)
{
	static uint8_t buf[MAX_FILE_SIZE + 1];
	uint8_t *data;

	*size = fread(buf, 1, sizeof(buf), file);
	if (ferror(file))
		return NULL;
	if (*size > MAX_FILE_SIZE) {
		errno = EFBIG;
		return NULL;
	}
	data = malloc(*size > 0 ? *size : 1);
	if (data != NULL)
		memcpy(data, buf, *size);
	return data;
}

static bool
run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;

	if (file != NULL)
		data = read_all(file, &size);
	if (data == NULL)
		printf("# %s: %s\n", path, strerror(errno));
	if (file != NULL)
		fclose(file);
	if (data == NULL)
		return false;
	printf("# %s\n", path);
	fflush(stdout); /* a crash is to be that of the file named last */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return true;
}

static int
is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Returns how many files were run, or -1 when one could not be read or there are none. */
static int
run_folder(const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_visible, alphasort);
	bool ok = n > 0;

	if (n < 0)
		printf("# %s: %s\n", folder, strerror(errno));
	else if (n == 0)
		printf("# %s: no files\n", folder);
	for (int i = 0; i < n; i++) {
		char path[4096];
		int len = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);

		ok = len < (int)sizeof(path) && run_file(path) && ok;
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return ok ? n : -1;
}

static int
run_argument(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return run_folder(path);
	return run_file(path) ? 1 : -1;
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	bool ok = argc > 1;
	int files = 0;

	printf("1..1\n");
	for (int i = 1; i < argc; i++) {
		int n = run_argument(argv[i]);

		ok = ok && n > 0;
		files += n > 0 ? n : 0;
	}
	printf("%sok 1 - %s: %d files\n", ok ? "" : "not ", slash != NULL ? slash + 1 : argv[0],
		files);
	return ok ? 0 : 1;
}
