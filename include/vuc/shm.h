/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SHM_H
#define VUC_SHM_H

/**
 * @file
 * The shared-memory control plane as it is on the wire and in memory: what a VMM and the daemon
 * that owns a device say to each other. docs/shm-abi.md explains it; <vuc/vmm.h> is the library
 * for it. Whoever writes another one, in whatever language, finds all numbers here.
 *
 * A VMM connects to the daemon's SOCK_SEQPACKET socket, says HELLO and ATTACH, and has the device
 * for itself until it says DETACH or hangs up. One packet is one message; each request has one
 * reply, and there is one request at a time. A reply whose status is not 0 is a struct
 * vuc_shm_failure. A packet that breaks the rules of this file ends the connection: of the wrong
 * size, with more or fewer descriptors than it says, with a reserved field that is not 0, or in a
 * state in which it may not come. Everything that is merely refused is answered.
 *
 * All of it stays on one machine, so integers are in the byte order of the CPU. There are no
 * pointers, and no offsets but those of memory that is mapped for DMA and of regions.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_SHM_MAGIC   UINT64_C(0x314d485343555600) /**< in HELLO: bytes 00 "VUCSHM1" on x86 */
#define VUC_SHM_VERSION 1                            /**< of this file */

#define VUC_SHM_MAX_PACKET  4096 /**< bytes of a packet, header included */
#define VUC_SHM_MAX_FDS     16   /**< descriptors that come with a packet */
#define VUC_SHM_NAME_SIZE   64   /**< of a name, with the NUL at its end */
#define VUC_SHM_REASON_SIZE 240  /**< of a reason, with the NUL at its end */
#define VUC_SHM_MAX_QUEUES  64   /**< of one attached VMM: one bit of the bell each */
#define VUC_SHM_MAX_AREAS   64   /**< of a region that can be mapped */
#define VUC_SHM_MAX_DMA     64   /**< entries of a DMA message */
#define VUC_SHM_MAX_IRQS    2048 /**< interrupts of a SET_IRQS message */
#define VUC_SHM_MAX_IO      64   /**< sub-regions in the reply to IO_FDS */

/** What a packet is. The reply to a request is of the same type. */
enum vuc_shm_type {
	VUC_SHM_HELLO = 1,       /**< agree on a version; the first packet */
	VUC_SHM_ATTACH = 2,      /**< have a device; once in the life of a connection */
	VUC_SHM_REGION_INFO = 3, /**< look at a region */
	VUC_SHM_IRQ_INFO = 4,    /**< look at an IRQ index */
	VUC_SHM_OPEN_QUEUE = 5,  /**< get a queue */
	VUC_SHM_CLOSE_QUEUE = 6, /**< give a queue back */
	VUC_SHM_DMA = 7,         /**< map and unmap memory for the device */
	VUC_SHM_SET_IRQS = 8,    /**< eventfds, mask, unmask, trigger, disable */
	VUC_SHM_IO_FDS = 9,      /**< parts of a region that are accessed by descriptor */
	VUC_SHM_RESET = 10,      /**< reset the device */
	VUC_SHM_DETACH = 11,     /**< give the device back; the daemon hangs up after its reply */
};

#define VUC_SHM_REPLY 1 /**< in flags of struct vuc_shm_header */

/** Begins each packet. */
struct vuc_shm_header {
	uint16_t type;     /**< enum vuc_shm_type */
	uint16_t flags;    /**< VUC_SHM_REPLY in a reply, 0 in a request */
	uint32_t size;     /**< bytes of the packet, this header included */
	uint32_t sequence; /**< of a request: one more than that of the one before; in its reply:
			      the same */
	int32_t status;    /**< of a reply: 0 or a negative errno; 0 in a request */
};

/** A reply with a status that is not 0. No descriptors. */
struct vuc_shm_failure {
	struct vuc_shm_header header;     /**< as in every packet */
	char reason[VUC_SHM_REASON_SIZE]; /**< one line, with a NUL at its end */
};

/** A request that has nothing to say (RESET, DETACH), and a reply that has not (to CLOSE_QUEUE,
 * RESET, DETACH). */
struct vuc_shm_plain {
	struct vuc_shm_header header; /**< as in every packet */
};

/** Request. No descriptors. */
struct vuc_shm_hello {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t magic;               /**< VUC_SHM_MAGIC */
	uint16_t version_min;         /**< the lowest version that the VMM speaks, at least 1 */
	uint16_t version_max;         /**< the highest one */
	uint32_t reserved;            /**< 0 */
	char name[VUC_SHM_NAME_SIZE]; /**< of the VMM, for logs; with a NUL at its end */
};

/** Reply: what the daemon allows. No descriptors. -EPROTONOSUPPORT when no version fits. */
struct vuc_shm_hello_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint16_t version;      /**< that is spoken from here on: the highest one of both sides */
	uint16_t reserved;     /**< 0 */
	uint32_t max_queues;   /**< of one VMM */
	uint32_t max_depth;    /**< of a queue */
	uint32_t max_data;     /**< bytes of a request of a queue */
	uint32_t max_dma_maps; /**< of one VMM */
	uint32_t pad;          /**< 0 */
};

/** Request. No descriptors. */
struct vuc_shm_attach {
	struct vuc_shm_header header; /**< as in every packet */
	char name[VUC_SHM_NAME_SIZE]; /**< of the device, with a NUL at its end */
};

/** The device's memory is never given to its server: the daemon reads and writes it for the server,
 * and needs memory that can be mapped and cannot shrink. */
#define VUC_SHM_DMA_MESSAGE (1u << 0)

/** Descriptors that come with the reply to ATTACH, in this order. The eventfds are non-blocking. */
enum vuc_shm_attach_fd {
	VUC_SHM_FD_STATE,  /**< memory: struct vuc_shm_state, read-only */
	VUC_SHM_FD_BELL,   /**< memory: struct vuc_shm_bell, to be written, too */
	VUC_SHM_FD_POLLER, /**< memory: struct vuc_shm_poller, read-only */
	VUC_SHM_FD_KICK,   /**< eventfd: written to wake the poller */
	VUC_SHM_FD_EVENT,  /**< eventfd: signalled when the state changes */
	VUC_SHM_ATTACH_FDS,
};

/** Reply: the device. -ENOENT when there is none of the name, -EACCES when this user may not have
 * it, -EBUSY when another VMM has it, -ENOTCONN while its server is away. */
struct vuc_shm_attach_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t generation;          /**< how often the device was connected to, from 1 */
	uint64_t pgsizes;             /**< page sizes of DMA mappings, or'ed together */
	uint32_t flags;               /**< VUC_SHM_DMA_MESSAGE */
	uint32_t device_flags;        /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions;         /**< regions 0 … num_regions - 1 can be asked about */
	uint32_t num_irqs;            /**< IRQ indexes 0 … num_irqs - 1 can be asked about */
	uint32_t max_dma_maps;        /**< at a time */
	uint32_t max_data;            /**< bytes of a request of a queue */
};

/** Request, for REGION_INFO, IRQ_INFO and IO_FDS: an index. For CLOSE_QUEUE: the queue. No
 * descriptors. */
struct vuc_shm_index {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;    /**< -EINVAL when there is no such region, IRQ index or queue */
	uint32_t reserved; /**< 0 */
};

/** A part of a region that can be mapped. The pages of an MSI-X table are in none. */
struct vuc_shm_area {
	uint64_t offset;      /**< from the start of the region; a multiple of the page size */
	uint64_t size;        /**< bytes; a multiple of the page size, not 0 */
	uint64_t file_offset; /**< for mmap(2) */
	uint32_t fd_index;    /**< which of the reply's descriptors */
	uint32_t reserved;    /**< 0 */
};

/** Reply to REGION_INFO. As many descriptors as nr_fds says, each of memory. */
struct vuc_shm_region_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t size;                /**< bytes; 0: there is no such region */
	uint32_t index;               /**< of the request */
	uint32_t flags;               /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint32_t type;                /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;             /**< goes with type */
	uint32_t nr_areas; /**< that follow, ascending and apart; the packet ends behind the last
			      one */
	uint32_t nr_fds;   /**< that come with the packet */
	struct vuc_shm_area areas[]; /**< nr_areas of them */
};

/** Reply to IRQ_INFO. No descriptors. */
struct vuc_shm_irq_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< of the request */
	uint32_t flags;               /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count;               /**< interrupts of this index; 0: there are none */
	uint32_t reserved;            /**< 0 */
};

/** Request. No descriptors. */
struct vuc_shm_open_queue {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t depth;               /**< requests that can be outstanding; a power of two */
	uint32_t max_data;            /**< bytes of one request; a multiple of 64, at least 64 */
};

/** Reply. Two descriptors, of the memory of requests and that of completions; the latter can be
 * mapped for reading only. */
struct vuc_shm_queue_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< of the queue: the bit in the bell's word */
	uint32_t depth;               /**< of the request */
	uint32_t max_data;            /**< of the request, or less */
	uint32_t reserved;            /**< 0 */
	uint64_t requests_size;       /**< bytes of the memory of requests */
	uint64_t completions_size;    /**< bytes of the memory of completions */
};

/** What an entry of a DMA message does. */
enum vuc_shm_dma_op {
	VUC_SHM_DMA_MAP = 1,       /**< map [iova, iova + size) to memory */
	VUC_SHM_DMA_UNMAP = 2,     /**< unmap all mappings in [iova, iova + size) */
	VUC_SHM_DMA_UNMAP_ALL = 3, /**< unmap everything */
};

#define VUC_SHM_DMA_READ  (1u << 0) /**< the device may read the memory */
#define VUC_SHM_DMA_WRITE (1u << 1) /**< the device may write the memory */

/** An entry. What its op does not use is 0, and fd_index then is -1. */
struct vuc_shm_dma_entry {
	uint16_t op;       /**< enum vuc_shm_dma_op */
	uint16_t reserved; /**< 0 */
	uint32_t flags;    /**< VUC_SHM_DMA_* */
	uint64_t iova;     /**< as the device sees it */
	uint64_t size;     /**< bytes */
	uint64_t offset;   /**< in the memory's file */
	int32_t fd_index;  /**< which of the packet's descriptors */
	uint32_t pad;      /**< 0 */
};

#define VUC_SHM_DMA_COMMIT (1u << 0) /**< make all that came so far so, and wait for the device */

/** Request: as many descriptors as nr_fds says. */
struct vuc_shm_dma {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t nr; /**< entries that follow, up to VUC_SHM_MAX_DMA; the packet ends behind them */
	uint32_t nr_fds;   /**< that come with the packet; each is used by an entry */
	uint32_t flags;    /**< VUC_SHM_DMA_COMMIT */
	uint32_t reserved; /**< 0 */
	struct vuc_shm_dma_entry entries[]; /**< nr of them */
};

/** Reply to DMA. No descriptors. Entries are taken one by one; a failure's status is that of the
 * first entry that was refused, and those behind it were not looked at; or, when all were taken,
 * that of the commit. With VUC_SHM_DMA_COMMIT what was taken is committed in either case. */
struct vuc_shm_dma_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t mappings;            /**< that there are now */
	uint32_t reserved;            /**< 0 */
};

/** What is done with interrupts, and what an eventfd can be told of. */
enum vuc_shm_irq_action {
	VUC_SHM_IRQ_TRIGGER = 0, /**< raise; an eventfd: is raised */
	VUC_SHM_IRQ_MASK = 1,    /**< mask; an eventfd: is masked */
	VUC_SHM_IRQ_UNMASK = 2,  /**< unmask; an eventfd: is unmasked */
	VUC_SHM_IRQ_DISABLE = 3, /**< disable the index; start and count are 0 */
};

/** Which interrupts it is done with. */
enum vuc_shm_irq_data {
	VUC_SHM_IRQ_ALL = 0,   /**< with all of the range */
	VUC_SHM_IRQ_SOME = 1,  /**< count bytes follow: 1 for those it is done with, else 0 */
	VUC_SHM_IRQ_EVENT = 2, /**< count bytes follow: 1 where the next descriptor is assigned, 0
				  where one is taken away; at most VUC_SHM_MAX_FDS of them are 1 */
};

/** Request. As many descriptors as the bytes of VUC_SHM_IRQ_EVENT say, each an eventfd. */
struct vuc_shm_set_irqs {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< IRQ index */
	uint32_t start;               /**< first interrupt */
	uint32_t count;  /**< interrupts, 1 … VUC_SHM_MAX_IRQS; with bytes that follow, as many */
	uint16_t action; /**< enum vuc_shm_irq_action */
	uint16_t data;   /**< enum vuc_shm_irq_data */
	uint8_t which[]; /**< count of them, or none; the packet ends behind them */
};

/** Reply to SET_IRQS. No descriptors. */
struct vuc_shm_irqs_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t done;     /**< interrupts, from the first one on, at least 1 of them; the VMM asks
			      again for the rest. 0 for VUC_SHM_IRQ_DISABLE */
	uint32_t reserved; /**< 0 */
};

/** A part of a region that is accessed by descriptor. */
struct vuc_shm_io_sub_region {
	uint32_t type;           /**< 0 ioeventfd, 1 ioregionfd, 2 ioeventfd with shadow memory */
	uint32_t flags;          /**< KVM_IOEVENTFD_FLAG_* of <linux/kvm.h> */
	uint64_t offset;         /**< from the start of the region */
	uint64_t size;           /**< bytes; 0: of any size */
	uint64_t datamatch;      /**< of an ioeventfd */
	uint64_t user_data;      /**< of an ioregionfd */
	uint64_t shadow_offset;  /**< of the value in the shadow memory */
	int32_t fd_index;        /**< which of the reply's descriptors, or -1 */
	int32_t shadow_fd_index; /**< likewise, of the shadow memory */
};

/** Reply to IO_FDS. As many descriptors as nr_fds says. */
struct vuc_shm_io_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t nr;                  /**< sub-regions that follow; the packet ends behind them */
	uint32_t nr_fds;              /**< that come with the packet */
	struct vuc_shm_io_sub_region sub_regions[]; /**< nr of them */
};

/** What has become of the device. */
enum vuc_shm_device_state {
	VUC_SHM_ATTACHED = 1, /**< it can be used */
	VUC_SHM_LOST = 2,     /**< its server is away: requests fail */
	VUC_SHM_BACK = 3, /**< its server is there again, the device as after a reset: detach, and
			     attach to it anew */
	VUC_SHM_REMOVED = 4,  /**< the operator has taken it away: detach */
	VUC_SHM_STOPPING = 5, /**< the daemon ends: detach */
	VUC_SHM_SILENT = 6,   /**< its server has stopped answering: requests time out;
				 VUC_SHM_ATTACHED once more when it answers again */
};

/**
 * What the daemon publishes: memory of its own, of this size rounded up to pages. Written under
 * `sequence`, which is odd meanwhile: whoever reads takes it with acquire order, reads, fences for
 * loads, and begins anew when it was odd or has changed.
 */
struct vuc_shm_state {
	uint32_t sequence;   /**< atomic */
	uint32_t state;      /**< enum vuc_shm_device_state */
	uint64_t generation; /**< that the device has now */
	uint64_t reads;      /**< requests of this VMM so far: reads, … */
	uint64_t writes;     /**< … writes, … */
	uint64_t posted;     /**< … posted writes, … */
	uint64_t errors;     /**< … and those that failed */
	uint64_t resets; /**< counted: one more, and the guest's driver has to reset the device, as
			    after VUC_SHM_BACK */
};

/** How a VMM wakes its poller: memory that both write. */
struct vuc_shm_bell {
	uint64_t rung; /**< atomic: the bits of queues that have something new; the VMM sets, the
			  poller clears them */
};

/** What the poller says of itself: memory that only the daemon writes. */
struct vuc_shm_poller {
	uint32_t sleeps; /**< atomic: not 0 while it sleeps: write to the kick eventfd */
};

/*
 * The memory of a queue, requests (written by the VMM) and completions (written by the daemon):
 *
 *   requests:     struct vuc_shm_front   | slot 0 … depth-1 | chunk 0 … depth-1 |
 *   completions:  struct vuc_shm_back    | slot 0 … depth-1 | chunk 0 … depth-1 |
 *
 * A slot is of 64 bytes, a chunk of max_data.
 */

/** What a request does. */
enum vuc_shm_op {
	VUC_SHM_READ = 1,         /**< read from a region */
	VUC_SHM_WRITE = 2,        /**< write to it */
	VUC_SHM_WRITE_POSTED = 3, /**< write to it; there is no completion */
	VUC_SHM_WRITE_PCI = 4,    /**< write to it, posted if the daemon posts such writes: then the
				     completion says that it is on its way, else that it is done */
};

#define VUC_SHM_SLOT_SIZE   64   /**< bytes of a slot */
#define VUC_SHM_REQUEST_MAX 32   /**< bytes of a write in the slot itself; longer: in its chunk */
#define VUC_SHM_ANSWER_MAX  48   /**< bytes of a read in the slot; longer: in the chunk of id */
#define VUC_SHM_MAX_DEPTH   4096 /**< of a queue */
#define VUC_SHM_MAX_DATA    1048576 /**< bytes of a request, if the device allows for that */

/** A request. */
struct vuc_shm_request {
	uint64_t offset;                   /**< from the start of the region */
	uint32_t count;                    /**< bytes, 1 … max_data */
	uint16_t op;                       /**< enum vuc_shm_op */
	uint16_t region;                   /**< index */
	uint16_t id;                       /**< below depth, of no request that is outstanding */
	uint16_t reserved[5];              /**< 0; version 1 does not look at it */
	uint8_t data[VUC_SHM_REQUEST_MAX]; /**< of a write */
	uint32_t tag;                      /**< atomic: position / depth + 1, stored last */
};

/** A completion. */
struct vuc_shm_completion {
	uint16_t id;                      /**< of the request */
	uint16_t reserved;                /**< 0 */
	int32_t status;                   /**< 0 or a negative errno */
	uint32_t count;                   /**< bytes that were read */
	uint8_t data[VUC_SHM_ANSWER_MAX]; /**< of a read */
	uint32_t tag;                     /**< atomic: position / depth + 1, stored last */
};

/** Begins the memory of requests. */
struct vuc_shm_front {
	uint32_t sleeps; /**< atomic: the VMM waits for `wakes` to change */
	uint8_t pad[60]; /**< 0 */
};

/** Begins the memory of completions. */
struct vuc_shm_back {
	uint32_t wakes;   /**< atomic, counts; the futex that the VMM sleeps on */
	uint32_t bell;    /**< atomic: not 0: ring after each request */
	int32_t closed;   /**< atomic: a negative errno: nothing more is taken */
	uint8_t pad1[52]; /**< 0 */
	uint32_t taken;   /**< atomic: requests that were copied, counted modulo 2^32 */
	uint8_t pad2[60]; /**< 0 */
};

#ifdef __cplusplus
}
#endif

#endif /* VUC_SHM_H */
