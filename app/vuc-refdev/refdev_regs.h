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
#define REFDEV_REGS(X)                                                                             \
	X(ID, 0x000, 4, RO)             /* REFDEV_ID_VALUE, "vucR" in memory */                    \
	X(VERSION, 0x004, 4, RO)        /* REFDEV_VERSION_VALUE, of this layout */                 \
	X(SCRATCH, 0x008, 8, RW)        /* keeps what is written */                                \
	X(COUNTER, 0x010, 8, RO)        /* reads of any of its bytes so far, without this one */   \
	X(DOORBELL, 0x018, 4, WO)       /* copied to DOORBELL_LAST; DOORBELL_COUNT rises */        \
	X(DOORBELL_LAST, 0x01c, 4, RO)  /* the value last written to DOORBELL */                   \
	X(DOORBELL_COUNT, 0x020, 8, RO) /* writes to DOORBELL */                                   \
	X(IRQ_TRIGGER, 0x028, 4, WO)    /* raise an MSI-X vector, or one of REFDEV_TRIGGER_* */    \
	X(INTX, 0x02c, 4, RW)           /* level of INTx; REFDEV_TRIGGER_INTX sets it to 1 */      \
	X(RESETS, 0x030, 4, RO)         /* resets since the device was made */                     \
	X(ERRNO, 0x034, 4, RW)          /* the errno that ERROR answers, 1 ... 4095 */             \
	X(ERROR, 0x038, 4, RW)          /* reads and writes are answered by ERRNO */               \
	X(WRITES, 0x040, 8, RO)         /* writes to BAR0 since the last reset, with this one */   \
	X(DMA_MAPS, 0x048, 4, RO)       /* entries of the DMA table */                             \
	X(DMA_SRC, 0x050, 8, RW)        /* an address of the client, or an offset in BAR2 */       \
	X(DMA_DST, 0x058, 8, RW)        /* likewise */                                             \
	X(DMA_LEN, 0x060, 4, RW)        /* bytes, 1 ... REFDEV_DMA_MAX_LEN */                      \
	X(DMA_MODE, 0x064, 4, RW)       /* REFDEV_DMA_BY_*, or'ed with others of REFDEV_DMA_* */   \
	X(DMA_PATTERN, 0x068, 8, RW)    /* what REFDEV_DMA_FILL repeats */                         \
	X(DMA_CHUNK, 0x070, 4, RW)      /* most bytes of a message; 0: as many as both take */     \
	X(DMA_WINDOW, 0x074, 4, RW)     /* most outstanding messages; 0 is 1 */                    \
	X(DMA_VECTOR, 0x078, 4, RW)     /* 0, or 1 + the vector raised at the end */               \
	X(DMA_START, 0x07c, 4, WO)      /* any value starts a transfer, or is answered by EBUSY */ \
	X(DMA_STATUS, 0x080, 4, RO)     /* one of REFDEV_DMA_STATUS_* */                           \
	X(DMA_ERRNO, 0x084, 4, RO)      /* of the last transfer */                                 \
	X(DMA_DONE, 0x088, 8, RO)       /* bytes that the last transfer has written */             \
	X(RAW_ADDR, 0x090, 8, RW)       /* address in a raw message */                             \
	X(RAW_COUNT, 0x098, 8, RW)      /* count in it, right or wrong */                          \
	X(RAW_FLAGS, 0x0a0, 4, RW)      /* its flags */                                            \
	X(RAW_LEN, 0x0a4, 4, RW)        /* bytes of data, at most REFDEV_RAW_MAX_LEN */            \
	X(RAW_TIMES, 0x0a8, 4, RW)      /* how many are sent; 0 is 1 */                            \
	X(RAW_SEND, 0x0ac, 4, WO)       /* send it: 11 is DMA_READ, 12 is DMA_WRITE */             \
	X(RAW_SENT, 0x0b0, 8, RO)       /* raw messages that were sent */                          \
	X(RAW_ANSWERS, 0x0b8, 8, RO)    /* answers to them */                                      \
	X(RAW_ANSWER_FLAGS, 0x0c0, 4, RO) /* of the last answer */                                 \
	X(RAW_ANSWER_ERRNO, 0x0c4, 4, RO) /* its error number */                                   \
	X(RAW_ANSWER_COUNT, 0x0c8, 8, RO) /* its count; 0 if it has none */                        \
	X(RAW_ANSWER_LEN, 0x0d0, 4, RO)   /* its bytes of data */                                  \
	X(TIMER, 0x0d8, 4, RW)            /* milliseconds; a write arms the timer, 0 disarms it */ \
	X(TIMER_VECTOR, 0x0dc, 4, RW)     /* the MSI-X vector that it raises */                    \
	X(DOORBELL2, 0x0e0, 4, WO)        /* as DOORBELL; has a shadow ioeventfd */

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
