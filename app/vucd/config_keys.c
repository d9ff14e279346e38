/* SPDX-License-Identifier: BSD-3-Clause */

/* The table of sections and keys, and how their values are parsed and printed. */

#include <assert.h>
#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include <vuc/poller.h>
#include <vuc/shm.h>

#include "config.h"
#include "number.h"

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))

/* Offset and width of a key's field. */
#define FIELD(of, field) offsetof(struct of, field), sizeof(((struct of *)NULL)->field)
#define SETTING(field)   FIELD(vucd_settings, field)
#define POLLER(field)    FIELD(vucd_poller_config, field)
#define DEVICE(field)    FIELD(vucd_device_config, field)

/* What a key takes. */
#define WORDS(...)             .words = {__VA_ARGS__}
#define NUMBER(least, most)    .min = (least), .max = (most), .expected = "a number"
#define MEBIBYTES(least, most) .min = (least), .max = (most), .expected = "MiB"
#define MILLISECONDS           .min = 1, .max = 3600000, .expected = "milliseconds"
#define MODE(least)            .min = (least), .max = 0777, .octal = true, .expected = "an octal mode"
#define ABSOLUTE_PATH(most)    .max = (most), .expected = "an absolute path of at most " #most " bytes"
#define ON_OFF                 WORDS({"on", 1}, {"off", 0})
#define EXISTING_GROUP                                                                  \
	WORDS({"none", VUCD_NO_ID}), .expected = "name or number of an existing group", \
				     .fallback = "none"
#define IDS(what) \
	.expected = "names or numbers of at most 32 existing " what ", separated by commas"

static const struct vucd_key vucd_keys[] = {
	/* The longest name of a socket in it is "/management.sock". */
	{"directory", VUCD_PATH, SETTING(directory), ABSOLUTE_PATH(91), WORDS({"auto", 0}),
		.fallback = "auto",
		.help = "directory of the sockets; auto: $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/vucd, "
			"or /run/vucd for root"},
	{"directory-mode", VUCD_NUMBER, SETTING(directory_mode), MODE(0700), .fallback = "0700",
		.help = "permissions of the directory"},
	{"socket-mode", VUCD_NUMBER, SETTING(socket_mode), MODE(0600), .fallback = "0600",
		.help = "permissions of the socket for VMMs"},
	{"group", VUCD_GROUP, SETTING(group), EXISTING_GROUP,
		.help = "group of the directory and of the socket for VMMs"},
	{"monitor-group", VUCD_GROUP, SETTING(monitor_group), EXISTING_GROUP,
		.help = "group whose members can read status, devices and statistics through the "
			"management socket"},
	{"max-vmms", VUCD_NUMBER, SETTING(max_vmms), NUMBER(1, 4096), .fallback = "64",
		.help = "maximum number of connected VMMs"},
	{"max-vmms-per-user", VUCD_NUMBER, SETTING(max_vmms_per_user), NUMBER(1, 4096),
		.fallback = "32", .help = "maximum number of connected VMMs of one user"},
	{"max-queues", VUCD_NUMBER, SETTING(max_queues), NUMBER(1, VUC_SHM_MAX_QUEUES),
		.fallback = TEXT(VUC_SHM_MAX_QUEUES),
		.help = "maximum number of queues of one VMM"},
	{"max-queue-memory-mb", VUCD_NUMBER, SETTING(max_queue_memory_mb), MEBIBYTES(1, 65536),
		.fallback = "64", .help = "maximum memory of all queues of one VMM"},
	{"max-dma-maps", VUCD_NUMBER, SETTING(max_dma_maps), NUMBER(1, 65535), .fallback = "4096",
		.help = "maximum number of DMA mappings of one VMM"},
	{"max-dma-message-mb", VUCD_NUMBER, SETTING(max_dma_message_mb), MEBIBYTES(0, 1048576),
		.fallback = "1024",
		.help = "maximum memory that vucd spends on DMA by message for one VMM"},
	{"handshake-timeout-ms", VUCD_NUMBER, SETTING(handshake_timeout_ms), MILLISECONDS,
		.fallback = "5000",
		.help = "time that a VMM has to attach to a device after it has connected"},
	{"log-level", VUCD_NUMBER, SETTING(log_level),
		WORDS({"error", VUC_LOG_ERROR}, {"warning", VUC_LOG_WARNING},
			{"notice", VUC_LOG_NOTICE}, {"debug", VUC_LOG_DEBUG}),
		.fallback = "notice", .help = "log messages of this severity and above"},
	{"telemetry", VUCD_SWITCH, SETTING(telemetry), ON_OFF, .fallback = "on",
		.help = "serve DPDK telemetry"},
	{"file-prefix", VUCD_PREFIX, SETTING(file_prefix), .max = VUCD_PREFIX_SIZE - 1,
		.expected = "1 to 47 letters, digits and \"._-\", not starting with a dot",
		.fallback = "vucd",
		.help = "name of the daemon in DPDK telemetry: dpdk-telemetry.py -f NAME"},
	{"trace-directory", VUCD_PATH, SETTING(trace_directory), ABSOLUTE_PATH(107),
		WORDS({"none", 0}), .fallback = "none",
		.help = "directory for a trace of the requests, written when the daemon stops; "
			"none: no trace"},
	{"hugepages", VUCD_SWITCH, SETTING(hugepages), ON_OFF, .fallback = "off",
		.help = "allocate DPDK's memory from hugepages"},
	{"memory-mb", VUCD_NUMBER, SETTING(memory_mb), MEBIBYTES(0, 1048576), .fallback = "0",
		.help = "maximum memory that DPDK allocates; 0: DPDK's default"},
};

static const struct vucd_key poller_keys[] = {
	{"cpu", VUCD_NUMBER, POLLER(cpu),
		WORDS({"auto", (uint32_t)VUC_POLLER_CPU_AUTO},
			{"none", (uint32_t)VUC_POLLER_CPU_NONE}),
		.max = 4095, .expected = "a CPU number", .fallback = "auto",
		.help = "CPU to run on; none: not pinned to a CPU"},
	{"idle", VUCD_NUMBER, POLLER(idle),
		WORDS({"spin", VUC_IDLE_SPIN}, {"yield", VUC_IDLE_YIELD},
			{"sleep", VUC_IDLE_SLEEP}),
		.fallback = "spin", .help = "what the poller does when it is idle"},
	{"idle-loops", VUCD_NUMBER, POLLER(idle_loops), NUMBER(0, UINT32_MAX),
		.fallback = TEXT(VUC_DEFAULT_IDLE_LOOPS),
		.help = "idle loops before the poller yields or sleeps"},
	{"transport", VUCD_NUMBER, POLLER(transport),
		WORDS({"auto", 0}, {"uring", 1}, {"posix", 2}), .fallback = "auto",
		.help = "how the poller accesses sockets; auto: io_uring if the kernel allows it"},
	{"latency", VUCD_SWITCH, POLLER(latency), ON_OFF, .fallback = "off",
		.help = "measure the latency of each request, for statistics"},
};

/* Params of devices.add, too, in this order. */
static const struct vucd_key device_keys[] = {
	{"socket", VUCD_PATH, DEVICE(socket), ABSOLUTE_PATH(107),
		.help = "UNIX socket of the vfio-user server"},
	{"poller", VUCD_NAME, DEVICE(poller), WORDS({"auto", 0}), .max = VUCD_POLLER_SIZE - 1,
		.expected = "the name of a poller", .fallback = "auto",
		.help = "poller that drives the device; auto: the poller with the fewest devices"},
	{"dma", VUCD_NUMBER, DEVICE(dma),
		WORDS({"shared", VUC_DMA_SHARED}, {"message", VUC_DMA_MESSAGE}),
		.fallback = "shared",
		.help = "DMA by file descriptors of the VMM's memory, or by a message for each access"},
	{"posted-writes", VUCD_NUMBER, DEVICE(posted_writes),
		WORDS({"on", VUC_POSTED_WRITES_ON}, {"off", VUC_POSTED_WRITES_OFF},
			{"auto", VUC_POSTED_WRITES_AUTO}),
		.fallback = "auto",
		.help = "post writes to memory BARs; auto: until the VMM receives descriptors of a region"},
	{"io-fds", VUCD_SWITCH, DEVICE(io_fds), ON_OFF, .fallback = "on",
		.help = "ask the server for ioeventfds; some servers close the connection when asked"},
	{"max-dma-maps", VUCD_NUMBER, DEVICE(max_dma_maps), NUMBER(1, 65535),
		.fallback = TEXT(VUC_DEFAULT_MAX_DMA_MAPS),
		.help = "maximum number of DMA mappings, if the server supports fewer than it announces"},
	{"timeout-ms", VUCD_NUMBER, DEVICE(timeout_ms), MILLISECONDS, WORDS({"auto", 0}),
		.fallback = "auto",
		.help = "timeout for connecting to the server and for each of its replies; auto: " TEXT(
			VUC_DEFAULT_TIMEOUT_MS) ", or " TEXT(VUCD_EXPORT_TIMEOUT_MS) " with export"},
	{"long-timeout-ms", VUCD_NUMBER, DEVICE(long_timeout_ms), MILLISECONDS,
		.fallback = TEXT(VUC_DEFAULT_LONG_TIMEOUT_MS),
		.help = "timeout for slow commands such as a reset"},
	{"retry-min-ms", VUCD_NUMBER, DEVICE(retry_min_ms), MILLISECONDS, .fallback = "100",
		.help = "delay before the first attempt to reconnect; doubles with each attempt"},
	{"retry-max-ms", VUCD_NUMBER, DEVICE(retry_max_ms), MILLISECONDS, .fallback = "5000",
		.help = "maximum delay between attempts to reconnect"},
	{"users", VUCD_USERS, DEVICE(users), IDS("users"), WORDS({"none", 0}), .fallback = "none",
		.help = "users who can attach, besides root and the daemon's own user"},
	{"groups", VUCD_GROUPS, DEVICE(groups), IDS("groups"), WORDS({"none", 0}),
		.fallback = "none", .help = "groups whose members can attach"},
	{"reset", VUCD_NUMBER, DEVICE(reset),
		WORDS({"on", VUC_CONTROL_RESET_ON}, {"trust", VUC_CONTROL_RESET_TRUST},
			{"never", VUC_CONTROL_RESET_NEVER}),
		.fallback = "on",
		.help = "reset for the next VMM: on: reconnect and reset; trust: only reset; "
			"never: only reconnect"},
	{"outage", VUCD_NUMBER, DEVICE(outage),
		WORDS({"fail", VUC_CONTROL_OUTAGE_FAIL}, {"hold", VUC_CONTROL_OUTAGE_HOLD}),
		.fallback = "hold",
		.help = "when the connection to the server is lost: fail: the VMM has to attach again; "
			"hold: the VMM keeps the device, which is restored when the server is back"},
	{"hold-ms", VUCD_NUMBER, DEVICE(hold_ms), MILLISECONDS, .fallback = "4000",
		.help = "time from the loss of the connection in which reads wait for the server"},
	{"after-hold", VUCD_NUMBER, DEVICE(after_hold),
		WORDS({"hold", VUC_CONTROL_AFTER_HOLD}, {"last", VUC_CONTROL_AFTER_LAST},
			{"ones", VUC_CONTROL_AFTER_ONES}, {"error", VUC_CONTROL_AFTER_ERROR},
			{"auto", VUC_CONTROL_AFTER_AUTO}),
		.fallback = "auto",
		.help = "reads after hold-ms: hold: they wait; last: the value read last; ones: all "
			"ones; error: they fail; auto: last for config space and with recover = nvme, "
			"else error"},
	{"fence", VUCD_SWITCH, DEVICE(fence), ON_OFF, .fallback = "on",
		.help = "give the VMM's memory to another server process only when the previous one "
			"has ended"},
	{"release-ms", VUCD_NUMBER, DEVICE(release_ms), .max = 3600000, .expected = "milliseconds",
		.fallback = "0",
		.help = "time that a VMM has to release the device before it is taken away; 0: it is "
			"not asked"},
	{"map", VUCD_NUMBER, DEVICE(map),
		WORDS({"direct", VUC_CONTROL_MAP_DIRECT}, {"none", VUC_CONTROL_MAP_NONE}),
		.fallback = "direct",
		.help = "regions that can be mapped: direct: VMMs get descriptors of them; none: VMMs "
			"access them through queues only"},
	{"keep-bar0", VUCD_SWITCH, DEVICE(keep_bar0), ON_OFF, .fallback = "off",
		.help = "keep the file of BAR0 when SPDK's target is restarted, by a link named bar0 "
			"beside the socket"},
	{"recover", VUCD_NUMBER, DEVICE(recover),
		WORDS({"nvme", VUC_CONTROL_RECOVER_NVME}, {"none", VUC_CONTROL_RECOVER_NONE}),
		.fallback = "nvme",
		.help = "after an outage: nvme: an NVMe controller reports a failure, so that the "
			"guest's driver resets it; none: it does not"},
	{"export", VUCD_PATH, DEVICE(export_path), ABSOLUTE_PATH(107), WORDS({"none", 0}),
		.fallback = "none",
		.help = "UNIX socket at which the device is a vfio-user server for QEMU, Cloud "
			"Hypervisor and other VMMs that do not use libvuc-vmm"},
	{"export-mode", VUCD_NUMBER, DEVICE(export_mode), MODE(0600), .fallback = "0600",
		.help = "permissions of that socket"},
	{"export-group", VUCD_GROUP, DEVICE(export_group), EXISTING_GROUP,
		.help = "group of that socket"},
	{"reply-ms", VUCD_NUMBER, DEVICE(reply_ms), MILLISECONDS, .fallback = "4000",
		.help = "time in which each request of such a VMM is answered; by default, QEMU gives "
			"up the device after 5000 ms"},
};

const struct vucd_section vucd_section_vucd = {
	.name = "vucd",
	.help = "the daemon",
	.keys = vucd_keys,
	.nr_keys = COUNT(vucd_keys),
};

const struct vucd_section vucd_section_poller = {
	.name = "poller",
	.help = "a polling thread that drives devices; at least one",
	.key = {"name", VUCD_NAME, POLLER(name), .max = VUCD_POLLER_SIZE - 1,
		.expected = "at most 15 letters, digits and \"._-\", and not auto"},
	.keys = poller_keys,
	.nr_keys = COUNT(poller_keys),
};

const struct vucd_section vucd_section_device = {
	.name = "device",
	.help = "a device for VMMs; any number",
	.key = {"name", VUCD_NAME, DEVICE(name), .max = VUC_CONTROL_NAME_SIZE - 1,
		.expected = "at most 63 letters, digits and \"._-\""},
	.keys = device_keys,
	.nr_keys = COUNT(device_keys),
};

_Static_assert(COUNT(vucd_keys) <= VUCD_MAX_KEYS && COUNT(device_keys) <= VUCD_MAX_KEYS,
	"each key has its line");

/* ---- users and groups ---- */

#define MAX_WORD  64    /* of a list, with its NUL */
#define DB_BUFFER 16384 /* of an entry of the users' or groups' database */

/* The id that a number or a name stands for. */
static bool
id_find(bool is_user, const char *text, uint32_t *id)
{
	char buffer[DB_BUFFER];
	struct passwd user, *found_user = NULL;
	struct group group, *found_group = NULL;
	uint64_t number;

	if (vuc_number_parse(text, 10, 0, VUCD_NO_ID - 1, &number) == 0)
		*id = (uint32_t)number;
	else if (is_user && getpwnam_r(text, &user, buffer, sizeof(buffer), &found_user) == 0 &&
		found_user != NULL)
		*id = user.pw_uid;
	else if (!is_user && getgrnam_r(text, &group, buffer, sizeof(buffer), &found_group) == 0 &&
		found_group != NULL)
		*id = group.gr_gid;
	else
		return false;
	return true;
}

void
vucd_group_name(uint32_t group, char *name, size_t size)
{
	char buffer[DB_BUFFER];
	struct group entry, *found = NULL;

	if (getgrgid_r(group, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL)
		snprintf(name, size, "%s", entry.gr_name);
	else
		snprintf(name, size, "%u", group);
}

/* The next word of a list, up to a comma; returns what is behind it, NULL when there is no word or
 * too long a one. */
static const char *
next_word(const char *list, char word[MAX_WORD])
{
	size_t len, blanks;

	list += strspn(list, " \t");
	len = strcspn(list, ", \t");
	if (len == 0 || len >= MAX_WORD)
		return NULL;
	memcpy(word, list, len);
	word[len] = '\0';
	list += len;
	blanks = strspn(list, " \t");
	if (list[blanks] != ',' && list[blanks] != '\0')
		return NULL;
	return list + blanks;
}

static bool
ids_parse(bool are_users, const char *list, struct vucd_ids *ids)
{
	char word[MAX_WORD];

	for (;;) {
		list = next_word(list, word);
		if (list == NULL || ids->nr == VUCD_MAX_IDS ||
			!id_find(are_users, word, &ids->ids[ids->nr]))
			return false;
		ids->nr++;
		if (*list == '\0')
			return true;
		list++;
	}
}

/* The first word of a list that names nobody. Returns whether there is one. */
static bool
ids_unknown(bool are_users, const char *list, char word[MAX_WORD])
{
	uint32_t id;

	while (list != NULL && (list = next_word(list, word)) != NULL) {
		if (!isdigit((unsigned char)word[0]) && !id_find(are_users, word, &id))
			return true;
		list = *list == ',' ? list + 1 : NULL;
	}
	return false;
}

/* ---- values ---- */

bool
vucd_is_name(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len > 0 && len <= max &&
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		len;
}

/* The word that is text; one without a word when there is none. */
static const struct vucd_word *
word_find(const struct vucd_key *key, const char *text)
{
	const struct vucd_word *word = key->words;

	while (word->word != NULL && strcmp(word->word, text) != 0)
		word++;
	return word;
}

/* Reads text that is no word into the key's field. */
static bool
field_parse(const struct vucd_key *key, const char *text, void *field)
{
	uint64_t number;

	switch (key->type) {
	case VUCD_SWITCH:
	case VUCD_NUMBER:
		if (key->max == 0 ||
			vuc_number_parse(text, key->octal ? 8 : 10, key->min, key->max, &number) !=
				0)
			return false;
		*(uint32_t *)field = (uint32_t)number;
		return true;
	case VUCD_PATH:
		if (text[0] != '/' || strlen(text) > key->max)
			return false;
		break;
	case VUCD_PREFIX:
	case VUCD_NAME:
		if (!vucd_is_name(text, key->max) || (key->type == VUCD_PREFIX && text[0] == '.'))
			return false;
		break;
	case VUCD_GROUP:
		return id_find(false, text, field);
	default:
		return ids_parse(key->type == VUCD_USERS, text, field);
	}
	memcpy(field, text, strlen(text)); /* the field is zeroed, and has room for a NUL */
	return true;
}

bool
vucd_key_set(const struct vucd_key *key, void *config, const char *text)
{
	const struct vucd_word *word = word_find(key, text);
	/* All of it is set, so that equal values are equal bytes. */
	union {
		uint32_t number;
		char text[VUCD_PATH_SIZE];
		struct vucd_ids ids;
	} field = {.ids = {0}};

	if (word->word != NULL)
		field.number = word->value; /* of a text it is 0, as an empty one is */
	else if (!field_parse(key, text, &field))
		return false;
	memcpy((char *)config + key->offset, &field, key->width);
	return true;
}

bool
vucd_key_equal(const struct vucd_key *key, const void *a, const void *b)
{
	return memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->width) ==
		0;
}

/* "WHAT, MIN to MAX", or WHAT and the words with commas and an "or". */
void
vucd_key_expected(const struct vucd_key *key, char *text, size_t size)
{
	const struct vucd_word *word = key->words;
	const char *before = key->expected != NULL ? ", " : "";
	FILE *out = fmemopen(text, size, "w");

	text[0] = '\0';
	if (out == NULL)
		return;
	fputs(key->expected != NULL ? key->expected : "", out);
	if (key->type == VUCD_NUMBER && key->max > 0 && (word->word == NULL || key->min > 0))
		fprintf(out, key->octal ? ", 0%o to 0%o" : ", %u to %u", key->min, key->max);
	for (; word->word != NULL; word++) {
		bool last = word[1].word == NULL;

		if (last && word != key->words)
			before = " or ";
		else if (last)
			before = ", or ";
		fprintf(out, "%s%s", before, word->word);
		before = ", ";
	}
	fclose(out);
}

void
vucd_key_explain(const struct vucd_key *key, const char *value, char *text, size_t size)
{
	bool users = key->type == VUCD_USERS;
	bool ids = users || key->type == VUCD_GROUPS || key->type == VUCD_GROUP;
	char expected[128], word[MAX_WORD];

	vucd_key_expected(key, expected, sizeof(expected));
	if (ids && ids_unknown(users, value, word))
		snprintf(text, size, "there is no %s %s; expected %s", users ? "user" : "group",
			word, expected);
	else
		snprintf(text, size, "expected %s", expected);
}

/* ---- sections ---- */

const struct vucd_key *
vucd_section_key(const struct vucd_section *section, const char *name)
{
	size_t i;

	for (i = 0; i < section->nr_keys; i++) {
		if (strcmp(section->keys[i].name, name) == 0)
			return &section->keys[i];
	}
	return NULL;
}

unsigned int
vucd_key_line(const struct vucd_section *section, const void *config, const char *name)
{
	const struct vucd_lines *lines = config;
	unsigned int line = lines->keys[vucd_section_key(section, name) - section->keys];

	return line != 0 ? line : lines->section;
}

const char *
vucd_key_word(const struct vucd_section *section, const char *name, uint32_t value)
{
	const struct vucd_word *word = vucd_section_key(section, name)->words;

	while (word->word != NULL && word->value != value)
		word++;
	return word->word;
}

bool
vucd_section_equal(const struct vucd_section *section, const void *a, const void *b)
{
	size_t i;

	for (i = 0; i < section->nr_keys; i++) {
		if (!vucd_key_equal(&section->keys[i], a, b))
			return false;
	}
	return true;
}

void
vucd_section_init(const struct vucd_section *section, void *config, size_t size)
{
	size_t i;

	memset(config, 0, size);
	for (i = 0; i < section->nr_keys; i++) {
		const struct vucd_key *key = &section->keys[i];
		bool ok = key->fallback == NULL || vucd_key_set(key, config, key->fallback);

		assert(ok);
		(void)ok;
	}
}

/* ---- help ---- */

static void
section_print(FILE *out, const struct vucd_section *section)
{
	char expected[128];
	size_t i;

	fprintf(out, "[%s%s] %s\n", section->name, section->key.name != NULL ? " NAME" : "",
		section->help);
	for (i = 0; i < section->nr_keys; i++) {
		const struct vucd_key *key = &section->keys[i];

		vucd_key_expected(key, expected, sizeof(expected));
		fprintf(out, "  %s\n      %s\n      %s; ", key->name, key->help, expected);
		if (key->fallback != NULL)
			fprintf(out, "default %s\n", key->fallback);
		else
			fprintf(out, "required\n");
	}
}

void
vucd_config_help(FILE *out)
{
	section_print(out, &vucd_section_vucd);
	putc('\n', out);
	section_print(out, &vucd_section_poller);
	putc('\n', out);
	section_print(out, &vucd_section_device);
}
