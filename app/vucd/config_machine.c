/* SPDX-License-Identifier: BSD-3-Clause */

/* Whether a configuration fits the machine: its CPUs and folders. */

#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include <vuc/poller.h>

#include "config.h"
#include "run_dir.h"

/* Whether a thread of this process may run on a CPU is for the kernel to say. */
static bool
cpu_is_allowed(int cpu)
{
	cpu_set_t before, set;
	bool may;

	if (cpu >= CPU_SETSIZE)
		return false;
	if (sched_getaffinity(0, sizeof(before), &before) != 0)
		return true;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	may = sched_setaffinity(0, sizeof(set), &set) == 0;
	sched_setaffinity(0, sizeof(before), &before);
	return may;
}

static bool
pollers_both_spin(const struct vucd_poller_config *a, const struct vucd_poller_config *b)
{
	return a->cpu == b->cpu && a->idle == VUC_IDLE_SPIN && b->idle == VUC_IDLE_SPIN;
}

static void
check_cpu(const struct vucd_config *config, const struct vucd_poller_config *poller,
	struct vucd_report *report)
{
	const struct vucd_section *section = &vucd_section_poller;
	const struct vucd_poller_config *other;
	unsigned int line = vucd_key_line(section, poller, "cpu");

	if (poller->cpu < 0)
		return;
	if (!cpu_is_allowed(poller->cpu)) {
		vucd_report(report, line,
			"[poller %s] cpu = %d: there is no such CPU, or vucd is not allowed to use it",
			poller->name, poller->cpu);
		return;
	}
	for (other = config->pollers; other < poller; other++) {
		if (pollers_both_spin(other, poller))
			vucd_report_warning(report, line,
				"[poller %s] cpu = %d: [poller %s] in line %u spins on the same CPU",
				poller->name, poller->cpu, other->name,
				vucd_key_line(section, other, "cpu"));
	}
}

/* More that spin than there are CPUs, wherever they are put. */
static void
check_nr_spinning(const struct vucd_config *config, struct vucd_report *report)
{
	unsigned int i, nr = 0;
	cpu_set_t set;

	for (i = 0; i < config->nr_pollers; i++)
		nr += config->pollers[i].idle == VUC_IDLE_SPIN;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && nr > (unsigned int)CPU_COUNT(&set))
		vucd_report_warning(
			report, 0, "%u pollers spin; CPUs for them: %d", nr, CPU_COUNT(&set));
}

/* The daemon creates only its own directory. */
static void
check_export(const struct vucd_device_config *device, const struct vucd_run_dir *dir,
	struct vucd_report *report)
{
	unsigned int line = vucd_key_line(&vucd_section_device, device, "export");
	const char *path = device->export_path;
	const char *own = vucd_run_dir_name_of(dir, path);
	char folder[VUCD_PATH_SIZE];
	struct stat st;

	if (path[0] == '\0')
		return;
	if (own != NULL)
		vucd_report(report, line,
			"[device %s] export = %s: already used by vucd itself, as %s", device->name,
			path, own);
	else if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		vucd_report(report, line, "[device %s] export = %s: exists and is not a socket",
			device->name, path);
	else if (!vucd_has_folder(path, folder) && strcmp(folder, dir->path) != 0)
		vucd_report(report, line, "[device %s] export = %s: there is no folder %s",
			device->name, path, folder);
}

/* An existing directory that is not systemd's keeps its mode and group. */
static void
check_monitors(const struct vucd_settings *settings, const struct vucd_run_dir *dir,
	struct vucd_report *report)
{
	struct stat st = {.st_mode = settings->directory_mode, .st_gid = settings->group};
	char name[64];

	if (settings->monitor_group == VUCD_NO_ID)
		return;
	if (settings->directory[0] != '\0')
		stat(dir->path, &st);
	if ((st.st_mode & S_IXOTH) != 0 ||
		((st.st_mode & S_IXGRP) != 0 && st.st_gid == settings->monitor_group))
		return;
	vucd_group_name(settings->monitor_group, name, sizeof(name));
	vucd_report_warning(report, vucd_key_line(&vucd_section_vucd, settings, "monitor-group"),
		"[vucd] monitor-group = %.32s: its members cannot reach the socket in the "
		"directory of mode %04o; set, for instance, directory-mode = 0711",
		name, st.st_mode & 0777);
}

/* Servers may make their folders when they start, which is not known now. */
static void
check_folders(const struct vucd_config *config, struct vucd_report *report)
{
	const char *directory = config->settings.directory;
	const char *traces = config->settings.trace_directory;
	char folder[VUCD_PATH_SIZE];
	struct vucd_run_dir dir;
	struct vuc_error err;
	struct stat st;
	unsigned int i;

	if (traces[0] != '\0' && (stat(traces, &st) != 0 || !S_ISDIR(st.st_mode)))
		vucd_report(report,
			vucd_key_line(&vucd_section_vucd, &config->settings, "trace-directory"),
			"[vucd] trace-directory = %s: there is no such folder", traces);
	if (vucd_run_dir_check(&dir, &config->settings, &err) != 0)
		vucd_report(report,
			vucd_key_line(&vucd_section_vucd, &config->settings, "directory"),
			"[vucd] directory = %s%s", directory[0] != '\0' ? "" : "auto: ", err.text);
	check_monitors(&config->settings, &dir, report);
	for (i = 0; i < config->nr_devices; i++) {
		const struct vucd_device_config *device = &config->devices[i];

		if (!vucd_has_folder(device->socket, folder))
			vucd_report_warning(report,
				vucd_key_line(&vucd_section_device, device, "socket"),
				"[device %s] socket = %s: there is no folder %s", device->name,
				device->socket, folder);
		check_export(device, &dir, report);
	}
}

void
vucd_config_check_machine(const struct vucd_config *config, struct vucd_report *report)
{
	unsigned int i;

	for (i = 0; i < config->nr_pollers; i++)
		check_cpu(config, &config->pollers[i], report);
	check_nr_spinning(config, report);
	check_folders(config, report);
}
