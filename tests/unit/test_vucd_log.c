/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/stat.h>

#include "log.h"
#include "tap.h"

static int ends[2];
static struct vucd_log plog;

/* Writing to the pipe blocks, as it does on that of a service manager. */
static void
set_up(void)
{
	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	vucd_log_init(&plog, ends[1]);
}

static void
tear_down(void)
{
	vucd_log_fini(&plog);
	close(ends[0]);
	close(ends[1]);
}

/* What has been logged since the last look. */
static const char *
look(void)
{
	static char buf[65536];
	ssize_t n = read(ends[0], buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
test_stamp(void)
{
	unsigned int year, month, day, hour, minute, second, ms;
	int end = 0;

	vucd_log(&plog, VUC_LOG_WARNING, "number %d", 7);
	CU_ASSERT_EQUAL(sscanf(look(), "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ warning number 7%n", &year,
				&month, &day, &hour, &minute, &second, &ms, &end),
		7);
	CU_ASSERT_EQUAL(end, 24 + 1 + 7 + 1 + 8);
}

/* The rest of a line behind its time stamp. */
static bool
logged(const char *text)
{
	const char *line = look();

	return strlen(line) > 25 && strcmp(line + 25, text) == 0;
}

static void
test_levels(void)
{
	CU_ASSERT_EQUAL(vucd_log_level(&plog), VUC_LOG_NOTICE);
	vucd_log_line(&plog, VUC_LOG_DEBUG, "a");
	CU_ASSERT_STRING_EQUAL(look(), "");
	vucd_log_set_level(&plog, VUC_LOG_DEBUG);
	vucd_log_line(&plog, VUC_LOG_DEBUG, "b");
	CU_ASSERT(logged("debug   b\n"));
	vucd_log_set_level(&plog, VUC_LOG_ERROR);
	vucd_log_line(&plog, VUC_LOG_WARNING, "c");
	CU_ASSERT_STRING_EQUAL(look(), "");
	vucd_log_line(&plog, VUC_LOG_ERROR, "d");
	CU_ASSERT(logged("error   d\n"));
}

static void
test_one_line(void)
{
	char longest[3000];
	const char *line;

	vucd_log_line(&plog, VUC_LOG_NOTICE, "a\nb\033[1m\xc3\xa9\x7f");
	CU_ASSERT(logged("notice  a?b?[1m\xc3\xa9?\n"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	vucd_log(&plog, VUC_LOG_NOTICE, "%s", longest);
	line = look();
	CU_ASSERT_EQUAL(strlen(line), 1024);
	CU_ASSERT_EQUAL(line[1023], '\n');
}

/* A pipe that nobody reads delays nobody, and what was lost is told when somebody reads again. */
static void
test_full_pipe(void)
{
	static const char lost[] = " log lines were dropped before this one\n";
	unsigned int count = 0, i;
	const char *line;

	for (i = 0; i < 3000; i++)
		vucd_log_line(&plog, VUC_LOG_NOTICE, "a line that nobody reads");
	while (strlen(look()) > 0)
		;
	vucd_log_line(&plog, VUC_LOG_NOTICE, "end");
	line = look();
	CU_ASSERT_EQUAL(sscanf(line + 25, "warning %u", &count), 1);
	CU_ASSERT(count > 0 && count < 3000);
	line = strstr(line, lost);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_STRING_EQUAL(line + strlen(lost) + 25, "notice  end\n");
}

static void
test_journal(void)
{
	char stream[64];
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(ends[1], &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	vucd_log_fini(&plog);
	vucd_log_init(&plog, ends[1]);
	vucd_log_set_level(&plog, VUC_LOG_DEBUG);
	vucd_log_line(&plog, VUC_LOG_ERROR, "a");
	vucd_log_line(&plog, VUC_LOG_DEBUG, "b");
	CU_ASSERT_STRING_EQUAL(look(), "<3>a\n<7>b\n");
	vucd_log_fini(&plog);
	/* Another file than the journal's: redirected. */
	setenv("JOURNAL_STREAM", "0:1", 1);
	vucd_log_init(&plog, ends[1]);
	vucd_log_line(&plog, VUC_LOG_NOTICE, "c");
	CU_ASSERT(logged("notice  c\n"));
	unsetenv("JOURNAL_STREAM");
}

const struct tap_suite tap_suite = {"vucd_log", set_up, tear_down,
	{{"time stamp", test_stamp}, {"levels", test_levels}, {"one line", test_one_line},
		{"a full pipe", test_full_pipe}, {"journald", test_journal}}};
