/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_CONFIG_H
#define VUCD_CONFIG_H

/*
 * The daemon's configuration. Its sections and keys are described once, by tables: they are what is
 * read, printed by --help-config, taken by devices.add and compared by a reload.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/control.h>

#define VUCD_PATH_SIZE         108 /* size of a socket's path, with its NUL */
#define VUCD_POLLER_SIZE       16  /* of a poller's name, with its NUL */
#define VUCD_PREFIX_SIZE       48  /* of EAL's file prefix, with its NUL */
#define VUCD_VALUE_SIZE        256 /* of a key's value as text, with its NUL */
#define VUCD_MAX_IDS           32  /* users, or groups, of a device */
#define VUCD_NO_ID             UINT32_MAX
#define VUCD_EXPORT_TIMEOUT_MS 3000 /* less than what an exported device has to answer in */
#define VUCD_MAX_KEYS          32   /* of a section */
#define VUCD_MAX_WORDS         5    /* of a key */

/* ---- what is read ---- */

/* Lines of the file that a section is in, and its keys, as its table has them; 0: not in a file. */
struct vucd_lines {
	unsigned int section;
	unsigned int keys[VUCD_MAX_KEYS];
};

/* [vucd] */
struct vucd_settings {
	struct vucd_lines lines;
	char directory[VUCD_PATH_SIZE]; /* "": where vucd has it by default */
	uint32_t directory_mode;
	uint32_t socket_mode;   /* of the VMMs' socket */
	uint32_t group;         /* of directory and VMMs' socket; VUCD_NO_ID: not changed */
	uint32_t monitor_group; /* whose members may look at all; VUCD_NO_ID: none */
	uint32_t max_vmms;
	uint32_t max_vmms_per_user;
	uint32_t max_queues;
	uint32_t max_queue_memory_mb;
	uint32_t max_dma_message_mb;
	uint32_t max_dma_maps;
	uint32_t handshake_timeout_ms;
	uint32_t log_level; /* enum vuc_log_level */
	uint32_t telemetry; /* a switch */
	char file_prefix[VUCD_PREFIX_SIZE];
	char trace_directory[VUCD_PATH_SIZE]; /* "": nothing is traced */
	uint32_t hugepages;                   /* a switch */
	uint32_t memory_mb;                   /* 0: EAL's default */
};

/* [poller NAME] */
struct vucd_poller_config {
	struct vucd_lines lines;
	char name[VUCD_POLLER_SIZE];
	int cpu;
	uint32_t idle; /* enum vuc_idle */
	uint32_t idle_loops;
	uint32_t transport; /* its word in the table; 0: the best there is */
	uint32_t latency;   /* a switch */
};

struct vucd_ids {
	unsigned int nr;
	uint32_t ids[VUCD_MAX_IDS];
};

/* [device NAME] */
struct vucd_device_config {
	struct vucd_lines lines;
	char name[VUC_CONTROL_NAME_SIZE];
	char socket[VUCD_PATH_SIZE];
	char poller[VUCD_POLLER_SIZE]; /* "": the one with the fewest devices */
	uint32_t dma;                  /* enum vuc_dma_policy */
	uint32_t posted_writes;        /* enum vuc_posted_writes */
	uint32_t reset;                /* enum vuc_control_reset */
	uint32_t max_dma_maps;
	uint32_t io_fds;     /* a switch */
	uint32_t timeout_ms; /* 0: the default, which depends on export_path */
	uint32_t long_timeout_ms;
	uint32_t retry_min_ms;
	uint32_t retry_max_ms;
	uint32_t outage; /* enum vuc_control_outage */
	uint32_t hold_ms;
	uint32_t after_hold; /* enum vuc_control_after_hold */
	uint32_t fence;      /* a switch */
	uint32_t release_ms;
	uint32_t map;                     /* enum vuc_control_map */
	uint32_t keep_bar0;               /* a switch */
	uint32_t recover;                 /* enum vuc_control_recover */
	char export_path[VUCD_PATH_SIZE]; /* "": it is not exported */
	uint32_t export_mode;
	uint32_t export_group; /* VUCD_NO_ID: not changed */
	uint32_t reply_ms;
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

/* ---- how it is described ---- */

enum vucd_key_type {
	VUCD_NUMBER, /* uint32_t, or one of the words */
	VUCD_SWITCH, /* uint32_t, on or off */
	VUCD_PATH,   /* char[], absolute */
	VUCD_NAME,   /* char[] of letters, digits and "._-" */
	VUCD_PREFIX, /* the same without a dot at its beginning */
	VUCD_GROUP,  /* uint32_t */
	VUCD_USERS,  /* struct vucd_ids */
	VUCD_GROUPS, /* struct vucd_ids */
};

/* A word and what it stands for. */
struct vucd_word {
	const char *word;
	uint32_t value;
};

struct vucd_key {
	const char *name;
	enum vucd_key_type type;
	size_t offset; /* of its field in the section's struct */
	size_t width;  /* of the field */
	/* What it may be instead, up to one without a word; texts are "" then. */
	struct vucd_word words[VUCD_MAX_WORDS + 1];
	uint32_t min, max;    /* of a number, none with a max of 0; of a text, max is its length */
	bool octal;           /* the number */
	const char *expected; /* before the range and the words; NULL: there is nothing else */
	const char *fallback; /* stands for it when it is not given; NULL: it has to be given */
	const char *help;
};

struct vucd_section {
	const char *name;
	const char *help;
	struct vucd_key key; /* what stands behind the name; without a name of its own: nothing */
	const struct vucd_key *keys;
	size_t nr_keys;
};

extern const struct vucd_section vucd_section_vucd;   /* a struct vucd_settings */
extern const struct vucd_section vucd_section_poller; /* a struct vucd_poller_config */
extern const struct vucd_section vucd_section_device; /* a struct vucd_device_config */

/* The key of this name; NULL when there is none. */
const struct vucd_key *vucd_section_key(const struct vucd_section *section, const char *name);

/* Zero a section's struct and set all fields that have a default. */
void vucd_section_init(const struct vucd_section *section, void *config, size_t size);
bool vucd_section_equal(const struct vucd_section *section, const void *a, const void *b);

/* Set a key's field of a section's struct. Returns whether text is what is expected. */
bool vucd_key_set(const struct vucd_key *key, void *config, const char *text);
bool vucd_key_equal(const struct vucd_key *key, const void *a, const void *b);

/* What a key takes. */
void vucd_key_expected(const struct vucd_key *key, char *text, size_t size);

/* Why vucd_key_set() has failed: what is expected, and which user or group there is not. */
void vucd_key_explain(const struct vucd_key *key, const char *value, char *text, size_t size);

/* The name of a group, or its number when it has none. */
void vucd_group_name(uint32_t group, char *name, size_t size);

/* The line of a key in the file, or of its section. */
unsigned int vucd_key_line(const struct vucd_section *section, const void *config, const char *key);

/* The word of a key for a value, NULL when there is none. */
const char *vucd_key_word(const struct vucd_section *section, const char *key, uint32_t value);

/* Whether text is letters, digits and "._-", 1 to max of them. */
bool vucd_is_name(const char *text, size_t max);

/* Print sections and keys, with what they take and their defaults. */
void vucd_config_help(FILE *out);

/* ---- reading it ---- */

#define VUCD_REPORT_MAX 512 /* bytes of a text, with its NUL */

/* What is wrong with a configuration: all of it, not just the first thing. */
struct vucd_report {
	/* Takes what is wrong in line number line; 0: with no line in particular. */
	void (*fn)(void *arg, unsigned int line, const char *text);
	void *arg;
	/* What vucd_config_parse() calls when all values could be read, or NULL. */
	void (*check)(const struct vucd_config *config, struct vucd_report *report);
	unsigned int count; /* of what was reported, warnings excepted */
	struct vucd_said *said;
	size_t nr_said;
};

/* Report a line of text when the report is flushed. Control characters in it become '?'. */
void vucd_report(struct vucd_report *report, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same of what is likely a mistake: it begins with "warning: ", and is not counted. */
void vucd_report_warning(struct vucd_report *report, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Give what was reported to fn, in the order of lines. */
void vucd_report_flush(struct vucd_report *report);

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

/* Whether there is a poller of this name; "" is any. */
bool vucd_config_has_poller(const struct vucd_config *config, const char *name);

/* The one of nr devices with this name; NULL when there is none. */
struct vucd_device_config *vucd_device_find(
	struct vucd_device_config *devices, unsigned int nr, const char *name);

/* The key of a device that has this path, "socket" or "export"; NULL: neither. */
const char *vucd_device_key_of(const struct vucd_device_config *device, const char *path);

/* What to say of a device whose retry-max-ms is below its retry-min-ms. */
#define VUCD_TIMES_DISAGREE "retry-min-ms = %u is more than retry-max-ms = %u"

#endif /* VUCD_CONFIG_H */
