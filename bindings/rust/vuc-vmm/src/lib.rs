// SPDX-License-Identifier: BSD-3-Clause

//! vfio-user devices that vucd owns, for VMMs in Rust: safe types over libvuc-vmm, which
//! `<vuc/vmm.h>` and libvuc-vmm(7) describe. Nothing but the standard library is needed besides.
//!
//! ```no_run
//! use vuc_vmm::{AttachOptions, Device, DmaMapping, Events};
//!
//! # fn main() -> vuc_vmm::Result<()> {
//! let device = Device::attach(&AttachOptions::new("disk0"))?;
//! let memory = std::fs::File::open("/dev/shm/guest")?;
//! device.dma_map(&[DmaMapping::new(0, 1 << 30, &memory)])?;
//! device.dma_commit()?;
//!
//! let mut queue = device.open_queue(&Default::default())?; // one for each vCPU
//! let mut value = [0; 4];
//! queue.read(0, 0x1c, &mut value)?;
//! if device.events().contains(Events::RESET) {
//!     println!("the server was restarted");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The device is detached when the last [`Device`] and [`Queue`] of it is dropped.

mod device;
mod dma;
mod error;
mod irq;
mod queue;
mod region;
mod sys;

pub mod compat;

pub use device::{AttachOptions, Counters, Device, Events, Info, Listed, Pending};
pub use dma::DmaMapping;
pub use error::{Error, Result};
pub use irq::{Irq, IrqAction, IrqData, IrqRange};
pub use queue::{Queue, QueueOptions};
pub use region::{Area, Io, IoKind, Region};
