/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REGS_H
#define REFDEV_REGS_H

/*
 * The reference device as its driver sees it: what docs/refdev.md describes in words. Values are
 * little-endian. Numbers without a suffix are those that the guest of vuc-vmm uses, in assembly.
 */

/* Identity in config space, under a vendor id that is assigned to nobody. */
#define REFDEV_VENDOR_ID  0x7675
#define REFDEV_DEVICE_ID  0x7663
#define REFDEV_CLASS_CODE 0x088000u /* base system peripheral, other */
#define REFDEV_REVISION   1u

/* Regions. */
#define REFDEV_PAGE_SIZE   4096u
#define REFDEV_CONFIG_SIZE 4096u
#define REFDEV_BAR0_SIZE   4096u
#define REFDEV_BAR2_SIZE   65536u
#define REFDEV_BAR4_SIZE   16384

/* BAR4: pages 1 and 3 can be mapped, pages 0 and 2 hold what MSI-X needs. */
#define REFDEV_BAR4_TABLE  0x0000u
#define REFDEV_BAR4_AREA_0 0x1000
#define REFDEV_BAR4_PBA    0x2000u
#define REFDEV_BAR4_AREA_1 0x3000u

#define REFDEV_MSIX_VECTORS 8u

/* Where the capabilities lie in config space. */
#define REFDEV_CAP_PCIE   0x40u
#define REFDEV_CAP_MSIX   0x80u
#define REFDEV_CAP_VENDOR 0x90u
#define REFDEV_CAP_SERIAL 0x100u

/* The 4 bytes of the vendor-specific capability that can be written. */
#define REFDEV_VENDOR_SCRATCH (REFDEV_CAP_VENDOR + 12u)

/*
 * The registers at the start of BAR0: X(name, offset, bytes, access). RO ignores writes, WO reads
 * as 0. A write that is narrower than its register keeps the other bytes, of WO registers it sets
 * them to 0. Registers are accessed by 1, 2, 4 or 8 bytes, naturally aligned; what has no row reads
 * as 0 and ignores writes.
 */
#define REFDEV_REGS(X)                                                                            \
	/* REFDEV_ID_VALUE, "vucR" in memory. */                                                  \
	X(ID, 0x000, 4, RO)                                                                       \
	/* REFDEV_VERSION_VALUE, of this layout. */                                               \
	X(VERSION, 0x004, 4, RO)                                                                  \
	/* Keeps what is written. */                                                              \
	X(SCRATCH, 0x008, 8, RW)                                                                  \
	/* Reads of any of its bytes so far, this one not included. */                            \
	X(COUNTER, 0x010, 8, RO)                                                                  \
	/* The value goes to DOORBELL_LAST, and DOORBELL_COUNT rises. */                          \
	X(DOORBELL, 0x018, 4, WO)                                                                 \
	/* The value last written to DOORBELL. */                                                 \
	X(DOORBELL_LAST, 0x01c, 4, RO)                                                            \
	/* Writes to DOORBELL. */                                                                 \
	X(DOORBELL_COUNT, 0x020, 8, RO)                                                           \
	/* Raise an interrupt: an MSI-X vector's number, or one of REFDEV_TRIGGER_*. */           \
	X(IRQ_TRIGGER, 0x028, 4, WO)                                                              \
	/* Level of INTx. REFDEV_TRIGGER_INTX sets it to 1; drivers acknowledge by writing 0. */  \
	X(INTX, 0x02c, 4, RW)                                                                     \
	/* Resets since the device was made. */                                                   \
	X(RESETS, 0x030, 4, RO)                                                                   \
	/* The errno that ERROR answers, 1 ... 4095; other values are answered by EINVAL. */      \
	X(ERRNO, 0x034, 4, RW)                                                                    \
	/* Reads and writes are answered by an error reply with ERRNO. */                         \
	X(ERROR, 0x038, 4, RW)                                                                    \
	/* Writes to BAR0 since the last reset, this one and those to the RAM window included. */ \
	X(WRITES, 0x040, 8, RO)                                                                   \
	/* Entries of the DMA table. */                                                           \
	X(DMA_MAPS, 0x048, 4, RO)                                                                 \
	/* Where a transfer reads: an address of the client's, or an offset in BAR2. */           \
	X(DMA_SRC, 0x050, 8, RW)                                                                  \
	/* Where a transfer writes, likewise. */                                                  \
	X(DMA_DST, 0x058, 8, RW)                                                                  \
	/* Bytes of a transfer, 1 ... REFDEV_DMA_MAX_LEN. */                                      \
	X(DMA_LEN, 0x060, 4, RW)                                                                  \
	/* How: one of REFDEV_DMA_BY_*, or'ed with others of REFDEV_DMA_*. */                     \
	X(DMA_MODE, 0x064, 4, RW)                                                                 \
	/* What REFDEV_DMA_FILL repeats. */                                                       \
	X(DMA_PATTERN, 0x068, 8, RW)                                                              \
	/* Most bytes of one message; 0: as many as both sides take. */                           \
	X(DMA_CHUNK, 0x070, 4, RW)                                                                \
	/* Most messages without an answer at a time; 0 is 1. */                                  \
	X(DMA_WINDOW, 0x074, 4, RW)                                                               \
	/* 0, or 1 + the MSI-X vector that is raised when a transfer ends. */                     \
	X(DMA_VECTOR, 0x078, 4, RW)                                                               \
	/* Any value starts a transfer; EBUSY while one is under way. */                          \
	X(DMA_START, 0x07c, 4, WO)                                                                \
	/* One of REFDEV_DMA_STATUS_*. */                                                         \
	X(DMA_STATUS, 0x080, 4, RO)                                                               \
	/* Why the last transfer ended with REFDEV_DMA_STATUS_ERROR. */                           \
	X(DMA_ERRNO, 0x084, 4, RO)                                                                \
	/* Bytes that the last transfer has written. */                                           \
	X(DMA_DONE, 0x088, 8, RO)                                                                 \
	/* A raw message: the address in it. */                                                   \
	X(RAW_ADDR, 0x090, 8, RW)                                                                 \
	/* The count in it, right or wrong. */                                                    \
	X(RAW_COUNT, 0x098, 8, RW)                                                                \
	/* Its flags. */                                                                          \
	X(RAW_FLAGS, 0x0a0, 4, RW)                                                                \
	/* Bytes of data behind it, at most REFDEV_RAW_MAX_LEN. */                                \
	X(RAW_LEN, 0x0a4, 4, RW)                                                                  \
	/* How many of it are sent; 0 is 1. */                                                    \
	X(RAW_TIMES, 0x0a8, 4, RW)                                                                \
	/* Send it: 11 is DMA_READ, 12 is DMA_WRITE; EBUSY while some are not sent. */            \
	X(RAW_SEND, 0x0ac, 4, WO)                                                                 \
	/* Raw messages that were sent. */                                                        \
	X(RAW_SENT, 0x0b0, 8, RO)                                                                 \
	/* Answers to them. */                                                                    \
	X(RAW_ANSWERS, 0x0b8, 8, RO)                                                              \
	/* Of the last answer: flags. */                                                          \
	X(RAW_ANSWER_FLAGS, 0x0c0, 4, RO)                                                         \
	/* Error number. */                                                                       \
	X(RAW_ANSWER_ERRNO, 0x0c4, 4, RO)                                                         \
	/* Count; 0 where it has none. */                                                         \
	X(RAW_ANSWER_COUNT, 0x0c8, 8, RO)                                                         \
	/* Bytes of data. */                                                                      \
	X(RAW_ANSWER_LEN, 0x0d0, 4, RO)                                                           \
	/* Milliseconds; a write arms the timer, 0 disarms it. */                                 \
	X(TIMER, 0x0d8, 4, RW)                                                                    \
	/* The MSI-X vector that the timer raises. */                                             \
	X(TIMER_VECTOR, 0x0dc, 4, RW)                                                             \
	/* Does what DOORBELL does; shadow ioeventfds stand for it. */                            \
	X(DOORBELL2, 0x0e0, 4, WO)

#define REFDEV_REG_OFFSET(name, offset, bytes, access) REFDEV_REG_##name = (offset),

#ifndef __ASSEMBLER__
enum refdev_reg {
	REFDEV_REGS(REFDEV_REG_OFFSET)
};
#endif

#define REFDEV_REGS_SIZE 0x400u

/* Memory behind the registers: accesses of any length and alignment. */
#define REFDEV_RAM_OFFSET 0x400
#define REFDEV_RAM_SIZE   0x400u

#define REFDEV_ID_VALUE      0x52637576
#define REFDEV_VERSION_VALUE 1
#define REFDEV_ERRNO_DEFAULT 5u /* EIO */

/* Values of IRQ_TRIGGER that are not vectors. */
#define REFDEV_TRIGGER_INTX (1u << 31)
#define REFDEV_TRIGGER_ERR  (1u << 30)
#define REFDEV_TRIGGER_REQ  (1u << 29)

/* DMA_MODE: how memory of the client is accessed ... */
#define REFDEV_DMA_BY_MESSAGE 0
#define REFDEV_DMA_BY_FILE    1u /* pread and pwrite of the mapping's descriptor */
#define REFDEV_DMA_BY_MMAP    2  /* map it */
#define REFDEV_DMA_BY_MASK    3u
/* ... and what else. */
#define REFDEV_DMA_FILL     (1u << 4) /* write the pattern, read nothing */
#define REFDEV_DMA_SRC_BAR2 (1 << 5)  /* read from BAR2 */
#define REFDEV_DMA_DST_BAR2 (1u << 6) /* write to BAR2 */

#define REFDEV_DMA_MAX_LEN    (1024u * 1024u)
#define REFDEV_DMA_MAX_WINDOW 64u

#define REFDEV_DMA_STATUS_IDLE  0u
#define REFDEV_DMA_STATUS_BUSY  1
#define REFDEV_DMA_STATUS_DONE  2
#define REFDEV_DMA_STATUS_ERROR 3u

#define REFDEV_RAW_MAX_LEN (64u * 1024u)

/* The value that the ioeventfd of DOORBELL stands for. */
#define REFDEV_DOORBELL_MATCH 0x10

#endif /* REFDEV_REGS_H */
