/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_GUEST_ABI_H
#define VMM_GUEST_ABI_H

/*
 * What the VMM and the program in the guest know of each other, for C and for the assembler.
 */

/* The guest's memory, from address 0. The image is entered at its first byte. */
#define GUEST_STACK      0x8000
#define GUEST_IMAGE      0x10000 /* lower 16 bits 0: see the interrupt table */
#define GUEST_IMAGE_MAX  0x10000
#define GUEST_DMA_FROM   0x20000
#define GUEST_DMA_TO     0x30000
#define GUEST_DMA_BYTES  4096
#define GUEST_TICKS      0x100000 /* tables of times, one for each series */
#define GUEST_MAX_ROUNDS 65536
#define GUEST_RAM_SIZE   0x200000

/* Where the guest puts BARs: away from its memory, from ports that are taken, from its APIC. */
#define GUEST_BARS_MEMORY 0xe0000000
#define GUEST_BARS_IO     0xc000

/* Ports of the VMM's, 32 bits each. The guest reads ... */
#define GUEST_PORT_AREAS   0xd4 /* parts of BARs that are memory: accesses cause no exit */
#define GUEST_PORT_AMISS   0xd8 /* GUEST_PORT_RESETS, after something went wrong */
#define GUEST_PORT_RESETS  0xdc /* how often the device was reset by a restart of its server */
#define GUEST_PORT_PROGRAM 0xe0 /* which program to run: GUEST_DRIVE, ... */
#define GUEST_PORT_ROUNDS  0xe4 /* repetitions in a program: 1 ... GUEST_MAX_ROUNDS */
#define GUEST_PORT_EXITS   0xe8 /* how often it has left to the VMM, by other than these ports */
/* ... and writes. */
#define GUEST_PORT_STEP     0xec /* what it is about to do: GUEST_STEP_* */
#define GUEST_PORT_SEEN     0xf0 /* that was wrong: what it saw ... */
#define GUEST_PORT_EXPECTED 0xf4 /* ... and what it had expected */
#define GUEST_PORT_SERIES   0xf8 /* a table of times is complete: GUEST_SERIES_* */
#define GUEST_PORT_RESULT   0xfc /* the end: GUEST_PASS, GUEST_FAIL or GUEST_NO_DRIVER */

#define GUEST_DRIVE   0 /* find the device, and use it if there is a driver for it */
#define GUEST_TORMENT 1 /* do what no driver does */
#define GUEST_RECOVER 2 /* use the device until it was reset so often; each reset starts over */

#define GUEST_PASS      1
#define GUEST_FAIL      2 /* in the step that it has begun last */
#define GUEST_NO_DRIVER 3

/* What it does: X(name, number, text). */
#define GUEST_STEPS(X)                                                  \
	X(SCAN, 1, "find the device on the bus")                        \
	X(BARS, 2, "size and place its BARs")                           \
	X(READ, 3, "read registers")                                    \
	X(WRITE, 4, "write registers")                                  \
	X(POST, 5, "post writes")                                       \
	X(DOORBELL, 6, "ring a doorbell")                               \
	X(MAPPED, 7, "access mapped BARs, without an exit")             \
	X(DMA, 8, "DMA from memory to memory, and an MSI-X interrupt")  \
	X(DMA_FROM_BAR, 9, "DMA from a mapped BAR to memory")           \
	X(MASK, 10, "mask and unmask an interrupt")                     \
	X(PORT, 11, "read and write an I/O port")                       \
	X(TIMES, 12, "time accesses")                                   \
	X(NO_PORTS, 13, "access I/O ports of no device")                \
	X(NO_MEMORY, 14, "access memory of no device")                  \
	X(NO_FUNCTION, 15, "access a PCI function that does not exist") \
	X(CONFIG_RANDOM, 16, "write random values to config space")     \
	X(BARS_ASTRAY, 17, "place BARs at invalid addresses")           \
	X(BAR_RANDOM, 18, "access a BAR at random")                     \
	X(AS_BEFORE, 19, "use the device once more")

#define GUEST_NR_STEPS 20

#ifndef __ASSEMBLER__
#define GUEST_STEP_NUMBER(name, number, text) GUEST_STEP_##name = (number),

enum {
	GUEST_STEPS(GUEST_STEP_NUMBER)
};
#endif

#define GUEST_SERIES_EXIT   0 /* to the VMM and back */
#define GUEST_SERIES_READ   1 /* a register that is not mapped */
#define GUEST_SERIES_POST   2 /* the same, written */
#define GUEST_SERIES_MAPPED 3 /* a register that is mapped */
#define GUEST_NR_SERIES     4

#endif /* VMM_GUEST_ABI_H */
