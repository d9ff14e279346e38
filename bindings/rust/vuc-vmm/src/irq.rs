// SPDX-License-Identifier: BSD-3-Clause

use std::mem::size_of;
use std::os::raw::{c_int, c_void};
use std::os::unix::io::{AsRawFd, BorrowedFd};

use crate::device::Device;
use crate::error::{call, Error, Result, EINVAL};
use crate::sys;

/// An IRQ index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irq {
    pub index: u32,
    /// `VFIO_IRQ_INFO_*`
    pub flags: u32,
    pub count: u32,
}

/// Interrupts of an index: `start` to `start + count - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqRange {
    pub index: u32,
    pub start: u32,
    pub count: u32,
}

/// What is done to interrupts, or what signals an eventfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqAction {
    Trigger = 0,
    Mask = 1,
    Unmask = 2,
}

/// What goes with an action in [`Device::irq_set`].
#[derive(Clone, Copy, Debug)]
pub enum IrqData<'a> {
    None,
    /// For each interrupt, whether the action is meant for it.
    Bool(&'a [bool]),
    /// For each interrupt its eventfd; `None` removes it.
    Eventfd(&'a [Option<BorrowedFd<'a>>]),
}

fn raw(fds: &[Option<BorrowedFd<'_>>]) -> Vec<c_int> {
    fds.iter()
        .map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd()))
        .collect()
}

fn check_len(what: &str, range: &IrqRange, len: usize) -> Result<()> {
    if len == range.count as usize {
        return Ok(());
    }
    let text = format!(
        "IRQ index {}: {len} {what} for {} interrupts",
        range.index, range.count
    );
    Err(Error::new(EINVAL, text))
}

/// A struct vfio_irq_set with its data, in words because that aligns it.
fn irq_set(range: &IrqRange, action: IrqAction, data: IrqData<'_>) -> Result<Vec<u32>> {
    const HEADER: usize = 5 * size_of::<u32>();
    let (flag, payload): (u32, Vec<u8>) = match data {
        IrqData::None => (1 << 0, Vec::new()),
        IrqData::Bool(bools) => {
            check_len("flags", range, bools.len())?;
            (1 << 1, bools.iter().map(|b| u8::from(*b)).collect())
        }
        IrqData::Eventfd(fds) => {
            check_len("eventfds", range, fds.len())?;
            (
                1 << 2,
                raw(fds).iter().flat_map(|fd| fd.to_ne_bytes()).collect(),
            )
        }
    };
    let action = match action {
        IrqAction::Mask => 1 << 3,
        IrqAction::Unmask => 1 << 4,
        IrqAction::Trigger => 1 << 5,
    };
    let mut set = vec![
        (HEADER + payload.len()) as u32,
        flag | action,
        range.index,
        range.start,
        range.count,
    ];

    set.extend(payload.chunks(size_of::<u32>()).map(|chunk| {
        let mut word = [0; size_of::<u32>()];

        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    }));
    Ok(set)
}

impl Device {
    pub fn irq(&self, index: u32) -> Result<Irq> {
        let mut irq = sys::Irq {
            argsz: size_of::<sys::Irq>(),
            ..Default::default()
        };

        // SAFETY: irq is valid during the call.
        call(|err| unsafe { sys::vuc_vmm_irq(self.as_ptr(), index, &mut irq, err) })?;
        Ok(Irq {
            index: irq.index,
            flags: irq.flags,
            count: irq.count,
        })
    }

    /// Assign eventfds to interrupts, or remove them: vuc_vmm_irq_assign().
    pub fn irq_assign(
        &self,
        range: IrqRange,
        action: IrqAction,
        eventfds: &[Option<BorrowedFd<'_>>],
    ) -> Result<()> {
        check_len("eventfds", &range, eventfds.len())?;
        let eventfds = raw(eventfds);
        let range = c_range(&range);

        // SAFETY: there are as many descriptors as the range says, valid during the call.
        call(|err| unsafe {
            sys::vuc_vmm_irq_assign(
                self.as_ptr(),
                &range,
                action as c_int,
                eventfds.as_ptr(),
                err,
            )
        })
        .map(drop)
    }

    /// Trigger, mask or unmask all interrupts of a range.
    pub fn irq_act(&self, range: IrqRange, action: IrqAction) -> Result<()> {
        let range = c_range(&range);

        // SAFETY: the range is valid during the call.
        call(|err| unsafe { sys::vuc_vmm_irq_act(self.as_ptr(), &range, action as c_int, err) })
            .map(drop)
    }

    /// Disable all interrupts of an index, and remove their eventfds.
    pub fn irq_disable(&self, index: u32) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_irq_disable(self.as_ptr(), index, err) }).map(drop)
    }

    /// What ioctl(VFIO_DEVICE_SET_IRQS) does: vuc_vmm_irq_set().
    pub fn irq_set(&self, range: IrqRange, action: IrqAction, data: IrqData<'_>) -> Result<()> {
        let set = irq_set(&range, action, data)?;

        // SAFETY: the set is as long as it says, and valid during the call.
        call(|err| unsafe {
            sys::vuc_vmm_irq_set(self.as_ptr(), set.as_ptr() as *const c_void, err)
        })
        .map(drop)
    }
}

fn c_range(range: &IrqRange) -> sys::IrqRange {
    sys::IrqRange {
        index: range.index,
        start: range.start,
        count: range.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: IrqRange = IrqRange {
        index: 2,
        start: 1,
        count: 3,
    };

    #[test]
    fn set_without_data() {
        for (action, flags) in [
            (IrqAction::Trigger, 0x21),
            (IrqAction::Unmask, 0x11),
            (IrqAction::Mask, 0x09),
        ] {
            assert_eq!(
                irq_set(&RANGE, action, IrqData::None),
                Ok(vec![20, flags, 2, 1, 3])
            );
        }
    }

    #[test]
    fn set_with_flags() {
        assert_eq!(
            irq_set(&RANGE, IrqAction::Mask, IrqData::Bool(&[true, false, true])),
            Ok(vec![23, 0x0a, 2, 1, 3, u32::from_le(0x010001)])
        );
    }

    #[test]
    fn set_with_eventfds() {
        assert_eq!(
            irq_set(
                &RANGE,
                IrqAction::Trigger,
                IrqData::Eventfd(&[None, None, None])
            ),
            Ok(vec![32, 0x24, 2, 1, 3, !0, !0, !0])
        );
    }

    #[test]
    fn set_with_too_few() {
        let error = irq_set(&RANGE, IrqAction::Trigger, IrqData::Eventfd(&[None])).unwrap_err();

        assert_eq!(error.errno(), EINVAL);
        assert_eq!(
            error.to_string(),
            "IRQ index 2: 1 eventfds for 3 interrupts"
        );
    }
}
