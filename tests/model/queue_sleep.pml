/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The two sleeping protocols of lib/queue, on a machine that lets plain stores be seen late and in
 * any order. Each thread has a store buffer: a word that it stored is pending until it is committed,
 * which happens at any time, or at a fence, a system call or a locked instruction at the latest. A
 * release store is committed after everything that the thread stored before it. Loads are taken in
 * program order, and never from a later time: an acquire load or a fence stands between each two of
 * the real code whose order matters.
 *
 * A lost wake-up is an end state in which someone sleeps: spin reports it as an invalid one.
 *
 * -DBROKEN=1  vuc_queue_back_flush() without its fence
 * -DBROKEN=2  sleep_until() without its fence
 * -DBROKEN=3  ring() without its fence
 * -DBROKEN=4  vuc_queue_back_set_bell() without its fence
 * -DBROKEN=5  wake_front() counts without release order
 */

#ifndef BROKEN
#define BROKEN 0
#endif

#define REQUESTS 2

#define FRONT 0
#define BACK  1

/* Words of the shared memory: what everyone sees, and what its writer has stored. */
byte seen_tag, stored_tag;       /* requests submitted, by the front */
byte seen_sleeps, stored_sleeps; /* the front sleeps */
byte seen_done, stored_done;     /* requests answered, by the back */
byte seen_bell, stored_bell;
byte seen_closed, stored_closed;
byte seen_wakes; /* changed by locked instructions only */

/* Of the poller: locked instructions or followed by a fence. */
bit word;
bit core_sleeps;
bit kicked;

/* In the kernel. */
bit front_waits;

#define front_committed (seen_tag == stored_tag && seen_sleeps == stored_sleeps)
#define back_committed                                                                        \
	(seen_done == stored_done && seen_bell == stored_bell && seen_closed == stored_closed)

/* Commits what threads have stored, sooner or later. */
active proctype
memory()
{
end:
	do
	:: atomic { seen_tag != stored_tag -> seen_tag = stored_tag }
	:: atomic { seen_sleeps != stored_sleeps -> seen_sleeps = stored_sleeps }
	:: atomic { seen_done != stored_done -> seen_done = stored_done }
	:: atomic { seen_bell != stored_bell -> seen_bell = stored_bell }
	:: atomic { seen_closed != stored_closed -> seen_closed = stored_closed }
	od
}

/* The kernel compares and goes to sleep in one step; entering it commits the caller's stores. */
inline futex_wait(expected)
{
	front_committed;
	atomic {
		if
		:: seen_wakes == expected -> front_waits = 1
		:: else -> skip
		fi
	};
	front_waits == 0
}

inline wake_front()
{
#if BROKEN != 5
	back_committed; /* release order: the reason for the wake is seen before the new count */
#endif
	seen_wakes++;
	back_committed; /* the barrier of the system call */
	front_waits = 0
}

active proctype
front()
{
	byte submitted = 0, wakes;

	do
	:: submitted == REQUESTS -> break
	:: submitted < REQUESTS ->
		front_committed; /* the release store of a tag comes after what was stored before */
		submitted++;
		stored_tag = submitted;
		/* ring() */
#if BROKEN != 3
		front_committed;
#endif
		if
		:: seen_bell != 0 ->
			front_committed; /* a locked instruction */
			word = 1;
			if
			:: core_sleeps -> kicked = 1
			:: else -> skip
			fi
		:: else -> skip
		fi;
		/* sleep_until() */
		stored_sleeps = 1;
		do
		:: wakes = seen_wakes;
#if BROKEN != 2
			front_committed;
#endif
			if
			:: seen_closed != 0 -> goto over
			:: else -> skip
			fi;
			if
			:: seen_done >= submitted -> break
			:: else -> skip
			fi;
			futex_wait(wakes)
		od;
		stored_sleeps = 0
	od;
	/* One more wait, which only the close ends. */
	stored_sleeps = 1;
	do
	:: wakes = seen_wakes;
		front_committed;
		if
		:: seen_closed != 0 -> break
		:: else -> skip
		fi;
		futex_wait(wakes)
	od;
over:
	skip
}

active proctype
back()
{
	byte taken = 0;

	do
	:: taken == REQUESTS -> break
	:: seen_tag > taken ->
		taken++;
		back_committed; /* the release store of the completion's tag */
		stored_done = taken;
		/* vuc_queue_back_flush() */
#if BROKEN != 1
		back_committed;
#endif
		if
		:: seen_sleeps != 0 -> wake_front()
		:: else -> skip
		fi
	:: seen_tag == taken && taken < REQUESTS ->
		/* The poller goes to sleep. */
		core_sleeps = 1;
		stored_bell = 1;
#if BROKEN != 4
		back_committed;
#endif
		if
		:: seen_tag == taken && word == 0 ->
			back_committed; /* entering the kernel */
			kicked == 1
		:: else -> skip
		fi;
		core_sleeps = 0;
		kicked = 0;
		word = 0;
		stored_bell = 0
	od;
	/* vuc_queue_back_close() */
	back_committed;
	stored_closed = 1;
	wake_front()
}
