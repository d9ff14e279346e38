// SPDX-License-Identifier: BSD-3-Clause

use std::mem::size_of;
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd};

use crate::device::Device;
use crate::error::{call, Result};
use crate::sys;

const READ: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;

/// A DMA mapping: a range of memory and its address for the device. The device may read and write
/// it unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct DmaMapping<'a> {
    iova: u64,
    size: u64,
    offset: u64,
    flags: u32,
    fd: Option<BorrowedFd<'a>>,
}

impl<'a> DmaMapping<'a> {
    /// Memory of a file: a memfd, hugetlbfs, /dev/shm.
    pub fn new(iova: u64, size: u64, file: &'a impl AsFd) -> Self {
        DmaMapping {
            fd: Some(file.as_fd()),
            ..DmaMapping::without_file(iova, size)
        }
    }

    /// Memory without a file (a ROM, another device's BAR): accepted, but out of the device's reach.
    pub fn without_file(iova: u64, size: u64) -> Self {
        DmaMapping {
            iova,
            size,
            offset: 0,
            flags: READ | WRITE,
            fd: None,
        }
    }

    /// Where the memory begins in the file.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The device may not write it.
    pub fn read_only(mut self) -> Self {
        self.flags = READ;
        self
    }

    /// The device may not read it.
    pub fn write_only(mut self) -> Self {
        self.flags = WRITE;
        self
    }
}

/// Mappings are queued, and executed by [`Device::dma_commit`].
impl Device {
    /// Queue mappings. Returns the number of those without a file.
    pub fn dma_map(&self, mappings: &[DmaMapping<'_>]) -> Result<usize> {
        let mappings: Vec<_> = mappings
            .iter()
            .map(|m| sys::Dma {
                argsz: size_of::<sys::Dma>(),
                iova: m.iova,
                size: m.size,
                offset: m.offset,
                flags: m.flags,
                fd: m.fd.map_or(-1, |fd| fd.as_raw_fd()),
            })
            .collect();

        // SAFETY: the mappings are valid during the call, and so are their descriptors.
        let ret = call(|err| unsafe {
            sys::vuc_vmm_dma_map(self.as_ptr(), mappings.as_ptr(), mappings.len(), err)
        })?;
        Ok(ret as usize)
    }

    /// Queue the unmapping of all mappings in a range.
    pub fn dma_unmap(&self, iova: u64, size: u64) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_dma_unmap(self.as_ptr(), iova, size, err) }).map(drop)
    }

    /// The same, but a range without a mapping is no error of the commit.
    pub fn dma_unmap_if_mapped(&self, iova: u64, size: u64) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_dma_unmap_if_mapped(self.as_ptr(), iova, size, err) })
            .map(drop)
    }

    /// Queue the unmapping of all mappings.
    pub fn dma_unmap_all(&self) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_dma_unmap_all(self.as_ptr(), err) }).map(drop)
    }
}
