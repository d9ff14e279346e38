/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_keys.h"

#include <assert.h>
#include <string.h>

#include <vuc/shm.h>

#include "config.h"

#define TEXT(number)       TEXT_OF(number)
#define TEXT_OF(number)    #number
#define COUNT(array)       (sizeof(array) / sizeof((array)[0]))
#define SIZE_OF(of, field) sizeof(((struct of *)NULL)->field)

/* Offset and width of a key's field. */
#define FIELD(of, field) offsetof(struct of, field), .width = SIZE_OF(of, field)
#define SETTING(field)   FIELD(vucd_settings, field)
#define POLLER(field)    FIELD(vucd_poller_config, field)
#define DEVICE(field)    FIELD(vucd_device_config, field)

#define ON_OFF       "on or off"
#define MILLISECONDS "milliseconds, 1 to 3600000"
#define MAX_MS       3600000

static const struct vucd_word log_levels[] = {
	{"error", VUC_LOG_ERROR},
	{"warning", VUC_LOG_WARNING},
	{"notice", VUC_LOG_NOTICE},
	{"debug", VUC_LOG_DEBUG},
	{NULL, 0},
};

static const struct vucd_word idles[] = {
	{"spin", VUC_IDLE_SPIN},
	{"yield", VUC_IDLE_YIELD},
	{"sleep", VUC_IDLE_SLEEP},
	{NULL, 0},
};

static const struct vucd_word dmas[] = {
	{"shared", VUC_DMA_SHARED},
	{"message", VUC_DMA_MESSAGE},
	{NULL, 0},
};

static const struct vucd_word resets[] = {
	{"on", VUC_CONTROL_RESET_ON},
	{"trust", VUC_CONTROL_RESET_TRUST},
	{"never", VUC_CONTROL_RESET_NEVER},
	{NULL, 0},
};

static const struct vucd_word posted_writes[] = {
	{"off", VUC_POSTED_WRITES_OFF},
	{"on", VUC_POSTED_WRITES_ON},
	{"auto", VUC_POSTED_WRITES_AUTO},
	{NULL, 0},
};

static const struct vucd_key vucd_keys[] = {
	{
		.name = "directory",
		.parse = vucd_value_directory,
		.offset = SETTING(directory),
		/* The longest name of a socket in it is "/management.sock". */
		.size = SIZE_OF(vucd_settings, directory) - 16,
		.expected = "an absolute path of at most 91 bytes, or auto",
		.fallback = "auto",
		.help = "where the sockets are; auto: $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/vucd, "
			"or /run/vucd for root",
	},
	{
		.name = "directory-mode",
		.parse = vucd_value_mode,
		.offset = SETTING(directory_mode),
		.min = 0700,
		.max = 0777,
		.expected = "an octal mode, 0700 to 0777",
		.fallback = "0700",
		.help = "permissions of the directory",
	},
	{
		.name = "socket-mode",
		.parse = vucd_value_mode,
		.offset = SETTING(socket_mode),
		.min = 0600,
		.max = 0777,
		.expected = "an octal mode, 0600 to 0777",
		.fallback = "0600",
		.help = "permissions of the VMMs' socket",
	},
	{
		.name = "group",
		.parse = vucd_value_group,
		.offset = SETTING(group),
		.expected = "name or number of an existing group, or none",
		.fallback = "none",
		.help = "group that is given directory and VMMs' socket",
	},
	{
		.name = "max-vmms",
		.parse = vucd_value_number,
		.offset = SETTING(max_vmms),
		.min = 1,
		.max = 4096,
		.expected = "a number, 1 to 4096",
		.fallback = "64",
		.help = "connections of VMMs at a time",
	},
	{
		.name = "max-vmms-per-user",
		.parse = vucd_value_number,
		.offset = SETTING(max_vmms_per_user),
		.min = 1,
		.max = 4096,
		.expected = "a number, 1 to 4096",
		.fallback = "32",
		.help = "of these, connections of one user",
	},
	{
		.name = "max-queues",
		.parse = vucd_value_number,
		.offset = SETTING(max_queues),
		.min = 1,
		.max = VUC_SHM_MAX_QUEUES,
		.expected = "a number, 1 to " TEXT(VUC_SHM_MAX_QUEUES),
		.fallback = TEXT(VUC_SHM_MAX_QUEUES),
		.help = "queues of one VMM",
	},
	{
		.name = "max-queue-memory-mb",
		.parse = vucd_value_number,
		.offset = SETTING(max_queue_memory_mb),
		.min = 1,
		.max = 65536,
		.expected = "MiB, 1 to 65536",
		.fallback = "64",
		.help = "memory that the queues of one VMM may take",
	},
	{
		.name = "max-dma-maps",
		.parse = vucd_value_number,
		.offset = SETTING(max_dma_maps),
		.min = 1,
		.max = 65535,
		.expected = "a number, 1 to 65535",
		.fallback = "4096",
		.help = "DMA mappings of one VMM, if the device allows for more",
	},
	{
		.name = "max-dma-message-mb",
		.parse = vucd_value_number,
		.offset = SETTING(max_dma_message_mb),
		.min = 0,
		.max = 1048576,
		.expected = "MiB, 0 to 1048576",
		.fallback = "1024",
		.help = "memory that DMA by message may cost vucd for one VMM",
	},
	{
		.name = "handshake-timeout-ms",
		.parse = vucd_value_number,
		.offset = SETTING(handshake_timeout_ms),
		.min = 1,
		.max = MAX_MS,
		.expected = MILLISECONDS,
		.fallback = "5000",
		.help = "until a connection has to have attached to a device",
	},
	{
		.name = "log-level",
		.parse = vucd_value_word,
		.offset = SETTING(log_level),
		.words = log_levels,
		.expected = "error, warning, notice or debug",
		.fallback = "notice",
		.help = "log messages of this severity and above",
	},
	{
		.name = "telemetry",
		.parse = vucd_value_switch,
		.offset = SETTING(telemetry),
		.expected = ON_OFF,
		.fallback = "on",
		.help = "serve DPDK's telemetry",
	},
	{
		.name = "file-prefix",
		.parse = vucd_value_prefix,
		.offset = SETTING(file_prefix),
		.size = SIZE_OF(vucd_settings, file_prefix),
		.expected = "1 to 47 letters, digits and \"._-\", the first of them no dot",
		.fallback = "vucd",
		.help = "name of the daemon in DPDK's telemetry: dpdk-telemetry.py -f NAME",
	},
	{
		.name = "trace-directory",
		.parse = vucd_value_optional_path,
		.offset = SETTING(trace_directory),
		.size = SIZE_OF(vucd_settings, trace_directory),
		.expected = "an absolute path of at most 107 bytes, or none",
		.fallback = "none",
		.help = "where a trace of each request is written when the daemon stops; none: "
			"nothing is traced",
	},
	{
		.name = "hugepages",
		.parse = vucd_value_switch,
		.offset = SETTING(hugepages),
		.expected = ON_OFF,
		.fallback = "off",
		.help = "take DPDK's memory from hugepages",
	},
	{
		.name = "memory-mb",
		.parse = vucd_value_number,
		.offset = SETTING(memory_mb),
		.min = 0,
		.max = 1048576,
		.expected = "MiB, 0 to 1048576",
		.fallback = "0",
		.help = "most memory that DPDK takes; 0: its default",
	},
};

static const struct vucd_key poller_keys[] = {
	{
		.name = "cpu",
		.parse = vucd_value_cpu,
		.offset = POLLER(cpu),
		.expected = "a CPU number, auto or none",
		.fallback = "auto",
		.help = "CPU to run on; none: wherever the kernel puts it",
	},
	{
		.name = "idle",
		.parse = vucd_value_word,
		.offset = POLLER(idle),
		.words = idles,
		.expected = "spin, yield or sleep",
		.fallback = "spin",
		.help = "what it does while there is nothing to do",
	},
	{
		.name = "idle-loops",
		.parse = vucd_value_number,
		.offset = POLLER(idle_loops),
		.min = 0,
		.max = UINT32_MAX,
		.expected = "a number, 0 to 4294967295",
		.fallback = TEXT(VUC_DEFAULT_IDLE_LOOPS),
		.help = "loops without anything to do before it yields or sleeps",
	},
	{
		.name = "transport",
		.parse = vucd_value_transport,
		.offset = POLLER(transport),
		.expected = "auto, uring or posix",
		.fallback = "auto",
		.help = "how it talks to servers",
	},
};

static const struct vucd_key device_keys[] = {
	{
		.name = "socket",
		.parse = vucd_value_path,
		.offset = DEVICE(socket),
		.size = SIZE_OF(vucd_device_config, socket),
		.expected = "an absolute path of at most 107 bytes",
		.help = "UNIX socket of the vfio-user server",
	},
	{
		.name = "poller",
		.parse = vucd_value_poller,
		.offset = DEVICE(poller),
		.size = SIZE_OF(vucd_device_config, poller),
		.expected = "the name of a poller, or auto",
		.fallback = "auto",
		.help = "poller that drives it; auto: the one with the fewest devices",
	},
	{
		.name = "dma",
		.parse = vucd_value_word,
		.offset = DEVICE(dma),
		.words = dmas,
		.expected = "shared or message",
		.fallback = "shared",
		.help = "whether the server gets the VMM's memory, or asks for each access",
	},
	{
		.name = "posted-writes",
		.parse = vucd_value_word,
		.offset = DEVICE(posted_writes),
		.words = posted_writes,
		.expected = "on, off or auto",
		.fallback = "auto",
		.help = "whether writes to memory BARs are posted; auto: until the VMM can map regions",
	},
	{
		.name = "reset",
		.parse = vucd_value_word,
		.offset = DEVICE(reset),
		.words = resets,
		.expected = "on, trust or never",
		.fallback = "on",
		.help = "how it is made clean for the next VMM: a new connection and a reset, a "
			"reset, or a new connection",
	},
	{
		.name = "io-fds",
		.parse = vucd_value_switch,
		.offset = DEVICE(io_fds),
		.expected = ON_OFF,
		.fallback = "on",
		.help = "whether the server is asked for ioeventfds, which breaks some",
	},
	{
		.name = "max-dma-maps",
		.parse = vucd_value_number,
		.offset = DEVICE(max_dma_maps),
		.min = 1,
		.max = 65535,
		.expected = "a number, 1 to 65535",
		.fallback = TEXT(VUC_DEFAULT_MAX_DMA_MAPS),
		.help = "DMA mappings at a time, for a server that takes fewer than it announces",
	},
	{
		.name = "timeout-ms",
		.parse = vucd_value_number,
		.offset = DEVICE(timeout_ms),
		.min = 1,
		.max = MAX_MS,
		.expected = MILLISECONDS,
		.fallback = TEXT(VUC_DEFAULT_TIMEOUT_MS),
		.help = "that connecting may take, all of it, and each answer",
	},
	{
		.name = "long-timeout-ms",
		.parse = vucd_value_number,
		.offset = DEVICE(long_timeout_ms),
		.min = 1,
		.max = MAX_MS,
		.expected = MILLISECONDS,
		.fallback = TEXT(VUC_DEFAULT_LONG_TIMEOUT_MS),
		.help = "the same for what may take long, like a reset",
	},
	{
		.name = "retry-min-ms",
		.parse = vucd_value_number,
		.offset = DEVICE(retry_min_ms),
		.min = 1,
		.max = MAX_MS,
		.expected = MILLISECONDS,
		.fallback = "100",
		.help = "first wait before a server that is away is tried again",
	},
	{
		.name = "retry-max-ms",
		.parse = vucd_value_number,
		.offset = DEVICE(retry_max_ms),
		.min = 1,
		.max = MAX_MS,
		.expected = MILLISECONDS,
		.fallback = "5000",
		.help = "longest wait, which each attempt doubles up to",
	},
	{
		.name = "users",
		.parse = vucd_value_users,
		.offset = DEVICE(users),
		.expected = "names or numbers of at most 32 existing users, with commas, or none",
		.fallback = "none",
		.help = "who may have it, beside root and the daemon's own user",
	},
	{
		.name = "groups",
		.parse = vucd_value_groups,
		.offset = DEVICE(groups),
		.expected = "names or numbers of at most 32 existing groups, with commas, or none",
		.fallback = "none",
		.help = "groups whose members may have it",
	},
};

const struct vucd_section vucd_section_vucd = {
	.name = "vucd",
	.help = "the daemon",
	.keys = vucd_keys,
	.nr_keys = COUNT(vucd_keys),
};

const struct vucd_section vucd_section_poller = {
	.name = "poller",
	.help = "a thread that drives devices; at least one",
	.name_expected = "a name of at most 15 letters, digits and \"._-\", and not auto",
	.keys = poller_keys,
	.nr_keys = COUNT(poller_keys),
};

const struct vucd_section vucd_section_device = {
	.name = "device",
	.help = "a device that VMMs may have; any number",
	.name_expected = "a name of at most 63 letters, digits and \"._-\"",
	.keys = device_keys,
	.nr_keys = COUNT(device_keys),
};

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

bool
vucd_key_set(const struct vucd_key *key, void *config, const char *text)
{
	return key->parse(key, text, (char *)config + key->offset);
}

/* Sections are zeroed before they are read, so that equal values are equal bytes. */
bool
vucd_key_equal(const struct vucd_key *key, const void *a, const void *b)
{
	return memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->width) ==
		0;
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
vucd_section_init(const struct vucd_section *section, void *config)
{
	size_t i;

	for (i = 0; i < section->nr_keys; i++) {
		const struct vucd_key *key = &section->keys[i];
		bool ok = key->fallback == NULL || vucd_key_set(key, config, key->fallback);

		assert(ok);
		(void)ok;
	}
}
