/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SESSION_SCRIPT_H
#define VUC_TESTS_SESSION_SCRIPT_H

/*
 * Tests of a session as rows of steps: what its owner asks, what the server sends, how time passes,
 * and what comes of it. Requests are named by letters, 'a' to 'h'.
 */

#include "session_fixture.h"

enum verb {
	NOTHING, /* the end of a row */

	/* The session. */
	CREATE,     /* another one, that negotiates */
	OPEN_LARGE, /* another one, with room for n requests */
	DRAIN,
	CANCEL,    /* with error n and text */
	END,       /* with error n and text */
	LOSE,      /* with error n */
	ADVANCE,   /* the clock by n ms, and tick */
	SET_CLOCK, /* to n */
	REPEAT,    /* the steps above, n times in all */

	/* Request n, which returns m. */
	ASK_READ,  /* 4 bytes at ASKED_OFFSET */
	ASK_WRITE, /* "abcd" there */
	ASK_RESET,
	ASK_INFO, /* of region 1 */
	ASK_MAP,
	ASK_IO_FDS,
	POST, /* "x" at offset n; of no letter */

	/* What is sent. */
	SEND_ALL,  /* n messages */
	HAND_OUT,  /* the next segment */
	SENT,      /* it was */
	SENT_PART, /* of it */
	REFUSAL,   /* the next reply that was sent refuses id n, command m */

	/* What the server sends, with fds new descriptors. */
	ANSWER,        /* to n, as it should be */
	ANSWER_AT,     /* to n, an access at offset m */
	ANSWER_UNTIL,  /* to n, up to its byte m */
	ANSWER_ERROR,  /* to n, with errno m */
	COMMAND_READ,  /* DMA_READ n with flags m */
	COMMAND_WRITE, /* DMA_WRITE n with flags m */
	FEED,          /* h and n zeros */

	/* What came of it. */
	PENDING,     /* n is not complete */
	DONE,        /* n is complete with status m and text, NULL: any, and fds descriptors */
	ALL_DONE,    /* and so is all that was pending, with m */
	STATE,       /* is n, without a reason */
	LOST,        /* with error n and text */
	OUTSTANDING, /* n requests */
	UNSENT,      /* n: whether something is */
	DEADLINE,    /* n: whether there is one */
	NEW_FDS,     /* n are open */
	SILENT,      /* for n ms by now; 0: it is not */
	BROKE_ON,    /* n, a bit for each command */
};

#define ASKED_OFFSET 0x100u

struct step {
	enum verb verb;
	long long n, m;
	const char *text;
	unsigned int fds;
	struct vfio_user_header h;
};

struct script_row {
	const char *name;
	struct step steps[32];
};

/* Take the steps of a struct script_row; a failure prints which it was. Each request has to be
 * completed as often as a step says. */
void script_run(const void *row);

/* ---- one request and what the server sends then ---- */

enum effect {
	BREAKS, /* the session is lost with -EPROTO, and the request with it */
	FAILS,  /* the request ends with status, the session goes on */
	PASSES, /* the request ends well */
};

struct reply_row {
	enum effect effect;
	enum verb first; /* of 'a' */
	struct vfio_user_header h;
	const char *reason;
	int status;
	size_t len; /* bytes of body behind h */
	const void *body;
};

void script_run_replies(const struct reply_row *rows, size_t nr_rows);

#endif /* VUC_TESTS_SESSION_SCRIPT_H */
