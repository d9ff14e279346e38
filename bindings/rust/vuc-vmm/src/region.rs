// SPDX-License-Identifier: BSD-3-Clause

use std::mem::size_of;
use std::os::raw::c_int;
use std::os::unix::io::{BorrowedFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::Arc;

use crate::device::Device;
use crate::error::{call, Error, Result};
use crate::sys;

/// A part of a region that can be mapped into the VMM and its guest.
#[derive(Clone, Debug)]
pub struct Area {
    pub offset: u64,
    pub size: u64,
    /// For mmap(2).
    pub file_offset: u64,
    /// For mmap(2); a duplicate of the library's.
    pub fd: Arc<OwnedFd>,
}

/// A region, as it was when [`Device::region`] was called. Query it again after
/// [`Events::REMAP`](crate::Events::REMAP).
#[derive(Clone, Debug)]
pub struct Region {
    pub index: u32,
    /// Bytes; 0: the region does not exist.
    pub size: u64,
    /// `VFIO_REGION_INFO_FLAG_*`
    pub flags: u32,
    pub kind: u32,
    pub subtype: u32,
    /// Ascending, without overlaps.
    pub areas: Vec<Area>,
    /// The descriptor of all areas, if they have one in common, and what has to be added to an
    /// area's `offset` for its `file_offset`.
    pub file: Option<(Arc<OwnedFd>, u64)>,
}

/// What a write to a part of a region does that is accessed through a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKind {
    Eventfd,
    Regionfd,
    EventfdShadow,
    /// One that this version of the crate does not know.
    Other(i32),
}

/// A part of a region that is accessed through a descriptor: struct vuc_vmm_io.
#[derive(Clone, Debug)]
pub struct Io {
    pub kind: IoKind,
    /// `KVM_IOEVENTFD_FLAG_*`
    pub flags: u32,
    pub offset: u64,
    /// Bytes; 0: of any size.
    pub size: u64,
    pub datamatch: u64,
    pub user_data: u64,
    pub shadow_offset: u64,
    pub fd: Option<Arc<OwnedFd>>,
    pub shadow_fd: Option<Arc<OwnedFd>>,
}

/// Duplicates of the library's descriptors, each one once.
#[derive(Default)]
struct Duplicates(Vec<(c_int, Arc<OwnedFd>)>);

impl Duplicates {
    /// `fd` has to be open until this returns, or -1.
    fn get(&mut self, fd: c_int) -> Result<Option<Arc<OwnedFd>>> {
        if fd < 0 {
            return Ok(None);
        }
        if let Some((_, copy)) = self.0.iter().find(|(known, _)| *known == fd) {
            return Ok(Some(copy.clone()));
        }
        // SAFETY: the library keeps it open meanwhile.
        let copy = unsafe { BorrowedFd::borrow_raw(fd) }
            .try_clone_to_owned()
            .map_err(Error::from)?;

        self.0.push((fd, Arc::new(copy)));
        Ok(self.0.last().map(|(_, copy)| copy.clone()))
    }
}

/// An array of C, which may be NULL when it is empty.
///
/// # Safety
/// There are nr elements, valid for 'a.
unsafe fn array<'a, T>(first: *const T, nr: u32) -> &'a [T] {
    if nr == 0 {
        return &[];
    }
    slice::from_raw_parts(first, nr as usize)
}

impl Device {
    /// Query a region: vuc_vmm_region().
    pub fn region(&self, index: u32) -> Result<Region> {
        let mut region = null();
        let mut fds = Duplicates::default();
        let mut query =
            // SAFETY: region is valid during the call.
            || call(|err| unsafe { sys::vuc_vmm_region(self.as_ptr(), index, &mut region, err) });

        // What the library returns is valid until a second REMAP is reported. This call waits; the
        // next one finds the result in the library.
        query()?;
        let _held = self.attached.hold_events();
        query()?;
        // SAFETY: nobody calls vuc_vmm_events() meanwhile.
        let region = unsafe { &*region };
        debug_assert!(region.argsz >= size_of::<sys::Region>());
        // SAFETY: likewise.
        let areas = unsafe { array(region.areas, region.nr_areas) }
            .iter()
            .map(|area| {
                Ok(Area {
                    offset: area.offset,
                    size: area.size,
                    file_offset: area.file_offset,
                    fd: fds.get(area.fd)?.expect("an area has a descriptor"),
                })
            })
            .collect::<Result<_>>()?;

        Ok(Region {
            index: region.index,
            size: region.size,
            flags: region.flags,
            kind: region.r#type,
            subtype: region.subtype,
            areas,
            file: fds.get(region.fd)?.map(|fd| (fd, region.fd_offset)),
        })
    }

    /// Query the parts of a region that are accessed through descriptors: vuc_vmm_io_fds().
    pub fn io_fds(&self, region: u32) -> Result<Vec<Io>> {
        let mut fds = null_mut();
        let mut copies = Duplicates::default();

        // SAFETY: fds is valid during the call.
        call(|err| unsafe { sys::vuc_vmm_io_fds(self.as_ptr(), region, &mut fds, err) })?;
        // SAFETY: they are valid until they are freed.
        debug_assert!(unsafe { (*fds).argsz } >= size_of::<sys::IoFds>());
        // SAFETY: likewise.
        let io = unsafe { array((*fds).io, (*fds).nr) }
            .iter()
            .map(|io| {
                Ok(Io {
                    kind: match io.r#type {
                        0 => IoKind::Eventfd,
                        1 => IoKind::Regionfd,
                        2 => IoKind::EventfdShadow,
                        other => IoKind::Other(other),
                    },
                    flags: io.flags,
                    offset: io.offset,
                    size: io.size,
                    datamatch: io.datamatch,
                    user_data: io.user_data,
                    shadow_offset: io.shadow_offset,
                    fd: copies.get(io.fd)?,
                    shadow_fd: copies.get(io.shadow_fd)?,
                })
            })
            .collect();

        // SAFETY: nothing of it is used any more.
        unsafe { sys::vuc_vmm_io_fds_free(fds) };
        io
    }
}
