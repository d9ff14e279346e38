/* SPDX-License-Identifier: BSD-3-Clause */

/* The exporter's HTTP server when the library is out of memory. Programs are tested from outside by
 * test_exporter.py. */

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "http.h"
#include "metrics.h"
#include "tap.h"

static _Atomic unsigned int headers_left; /* that can be added to responses */

enum MHD_Result __real_MHD_add_response_header(
	struct MHD_Response *response, const char *header, const char *content);
enum MHD_Result __wrap_MHD_add_response_header(
	struct MHD_Response *response, const char *header, const char *content);

enum MHD_Result
__wrap_MHD_add_response_header(
	struct MHD_Response *response, const char *header, const char *content)
{
	if (headers_left == 0)
		return MHD_NO;
	headers_left--;
	return __real_MHD_add_response_header(response, header, content);
}

char *
app_metrics_collect(const char *path, uint32_t timeout_ms, app_management_poll_fn poll,
	enum app_metrics_format format, size_t *len, char why[APP_MANAGEMENT_WHY_SIZE])
{
	char *text = strdup("vuc_up 1\n");

	(void)path;
	(void)timeout_ms;
	(void)poll;
	(void)format;
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	*len = strlen(text);
	why[0] = '\0';
	return text;
}

static struct sockaddr_in address;

static struct exporter_http *
http_serve_one(void)
{
	struct exporter_http *http;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, len), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	http = exporter_http_create(fd, "nowhere", 1000);
	if (http == NULL)
		close(fd); /* unless that has been done */
	return http;
}

/* Returns whether metrics were sent, and not just the end of the connection. */
static bool
get_metrics(void)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
	char answer[1024] = "";
	size_t len = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
		len += (size_t)n;
	close(fd);
	CU_ASSERT_TRUE(len == 0 || strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
	return strstr(answer, "\r\n\r\nvuc_up 1\n") != NULL;
}

/* A response that cannot be completed takes its text along. */
static void
test_no_headers(void)
{
	struct exporter_http *http;

	headers_left = 10;
	http = http_serve_one();
	CU_ASSERT_PTR_NOT_NULL_FATAL(http);
	for (unsigned int left = 0; left < 2; left++) {
		headers_left = left;
		CU_ASSERT_FALSE(get_metrics());
	}
	headers_left = 2;
	CU_ASSERT_TRUE(get_metrics());
	exporter_http_destroy(http);
}

static void
test_not_started(void)
{
	for (unsigned int left = 0; left < 7; left++) {
		headers_left = left;
		CU_ASSERT_PTR_NULL(http_serve_one());
	}
}

const struct tap_suite tap_suite = {"exporter_http", NULL, NULL,
	{
		{"a connection is closed if there is no memory for its metrics", test_no_headers},
		{"it does not start if there is no memory for its pages", test_not_started},
	}};
