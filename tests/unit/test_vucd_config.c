/* SPDX-License-Identifier: BSD-3-Clause */

/* vucd's configuration: what each key takes, and what is said of those that are wrong, with the
 * line. */

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/control.h>

#include "config.h"
#include "tap.h"

#define POLLER "[poller p]\n"

/* All reports, "LINE: TEXT\n" each. */
struct said {
	char text[4096];
	size_t len;
};

static void
take_report(void *arg, unsigned int line, const char *text)
{
	struct said *said = arg;
	size_t room = sizeof(said->text) - said->len;
	int n = snprintf(said->text + said->len, room, "%u: %s\n", line, text);

	if (n > 0 && (size_t)n < room)
		said->len += (size_t)n;
}

static int
parse(struct vucd_config *config, const char *text, struct said *said)
{
	struct vucd_report report = {.fn = take_report, .arg = said};
	int rc;

	*said = (struct said){.len = 0};
	rc = vucd_config_parse(config, text, strlen(text), &report);
	CU_ASSERT_EQUAL(rc == 0, report.count == 0);
	return rc;
}

static bool
says(const char *text, const char *wanted)
{
	struct vucd_config config;
	struct said said;
	int rc = parse(&config, text, &said);

	vucd_config_free(&config);
	if (rc != 0 && strcmp(said.text, wanted) == 0)
		return true;
	printf("# returned %d for %s# and said %s", rc, text, said.text);
	return false;
}

static bool
is_fine(const char *text)
{
	struct vucd_config config;
	struct said said;
	int rc = parse(&config, text, &said);

	vucd_config_free(&config);
	if (rc == 0)
		return true;
	printf("# %s", said.text);
	return false;
}

/* ---- what is right ---- */

static void
test_all_keys(void)
{
	static const char text[] =
		"# a comment = [x]\n\n"
		"  [ vucd ]  # another\r\n"
		"directory=/run/v\n\tdirectory-mode\t=\t0750\nsocket-mode = 0660\ngroup = 7\n"
		"max-vmms = 9\nmax-vmms-per-user = 8\nmax-queues = 7\nmax-queue-memory-mb = 6\n"
		"max-dma-maps = 5\nmax-dma-message-mb = 2\nhandshake-timeout-ms = 4\nlog-level = debug\n"
		"telemetry = off\nhugepages = on\nmemory-mb = 3 # MiB\n"
		"[poller  io0]\ncpu = 2\nidle = sleep\nidle-loops = 1\ntransport = posix\n"
		"[poller io1]\ncpu = none\nidle = yield\ntransport = uring\n"
		"[device\td.0-_]\nsocket = /s#1 = \\#t## # c\npoller = io1\ndma = message\n"
		"posted-writes = off\nio-fds = off\nmax-dma-maps = 64\ntimeout-ms = 11\n"
		"long-timeout-ms = 12\nretry-min-ms = 13\n"
		"retry-max-ms = 14\nreset = never\noutage = hold\nhold-ms = 15\nafter-hold = ones\n"
		"fence = off\nrelease-ms = 16\nmap = none\nkeep-bar0 = on\nrecover = none\nexport = /e\n"
		"export-mode = 0660\nexport-group = 8\nreply-ms = 17\nusers = root , 1000,1001\ngroups = 4294967294";
	struct vucd_config config;
	const struct vucd_settings *s = &config.settings;
	const struct vucd_device_config *d;
	struct said said;

	CU_ASSERT_EQUAL_FATAL(parse(&config, text, &said), 0);
	CU_ASSERT_STRING_EQUAL(s->directory, "/run/v");
	CU_ASSERT_EQUAL(s->directory_mode, 0750);
	CU_ASSERT_EQUAL(s->socket_mode, 0660);
	CU_ASSERT_EQUAL(s->group, 7);
	CU_ASSERT_EQUAL(s->max_vmms, 9);
	CU_ASSERT_EQUAL(s->max_vmms_per_user, 8);
	CU_ASSERT_EQUAL(s->max_queues, 7);
	CU_ASSERT_EQUAL(s->max_queue_memory_mb, 6);
	CU_ASSERT_EQUAL(s->max_dma_maps, 5);
	CU_ASSERT_EQUAL(s->max_dma_message_mb, 2);
	CU_ASSERT_EQUAL(s->handshake_timeout_ms, 4);
	CU_ASSERT_EQUAL(s->log_level, VUC_LOG_DEBUG);
	CU_ASSERT_FALSE(s->telemetry);
	CU_ASSERT_EQUAL(s->hugepages, 1);
	CU_ASSERT_EQUAL(s->memory_mb, 3);
	CU_ASSERT_EQUAL_FATAL(config.nr_pollers, 2);
	CU_ASSERT_STRING_EQUAL(config.pollers[0].name, "io0");
	CU_ASSERT_EQUAL(config.pollers[0].cpu, 2);
	CU_ASSERT_EQUAL(config.pollers[0].idle, VUC_IDLE_SLEEP);
	CU_ASSERT_EQUAL(config.pollers[0].idle_loops, 1);
	CU_ASSERT_EQUAL(config.pollers[0].transport, 2);
	CU_ASSERT_EQUAL(config.pollers[1].cpu, VUC_POLLER_CPU_NONE);
	CU_ASSERT_EQUAL(config.pollers[1].idle, VUC_IDLE_YIELD);
	CU_ASSERT_EQUAL_FATAL(config.nr_devices, 1);
	d = &config.devices[0];
	CU_ASSERT_STRING_EQUAL(d->name, "d.0-_");
	CU_ASSERT_STRING_EQUAL(d->socket, "/s#1 = \\#t##");
	CU_ASSERT_STRING_EQUAL(d->poller, "io1");
	CU_ASSERT_EQUAL(d->dma, VUC_DMA_MESSAGE);
	CU_ASSERT_EQUAL(d->posted_writes, VUC_POSTED_WRITES_OFF);
	CU_ASSERT_EQUAL(d->reset, VUC_CONTROL_RESET_NEVER);
	CU_ASSERT_FALSE(d->io_fds);
	CU_ASSERT_EQUAL(d->max_dma_maps, 64);
	CU_ASSERT_EQUAL(d->timeout_ms, 11);
	CU_ASSERT_EQUAL(d->long_timeout_ms, 12);
	CU_ASSERT_EQUAL(d->retry_min_ms, 13);
	CU_ASSERT_EQUAL(d->retry_max_ms, 14);
	CU_ASSERT_EQUAL(d->outage, VUC_CONTROL_OUTAGE_HOLD);
	CU_ASSERT_EQUAL(d->hold_ms, 15);
	CU_ASSERT_EQUAL(d->after_hold, VUC_CONTROL_AFTER_ONES);
	CU_ASSERT_FALSE(d->fence);
	CU_ASSERT_EQUAL(d->release_ms, 16);
	CU_ASSERT_EQUAL(d->map, VUC_CONTROL_MAP_NONE);
	CU_ASSERT_EQUAL(d->keep_bar0, 1);
	CU_ASSERT_EQUAL(d->recover, VUC_CONTROL_RECOVER_NONE);
	CU_ASSERT_STRING_EQUAL(d->export_path, "/e");
	CU_ASSERT_EQUAL(d->export_mode, 0660);
	CU_ASSERT_EQUAL(d->export_group, 8);
	CU_ASSERT_EQUAL(d->reply_ms, 17);
	CU_ASSERT_EQUAL_FATAL(d->users.nr, 3);
	CU_ASSERT_EQUAL(d->users.ids[0], 0);
	CU_ASSERT_EQUAL(d->users.ids[2], 1001);
	CU_ASSERT_EQUAL_FATAL(d->groups.nr, 1);
	CU_ASSERT_EQUAL(d->groups.ids[0], 4294967294);
	vucd_config_free(&config);
}

/* What is not given is as the library has it. */
static void
test_defaults(void)
{
	struct vuc_poller_opts poller;
	struct vuc_device_opts device;
	struct vuc_control_opts control;
	struct vuc_control_device_opts offer;
	struct vucd_config config;
	struct said said;

	vuc_poller_opts_init(&poller, sizeof(poller));
	vuc_device_opts_init(&device, sizeof(device));
	vuc_control_opts_init(&control, sizeof(control));
	vuc_control_device_opts_init(&offer, sizeof(offer));
	CU_ASSERT_EQUAL_FATAL(parse(&config, "[poller p]\n[device d]\nsocket = /s\n", &said), 0);
	CU_ASSERT_STRING_EQUAL(config.settings.directory, "");
	CU_ASSERT_EQUAL(config.settings.directory_mode, 0700);
	CU_ASSERT_EQUAL(config.settings.socket_mode, control.mode);
	CU_ASSERT_EQUAL(config.settings.group, VUCD_NO_ID);
	CU_ASSERT_EQUAL(config.settings.max_vmms, control.max_vmms);
	CU_ASSERT_EQUAL(config.settings.max_vmms_per_user, control.max_vmms_per_user);
	CU_ASSERT_EQUAL(config.settings.max_queues, control.max_queues);
	CU_ASSERT_EQUAL(config.settings.max_queue_memory_mb, control.max_queue_memory >> 20);
	CU_ASSERT_EQUAL(config.settings.max_dma_message_mb, control.max_dma_message >> 20);
	CU_ASSERT_EQUAL(config.settings.max_dma_maps, control.max_dma_maps);
	CU_ASSERT_EQUAL(config.settings.handshake_timeout_ms, control.handshake_timeout_ms);
	CU_ASSERT_EQUAL(config.settings.log_level, VUC_LOG_NOTICE);
	CU_ASSERT_EQUAL(config.pollers[0].cpu, poller.cpu);
	CU_ASSERT_EQUAL(config.pollers[0].idle, poller.idle);
	CU_ASSERT_EQUAL(config.pollers[0].idle_loops, poller.idle_loops);
	CU_ASSERT_EQUAL(config.pollers[0].transport, 0);
	CU_ASSERT_STRING_EQUAL(config.devices[0].poller, "");
	CU_ASSERT_EQUAL(config.devices[0].dma, device.dma);
	CU_ASSERT_EQUAL(config.devices[0].posted_writes, device.posted_writes);
	CU_ASSERT_EQUAL(config.devices[0].reset, VUC_CONTROL_RESET_ON);
	CU_ASSERT_EQUAL(config.devices[0].io_fds, device.io_fds);
	CU_ASSERT_EQUAL(config.devices[0].max_dma_maps, device.max_dma_maps);
	CU_ASSERT_EQUAL(config.devices[0].timeout_ms, 0);
	CU_ASSERT_EQUAL(config.devices[0].long_timeout_ms, device.long_timeout_ms);
	CU_ASSERT_EQUAL(config.devices[0].retry_min_ms, offer.retry_min_ms);
	CU_ASSERT_EQUAL(config.devices[0].retry_max_ms, offer.retry_max_ms);
	CU_ASSERT_EQUAL(config.devices[0].outage, offer.outage);
	CU_ASSERT_EQUAL(config.devices[0].hold_ms, offer.hold_ms);
	CU_ASSERT_EQUAL(config.devices[0].after_hold, offer.after_hold);
	CU_ASSERT_EQUAL(config.devices[0].fence, offer.fence);
	CU_ASSERT_EQUAL(config.devices[0].release_ms, offer.release_ms);
	CU_ASSERT_EQUAL(config.devices[0].map, offer.map);
	CU_ASSERT_EQUAL(config.devices[0].keep_bar0, offer.keep_bar0);
	CU_ASSERT_EQUAL(config.devices[0].recover, offer.recover);
	CU_ASSERT_STRING_EQUAL(config.devices[0].export_path, "");
	CU_ASSERT_EQUAL(config.devices[0].export_mode, offer.export_mode);
	CU_ASSERT_EQUAL(config.devices[0].export_group, offer.export_group);
	CU_ASSERT_EQUAL(config.devices[0].reply_ms, offer.reply_ms);
	CU_ASSERT_EQUAL(config.devices[0].users.nr, 0);
	vucd_config_free(&config);
}

static void
test_edges(void)
{
	static const char *const texts[] = {
		POLLER,
		"[poller p]",
		"[poller p]\r\ncpu=auto\r\n",
		POLLER "cpu = 4095\nidle-loops = 4294967295\n",
		POLLER "[vucd]\ndirectory = auto\ngroup = none\n",
		"[device d]\nsocket = /\\;s\nusers = none\n[poller p]\n",
		"[device d]\nsocket = /s\npoller = p\n[poller p]\n",
		POLLER "[device auto]\nsocket = /s\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CU_ASSERT(is_fine(texts[i]));
}

/* ---- what is wrong ---- */

#define EXPECT_SECTION "expected [vucd], [poller NAME] or [device NAME]\n"
#define EXPECT_POLLER \
	"expected [poller NAME], a name of at most 15 letters, digits and \"._-\", and not auto\n"
#define EXPECT_DEVICE "expected [device NAME], a name of at most 63 letters, digits and \"._-\"\n"
#define EXPECT_USERS \
	"expected names or numbers of at most 32 existing users, with commas, or none\n"
#define DEVICE POLLER "[device d]\nsocket = /s\n"

/* What stands in a file, and what is reported. */
struct row {
	const char *text;
	const char *says;
};

static const struct row line_rows[] = {
	{"", "0: expected at least one [poller NAME]\n"},
	{POLLER "\nhello\n", "3: expected [SECTION] or KEY = VALUE\n"},
	{"cpu = 1\n" POLLER, "1: cpu: expected a [SECTION] before it\n"},
	{POLLER "[vucd\n", "2: expected [SECTION]\n"},
	{POLLER "[vucd] x\n", "2: expected [SECTION]\n"},
	{POLLER "[a]b]\n", "2: expected [SECTION]\n"},
	{POLLER "[]\n", "2: []: the section has no name\n"},
	{POLLER "[\n", "2: expected [SECTION]\n"},
	{POLLER "= 1\n", "2: expected a key before '='\n"},
	{POLLER "cpu =\n", "2: cpu: expected a value after '='\n"},
	{POLLER "cpu = # 1\n", "2: cpu: expected a value after '='\n"},
	{POLLER "c#pu = 1\n", "2: c#pu: a key cannot contain '#'\n"},
	{POLLER "[device d#]\n", "2: expected [SECTION]\n"},
	{POLLER "cpu\x01 = 1\n", "2: control character: this is not a text file\n"},
	{POLLER "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm = 1\n",
		"2: abcdefghijklmnopqrst...: a key has at most 63 bytes\n"},
	{NULL, NULL},
};

static const struct row section_rows[] = {
	{POLLER "[bogus]\nx = 1\n", "2: [bogus]: " EXPECT_SECTION},
	{POLLER "[vucd x]\n", "2: [vucd x]: " EXPECT_SECTION},
	{POLLER "[devices d]\n", "2: [devices d]: " EXPECT_SECTION},
	{"[poller]\n", "1: [poller]: " EXPECT_POLLER},
	{"[poller]\n[poller]\n", "1: [poller]: " EXPECT_POLLER "2: [poller]: " EXPECT_POLLER},
	{"[poller auto]\n", "1: [poller auto]: " EXPECT_POLLER},
	{"[poller abcdefghijklmnop]\n", "1: [poller abcdefghijklmnop]: " EXPECT_POLLER},
	{POLLER "[device a/b]\nsocket = /s\n", "2: [device a/b]: " EXPECT_DEVICE},
	{POLLER "[vucd]\n[poller  p]\n", "3: [poller p]: already defined in line 1\n"},
	{POLLER "[vucd]\n[vucd]\n", "3: [vucd]: already defined in line 2\n"},
	{DEVICE "[device  d]\nfoo = 1\n", "4: [device d]: already defined in line 2\n"},
	/* Their keys go with a section that cannot be read. */
	{POLLER "[device a]b]\nsocket = /s\n", "2: expected [SECTION]\n"},
	{NULL, NULL},
};

static const struct row key_rows[] = {
	{POLLER "cpus = 1\n", "2: [poller p] has no key cpus\n"},
	{POLLER "socket = /s\n", "2: [poller p] has no key socket\n"},
	{POLLER "cpu = 1\nidle = spin\ncpu = 2\n", "4: [poller p] cpu: already set in line 2\n"},
	{POLLER "[device d]\ndma = shared\n",
		"2: [device d] socket is missing: expected an absolute path of at most 107 bytes\n"},
	{DEVICE "poller = q\n", "4: [device d] poller = q: there is no such poller\n"},
	{DEVICE "retry-min-ms = 9000\n",
		"4: [device d] retry-min-ms = 9000 is more than retry-max-ms = 5000\n"},
	{POLLER "[device d]\nretry-max-ms = 9\nsocket = /s\n",
		"3: [device d] retry-min-ms = 100 is more than retry-max-ms = 9\n"},
	{DEVICE "[device e]\nsocket = /t\n[device f]\nsocket = /s\n",
		"7: [device f] socket = /s: already used by [device d] in line 3, as socket\n"},
	{DEVICE "export = /s\n",
		"4: [device d] export = /s: already used by [device d] in line 3, as socket\n"},
	{DEVICE "export = /x\n[device e]\nsocket = /x\n",
		"6: [device e] socket = /x: already used by [device d] in line 4, as export\n"},
	{DEVICE "[device e]\nsocket = /t\nexport = /s\n",
		"6: [device e] export = /s: already used by [device d] in line 3, as socket\n"},
	{DEVICE "export = /x\n[device e]\nsocket = /t\nexport = /x\n",
		"7: [device e] export = /x: already used by [device d] in line 4, as export\n"},
	{NULL, NULL},
};

static const struct row value_rows[] = {
	{POLLER "cpu = 99x\n", "2: [poller p] cpu = 99x: expected a CPU number, auto or none\n"},
	{POLLER "cpu = -1\n", "2: [poller p] cpu = -1: expected a CPU number, auto or none\n"},
	{POLLER "cpu = 4096\n", "2: [poller p] cpu = 4096: expected a CPU number, auto or none\n"},
	{POLLER "idle = SPIN\n", "2: [poller p] idle = SPIN: expected spin, yield or sleep\n"},
	{POLLER "idle = 1\n", "2: [poller p] idle = 1: expected spin, yield or sleep\n"},
	{POLLER "idle-loops = 4294967296\n",
		"2: [poller p] idle-loops = 4294967296: expected a number, 0 to 4294967295\n"},
	{POLLER "transport = loopback\n",
		"2: [poller p] transport = loopback: expected auto, uring or posix\n"},
	{POLLER "[vucd]\ndirectory-mode = 0799\n",
		"3: [vucd] directory-mode = 0799: expected an octal mode, 0700 to 0777\n"},
	{POLLER "[vucd]\ndirectory = run\n",
		"3: [vucd] directory = run: expected an absolute path of at most 91 bytes, or "
		"auto\n"},
	{POLLER "[vucd]\ntelemetry = yes\n", "3: [vucd] telemetry = yes: expected on or off\n"},
	{POLLER "[vucd]\nlog-level = info\n",
		"3: [vucd] log-level = info: expected error, warning, notice or debug\n"},
	{POLLER "[vucd]\nfile-prefix = .a\n",
		"3: [vucd] file-prefix = .a: expected 1 to 47 letters, digits and \"._-\", the "
		"first of them no dot\n"},
	{POLLER "[vucd]\nmemory-mb = 1048577\n",
		"3: [vucd] memory-mb = 1048577: expected MiB, 0 to 1048576\n"},
	{POLLER "[vucd]\ngroup = nosuch\n",
		"3: [vucd] group = nosuch: there is no group nosuch; expected name or number of an "
		"existing group, or none\n"},
	{POLLER "[device d]\nsocket = s\n",
		"3: [device d] socket = s: expected an absolute path of at most 107 bytes\n"},
	{DEVICE "timeout-ms = 0\n",
		"4: [device d] timeout-ms = 0: expected milliseconds, 1 to 3600000, or auto\n"},
	{DEVICE "dma = secure\n", "4: [device d] dma = secure: expected shared or message\n"},
	{DEVICE "users = no-such-user-here\n",
		"4: [device d] users = no-such-user-here: there is no user no-such-user-here; " EXPECT_USERS},
	{DEVICE "users = root, nosuch, 7\n",
		"4: [device d] users = root, nosuch, 7: there is no user nosuch; " EXPECT_USERS},
	/* Debian has a user nobody and a group nogroup. */
	{DEVICE "users = nobody\ngroups = nobody\n",
		"5: [device d] groups = nobody: there is no group nobody; expected names or "
		"numbers of at most 32 existing groups, with commas, or none\n"},
	{DEVICE "groups = nogroup\nusers = nogroup\n",
		"5: [device d] users = nogroup: there is no user nogroup; " EXPECT_USERS},
	{DEVICE "users = -1\n", "4: [device d] users = -1: there is no user -1; " EXPECT_USERS},
	{DEVICE "users = root,,root\n", "4: [device d] users = root,,root: " EXPECT_USERS},
	{DEVICE "users = ,root\n", "4: [device d] users = ,root: " EXPECT_USERS},
	{DEVICE "users = root,\n", "4: [device d] users = root,: " EXPECT_USERS},
	{DEVICE "users = root root\n", "4: [device d] users = root root: " EXPECT_USERS},
	{DEVICE "users = 4294967295\n", "4: [device d] users = 4294967295: " EXPECT_USERS},
	{NULL, NULL},
};

/* All mistakes are reported at once, in the order of lines, whenever they are found; those
 * without a line last. */
static const struct row several_rows[] = {
	{"x\n[vucd]\nmax-vmms = 0\nfoo = 1\n[poller p]\ncpu = x\n",
		"1: expected [SECTION] or KEY = VALUE\n"
		"3: [vucd] max-vmms = 0: expected a number, 1 to 4096\n"
		"4: [vucd] has no key foo\n"
		"6: [poller p] cpu = x: expected a CPU number, auto or none\n"},
	{"[device d]\npoller = q\n[device e]\nsocket = /s\nretry-min-ms = 9000\n[device f]\n"
	 "socket = /s\nfoo = 1\nbar = 1\n",
		"1: [device d] socket is missing: expected an absolute path of at most 107 bytes\n"
		"2: [device d] poller = q: there is no such poller\n"
		"5: [device e] retry-min-ms = 9000 is more than retry-max-ms = 5000\n"
		"7: [device f] socket = /s: already used by [device e] in line 4, as socket\n"
		"8: [device f] has no key foo\n"
		"9: [device f] has no key bar\n"
		"0: expected at least one [poller NAME]\n"},
	{NULL, NULL},
};

static void
check_rows(const struct row *row)
{
	for (; row->text != NULL; row++)
		CU_ASSERT(says(row->text, row->says));
}

static void
test_wrong(void)
{
	check_rows(line_rows);
	check_rows(section_rows);
	check_rows(key_rows);
	check_rows(value_rows);
	check_rows(several_rows);
}

/* The longest values, and those that are a byte longer: a format that has %.*s for count bytes of
 * "/aaa..." or "0,0,...". */
static void
test_lengths(void)
{
	static const struct {
		const char *before;
		char first, second; /* repeated */
		int longest;
		const char *after;
		const char *says; /* of the longer one; NULL: anything */
	} rows[] = {
		{"[device ", 'a', 'a', VUC_CONTROL_NAME_SIZE - 1, "]\nsocket = /s\n", NULL},
		{"[poller ", 'a', 'a', VUCD_POLLER_SIZE - 1, "]\n", NULL},
		{"[device d]\nsocket = ", '/', 'a', 107, "\n", NULL},
		{"[vucd]\ndirectory = ", '/', 'a', 91, "\n", NULL},
		{"[vucd]\nfile-prefix = ", 'a', 'a', 47, "\n", NULL},
		{"[device d]\nsocket = /s\nusers = ", '0', ',', 2 * VUCD_MAX_IDS - 1, "\n", NULL},
		{"cpu = 1 # ", 'a', 'a', 900, "\n", ""}, /* a comment has no end of them */
	};
	char text[1200], name[1000];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int more = 0; more <= 1; more++) {
			int len = rows[i].longest + (rows[i].second == ',' ? 2 * more : more);

			for (int k = 0; k < len; k++)
				name[k] = rows[i].second == ',' ? "0,"[k % 2]
					: k == 0                ? rows[i].first
								: rows[i].second;
			name[len] = '\0';
			snprintf(text, sizeof(text), POLLER "%s%s%s", rows[i].before, name,
				rows[i].after);
			CU_ASSERT_EQUAL(is_fine(text), more == 0 || rows[i].says != NULL);
		}
	}
	memset(name, 'a', sizeof(name));
	snprintf(text, sizeof(text), POLLER "[device %.128s]\ncpu = 1\n", name);
	CU_ASSERT(says(
		text, "2: [device aaaaaaaaaaaaa...]: a section's name has at most 127 bytes\n"));
	snprintf(text, sizeof(text), POLLER "cpu = %.256s\n", name);
	CU_ASSERT(says(text, "2: cpu: a value has at most 255 bytes, this one 256\n"));
}

static void
test_limits(void)
{
	size_t size = 1048576 + 2;
	char *text = malloc(size);
	size_t len = 0;
	unsigned int i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, '\n', size - 1);
	text[size - 1] = '\0';
	CU_ASSERT(says(text, "0: the file has more than 1048576 bytes\n"));
	for (i = 0; i <= 4096; i++)
		len += (size_t)snprintf(text + len, size - len, "[poller p%u]\n", i);
	CU_ASSERT(says(text, "4097: more than 4096 sections\n"));
	free(text);
}

/* It ends the text for C, and hides nothing of it. */
static void
test_nul(void)
{
	static const char text[] = "\0\n[poller a]\n[poller b]\n";
	struct said said = {.len = 0};
	struct vucd_report report = {.fn = take_report, .arg = &said};
	struct vucd_config config;

	CU_ASSERT_EQUAL(vucd_config_parse(&config, text, sizeof(text) - 1, &report), -EINVAL);
	CU_ASSERT_STRING_EQUAL(said.text, "1: control character: this is not a text file\n");
	CU_ASSERT_EQUAL(config.nr_pollers, 2);
	vucd_config_free(&config);
}

static void
test_files(void)
{
	struct said said = {.len = 0};
	struct vucd_report report = {.fn = take_report, .arg = &said};
	struct vucd_config config;

	CU_ASSERT_EQUAL(vucd_config_load(&config, "/nowhere/vucd.conf", &report), -ENOENT);
	CU_ASSERT_STRING_EQUAL(said.text, "0: cannot be read: No such file or directory\n");
	vucd_config_free(&config);
	said.len = 0;
	CU_ASSERT_EQUAL(vucd_config_load(&config, "/", &report), -EISDIR);
	CU_ASSERT_STRING_EQUAL(said.text, "0: cannot be read: Is a directory\n");
	vucd_config_free(&config);
}

/* What is right by itself, and does not go with the machine. */
static void
test_machine(void)
{
	static const struct {
		const char *text;
		const char *says;
		unsigned int errors;
	} rows[] = {
		{"[vucd]\ndirectory = /v\n[poller p]\nidle = sleep\n[device d]\nsocket = /s\n", "",
			0},
		{"[poller p]\nidle = sleep\ncpu = 4095\n",
			"3: [poller p] cpu = 4095: there is no such CPU, or the daemon may not use "
			"it\n",
			1},
		{"[vucd]\ndirectory = /no/such/v\n[poller p]\nidle = sleep\ncpu = 4095\n",
			"2: [vucd] directory = /no/such/v: there is no folder /no/such\n"
			"5: [poller p] cpu = 4095: there is no such CPU, or the daemon may not use "
			"it\n",
			2},
		{"[poller p]\nidle = sleep\n[device d]\nsocket = /dev/null/s\n",
			"4: warning: [device d] socket = /dev/null/s: there is no folder "
			"/dev/null\n",
			0},
		{"[poller p]\nidle = sleep\n[vucd]\nmonitor-group = 64321\n",
			"4: warning: [vucd] monitor-group = 64321: its members cannot search the "
			"directory, whose mode is 0700; for instance directory-mode = 0711 allows "
			"it\n",
			0},
		{"[poller p]\nidle = sleep\n[vucd]\nmonitor-group = 64321\ngroup = 64320\n"
		 "directory-mode = 0750\n",
			"4: warning: [vucd] monitor-group = 64321: its members cannot search the "
			"directory, whose mode is 0750; for instance directory-mode = 0711 allows "
			"it\n",
			0},
		{"[poller p]\nidle = sleep\n[vucd]\nmonitor-group = 64321\ngroup = 64321\n"
		 "directory-mode = 0750\n",
			"", 0},
		{"[poller p]\nidle = sleep\n[vucd]\nmonitor-group = 64321\n"
		 "directory-mode = 0711\n",
			"", 0},
	};

	setenv("RUNTIME_DIRECTORY", "/v", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vucd_config config;
		struct said said;
		struct vucd_report report = {.fn = take_report, .arg = &said};

		CU_ASSERT_EQUAL(parse(&config, rows[i].text, &said), 0);
		vucd_config_check_machine(&config, &report);
		vucd_report_flush(&report);
		CU_ASSERT_STRING_EQUAL(said.text, rows[i].says);
		CU_ASSERT_EQUAL(report.count, rows[i].errors);
		vucd_config_free(&config);
	}
}

/* Two that spin on the only CPU that the process may use, asked for or not. */
static void
test_machine_spinning(void)
{
	struct vucd_config config;
	struct said said;
	struct vucd_report report = {.fn = take_report, .arg = &said};
	cpu_set_t before, one;
	char text[128], wanted[256];
	int cpu = sched_getcpu();

	setenv("RUNTIME_DIRECTORY", "/v", 1);
	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)cpu, &one);
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(one), &one), 0);
	snprintf(text, sizeof(text), "[poller p]\ncpu = %d\n[poller q]\ncpu = %d\n", cpu, cpu);
	snprintf(wanted, sizeof(wanted),
		"4: warning: [poller q] cpu = %d: [poller p] in line 2 spins on it as well\n"
		"0: warning: 2 pollers spin, and there are 1 CPUs for them\n",
		cpu);
	CU_ASSERT_EQUAL(parse(&config, text, &said), 0);
	vucd_config_check_machine(&config, &report);
	vucd_report_flush(&report);
	CU_ASSERT_STRING_EQUAL(said.text, wanted);
	CU_ASSERT_EQUAL(report.count, 0);
	vucd_config_free(&config);
	/* Trying out CPUs has moved nobody. */
	CPU_ZERO(&one);
	CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof(one), &one), 0);
	CU_ASSERT(CPU_COUNT(&one) == 1 && CPU_ISSET((unsigned int)cpu, &one));
	sched_setaffinity(0, sizeof(before), &before);
}

/* Every key is in the help, once for each section that has it. */
static void
test_help(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	vucd_config_help(out);
	fclose(out);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "[vucd] "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "[poller NAME] "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  idle-loops\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text,
		"\n  long-timeout-ms\n      timeout for slow commands such as a reset\n"
		"      milliseconds, 1 to 3600000; default 60000\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "required"));
	free(text);
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"all keys", test_all_keys},
		{"defaults are the library's", test_defaults},
		{"edges of what is allowed", test_edges},
		{"what is wrong", test_wrong},
		{"lengths", test_lengths},
		{"limits", test_limits},
		{"a NUL", test_nul},
		{"files", test_files},
		{"the machine", test_machine},
		{"the machine: pollers that spin", test_machine_spinning},
		{"help", test_help},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"vucd_config", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
