/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SHM_H
#define VUC_SHM_H

/**
 * @file
 * The binary protocol of the shared-memory control plane, between a VMM and the daemon that owns a
 * device. docs/shm-abi.md explains it; <vuc/vmm.h> is the library for it. This file has all
 * constants and structs for other implementations.
 *
 * A VMM connects to the daemon's SOCK_SEQPACKET socket, sends HELLO and ATTACH, and has exclusive
 * use of the device until it sends DETACH or disconnects. One packet is one message. Each request
 * has one reply, and only one request may be outstanding. A reply with a status other than 0 is a
 * struct vuc_shm_failure. The daemon closes the connection on an invalid packet: of the wrong size,
 * with more or fewer file descriptors than it says, with a reserved field that is not 0, or in a
 * state that does not allow it. It replies to requests that it refuses for any other reason.
 *
 * The protocol is used on one machine only, so integers are in the byte order of the CPU. There are
 * no pointers, and no offsets except those of memory that is mapped for DMA and of regions.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_SHM_MAGIC   UINT64_C(0x314d485343555600) /**< in HELLO: bytes 00 "VUCSHM1" on x86 */
#define VUC_SHM_VERSION 2                            /**< of this file */

#define VUC_SHM_MAX_PACKET  4096 /**< bytes of a packet, including the header */
#define VUC_SHM_MAX_FDS     16   /**< file descriptors of a packet */
#define VUC_SHM_NAME_SIZE   64   /**< of a name, including the NUL */
#define VUC_SHM_REASON_SIZE 240  /**< of a reason, including the NUL */
#define VUC_SHM_MAX_QUEUES  64   /**< of one attached VMM: one bit of the doorbell each */
#define VUC_SHM_MAX_AREAS   64   /**< of a region that can be mapped */
#define VUC_SHM_MAX_DMA     64   /**< entries of a DMA message */
#define VUC_SHM_MAX_IRQS    2048 /**< interrupts of a SET_IRQS message */
#define VUC_SHM_MAX_IO      64   /**< sub-regions in the reply to IO_FDS */
#define VUC_SHM_MAX_LIST    56   /**< devices in the reply to LIST */

/** Type of a packet. The reply to a request has the same type. */
enum vuc_shm_type {
	VUC_SHM_HELLO = 1,       /**< negotiate the version; the first packet */
	VUC_SHM_ATTACH = 2,      /**< attach to a device; once per connection */
	VUC_SHM_REGION_INFO = 3, /**< query a region */
	VUC_SHM_IRQ_INFO = 4,    /**< query an IRQ index */
	VUC_SHM_OPEN_QUEUE = 5,  /**< open a queue */
	VUC_SHM_CLOSE_QUEUE = 6, /**< close a queue */
	VUC_SHM_DMA = 7,         /**< map and unmap memory for the device */
	VUC_SHM_SET_IRQS = 8,    /**< eventfds, mask, unmask, trigger, disable */
	VUC_SHM_IO_FDS = 9,      /**< query the ioeventfds of a region */
	VUC_SHM_RESET = 10,      /**< reset the device */
	VUC_SHM_DETACH = 11,     /**< detach; the daemon closes the connection after its reply */
	VUC_SHM_LIST = 12,       /**< list the devices that this user may attach to */
};

#define VUC_SHM_REPLY 1 /**< in flags of struct vuc_shm_header */

/** Header of each packet. */
struct vuc_shm_header {
	uint16_t type;     /**< enum vuc_shm_type */
	uint16_t flags;    /**< VUC_SHM_REPLY in a reply, 0 in a request */
	uint32_t size;     /**< bytes of the packet, including this header */
	uint32_t sequence; /**< of a request: that of the previous request plus 1; of its reply: the
			      same */
	int32_t status;    /**< of a reply: 0 or a negative errno; 0 in a request */
};

/** A reply with a status other than 0. No file descriptors. */
struct vuc_shm_failure {
	struct vuc_shm_header header;     /**< as in every packet */
	char reason[VUC_SHM_REASON_SIZE]; /**< one line, with a NUL at its end */
};

/** A request without data (RESET, DETACH), and a reply without data (to CLOSE_QUEUE, RESET,
 * DETACH). */
struct vuc_shm_plain {
	struct vuc_shm_header header; /**< as in every packet */
};

/** Request. No file descriptors. */
struct vuc_shm_hello {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t magic;               /**< VUC_SHM_MAGIC */
	uint16_t version_min;         /**< the lowest version that the VMM supports, at least 1 */
	uint16_t version_max;         /**< the highest one */
	uint32_t reserved;            /**< 0 */
	char name[VUC_SHM_NAME_SIZE]; /**< of the VMM, for logs; with a NUL at its end */
};

/** Reply: the daemon's limits. No file descriptors. -EPROTONOSUPPORT without a common version. */
struct vuc_shm_hello_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint16_t version;      /**< the negotiated version: the highest one that both support */
	uint16_t reserved;     /**< 0 */
	uint32_t max_queues;   /**< of one VMM */
	uint32_t max_depth;    /**< of a queue */
	uint32_t max_data;     /**< bytes of a request of a queue */
	uint32_t max_dma_maps; /**< of one VMM */
	uint32_t pad;          /**< 0 */
};

/** Request. No file descriptors. */
struct vuc_shm_attach {
	struct vuc_shm_header header; /**< as in every packet */
	char name[VUC_SHM_NAME_SIZE]; /**< of the device, with a NUL at its end */
};

/** The server has no access to the VMM's memory: the daemon reads and writes it for the server. The
 * daemon must be able to map the memory, which must not be able to shrink. */
#define VUC_SHM_DMA_MESSAGE (1u << 0)

/** File descriptors of the reply to ATTACH, in this order. The eventfds are non-blocking. */
enum vuc_shm_attach_fd {
	VUC_SHM_FD_STATE,  /**< memory: struct vuc_shm_state, read-only */
	VUC_SHM_FD_BELL,   /**< memory: struct vuc_shm_bell, read-write */
	VUC_SHM_FD_POLLER, /**< memory: struct vuc_shm_poller, read-only */
	VUC_SHM_FD_KICK,   /**< eventfd: write to it to wake the poller */
	VUC_SHM_FD_EVENT,  /**< eventfd: signalled when the state changes */
	VUC_SHM_ATTACH_FDS,
};

/** Reply: the device. -ENOENT when no device has this name, -EACCES when this user may not attach,
 * -EBUSY when another VMM is attached, -ENOTCONN while its server is away. */
struct vuc_shm_attach_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t generation;          /**< number of connections to the device so far */
	uint64_t pgsizes;             /**< bitmap of the page sizes of DMA mappings */
	uint32_t flags;               /**< VUC_SHM_DMA_MESSAGE */
	uint32_t device_flags;        /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions;         /**< valid region indexes are 0 … num_regions - 1 */
	uint32_t num_irqs;            /**< valid IRQ indexes are 0 … num_irqs - 1 */
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

/** A part of a region that can be mapped. Does not contain pages of an MSI-X table. */
struct vuc_shm_area {
	uint64_t offset;      /**< from the start of the region; a multiple of the page size */
	uint64_t size;        /**< bytes; a multiple of the page size, not 0 */
	uint64_t file_offset; /**< for mmap(2) */
	uint32_t fd_index;    /**< index of one of the reply's file descriptors */
	uint32_t reserved;    /**< 0 */
};

/** Reply to REGION_INFO. nr_fds file descriptors of memory. */
struct vuc_shm_region_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint64_t size;                /**< bytes; 0: the region does not exist */
	uint32_t index;               /**< of the request */
	uint32_t flags;               /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint32_t type;                /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;             /**< goes with type */
	uint32_t nr_areas; /**< number of areas, ascending, without overlaps; the packet ends after
			      the last one */
	uint32_t nr_fds;   /**< number of file descriptors of the packet */
	struct vuc_shm_area areas[]; /**< nr_areas of them */
};

/** Reply to IRQ_INFO. No file descriptors. */
struct vuc_shm_irq_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< of the request */
	uint32_t flags;               /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count;               /**< number of interrupts of this index; may be 0 */
	uint32_t reserved;            /**< 0 */
};

/** Request. No file descriptors. */
struct vuc_shm_open_queue {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t depth;               /**< maximum outstanding requests; a power of two */
	uint32_t max_data;            /**< bytes of one request; a multiple of 64, at least 64 */
};

/** Reply. Two file descriptors: the memory of requests, and that of completions, which can only be
 * mapped read-only. */
struct vuc_shm_queue_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< of the queue: the bit in the bell's word */
	uint32_t depth;               /**< of the request */
	uint32_t max_data;            /**< of the request, or less */
	uint32_t reserved;            /**< 0 */
	uint64_t requests_size;       /**< bytes of the memory of requests */
	uint64_t completions_size;    /**< bytes of the memory of completions */
};

/** Operation of an entry of a DMA message. */
enum vuc_shm_dma_op {
	VUC_SHM_DMA_MAP = 1,       /**< map [iova, iova + size) to memory */
	VUC_SHM_DMA_UNMAP = 2,     /**< unmap all mappings in [iova, iova + size) */
	VUC_SHM_DMA_UNMAP_ALL = 3, /**< unmap all mappings */
};

#define VUC_SHM_DMA_READ      (1u << 0) /**< of a MAP: the device may read the memory */
#define VUC_SHM_DMA_WRITE     (1u << 1) /**< of a MAP: the device may write the memory */
#define VUC_SHM_DMA_IF_MAPPED (1u << 2) /**< of an UNMAP: a range without mappings is no error */

/** An entry. Fields that op does not use are 0; an unused fd_index is -1. */
struct vuc_shm_dma_entry {
	uint16_t op;       /**< enum vuc_shm_dma_op */
	uint16_t reserved; /**< 0 */
	uint32_t flags;    /**< VUC_SHM_DMA_* */
	uint64_t iova;     /**< address for the device */
	uint64_t size;     /**< bytes */
	uint64_t offset;   /**< in the memory's file */
	int32_t fd_index;  /**< index of one of the packet's file descriptors */
	uint32_t pad;      /**< 0 */
};

#define VUC_SHM_DMA_COMMIT (1u << 0) /**< execute all entries so far, and wait for the device */

/** Request. nr_fds file descriptors. */
struct vuc_shm_dma {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t nr; /**< number of entries, up to VUC_SHM_MAX_DMA; the packet ends after them */
	uint32_t nr_fds;   /**< number of file descriptors; each is used by an entry */
	uint32_t flags;    /**< VUC_SHM_DMA_COMMIT */
	uint32_t reserved; /**< 0 */
	struct vuc_shm_dma_entry entries[]; /**< nr of them */
};

/** Reply to DMA. No file descriptors. Entries are processed one by one. The status of a failure is
 * that of the first refused entry, and the entries after it are ignored; or, if all entries were
 * accepted, that of the commit. With VUC_SHM_DMA_COMMIT, accepted entries are committed in either
 * case. */
struct vuc_shm_dma_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t mappings;            /**< number of mappings now */
	uint32_t reserved;            /**< 0 */
};

/** Actions on interrupts, and events that an eventfd can signal. */
enum vuc_shm_irq_action {
	VUC_SHM_IRQ_TRIGGER = 0, /**< raise; for an eventfd: raised */
	VUC_SHM_IRQ_MASK = 1,    /**< mask; for an eventfd: masked */
	VUC_SHM_IRQ_UNMASK = 2,  /**< unmask; for an eventfd: unmasked */
	VUC_SHM_IRQ_DISABLE = 3, /**< disable the index; start and count are 0 */
};

/** Which interrupts of the range the action applies to. */
enum vuc_shm_irq_data {
	VUC_SHM_IRQ_ALL = 0,   /**< all of the range */
	VUC_SHM_IRQ_SOME = 1,  /**< count bytes follow: 1 for each interrupt to act on, else 0 */
	VUC_SHM_IRQ_EVENT = 2, /**< count bytes follow: 1 to assign the next file descriptor, 0 to
				  remove one; at most VUC_SHM_MAX_FDS of them are 1 */
};

/** Request. With VUC_SHM_IRQ_EVENT, one eventfd for each byte that is 1. */
struct vuc_shm_set_irqs {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t index;               /**< IRQ index */
	uint32_t start;               /**< first interrupt */
	uint32_t count; /**< interrupts, 1 … VUC_SHM_MAX_IRQS; number of the bytes that follow, if
			   any */
	uint16_t action; /**< enum vuc_shm_irq_action */
	uint16_t data;   /**< enum vuc_shm_irq_data */
	uint8_t which[]; /**< count of them, or none; the packet ends after them */
};

/** Reply to SET_IRQS. No file descriptors. */
struct vuc_shm_irqs_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t done;     /**< processed interrupts, from the first one on, at least 1; the VMM
			      requests the rest again. 0 for VUC_SHM_IRQ_DISABLE */
	uint32_t reserved; /**< 0 */
};

/** A part of a region that is accessed through a file descriptor. */
struct vuc_shm_io_sub_region {
	uint32_t type;           /**< 0 ioeventfd, 1 ioregionfd, 2 ioeventfd with shadow memory */
	uint32_t flags;          /**< KVM_IOEVENTFD_FLAG_* of <linux/kvm.h> */
	uint64_t offset;         /**< from the start of the region */
	uint64_t size;           /**< bytes; 0: of any size */
	uint64_t datamatch;      /**< of an ioeventfd */
	uint64_t user_data;      /**< of an ioregionfd */
	uint64_t shadow_offset;  /**< of the value in the shadow memory */
	int32_t fd_index;        /**< index of one of the reply's file descriptors, or -1 */
	int32_t shadow_fd_index; /**< likewise, of the shadow memory */
};

/** Reply to IO_FDS. nr_fds file descriptors. */
struct vuc_shm_io_reply {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t nr;                  /**< number of sub-regions; the packet ends after them */
	uint32_t nr_fds;              /**< that come with the packet */
	struct vuc_shm_io_sub_region sub_regions[]; /**< nr of them */
};

/** Request, before ATTACH. No file descriptors. */
struct vuc_shm_list {
	struct vuc_shm_header header; /**< as in every packet */
	uint32_t first;               /**< number of devices to skip */
	uint32_t reserved;            /**< 0 */
};

#define VUC_SHM_LISTED_IN_USE    (1u << 0) /**< a VMM is attached, or is being cleaned up after */
#define VUC_SHM_LISTED_CONNECTED (1u << 1) /**< its server is there */

/** A device. */
struct vuc_shm_listed {
	char name[VUC_SHM_NAME_SIZE]; /**< with a NUL at its end */
	uint32_t flags;               /**< VUC_SHM_LISTED_* */
	uint32_t reserved;            /**< 0 */
};

/** Reply to LIST. No file descriptors. */
struct vuc_shm_list_reply {
	struct vuc_shm_header header;    /**< as in every packet */
	uint32_t nr;                     /**< number of devices; the packet ends after them */
	uint32_t more;                   /**< number of devices after these */
	struct vuc_shm_listed devices[]; /**< nr of them */
};

/** State of the device. */
enum vuc_shm_device_state {
	VUC_SHM_ATTACHED = 1, /**< it can be used */
	VUC_SHM_LOST = 2,     /**< its server is away: requests wait for it, or fail */
	VUC_SHM_STALE = 3,    /**< the daemon has reconnected to the server, without this VMM's
				 memory and interrupts: detach, and attach again */
	VUC_SHM_REMOVED = 4,  /**< the operator has removed or detached the device: detach */
	VUC_SHM_STOPPING = 5, /**< the daemon is stopping: detach */
	VUC_SHM_SILENT = 6,   /**< the server has stopped replying: requests time out;
				 VUC_SHM_ATTACHED again when it replies again */
	VUC_SHM_BACK = 7,     /**< as VUC_SHM_ATTACHED: the daemon has reconnected to the server and
				 restored this VMM's memory and interrupts; `resets` has
				 increased */
};

/**
 * State that the daemon publishes, in memory of this size rounded up to pages. A sequence lock:
 * `sequence` is odd during an update. A reader loads it with acquire order, reads the fields,
 * issues a load fence, and starts again if it was odd or has changed.
 */
struct vuc_shm_state {
	uint32_t sequence;   /**< atomic */
	uint32_t state;      /**< enum vuc_shm_device_state */
	uint64_t generation; /**< the current generation of the device */
	uint64_t reads;      /**< requests of this VMM so far: reads, … */
	uint64_t writes;     /**< … writes, … */
	uint64_t posted;     /**< … posted writes, … */
	uint64_t errors;     /**< … and those that failed */
	uint64_t resets;     /**< counter: when it has increased, the guest's driver must reset the
				device, which has lost its registers, as after VUC_SHM_BACK */
	uint64_t remaps;   /**< counter: when it has increased, regions are in other files: request
			      REGION_INFO again, and map the areas anew */
	uint64_t releases; /**< counter: when it has increased, the operator wants the device back:
			      detach soon */
};

/** The doorbell by which a VMM notifies its poller: memory that both write. */
struct vuc_shm_bell {
	uint64_t rung; /**< atomic: bits of queues with new requests; set by the VMM, cleared by the
			  poller */
};

/** State of the poller: memory that only the daemon writes. */
struct vuc_shm_poller {
	uint32_t sleeps; /**< atomic: not 0 while the poller sleeps: write to the kick eventfd */
};

/*
 * The memory of a queue, requests (written by the VMM) and completions (written by the daemon):
 *
 *   requests:     struct vuc_shm_front   | slot 0 … depth-1 | chunk 0 … depth-1 |
 *   completions:  struct vuc_shm_back    | slot 0 … depth-1 | chunk 0 … depth-1 |
 *
 * A slot has 64 bytes, a chunk has max_data bytes.
 */

/** What a request does. */
enum vuc_shm_op {
	VUC_SHM_READ = 1,         /**< read from a region */
	VUC_SHM_WRITE = 2,        /**< write to it */
	VUC_SHM_WRITE_POSTED = 3, /**< write to it without a completion */
	VUC_SHM_WRITE_PCI =
		4, /**< write to it, posted if the daemon posts such writes: the completion
		      means that it is sent if posted, else that it is done */
};

#define VUC_SHM_SLOT_SIZE   64   /**< bytes of a slot */
#define VUC_SHM_REQUEST_MAX 32   /**< bytes of a write in the slot itself; longer: in its chunk */
#define VUC_SHM_ANSWER_MAX  48   /**< bytes of a read in the slot; longer: in the chunk of id */
#define VUC_SHM_MAX_DEPTH   4096 /**< of a queue */
#define VUC_SHM_MAX_DATA    1048576 /**< maximum bytes of a request, if the device allows it */

/** A request. */
struct vuc_shm_request {
	uint64_t offset;                   /**< from the start of the region */
	uint32_t count;                    /**< bytes, 1 … max_data */
	uint16_t op;                       /**< enum vuc_shm_op */
	uint16_t region;                   /**< index */
	uint16_t id;                       /**< below depth, not that of an outstanding request */
	uint16_t reserved[5];              /**< 0; ignored in this version */
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

/** Start of the memory of requests. */
struct vuc_shm_front {
	uint32_t sleeps; /**< atomic: not 0 while the VMM waits for `wakes` to change */
	uint8_t pad[60]; /**< 0 */
};

/** Start of the memory of completions. */
struct vuc_shm_back {
	uint32_t wakes;   /**< atomic counter; the futex that the VMM sleeps on */
	uint32_t bell;    /**< atomic: not 0: ring the doorbell after each request */
	int32_t closed;   /**< atomic: a negative errno: the queue is closed */
	uint8_t pad1[52]; /**< 0 */
	uint32_t taken;   /**< atomic: number of consumed requests modulo 2^32 */
	uint8_t pad2[60]; /**< 0 */
};

#ifdef __cplusplus
}
#endif

#endif /* VUC_SHM_H */
