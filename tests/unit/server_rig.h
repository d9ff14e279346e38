/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SERVER_RIG_H
#define VUC_TESTS_SERVER_RIG_H

/*
 * vucd's management socket in a folder of its own, on a service that is made up, and clients of
 * it. Server and clients share a thread: the loop is turned until there is nothing to do.
 */

#include <stdbool.h>
#include <stddef.h>

#include "log.h"
#include "loop.h"
#include "server.h"
#include "fake_service.h"

/* A method that there is not, and one that changes devices, with their answers. */
#define REQUEST "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":1}\n"
#define NO_X                                               \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601," \
	"\"message\":\"Method not found: x\"},\"id\":1}\n"
#define REMOVE                                                \
	"{\"jsonrpc\":\"2.0\",\"method\":\"devices.remove\"," \
	"\"params\":[\"a\"],\"id\":1}\n"
#define REMOVED "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}\n"
#define TOO_LONG                                           \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600," \
	"\"message\":\"Invalid request: a line of more than 65536 bytes\"},\"id\":null}\n"

struct server_rig {
	char folder[64];
	char path[80]; /* of the socket */
	struct vucd_loop loop;
	struct vucd_log log; /* to nowhere */
	struct fake_service fake;
	struct vucd_server *server;
	unsigned int fds_before;
};

/* CUnit's suites have no argument. */
extern struct server_rig rig;

/* Of a suite. */
int server_rig_setup(void);
int server_rig_cleanup(void);

/* Each test has a server of its own, and leaves no descriptor behind. */
void server_rig_start(void);
void server_rig_stop(void);

/* Turn the loop until there is nothing to do. */
void server_rig_turn(void);

int server_rig_connect(void);
void server_rig_say(int fd, const char *text);
void server_rig_say_bytes(int fd, const char *bytes, size_t len);

/* Whether all that has come is text. */
bool server_rig_hears(int fd, const char *text);

/* Whether the server has hung up, and nothing is left to read. */
bool server_rig_is_over(int fd);

#endif /* VUC_TESTS_SERVER_RIG_H */
