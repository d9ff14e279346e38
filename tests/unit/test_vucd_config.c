/* SPDX-License-Identifier: BSD-3-Clause */

/* vucd's configuration: what each key takes, and what is said of those that are wrong, with the
 * line. */

#include <sched.h>

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

/* Whether a text has these reports, and is refused; "": none, and it is taken. */
static bool
reports(const char *text, const char *wanted)
{
	struct vucd_config config;
	struct said said;
	int rc = parse(&config, text, &said);

	vucd_config_free(&config);
	if ((rc == 0) == (wanted[0] == '\0') && strcmp(said.text, wanted) == 0)
		return true;
	printf("# returned %d for %s# and said %s", rc, text, said.text);
	return false;
}

/* ---- what is right ---- */

/* Each key of a section has the expected value, in a field that no other key has. */
static void
expect_section(const struct vucd_section *section, const void *seen, const void *expected)
{
	for (size_t i = 0; i < section->nr_keys; i++) {
		vuc_tap_row("[%s] %s", section->name, section->keys[i].name);
		CU_ASSERT(vucd_key_equal(&section->keys[i], seen, expected));
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(section->keys[k].offset, section->keys[i].offset);
	}
}

static void
test_all_keys(void)
{
	static const char text[] =
		"# a comment = [x]\n\n"
		"  [ vucd ]  # another\r\n"
		"directory=/run/v\n\tdirectory-mode\t=\t0750\nsocket-mode = 0660\ngroup = 7\n"
		"monitor-group = 6\nmax-vmms = 9\nmax-vmms-per-user = 8\nmax-queues = 7\n"
		"max-queue-memory-mb = 6\nmax-dma-maps = 5\nmax-dma-message-mb = 2\n"
		"handshake-timeout-ms = 4\nlog-level = debug\ntelemetry = off\nfile-prefix = x\n"
		"trace-directory = /t\nhugepages = on\nmemory-mb = 3 # MiB\n"
		"[poller  io0]\ncpu = 2\nidle = sleep\nidle-loops = 1\ntransport = posix\n"
		"latency = on\n"
		"[poller io1]\ncpu = none\nidle = yield\nidle-loops = 2\ntransport = uring\n"
		"[device\td.0-_]\nsocket = /s#1 = \\#t## # c\npoller = io1\ndma = message\n"
		"posted-writes = off\nio-fds = off\nmax-dma-maps = 64\ntimeout-ms = 11\n"
		"long-timeout-ms = 12\nretry-min-ms = 13\nretry-max-ms = 14\nreset = never\n"
		"outage = hold\nhold-ms = 15\nafter-hold = ones\nfence = off\nrelease-ms = 16\n"
		"map = none\nkeep-bar0 = on\nrecover = none\nexport = /e\nexport-mode = 0660\n"
		"export-group = 8\nreply-ms = 17\nusers = root , 1000,1001\ngroups = 4294967294";
	static const struct vucd_settings settings = {.directory = "/run/v",
		.directory_mode = 0750,
		.socket_mode = 0660,
		.group = 7,
		.monitor_group = 6,
		.max_vmms = 9,
		.max_vmms_per_user = 8,
		.max_queues = 7,
		.max_queue_memory_mb = 6,
		.max_dma_maps = 5,
		.max_dma_message_mb = 2,
		.handshake_timeout_ms = 4,
		.log_level = VUC_LOG_DEBUG,
		.telemetry = 0,
		.file_prefix = "x",
		.trace_directory = "/t",
		.hugepages = 1,
		.memory_mb = 3};
	static const struct vucd_poller_config pollers[] = {
		{.cpu = 2, .idle = VUC_IDLE_SLEEP, .idle_loops = 1, .transport = 2, .latency = 1},
		{.cpu = VUC_POLLER_CPU_NONE,
			.idle = VUC_IDLE_YIELD,
			.idle_loops = 2,
			.transport = 1}};
	static const struct vucd_device_config device = {.socket = "/s#1 = \\#t##",
		.poller = "io1",
		.dma = VUC_DMA_MESSAGE,
		.posted_writes = VUC_POSTED_WRITES_OFF,
		.reset = VUC_CONTROL_RESET_NEVER,
		.io_fds = 0,
		.max_dma_maps = 64,
		.timeout_ms = 11,
		.long_timeout_ms = 12,
		.retry_min_ms = 13,
		.retry_max_ms = 14,
		.outage = VUC_CONTROL_OUTAGE_HOLD,
		.hold_ms = 15,
		.after_hold = VUC_CONTROL_AFTER_ONES,
		.fence = 0,
		.release_ms = 16,
		.map = VUC_CONTROL_MAP_NONE,
		.keep_bar0 = 1,
		.recover = VUC_CONTROL_RECOVER_NONE,
		.export_path = "/e",
		.export_mode = 0660,
		.export_group = 8,
		.reply_ms = 17,
		.users = {3, {0, 1000, 1001}},
		.groups = {1, {4294967294}}};
	struct vucd_config config;
	struct said said;

	CU_ASSERT_EQUAL_FATAL(parse(&config, text, &said), 0);
	CU_ASSERT(config.nr_pollers == 2 && config.nr_devices == 1);
	CU_ASSERT_STRING_EQUAL(config.pollers[0].name, "io0");
	CU_ASSERT_STRING_EQUAL(config.devices[0].name, "d.0-_");
	expect_section(&vucd_section_vucd, &config.settings, &settings);
	expect_section(&vucd_section_poller, &config.pollers[0], &pollers[0]);
	expect_section(&vucd_section_poller, &config.pollers[1], &pollers[1]);
	expect_section(&vucd_section_device, &config.devices[0], &device);
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
	expect_section(&vucd_section_vucd, &config.settings,
		&(struct vucd_settings){.directory_mode = 0700,
			.socket_mode = control.mode,
			.group = VUCD_NO_ID,
			.monitor_group = VUCD_NO_ID,
			.max_vmms = control.max_vmms,
			.max_vmms_per_user = control.max_vmms_per_user,
			.max_queues = control.max_queues,
			.max_queue_memory_mb = (uint32_t)(control.max_queue_memory >> 20),
			.max_dma_message_mb = (uint32_t)(control.max_dma_message >> 20),
			.max_dma_maps = control.max_dma_maps,
			.handshake_timeout_ms = control.handshake_timeout_ms,
			.log_level = VUC_LOG_NOTICE,
			.telemetry = 1,
			.file_prefix = "vucd"});
	expect_section(&vucd_section_poller, &config.pollers[0],
		&(struct vucd_poller_config){
			.cpu = poller.cpu, .idle = poller.idle, .idle_loops = poller.idle_loops});
	expect_section(&vucd_section_device, &config.devices[0],
		&(struct vucd_device_config){.socket = "/s",
			.dma = device.dma,
			.posted_writes = device.posted_writes,
			.reset = VUC_CONTROL_RESET_ON,
			.io_fds = device.io_fds,
			.max_dma_maps = device.max_dma_maps,
			.long_timeout_ms = device.long_timeout_ms,
			.retry_min_ms = offer.retry_min_ms,
			.retry_max_ms = offer.retry_max_ms,
			.outage = offer.outage,
			.hold_ms = offer.hold_ms,
			.after_hold = offer.after_hold,
			.fence = offer.fence,
			.release_ms = offer.release_ms,
			.map = offer.map,
			.keep_bar0 = offer.keep_bar0,
			.recover = offer.recover,
			.export_mode = offer.export_mode,
			.export_group = offer.export_group,
			.reply_ms = offer.reply_ms});
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

	for (size_t i = 0; i < NR(texts); i++)
		CU_ASSERT(reports(texts[i], ""));
}

/* ---- what is wrong ---- */

#define EXPECT_SECTION "expected [vucd], [poller NAME] or [device NAME]\n"
#define EXPECT_POLLER \
	"expected [poller NAME], where NAME is at most 15 letters, digits and \"._-\", and not auto\n"
#define EXPECT_DEVICE \
	"expected [device NAME], where NAME is at most 63 letters, digits and \"._-\"\n"
#define EXPECT_USERS \
	"expected names or numbers of at most 32 existing users, separated by commas, or none\n"
#define DEVICE POLLER "[device d]\nsocket = /s\n"

/* What stands in a file, and what is reported. */
static const struct {
	const char *text;
	const char *says;
} wrong_rows[] = {
	/* Lines. */
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
	/* Sections. */
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
	/* Keys. */
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
	/* Values. */
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
		"3: [vucd] file-prefix = .a: expected 1 to 47 letters, digits and \"._-\", not "
		"starting with a dot\n"},
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
		"numbers of at most 32 existing groups, separated by commas, or none\n"},
	{DEVICE "groups = nogroup\nusers = nogroup\n",
		"5: [device d] users = nogroup: there is no user nogroup; " EXPECT_USERS},
	{DEVICE "users = -1\n", "4: [device d] users = -1: there is no user -1; " EXPECT_USERS},
	{DEVICE "users = root,,root\n", "4: [device d] users = root,,root: " EXPECT_USERS},
	{DEVICE "users = ,root\n", "4: [device d] users = ,root: " EXPECT_USERS},
	{DEVICE "users = root,\n", "4: [device d] users = root,: " EXPECT_USERS},
	{DEVICE "users = root root\n", "4: [device d] users = root root: " EXPECT_USERS},
	{DEVICE "users = 4294967295\n", "4: [device d] users = 4294967295: " EXPECT_USERS},
	/* All mistakes are reported at once, in the order of lines, whenever they are found; those
	 * without a line last. */
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
};

static void
test_wrong(void)
{
	for (size_t i = 0; i < NR(wrong_rows); i++)
		CU_ASSERT(reports(wrong_rows[i].text, wrong_rows[i].says));
}

/* The longest values, and those that are longer by a step. */
static void
test_lengths(void)
{
	static const struct {
		const char *before;
		char bytes[2]; /* repeated */
		int longest, step;
		const char *after;
	} rows[] = {
		{"[device ", "aa", VUC_CONTROL_NAME_SIZE - 1, 1, "]\nsocket = /s\n"},
		{"[poller ", "aa", VUCD_POLLER_SIZE - 1, 1, "]\n"},
		{"[device d]\nsocket = ", "/a", 107, 1, "\n"},
		{"[vucd]\ndirectory = ", "/a", 91, 1, "\n"},
		{"[vucd]\nfile-prefix = ", "aa", 47, 1, "\n"},
		{"[device d]\nsocket = /s\nusers = ", "0,", 2 * VUCD_MAX_IDS - 1, 2, "\n"},
	};
	char text[1200], name[1000];
	struct vucd_config config;
	struct said said;

	for (size_t i = 0; i < 2 * NR(rows); i++) {
		int len = rows[i / 2].longest + (i % 2 == 0 ? 0 : rows[i / 2].step);

		for (int k = 0; k < len; k++)
			name[k] = rows[i / 2].bytes[k % 2];
		snprintf(text, sizeof(text), POLLER "%s%.*s%s", rows[i / 2].before, len, name,
			rows[i / 2].after);
		vuc_tap_row("%s", text);
		CU_ASSERT_EQUAL(parse(&config, text, &said) == 0, i % 2 == 0);
		vucd_config_free(&config);
	}
	memset(name, 'a', sizeof(name));
	snprintf(text, sizeof(text), POLLER "[device %.128s]\ncpu = 1\n", name);
	CU_ASSERT(reports(
		text, "2: [device aaaaaaaaaaaaa...]: a section's name has at most 127 bytes\n"));
	/* A comment has no end of them. */
	snprintf(text, sizeof(text), POLLER "cpu = 1 # %.900s\n", name);
	CU_ASSERT(reports(text, ""));
	snprintf(text, sizeof(text), POLLER "cpu = %.256s\n", name);
	CU_ASSERT(reports(text, "2: cpu: a value has at most 255 bytes, this one 256\n"));
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
	CU_ASSERT(reports(text, "0: the file is larger than 1048576 bytes\n"));
	for (i = 0; i <= 4096; i++)
		len += (size_t)snprintf(text + len, size - len, "[poller p%u]\n", i);
	CU_ASSERT(reports(text, "4097: more than 4096 sections\n"));
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

/* What is right by itself, and does not go with the machine: all of it is reported. */
static void
test_machine(void)
{
	struct vucd_config config;
	struct said said;
	struct vucd_report report = {.fn = take_report, .arg = &said};

	CU_ASSERT_EQUAL(
		parse(&config,
			"[vucd]\ndirectory = /no/such/v\n[poller p]\nidle = sleep\ncpu = 4095\n",
			&said),
		0);
	vucd_config_check_machine(&config, &report);
	vucd_report_flush(&report);
	CU_ASSERT(tap_text_is(said.text,
		"2: [vucd] directory = /no/such/v: there is no folder /no/such\n"
		"5: [poller p] cpu = 4095: there is no such CPU, or vucd is not allowed to use "
		"it\n"));
	CU_ASSERT_EQUAL(report.count, 2);
	vucd_config_free(&config);
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
		"4: warning: [poller q] cpu = %d: [poller p] in line 2 spins on the same CPU\n"
		"0: warning: 2 pollers spin; CPUs for them: 1\n",
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

const struct tap_suite tap_suite = {"vucd_config",
	.tests = {{"all keys", test_all_keys}, {"defaults are the library's", test_defaults},
		{"edges of what is allowed", test_edges}, {"what is wrong", test_wrong},
		{"lengths", test_lengths}, {"limits", test_limits}, {"a NUL", test_nul},
		{"the machine", test_machine},
		{"the machine: pollers that spin", test_machine_spinning}}};
