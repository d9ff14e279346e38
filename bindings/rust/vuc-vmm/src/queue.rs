// SPDX-License-Identifier: BSD-3-Clause

use std::ffi::CStr;
use std::mem::size_of;
use std::os::raw::{c_int, c_void};
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;

use crate::device::{Attached, Device};
use crate::error::{call, Error, Result, EINVAL};
use crate::sys;

fn count_of(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::new(EINVAL, format!("an access of {len} bytes")))
}

/// How to open a queue; 0 means the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueOptions {
    /// Most requests outstanding: a power of two.
    pub depth: u32,
    /// Most bytes of one request: a multiple of 64.
    pub max_data: u32,
}

/// A queue, through which one thread at a time accesses the device: vuc_vmm_open_queue(). Without a
/// system call while both sides are awake.
#[derive(Debug)]
pub struct Queue {
    ptr: NonNull<sys::Queue>,
    attached: Arc<Attached>,
}

// SAFETY: a queue may go from thread to thread; &mut self sees to it that one at a time uses it.
unsafe impl Send for Queue {}

impl Queue {
    fn check(&self, ret: c_int) -> Result<()> {
        if ret >= 0 {
            return Ok(());
        }
        // SAFETY: the text is valid until the next call for this queue.
        Err(Error::from_c(ret, unsafe {
            CStr::from_ptr(sys::vuc_queue_reason(self.ptr.as_ptr()))
        }))
    }

    /// Read from a region, and wait.
    pub fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<()> {
        let count = count_of(data.len())?;

        // SAFETY: data is valid during the call, which waits for the result.
        self.check(unsafe {
            sys::vuc_queue_read(
                self.ptr.as_ptr(),
                region,
                offset,
                data.as_mut_ptr() as *mut c_void,
                count,
            )
        })
    }

    /// Write to a region, and wait.
    pub fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        self.put(sys::vuc_queue_write, region, offset, data)
    }

    /// Write to a region as PCI does: posted, if the device's `posted-writes` allows it.
    pub fn write_pci(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        self.put(sys::vuc_queue_write_pci, region, offset, data)
    }

    /// Write to a region without waiting for the device; later calls return errors.
    pub fn post(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        self.put(sys::vuc_queue_post, region, offset, data)
    }

    fn put(
        &mut self,
        f: unsafe extern "C" fn(*mut sys::Queue, u32, u64, *const c_void, u32) -> c_int,
        region: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<()> {
        let count = count_of(data.len())?;

        // SAFETY: data is copied during the call.
        self.check(unsafe {
            f(
                self.ptr.as_ptr(),
                region,
                offset,
                data.as_ptr() as *const c_void,
                count,
            )
        })
    }

    /// Most bytes of one request.
    pub fn max_data(&self) -> u32 {
        // SAFETY: the queue is open.
        unsafe { sys::vuc_queue_max_data(self.ptr.as_ptr()) }
    }

    /// How many times to look for a result before sleeping; 0: sleep at once.
    pub fn set_spin(&mut self, spins: u32) {
        // SAFETY: the queue is open.
        unsafe { sys::vuc_queue_set_spin(self.ptr.as_ptr(), spins) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: no thread uses it any more, and the device is attached.
        unsafe { sys::vuc_vmm_close_queue(self.attached.as_ptr(), self.ptr.as_ptr()) }
    }
}

impl Device {
    /// Open a queue, for one thread: a VMM has one for each vCPU.
    pub fn open_queue(&self, options: &QueueOptions) -> Result<Queue> {
        let mut opts = sys::QueueOpts {
            size: 0,
            depth: 0,
            max_data: 0,
        };
        let mut queue = null_mut();

        // SAFETY: opts has as many bytes as the function is told.
        unsafe { sys::vuc_queue_opts_init(&mut opts, size_of::<sys::QueueOpts>()) };
        if options.depth != 0 {
            opts.depth = options.depth;
        }
        if options.max_data != 0 {
            opts.max_data = options.max_data;
        }
        // SAFETY: opts and queue are valid during the call.
        call(|err| unsafe { sys::vuc_vmm_open_queue(self.as_ptr(), &opts, &mut queue, err) })?;
        Ok(Queue {
            ptr: NonNull::new(queue).expect("an open queue"),
            attached: self.attached.clone(),
        })
    }

    /// Read from a region, for threads without a queue of their own: vuc_vmm_read().
    pub fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<()> {
        let count = count_of(data.len())?;

        // SAFETY: data is valid during the call, which waits for the result.
        call(|err| unsafe {
            sys::vuc_vmm_read(
                self.as_ptr(),
                region,
                offset,
                data.as_mut_ptr() as *mut c_void,
                count,
                err,
            )
        })
        .map(drop)
    }

    /// Write likewise, and wait.
    pub fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        let count = count_of(data.len())?;

        // SAFETY: data is valid during the call.
        call(|err| unsafe {
            sys::vuc_vmm_write(
                self.as_ptr(),
                region,
                offset,
                data.as_ptr() as *const c_void,
                count,
                err,
            )
        })
        .map(drop)
    }

    /// Write likewise, as PCI does.
    pub fn write_pci(&self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        let count = count_of(data.len())?;

        // SAFETY: data is valid during the call.
        call(|err| unsafe {
            sys::vuc_vmm_write_pci(
                self.as_ptr(),
                region,
                offset,
                data.as_ptr() as *const c_void,
                count,
                err,
            )
        })
        .map(drop)
    }
}
