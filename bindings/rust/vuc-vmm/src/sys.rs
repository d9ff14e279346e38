// SPDX-License-Identifier: BSD-3-Clause

//! What the crate uses of `<vuc/vmm.h>` and `<vuc/queue.h>`.

use std::os::raw::{c_char, c_int, c_void};

pub const ERROR_MAX: usize = 256;

/// Opaque types of C.
#[repr(C)]
pub struct Device {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Queue {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Error {
    pub text: [c_char; ERROR_MAX],
}

#[repr(C)]
pub struct AttachOpts {
    pub size: usize,
    pub socket: *const c_char,
    pub device: *const c_char,
    pub name: *const c_char,
    pub timeout_ms: u32,
    pub fd: c_int,
    pub wait_ms: u32,
    pub reattach_wait_ms: u32,
}

#[repr(C)]
pub struct Listed {
    pub argsz: usize,
    pub name: *const c_char,
    pub flags: u32,
}

#[repr(C)]
pub struct List {
    pub argsz: usize,
    pub nr: u32,
    pub devices: *const *const Listed,
}

#[repr(C)]
pub struct Info {
    pub argsz: usize,
    pub generation: u64,
    pub pgsizes: u64,
    pub flags: u32,
    pub num_regions: u32,
    pub num_irqs: u32,
    pub max_dma_maps: u32,
    pub max_queues: u32,
    pub max_depth: u32,
    pub max_data: u32,
    pub dma_message: bool,
}

#[repr(C)]
pub struct Area {
    pub offset: u64,
    pub size: u64,
    pub file_offset: u64,
    pub fd: c_int,
}

#[repr(C)]
pub struct Region {
    pub argsz: usize,
    pub size: u64,
    pub index: u32,
    pub flags: u32,
    pub r#type: u32,
    pub subtype: u32,
    pub nr_areas: u32,
    pub areas: *const Area,
    pub fd: c_int,
    pub fd_offset: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct Irq {
    pub argsz: usize,
    pub index: u32,
    pub flags: u32,
    pub count: u32,
}

#[repr(C)]
pub struct QueueOpts {
    pub size: usize,
    pub depth: u32,
    pub max_data: u32,
}

#[repr(C)]
pub struct Dma {
    pub argsz: usize,
    pub iova: u64,
    pub size: u64,
    pub offset: u64,
    pub flags: u32,
    pub fd: c_int,
}

#[repr(C)]
pub struct IrqRange {
    pub index: u32,
    pub start: u32,
    pub count: u32,
}

#[repr(C)]
pub struct Io {
    pub r#type: c_int,
    pub flags: u32,
    pub offset: u64,
    pub size: u64,
    pub datamatch: u64,
    pub user_data: u64,
    pub shadow_offset: u64,
    pub fd: c_int,
    pub shadow_fd: c_int,
}

#[repr(C)]
pub struct IoFds {
    pub argsz: usize,
    pub nr: u32,
    pub io: *const Io,
}

#[repr(C)]
#[derive(Default)]
pub struct Counters {
    pub argsz: usize,
    pub reads: u64,
    pub writes: u64,
    pub posted: u64,
    pub errors: u64,
}

pub type DoneFn = extern "C" fn(arg: *mut c_void, status: c_int, err: *const Error);

extern "C" {
    pub fn vuc_vmm_attach_opts_init(opts: *mut AttachOpts, size: usize);
    pub fn vuc_vmm_attach(opts: *const AttachOpts, dev: *mut *mut Device, err: *mut Error)
        -> c_int;
    pub fn vuc_vmm_list(opts: *const AttachOpts, list: *mut *mut List, err: *mut Error) -> c_int;
    pub fn vuc_vmm_list_free(list: *mut List);
    pub fn vuc_vmm_detach(dev: *mut Device);
    pub fn vuc_vmm_reattach(dev: *mut Device, fd: c_int, err: *mut Error) -> c_int;
    pub fn vuc_vmm_info(dev: *const Device) -> *const Info;
    pub fn vuc_vmm_region(
        dev: *mut Device,
        index: u32,
        region: *mut *const Region,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_irq(dev: *mut Device, index: u32, irq: *mut Irq, err: *mut Error) -> c_int;
    pub fn vuc_vmm_open_queue(
        dev: *mut Device,
        opts: *const QueueOpts,
        queue: *mut *mut Queue,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_close_queue(dev: *mut Device, queue: *mut Queue);
    pub fn vuc_vmm_read(
        dev: *mut Device,
        region: u32,
        offset: u64,
        data: *mut c_void,
        count: u32,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_write(
        dev: *mut Device,
        region: u32,
        offset: u64,
        data: *const c_void,
        count: u32,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_write_pci(
        dev: *mut Device,
        region: u32,
        offset: u64,
        data: *const c_void,
        count: u32,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_dma_map(
        dev: *mut Device,
        mappings: *const Dma,
        nr: usize,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_dma_unmap(dev: *mut Device, iova: u64, size: u64, err: *mut Error) -> c_int;
    pub fn vuc_vmm_dma_unmap_if_mapped(
        dev: *mut Device,
        iova: u64,
        size: u64,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_dma_unmap_all(dev: *mut Device, err: *mut Error) -> c_int;
    pub fn vuc_vmm_dma_commit(dev: *mut Device, err: *mut Error) -> c_int;
    pub fn vuc_vmm_dma_commit_start(
        dev: *mut Device,
        done: DoneFn,
        arg: *mut c_void,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_irq_assign(
        dev: *mut Device,
        range: *const IrqRange,
        action: c_int,
        eventfds: *const c_int,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_irq_act(
        dev: *mut Device,
        range: *const IrqRange,
        action: c_int,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_irq_disable(dev: *mut Device, index: u32, err: *mut Error) -> c_int;
    pub fn vuc_vmm_irq_set(dev: *mut Device, set: *const c_void, err: *mut Error) -> c_int;
    pub fn vuc_vmm_io_fds(
        dev: *mut Device,
        region: u32,
        fds: *mut *mut IoFds,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_io_fds_free(fds: *mut IoFds);
    pub fn vuc_vmm_reset(dev: *mut Device, err: *mut Error) -> c_int;
    pub fn vuc_vmm_reset_start(
        dev: *mut Device,
        done: DoneFn,
        arg: *mut c_void,
        err: *mut Error,
    ) -> c_int;
    pub fn vuc_vmm_event_fd(dev: *const Device) -> c_int;
    pub fn vuc_vmm_events(dev: *mut Device) -> u32;
    pub fn vuc_vmm_counters(dev: *const Device, counters: *mut Counters) -> c_int;

    pub fn vuc_queue_opts_init(opts: *mut QueueOpts, size: usize);
    pub fn vuc_queue_read(
        queue: *mut Queue,
        region: u32,
        offset: u64,
        data: *mut c_void,
        count: u32,
    ) -> c_int;
    pub fn vuc_queue_write(
        queue: *mut Queue,
        region: u32,
        offset: u64,
        data: *const c_void,
        count: u32,
    ) -> c_int;
    pub fn vuc_queue_write_pci(
        queue: *mut Queue,
        region: u32,
        offset: u64,
        data: *const c_void,
        count: u32,
    ) -> c_int;
    pub fn vuc_queue_post(
        queue: *mut Queue,
        region: u32,
        offset: u64,
        data: *const c_void,
        count: u32,
    ) -> c_int;
    pub fn vuc_queue_reason(queue: *mut Queue) -> *const c_char;
    pub fn vuc_queue_max_data(queue: *const Queue) -> u32;
    pub fn vuc_queue_set_spin(queue: *mut Queue, spins: u32);
}
