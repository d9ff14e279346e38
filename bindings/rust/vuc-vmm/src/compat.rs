// SPDX-License-Identifier: BSD-3-Clause

//! The functions of `vfio_user::Client` of rust-vmm's crate, over a device of vucd: for VMMs that
//! were written for that crate. `bindings/rust/README.md` says what to change in them.
//!
//! In contrast to the original, errors of the device are returned, nothing waits for ever, and
//! [`Client::resettable`] is true for a device that can be reset.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::io::{AsFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::EINVAL;
use crate::{AttachOptions, Device, DmaMapping, IrqAction, IrqData, IrqRange, Queue};

pub use crate::Error;

const VFIO_DEVICE_FLAGS_RESET: u32 = 1 << 0;
const VFIO_REGION_INFO_FLAG_MMAP: u32 = 1 << 2;
const VFIO_IRQ_SET_DATA_NONE: u32 = 1 << 0;
const VFIO_IRQ_SET_DATA_EVENTFD: u32 = 1 << 2;
const VFIO_IRQ_SET_ACTION_MASK: u32 = 1 << 3;
const VFIO_IRQ_SET_ACTION_UNMASK: u32 = 1 << 4;
const VFIO_IRQ_SET_ACTION_TRIGGER: u32 = 1 << 5;
const VFIO_IRQ_SET_DATA_MASK: u32 = 7;

const ENODEV: i32 = 19;
const DEVICE: &[u8] = b"?device=";

/// A file, and where a region begins in it.
#[derive(Clone, Debug)]
pub struct FileOffset {
    file: Arc<File>,
    start: u64,
}

impl FileOffset {
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn start(&self) -> u64 {
        self.start
    }
}

/// struct vfio_region_sparse_mmap_area of `<linux/vfio.h>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SparseArea {
    pub offset: u64,
    pub size: u64,
}

#[derive(Debug)]
pub struct Region {
    /// Without `VFIO_REGION_INFO_FLAG_MMAP` if there are no areas, or areas of several files.
    pub flags: u32,
    pub index: u32,
    pub size: u64,
    pub file_offset: Option<FileOffset>,
    pub sparse_areas: Vec<SparseArea>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    pub index: u32,
    pub flags: u32,
    pub count: u32,
}

/// A device of vucd. It is detached by [`Client::shutdown`], or when it is dropped.
#[derive(Debug)]
pub struct Client {
    /// `None` after shutdown.
    attached: Mutex<Option<(Queue, Device)>>,
    resettable: bool,
    regions: Vec<Region>,
}

fn region_of(device: &Device, index: u32) -> Result<Region, Error> {
    let region = device.region(index)?;
    let file_offset = match region.file {
        Some((fd, start)) => Some(FileOffset {
            file: Arc::new(File::from(fd.try_clone()?)),
            start,
        }),
        None => None,
    };
    let mut flags = region.flags;
    let mut sparse_areas = Vec::new();

    if file_offset.is_some() {
        sparse_areas = region
            .areas
            .iter()
            .map(|area| SparseArea {
                offset: area.offset,
                size: area.size,
            })
            .collect();
    }
    if sparse_areas.is_empty() {
        flags &= !VFIO_REGION_INFO_FLAG_MMAP;
    }
    Ok(Region {
        flags,
        index,
        size: region.size,
        file_offset,
        sparse_areas,
    })
}

/// Split `PATH?device=NAME`.
fn split(path: &Path) -> Result<(&Path, &str), Error> {
    let bytes = path.as_os_str().as_bytes();

    bytes
        .windows(DEVICE.len())
        .rposition(|window| window == DEVICE)
        .and_then(|at| {
            let name = std::str::from_utf8(&bytes[at + DEVICE.len()..]).ok()?;

            Some((Path::new(std::ffi::OsStr::from_bytes(&bytes[..at])), name))
        })
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(|| {
            Error::new(
                EINVAL,
                format!("'{}' is not PATH?device=NAME", path.display()),
            )
        })
}

fn action_of(flags: u32) -> Result<IrqAction, Error> {
    match flags & !VFIO_IRQ_SET_DATA_MASK {
        VFIO_IRQ_SET_ACTION_MASK => Ok(IrqAction::Mask),
        VFIO_IRQ_SET_ACTION_UNMASK => Ok(IrqAction::Unmask),
        VFIO_IRQ_SET_ACTION_TRIGGER => Ok(IrqAction::Trigger),
        _ => Err(Error::new(EINVAL, format!("set_irqs: flags {flags:#x}"))),
    }
}

impl Client {
    /// Attach to a device of vucd: `path` is that of its socket with `?device=NAME` behind it.
    pub fn new(path: &Path) -> Result<Client, Error> {
        let (socket, name) = split(path)?;
        let device = Device::attach(&AttachOptions::new(name).socket(socket))?;
        let queue = device.open_queue(&Default::default())?;
        let info = device.info();
        let regions = (0..info.num_regions)
            .map(|index| region_of(&device, index))
            .collect::<Result<_, _>>()?;

        Ok(Client {
            attached: Mutex::new(Some((queue, device))),
            resettable: info.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            regions,
        })
    }

    fn attached(&mut self) -> Result<&mut (Queue, Device), Error> {
        self.attached
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .ok_or_else(|| Error::new(ENODEV, "the client was shut down"))
    }

    pub fn dma_map(
        &mut self,
        offset: u64,
        address: u64,
        size: u64,
        fd: RawFd,
    ) -> Result<(), Error> {
        let (_, device) = self.attached()?;

        if fd < 0 {
            device.dma_map(&[DmaMapping::without_file(address, size)])?;
        } else {
            // SAFETY: as in the original, the caller keeps it open during the call.
            let file = unsafe { BorrowedFd::borrow_raw(fd) };

            device.dma_map(&[DmaMapping::new(address, size, &file.as_fd()).offset(offset)])?;
        }
        device.dma_commit()
    }

    pub fn dma_unmap(&mut self, address: u64, size: u64) -> Result<(), Error> {
        let (_, device) = self.attached()?;

        device.dma_unmap(address, size)?;
        device.dma_commit()
    }

    pub fn reset(&mut self) -> Result<(), Error> {
        self.attached()?.1.reset()
    }

    pub fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        self.attached()?.0.read(region, offset, data)
    }

    /// Posted, if the device's `posted-writes` allows it.
    pub fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.attached()?.0.write_pci(region, offset, data)
    }

    pub fn get_irq_info(&mut self, index: u32) -> Result<IrqInfo, Error> {
        let irq = self.attached()?.1.irq(index)?;

        Ok(IrqInfo {
            index: irq.index,
            flags: irq.flags,
            count: irq.count,
        })
    }

    /// `flags`: `VFIO_IRQ_SET_*`, with data of the types NONE and EVENTFD. Without descriptors, the
    /// eventfds of the range are removed; -1 removes one.
    pub fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: &[RawFd],
    ) -> Result<(), Error> {
        let (_, device) = self.attached()?;
        let action = action_of(flags)?;
        let range = IrqRange {
            index,
            start,
            count,
        };

        match flags & VFIO_IRQ_SET_DATA_MASK {
            VFIO_IRQ_SET_DATA_NONE => device.irq_set(range, action, IrqData::None),
            VFIO_IRQ_SET_DATA_EVENTFD if fds.is_empty() => {
                let max = device.irq(index)?.count;

                if count > max {
                    let text = format!("IRQ index {index}: {count} interrupts of {max}");
                    return Err(Error::new(EINVAL, text));
                }
                device.irq_set(range, action, IrqData::Eventfd(&vec![None; count as usize]))
            }
            VFIO_IRQ_SET_DATA_EVENTFD => {
                let fds: Vec<_> = fds
                    .iter()
                    // SAFETY: as in the original, the caller keeps them open during the call.
                    .map(|&fd| (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) }))
                    .collect();

                device.irq_set(range, action, IrqData::Eventfd(&fds))
            }
            _ => Err(Error::new(EINVAL, format!("set_irqs: flags {flags:#x}"))),
        }
    }

    pub fn region(&self, region_index: u32) -> Option<&Region> {
        self.regions.get(region_index as usize)
    }

    /// Whether the device can be reset.
    pub fn resettable(&self) -> bool {
        self.resettable
    }

    /// Detach. All other functions that use the device fail from here on.
    pub fn shutdown(&self) -> Result<(), Error> {
        let attached = self
            .attached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();

        drop(attached);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let path = Path::new("/run/a?device=b/vmm.sock?device=disk0");

        assert_eq!(
            split(path),
            Ok((Path::new("/run/a?device=b/vmm.sock"), "disk0"))
        );
        for wrong in ["/run/vmm.sock", "/run/vmm.sock?device=", ""] {
            assert_eq!(split(Path::new(wrong)).unwrap_err().errno(), EINVAL);
        }
    }

    #[test]
    fn actions() {
        assert_eq!(action_of(0x24), Ok(IrqAction::Trigger));
        assert_eq!(action_of(0x0c), Ok(IrqAction::Mask));
        assert_eq!(action_of(0x11), Ok(IrqAction::Unmask));
        assert!(action_of(0x30).is_err());
        assert!(action_of(0x44).is_err());
    }
}
