/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_GUEST_REFDEV_H
#define VMM_GUEST_REFDEV_H

/* The registers of vuc-refdev that the guest uses, for the assembler. See docs/refdev.md. */

#define REFDEV_IDS 0x76637675 /* device and vendor */

/* BAR0. */
#define REFDEV_ID             0x000
#define REFDEV_VERSION        0x004
#define REFDEV_SCRATCH        0x008
#define REFDEV_DOORBELL       0x018
#define REFDEV_DOORBELL_LAST  0x01c
#define REFDEV_DOORBELL_COUNT 0x020
#define REFDEV_IRQ_TRIGGER    0x028
#define REFDEV_DMA_SRC        0x050
#define REFDEV_DMA_DST        0x058
#define REFDEV_DMA_LEN        0x060
#define REFDEV_DMA_MODE       0x064
#define REFDEV_DMA_VECTOR     0x078
#define REFDEV_DMA_START      0x07c
#define REFDEV_DMA_STATUS     0x080
#define REFDEV_DMA_ERRNO      0x084
#define REFDEV_RAM            0x400

#define REFDEV_IS_ID      0x52637576
#define REFDEV_IS_VERSION 1

/* DMA_MODE and DMA_STATUS. */
#define REFDEV_BY_MESSAGE  0
#define REFDEV_BY_MMAP     2
#define REFDEV_FROM_BAR_2  0x20
#define REFDEV_DMA_IS_BUSY 1
#define REFDEV_DMA_IS_DONE 2

/* The value that an ioeventfd stands for. */
#define REFDEV_DOORBELL_EVENT 0x10

/* What can be mapped of BAR4 begins here. */
#define REFDEV_BAR_4_MAPPED 0x1000
#define REFDEV_BAR_4_SIZE   0x4000

#endif /* VMM_GUEST_REFDEV_H */
