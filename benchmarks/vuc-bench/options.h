/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

/* The command line: options that every measurement has, and those of one. */

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "machine.h"

#define BENCH_MAX_COUNTS 5

/* --path: who drives the device that is measured. */
enum bench_path {
	BENCH_PATH_INLINE, /* the thread that measures */
	BENCH_PATH_POLLER, /* a poller */
	BENCH_PATH_SHM,    /* a poller in another process, reached by shared memory */
};

/* As in options and reports. */
extern const char *const bench_path_names[];

/* --op */
enum bench_access_op {
	BENCH_READ,
	BENCH_WRITE,
	BENCH_POSTED, /* a write that no answer is asked for */
};

extern const char *const bench_op_names[];

#define BENCH_NOT_GIVEN UINT64_MAX

/* What was asked for. Those behind label are options of some measurements only. */
struct bench_options {
	uint32_t rounds;
	struct bench_cpus cpus;
	const char *json; /* "-": stdout; NULL: none */
	const char *plot; /* a file, or a folder of `all`; NULL: none */
	const char *label;

	const char *socket;    /* NULL: none was given */
	const char *transport; /* NULL: vuc's choice */
	uint32_t path;         /* enum bench_path */
	uint32_t op;           /* enum bench_access_op */
	uint32_t size;         /* bytes */
	uint32_t together;     /* --burst, --depth; 0: by the operation */
	uint32_t ops;          /* --ops, --accesses, --transfers, --maps: things done */
	uint32_t spins;        /* 0: as the queue has it */
	uint64_t region;
	uint64_t offset;
	const char *floor;   /* NULL: none was given */
	const char *compare; /* a list */
	const char *layout;
	double seconds;
	uint32_t counts[BENCH_MAX_COUNTS]; /* --devices */
	uint32_t nr_counts;
	uint32_t nr_hung;
	uint32_t timeout_ms;
};

/* What an option takes, and which field it sets. */
enum bench_option_type {
	BENCH_NUMBER,   /* a uint32_t, min to max */
	BENCH_NUMBER64, /* a uint64_t, min to max */
	BENCH_POWER,    /* a uint32_t, a power of two, min to max */
	BENCH_CHOICE,   /* a uint32_t, the index of one of the words */
	BENCH_WORD,     /* a string, one of the words */
	BENCH_WORDS,    /* a string of words with commas between */
	BENCH_TEXT,     /* a string that is not empty */
	BENCH_LABEL,    /* a string that is short and printable */
	BENCH_SECONDS,  /* a double, up to max */
	BENCH_COUNTS,   /* ascending numbers, min to max */
	BENCH_CPUS,
};

struct bench_option {
	const char *name;  /* without the dashes; NULL ends a table */
	const char *value; /* what it takes, for the help text */
	const char *help;
	enum bench_option_type type;
	size_t field;
	uint64_t min;
	uint64_t max;
	const char *const *words; /* end with NULL */
	uint64_t step;            /* of a number: its multiples only; 0: any */
};

#define BENCH_FIELD(name) offsetof(struct bench_options, name)

/* Options that several measurements have, for their tables. */
extern const char *const bench_transport_names[]; /* the last one is loopback */
#define BENCH_OPTION_SOCKET                                                                        \
	{                                                                                          \
		"socket", "PATH", "measure a server that listens there (a vuc-refdev is started)", \
			BENCH_TEXT, BENCH_FIELD(socket)                                            \
	}
#define BENCH_OPTION_TRANSPORT(help)                                                 \
	{                                                                            \
		"transport", "NAME", help, BENCH_WORD, BENCH_FIELD(transport), 0, 0, \
			bench_transport_names                                        \
	}
#define BENCH_OPTION_PATH(help)                                                               \
	{                                                                                     \
		"path", "NAME", help, BENCH_CHOICE, BENCH_FIELD(path), 0, 0, bench_path_names \
	}
#define BENCH_OPTION_OP                                                                        \
	{                                                                                      \
		"op", "NAME", "read, write or posted (read); writes write zero", BENCH_CHOICE, \
			BENCH_FIELD(op), 0, 0, bench_op_names                                  \
	}
#define BENCH_OPTION_SIZE                                                         \
	{                                                                         \
		"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", BENCH_POWER, \
			BENCH_FIELD(size), 1, 8                                   \
	}
#define BENCH_OPTION_OPS(max, help)                                      \
	{                                                                \
		"ops", "N", help, BENCH_NUMBER, BENCH_FIELD(ops), 1, max \
	}

struct bench_ops;

/*
 * Parse the arguments of a measurement; argv[0] is what messages call it. Wrong ones end the
 * program with a message.
 *
 * @return 0; -ECANCELED when help, usage or version were asked for and printed
 */
int bench_options_parse(
	struct bench_options *options, const struct bench_ops *ops, int argc, char **argv);

/* The same for the program itself: sets *index to that of the first argument that is no option, or
 * argc. measurements ends with NULL. */
int bench_options_parse_program(
	const struct bench_ops *const *measurements, int argc, char **argv, int *index);

/* Print that the arguments are wrong, as argp does, and return the exit status. */
int bench_options_complain(const char *name, const struct vuc_error *err);

#endif /* BENCH_OPTIONS_H */
