/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REGS_H
#define REFDEV_REGS_H

/*
 * The reference device as its driver sees it: what docs/refdev.md describes in words. Values are
 * little-endian.
 */

/* Identity in config space, under a vendor id that is assigned to nobody. */
#define REFDEV_VENDOR_ID  0xfffeu
#define REFDEV_DEVICE_ID  0x7663u
#define REFDEV_CLASS_CODE 0x088000u /* base system peripheral, other */
#define REFDEV_REVISION   1u

/* Regions. */
#define REFDEV_PAGE_SIZE   4096u
#define REFDEV_CONFIG_SIZE 4096u
#define REFDEV_BAR0_SIZE   4096u
#define REFDEV_BAR2_SIZE   65536u
#define REFDEV_BAR4_SIZE   16384u

/* BAR4: pages 1 and 3 can be mapped, pages 0 and 2 hold what MSI-X needs. */
#define REFDEV_BAR4_TABLE  0x0000u
#define REFDEV_BAR4_AREA_0 0x1000u
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
	X(DMA_MAPS, 0x048, 4, RO)

#define REFDEV_REG_OFFSET(name, offset, bytes, access) REFDEV_REG_##name = (offset),

enum refdev_reg {
	REFDEV_REGS(REFDEV_REG_OFFSET)
};

#define REFDEV_REGS_SIZE 0x400u

/* Memory behind the registers: accesses of any length and alignment. */
#define REFDEV_RAM_OFFSET 0x400u
#define REFDEV_RAM_SIZE   0x400u

#define REFDEV_ID_VALUE      0x52637576u
#define REFDEV_VERSION_VALUE 1u
#define REFDEV_ERRNO_DEFAULT 5u /* EIO */

/* Values of IRQ_TRIGGER that are not vectors. */
#define REFDEV_TRIGGER_INTX (1u << 31)
#define REFDEV_TRIGGER_ERR  (1u << 30)
#define REFDEV_TRIGGER_REQ  (1u << 29)

#endif /* REFDEV_REGS_H */
