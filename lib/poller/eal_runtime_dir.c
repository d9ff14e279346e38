/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "eal_log.h"
#include "eal_runtime_dir.h"

/* Where EAL makes it, by EAL's own rules. */
static const char *
runtime_base(void)
{
	const char *base = getenv("RUNTIME_DIRECTORY");

	if (base == NULL && getuid() == 0)
		return "/var/run";
	if (base == NULL)
		base = getenv("XDG_RUNTIME_DIR");
	return base != NULL ? base : "/tmp";
}

/* Make a folder that is ours and only ours; made says whether there was none before. */
static int
make_folder(const char *path, bool *made)
{
	struct stat st;

	*made = mkdir(path, 0700) == 0;
	if (*made)
		return 0;
	if (errno != EEXIST || lstat(path, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && access(path, W_OK | X_OK) == 0 ? 0 : -EACCES;
}

static int
make_runtime_dir(const char *prefix, char path[PATH_MAX], bool *made)
{
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	int len = snprintf(path, PATH_MAX, "%s/dpdk", runtime_base());
	int rc;

	*made = false;
	if (len < 0 || (size_t)len + strlen(prefix) + sizeof("//dpdk_telemetry.v2") > room)
		return -ENAMETOOLONG;
	rc = make_folder(path, made);
	if (rc != 0)
		return rc;
	snprintf(path + len, PATH_MAX - (size_t)len, "/%s", prefix);
	return make_folder(path, made);
}

/*
 * EAL carries on without its folder, but then serves telemetry wherever it can, or fails. So make
 * the folder as it would, and let it do without telemetry where that is not possible.
 */
bool
vuc_eal_runtime_dir_make(const struct vuc_eal_opts *opts, const char *prefix, char ours[PATH_MAX])
{
	char path[PATH_MAX];
	bool made;
	int rc = make_runtime_dir(prefix, path, &made);

	if (made)
		memcpy(ours, path, sizeof(path));
	if (rc != 0 && opts->telemetry)
		vuc_eal_say(opts, VUC_LOG_WARNING,
			"no telemetry: folder %.120s: %s; see XDG_RUNTIME_DIR", path,
			strerror(-rc));
	return rc == 0;
}

/* EAL removes its sockets when the process exits, and the folder never. */
void
vuc_eal_runtime_dir_remove(char ours[PATH_MAX])
{
	static const char *const sockets[] = {"dpdk_telemetry.v2", "telemetry"};
	char path[PATH_MAX + 32];

	if (ours[0] == '\0')
		return;
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", ours, sockets[i]);
		unlink(path);
	}
	rmdir(ours);
	ours[0] = '\0';
}
