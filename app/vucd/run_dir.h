/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_RUN_DIR_H
#define VUCD_RUN_DIR_H

/* The directory that the sockets are in. One daemon has it at a time. */

#include <stdbool.h>

#include <vuc/error.h>

#include "config.h"

#define VUCD_VMM_SOCKET        "vmm.sock"
#define VUCD_MANAGEMENT_SOCKET "management.sock"

struct vucd_run_dir {
	char path[VUCD_PATH_SIZE];
	int fd; /* locked */
	bool made;
};

/*
 * Make the directory, or take the one that is there and belongs to the daemon's user, and lock it.
 * Only a directory that the daemon, or systemd for it, has created gets the mode and group of the
 * settings.
 *
 * Returns 0; -EBUSY when another daemon has it; -EPERM when others own it or may write to it;
 * -ENOENT when there is no default; what mkdir(2) and the like say. err is filled on failure.
 */
int vucd_run_dir_open(
	struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err);

/* Check for what vucd_run_dir_open() would refuse; changes nothing but the path of dir. */
int vucd_run_dir_check(
	struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err);

/* Unlock it; remove it if it was made and nothing is in it. */
void vucd_run_dir_close(struct vucd_run_dir *dir);

/* The path of a socket in it. */
void vucd_run_dir_socket(
	const struct vucd_run_dir *dir, const char *name, char path[VUCD_PATH_SIZE]);

/* The name of the daemon's own socket with this path; NULL: none has it. */
const char *vucd_run_dir_name_of(const struct vucd_run_dir *dir, const char *path);

/* Put the folder that a path is in into folder. Returns whether it exists. */
bool vucd_has_folder(const char *path, char folder[VUCD_PATH_SIZE]);

#endif /* VUCD_RUN_DIR_H */
