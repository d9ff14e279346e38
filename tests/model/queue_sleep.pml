/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How a front that waits and a poller sleep (lib/queue, lib/poller), on a machine that lets plain stores be seen late and in
 * any order. Each thread has a store buffer: a word that it stored is pending until it is committed,
 * which happens at any time, or at a fence, a system call or a locked instruction at the latest. A
 * release store is committed after everything that the thread stored before it. Loads are taken in
 * program order, and never from a later time: an acquire load or a fence stands between each two of
 * the real code whose order matters.
 *
 * A lost wake-up is an end state in which someone sleeps: spin reports it as an invalid one. A wait
 * that a deadline ends makes up for none here.
 *
 * -DBROKEN=1  vuc_queue_back_flush() without its fence
 * -DBROKEN=2  front_sleep_until() without its fence
 * -DBROKEN=3  bell_ring() without its fence
 * -DBROKEN=4  vuc_queue_back_set_bell() without its fence
 * -DBROKEN=5  wake_front() counts without release order
 * -DBROKEN=6  sleep_until_kicked() stores `sleeps` without the order of its other looks
 * -DBROKEN=7  poller_leave_to_bell() without another look at the queue
 * -DBROKEN=8  run_posts() clears `posted` behind the lock
 */

#ifndef BROKEN
#define BROKEN 0
#endif

#define REQUESTS 2
#define POSTS    2

/* Words of the shared memory: what everyone sees, and what its writer has stored. */
byte seen_tag, stored_tag;       /* requests submitted, by the front */
byte seen_sleeps, stored_sleeps; /* the front sleeps */
byte seen_done, stored_done;     /* requests answered, by the back */
byte seen_bell, stored_bell;
byte seen_closed, stored_closed;
byte seen_wakes; /* changed by locked instructions only */
bit word;        /* of the bell; likewise */

/* Of the poller. */
bit seen_core, stored_core; /* it sleeps */
bit posted;                 /* stored in the one order of all */
bit locked;
byte posts;

/* In the kernel. */
bit front_waits;
bit kicked;

#define front_committed (seen_tag == stored_tag && seen_sleeps == stored_sleeps)
#define back_committed                                                                        \
	(seen_done == stored_done && seen_bell == stored_bell && seen_closed == stored_closed && \
		seen_core == stored_core)

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
	:: atomic { seen_core != stored_core -> seen_core = stored_core }
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
		/* bell_ring() */
#if BROKEN != 3
		front_committed;
#endif
		if
		:: seen_bell != 0 ->
			front_committed; /* a locked instruction */
			word = 1;
			if
			:: seen_core -> kicked = 1
			:: else -> skip
			fi
		:: else -> skip
		fi;
		/* front_sleep_until() */
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

/* vuc_poller_post(), of any thread. */
active proctype
poster()
{
	byte n = 0;

	do
	:: n == POSTS -> break
	:: n < POSTS ->
		atomic { !locked -> locked = 1 };
		posts++;
		posted = 1;
		if
		:: seen_core -> kicked = 1
		:: else -> skip
		fi;
		locked = 0;
		n++
	od
}

inline run_posts()
{
	atomic { !locked -> locked = 1 };
	done_posts = posts;
#if BROKEN != 8
	posted = 0;
#endif
	locked = 0;
#if BROKEN == 8
	posted = 0
#endif
}

inline set_bell()
{
	stored_bell = 1;
#if BROKEN != 4
	back_committed
#endif
}

/* A quiet queue is not looked at any more, until it rings. */
inline leave_to_bell()
{
	set_bell();
	if
#if BROKEN == 7
	:: true -> active_queue = 0
#else
	:: seen_tag == taken -> active_queue = 0
	:: else -> stored_bell = 0
#endif
	fi
}

inline sleep_until_kicked()
{
	stored_core = 1;
#if BROKEN != 6
	back_committed;
#endif
	if
	:: active_queue -> set_bell()
	:: else -> skip
	fi;
	if
	:: (!active_queue || seen_tag == taken) && word == 0 && posted == 0 ->
		back_committed; /* entering the kernel */
		kicked == 1
	:: else -> skip
	fi;
	stored_core = 0;
	back_committed; /* the system calls that take kicks */
	kicked = 0;
	if
	:: active_queue -> stored_bell = 0
	:: else -> skip
	fi
}

/* The poller with one queue, which looks at it in each loop, or has left it to its bell. */
active proctype
back()
{
	byte taken = 0, done_posts = 0;
	bit active_queue = 1;

	do
	:: taken == REQUESTS && done_posts == POSTS -> break
	:: posted -> run_posts()
	:: word == 1 ->
		/* poller_hear_bells(): a locked instruction */
		back_committed;
		word = 0;
		active_queue = 1;
		stored_bell = 0
	:: active_queue && seen_tag > taken ->
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
	:: active_queue && seen_tag == taken && taken < REQUESTS -> leave_to_bell()
	:: taken < REQUESTS || done_posts < POSTS -> sleep_until_kicked()
	od;
	/* vuc_queue_back_close() */
	back_committed;
	stored_closed = 1;
	wake_front()
}
