/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_CONFIG_H
#define VUCD_CONFIG_H

/* The daemon's configuration, and the keys that it is made of. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/control.h>

#include "report.h"

#define VUCD_PATH_SIZE   108 /* of a socket's path, with its NUL */
#define VUCD_POLLER_SIZE 16  /* of a poller's name, with its NUL */
#define VUCD_MAX_IDS     32  /* users, or groups, of a device */
#define VUCD_NO_ID       UINT32_MAX
#define VUCD_PREFIX_SIZE 48 /* of EAL's file prefix, with its NUL */

/* [vucd] */
struct vucd_settings {
	unsigned int directory_line;
	unsigned int trace_directory_line;
	char directory[VUCD_PATH_SIZE]; /* "": where vucd has it by default */
	uint32_t directory_mode;
	uint32_t socket_mode; /* of the VMMs' socket */
	uint32_t group;       /* of directory and VMMs' socket; VUCD_NO_ID: not changed */
	uint32_t max_vmms;
	uint32_t max_vmms_per_user;
	uint32_t max_queues;
	uint32_t max_queue_memory_mb;
	uint32_t max_dma_message_mb;
	uint32_t max_dma_maps;
	uint32_t handshake_timeout_ms;
	uint32_t log_level; /* enum vuc_log_level */
	bool telemetry;
	char file_prefix[VUCD_PREFIX_SIZE];
	char trace_directory[VUCD_PATH_SIZE]; /* "": nothing is traced */
	bool hugepages;
	uint32_t memory_mb; /* 0: EAL's default */
};

/* [poller NAME] */
struct vucd_poller_config {
	unsigned int cpu_line;
	char name[VUCD_POLLER_SIZE];
	int cpu;
	uint32_t idle; /* enum vuc_idle */
	uint32_t idle_loops;
	const char *transport; /* NULL: the best there is */
};

struct vucd_ids {
	unsigned int nr;
	uint32_t ids[VUCD_MAX_IDS];
};

/* [device NAME] */
struct vucd_device_config {
	unsigned int line; /* of the section; 0: the device is not of a file */
	unsigned int socket_line;
	char name[VUC_CONTROL_NAME_SIZE];
	char socket[VUCD_PATH_SIZE];
	char poller[VUCD_POLLER_SIZE]; /* "": the one with the fewest devices */
	uint32_t dma;                  /* enum vuc_dma_policy */
	uint32_t posted_writes;        /* enum vuc_posted_writes */
	uint32_t reset;                /* enum vuc_control_reset */
	uint32_t max_dma_maps;
	bool io_fds;
	uint32_t timeout_ms;
	uint32_t long_timeout_ms;
	uint32_t retry_min_ms;
	uint32_t retry_max_ms;
	struct vucd_ids users;
	struct vucd_ids groups;
};

struct vucd_config {
	struct vucd_settings settings;
	unsigned int nr_pollers;
	struct vucd_poller_config *pollers;
	unsigned int nr_devices;
	struct vucd_device_config *devices;
};

/*
 * Read a configuration. All that is wrong with it is reported. Returns 0; -EINVAL, or another
 * negative errno, with at least one report. vucd_config_free() is due in any case.
 */
int vucd_config_parse(
	struct vucd_config *config, const char *text, size_t len, struct vucd_report *report);

/* The same of a file. */
int vucd_config_load(struct vucd_config *config, const char *path, struct vucd_report *report);
void vucd_config_free(struct vucd_config *config);

/* Report what in a configuration without errors does not fit this machine, and may have to change
 * before the daemon can do its work. Errors are those that keep it from starting. */
void vucd_config_check_machine(const struct vucd_config *config, struct vucd_report *report);

/* Print the sections and keys that there are, with what they take and their defaults. */
void vucd_config_help(FILE *out);

/*
 * A device by itself, for devices.add: its defaults, each key by its text, and what belongs
 * together. Returns 0 or -EINVAL, with what is wrong reported as of line 0.
 */
void vucd_device_config_init(struct vucd_device_config *device);
int vucd_device_config_set_name(
	struct vucd_device_config *device, const char *name, struct vucd_report *report);
int vucd_device_config_set(struct vucd_device_config *device, const char *key, const char *value,
	struct vucd_report *report);
int vucd_device_config_check(const struct vucd_device_config *device, struct vucd_report *report);

#endif /* VUCD_CONFIG_H */
