/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/*
 * The harness: a measurement is one file and one row in the table of main.c. It has options, is run
 * with CPUs, a server and EAL set up as it asks for, and takes turns of several ways to do a thing,
 * so that what changes on the machine meanwhile hits all of them alike.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/loopback.h>

#include "machine.h"
#include "process.h"
#include "report.h"

/* What waits for a server gives up after this. */
#define BENCH_TIMEOUT_MS 5000

/* ---- options ---- */

#define BENCH_MAX_COUNTS 5

/* --path: who drives the device that is measured. */
enum bench_path {
	BENCH_PATH_INLINE, /* the thread that measures */
	BENCH_PATH_POLLER, /* a poller */
	BENCH_PATH_SHM,    /* a poller in another process, reached by shared memory */
};

/* --op */
enum bench_access_op {
	BENCH_READ,
	BENCH_WRITE,
	BENCH_POSTED, /* a write that no answer is asked for */
};

extern const char *const bench_path_names[];
extern const char *const bench_op_names[];
extern const char *const bench_transport_names[];        /* the last one is loopback */
extern const char *const bench_socket_transport_names[]; /* all but loopback */

#define BENCH_NOT_GIVEN UINT64_MAX

/* What was asked for. Those behind label are options of some measurements only. */
struct bench_options {
	uint32_t rounds;
	struct bench_cpus cpus;
	const char *json; /* "-": stdout; NULL: none */
	const char *plot; /* a file, or a folder of `all`; NULL: none */
	const char *html; /* "-": stdout; NULL: none */
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
	const char *idle;
	double seconds;
	const char *devices;               /* a list */
	uint32_t counts[BENCH_MAX_COUNTS]; /* that list */
	uint32_t nr_counts;
	uint32_t nr_hung;
	uint32_t timeout_ms;
};

/* What an option takes, and which field it sets. Numbers, choices and words are in reports as well.
 */
enum bench_option_type {
	BENCH_NUMBER,    /* a uint32_t, min to max */
	BENCH_NUMBER64,  /* a uint64_t, min to max */
	BENCH_POWER,     /* a uint32_t, a power of two, min to max */
	BENCH_CHOICE,    /* a uint32_t, the index of one of the words */
	BENCH_WORD,      /* a string, one of the words */
	BENCH_TRANSPORT, /* the same */
	BENCH_WORDS,     /* a string of words with commas between */
	BENCH_TEXT,      /* a string that is not empty */
	BENCH_LABEL,     /* a string that is short and printable */
	BENCH_SECONDS,   /* a double, up to max */
	BENCH_COUNTS,    /* a string of ascending numbers, min to max, which go to counts as well */
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
/* clang-format off */
#define BENCH_OPTION_SOCKET \
	{"socket", "PATH", "measure a server that listens there (a vuc-refdev is started)", \
		BENCH_TEXT, BENCH_FIELD(socket)}
#define BENCH_OPTION_TRANSPORT(names, help) \
	{"transport", "NAME", help, BENCH_TRANSPORT, BENCH_FIELD(transport), 0, 0, names}
#define BENCH_OPTION_PATH(help) \
	{"path", "NAME", help, BENCH_CHOICE, BENCH_FIELD(path), 0, 0, bench_path_names}
#define BENCH_OPTION_OP \
	{"op", "NAME", "read, write or posted (read); writes write zero", BENCH_CHOICE, \
		BENCH_FIELD(op), 0, 0, bench_op_names}
#define BENCH_OPTION_SIZE \
	{"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", BENCH_POWER, BENCH_FIELD(size), 1, 8}
#define BENCH_OPTION_FLOOR(names, help) \
	{"floor", "NAME", help, BENCH_WORD, BENCH_FIELD(floor), 0, 0, names}
#define BENCH_OPTION_NUMBER(name, help, field, min, max) \
	{name, "N", help, BENCH_NUMBER, BENCH_FIELD(field), min, max}
/* clang-format on */

struct bench;
struct bench_ops;
struct bench_rounds;

typedef int (*bench_check_fn)(struct bench *bench, struct vuc_error *err);

/* Parse the arguments of a measurement, then check them together; messages call the measurement
 * argv[0]. The program ends after wrong arguments, and after --help and the like. */
void bench_options_parse(struct bench *bench, int argc, char **argv, bench_check_fn check);

/* Put the options of a measurement that say what was done into its result. */
void bench_options_describe(const struct bench_options *options, const struct bench_ops *ops,
	struct bench_result *result);

/* ---- a measurement ---- */

/* What the harness sets up. A target is the server of --socket or --transport, else a vuc-refdev
 * that is started, or the reference device inside this process. */
enum bench_setup {
	BENCH_CPU_PAIR,      /* two CPUs, and we are on the first one */
	BENCH_CPU_PAIR_FREE, /* the same, but we may be on either of them */
	BENCH_TARGET,        /* a target, which polls */
	BENCH_TARGET_WAITS,  /* the same; we sleep while a poller has work, and may share its CPU */
	BENCH_TARGET_SLEEPS, /* a target, which sleeps while it has nothing to do, on our CPU */
	BENCH_NOTHING,       /* the measurement takes its CPUs itself */
};

struct bench_target {
	enum {
		BENCH_SERVER_OWN,      /* a vuc-refdev that is started for the run */
		BENCH_SERVER_FOREIGN,  /* one that listens already */
		BENCH_SERVER_LOOPBACK, /* the reference device inside this process */
	} kind;
	bool shares_cpu;         /* the poller shares this thread's CPU for want of another one */
	unsigned int poller_cpu; /* where there is a poller */
	const char *path;        /* of the server's socket; NULL: it has none */
	struct bench_refdev refdev;
	struct refdev *dev;
	struct vuc_loopback_server loopback;
	struct bench_daemon daemon; /* of BENCH_PATH_SHM */
};

/* What a measurement gets. */
struct bench {
	const struct bench_ops *ops;
	struct bench_options options;
	struct bench_clock clock;
	struct bench_env env;
	struct bench_target target;
	int latency;                       /* -1, or a descriptor that keeps the CPUs awake */
	void *state;                       /* the measurement's own struct */
	struct bench_result *result;       /* its strings may point into state and options */
	const struct bench_rounds *rounds; /* under way */
};

struct bench_ops {
	const char *name;
	const char *summary;                /* one line for --help */
	const char *unit;                   /* what the times are of: "access" */
	const char *units;                  /* more than one */
	const struct bench_option *options; /* NULL: none of its own */
	struct bench_options defaults;
	enum bench_setup setup;
	const char *too_few; /* CPUs, of BENCH_CPU_PAIR: ends the message */
	bool plots;          /* --plot names a folder: there are several pictures */
	size_t state_size;   /* of the measurement's own struct, which begins as zeros */
	/* Look at the options as a whole; failing is wrong usage. NULL: nothing to look at. */
	int (*check)(struct bench *bench, struct vuc_error *err);
	/* Measure. What was set up is taken down again in any case. */
	int (*run)(struct bench *bench, struct vuc_error *err);
};

extern const struct bench_ops bench_mmio;
extern const struct bench_ops bench_dma;
extern const struct bench_ops bench_dma_message;
extern const struct bench_ops bench_hop;
extern const struct bench_ops bench_idle;
extern const struct bench_ops bench_hung;
extern const struct bench_ops bench_outage;
extern const struct bench_ops bench_front;
extern const struct bench_ops bench_scale;
extern const struct bench_ops bench_transports;
extern const struct bench_ops bench_guest;
extern const struct bench_ops bench_all;

/* Check the options of a measurement. */
int bench_check(struct bench *bench, struct vuc_error *err);

/* Set up, describe, run and sum up: the series of the result are finished then. */
int bench_run(struct bench *bench, struct vuc_error *err);

/* Take the first CPUs, or those of --cpus, keep them awake and, with pin, move to the first one.
 * too_few is the end of the error message when there are not enough. bench_run() releases them. */
int bench_take_cpus(
	struct bench *bench, unsigned int nr, bool pin, const char *too_few, struct vuc_error *err);

static inline bool
bench_is_loopback(const struct bench *bench)
{
	return bench->target.kind == BENCH_SERVER_LOOPBACK;
}

/* Append a series of so many samples a round, each the time of per_sample accesses. Without
 * memory the series takes no samples, and the function that runs the turns returns the error. */
struct bench_series *bench_series_append(
	struct bench *bench, const char *name, uint32_t samples, uint32_t per_sample);

/* Append series next to each other, the first of which is the floor of the others: all groups of a
 * result have as many. topic and transport may be NULL. Returns the first. */
struct bench_series *bench_group_append(struct bench *bench, const char *topic,
	const char *const names[], unsigned int nr, const char *transport, uint32_t samples,
	uint32_t per_sample);

/* Append a sample that lasted from start until now. */
void bench_series_add_since(const struct bench *bench, struct bench_series *series, uint64_t start);

/* Run all rounds: a turn of each way, and every round begins with the next way. name is for the
 * progress bar. The first turn that fails ends them. */
int bench_turns_run(struct bench *bench, const char *name, unsigned int nr_ways,
	int (*turn)(struct bench *bench, unsigned int i, struct vuc_error *err),
	struct vuc_error *err);

/* ---- accesses ---- */

#define BENCH_ACCESS_MAX 8
#define BENCH_MAX_BURST  256

/* The access that is made again and again; what writes write is zero. */
struct bench_access {
	enum bench_access_op op;
	uint32_t region;
	uint64_t offset;
	uint32_t size;      /* at most BENCH_ACCESS_MAX */
	uint32_t together;  /* made at once, which is a sample; at most BENCH_MAX_BURST */
	const char *server; /* named where its region is too small; NULL: it is known to be right */
};

/* A read that every PCI device answers and that changes nothing: the ids in config space. */
extern const struct bench_access bench_settle_access;

/* The scratch register of vuc-refdev. */
extern const struct bench_access bench_scratch_access;

/* A way to make an access: a floor, or vuc. An implementation's own struct begins with it. */
struct bench_way {
	const struct bench_way_ops *ops;
	uint64_t syscalls; /* made for accesses, up to the last burst */
	uint64_t futexes;  /* of these, where they are told apart */
};

struct bench_way_ops {
	int (*open)(struct bench_way *way, struct vuc_error *err);
	void (*close)(struct bench_way *way);
	/* Take nr samples one after the other; ticks gets the time of each: from the first call
	 * until the access is answered or, when posted, all of them are with the kernel. */
	int (*burst)(
		struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
	/* Let the server catch up: bench_settle_access, answered after everything before it. */
	int (*settle)(struct bench_way *way, struct vuc_error *err);
};

#define BENCH_MAX_ROW 64 /* samples without a look at anything else */

/* Take samples of a way that is open, as many as row in a row, and their system calls. settle: let
 * the server catch up after each row, and time that apart. A series of NULL: nothing is recorded.
 */
int bench_samples_run(const struct bench *bench, struct bench_way *way, struct bench_series *series,
	uint32_t samples, unsigned int row, bool settle, struct vuc_error *err);

#define BENCH_MAX_WAYS 4

/* Ways to make one access, each with a series, which are in the result one behind the other. */
struct bench_rounds {
	const char *name; /* for the progress bar */
	uint32_t samples; /* of each way in a round */
	uint32_t per_sample;
	bool apart;     /* one sample in a row, else up to BENCH_MAX_ROW */
	bool keep_open; /* the second way is open for the whole run and the others need no opening,
			 * else each is open for its turn only */
	bool settle;    /* let the server catch up after each row, and time that apart */
	unsigned int nr_ways;
	struct bench_way *ways[BENCH_MAX_WAYS];
	struct bench_series *series[BENCH_MAX_WAYS];
};

/* The rounds of a measurement with the options --op and --ops, --burst or --depth. */
struct bench_rounds bench_rounds_of(const struct bench *bench);

/* Look at --ops, and round it up to whole samples. */
int bench_rounds_check(struct bench_options *options, uint32_t per_sample, struct vuc_error *err);

/* Add a way and its series. */
struct bench_series *bench_rounds_add(struct bench *bench, struct bench_rounds *rounds,
	struct bench_way *way, const char *name, const char *transport);

int bench_rounds_run(struct bench *bench, const struct bench_rounds *rounds, struct vuc_error *err);

/* The access that --op, --size and --burst or --depth ask for, of the scratch register. How many
 * are made at once is settled where that was not given. */
struct bench_access bench_access_of(struct bench_options *options);

/* "posted write", "read" or "write" */
const char *bench_access_name(const struct bench_options *options);

#endif /* BENCH_BENCH_H */
