// SPDX-License-Identifier: BSD-3-Clause

use std::ffi::{CStr, CString};
use std::mem::{size_of, zeroed};
use std::ops::BitOr;
use std::os::raw::{c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::ptr::{null, null_mut, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{call, Error, Result, EINVAL};
use crate::sys;

fn c_string(what: &str, bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(EINVAL, format!("{what} contains a NUL byte")))
}

/// How to attach: struct vuc_vmm_attach_opts.
#[derive(Debug)]
pub struct AttachOptions<'a> {
    device: &'a str,
    socket: Option<&'a Path>,
    name: Option<&'a str>,
    timeout_ms: Option<u32>,
    fd: Option<BorrowedFd<'a>>,
    wait_ms: u32,
    reattach_wait_ms: u32,
}

impl<'a> AttachOptions<'a> {
    /// `device`: its name in the daemon's configuration.
    pub fn new(device: &'a str) -> Self {
        AttachOptions {
            device,
            socket: None,
            name: None,
            timeout_ms: None,
            fd: None,
            wait_ms: 0,
            reattach_wait_ms: 0,
        }
    }

    /// Path of the daemon's socket. Default: `$VUCD_SOCKET`, else vucd's default.
    pub fn socket(mut self, path: &'a Path) -> Self {
        self.socket = Some(path);
        self
    }

    /// Name of this VMM in the daemon's logs. Default: that of the program.
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Timeout in milliseconds for attaching and for each function that sends a message.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// A connected SOCK_SEQPACKET socket, for VMMs that may not open one. It is duplicated.
    pub fn fd(mut self, fd: BorrowedFd<'a>) -> Self {
        self.fd = Some(fd);
        self
    }

    /// How long to wait, in milliseconds, while the daemon or the device is not there.
    pub fn wait_ms(mut self, wait_ms: u32) -> Self {
        self.wait_ms = wait_ms;
        self
    }

    /// The same for [`Device::reattach`]. Default: that of attaching.
    pub fn reattach_wait_ms(mut self, wait_ms: u32) -> Self {
        self.reattach_wait_ms = wait_ms;
        self
    }

    fn with_c<T>(&self, f: impl FnOnce(&sys::AttachOpts) -> Result<T>) -> Result<T> {
        let device = c_string("the name of the device", self.device.as_bytes())?;
        let socket = self
            .socket
            .map(|path| c_string("the path of the socket", path.as_os_str().as_bytes()))
            .transpose()?;
        let name = self
            .name
            .map(|name| c_string("the name of the VMM", name.as_bytes()))
            .transpose()?;
        // SAFETY: zeros are valid in each field, and the function fills as much as it is told.
        let mut opts: sys::AttachOpts = unsafe { zeroed() };

        // SAFETY: as above.
        unsafe { sys::vuc_vmm_attach_opts_init(&mut opts, size_of::<sys::AttachOpts>()) };
        opts.device = device.as_ptr();
        opts.socket = socket.as_ref().map_or(null(), |s| s.as_ptr());
        opts.name = name.as_ref().map_or(null(), |s| s.as_ptr());
        opts.timeout_ms = self.timeout_ms.unwrap_or(opts.timeout_ms);
        opts.fd = self.fd.map_or(-1, |fd| fd.as_raw_fd());
        opts.wait_ms = self.wait_ms;
        opts.reattach_wait_ms = self.reattach_wait_ms;
        f(&opts)
    }

    /// List the devices that this process's user may attach to; the name of a device is not used.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut list = null_mut();

        self.with_c(|opts| {
            // SAFETY: opts and list are valid during the call.
            call(|err| unsafe { sys::vuc_vmm_list(opts, &mut list, err) })
        })?;
        // SAFETY: the list has nr entries, and is valid until it is freed.
        unsafe {
            debug_assert!((*list).argsz >= size_of::<sys::List>());
            let listed = (0..(*list).nr as usize)
                .map(|i| {
                    let entry = &**(*list).devices.add(i);

                    Listed {
                        name: CStr::from_ptr(entry.name).to_string_lossy().into_owned(),
                        in_use: entry.flags & 1 != 0,
                        connected: entry.flags & 2 != 0,
                    }
                })
                .collect();

            sys::vuc_vmm_list_free(list);
            Ok(listed)
        }
    }
}

/// A device of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// A VMM is attached, or is being cleaned up after.
    pub in_use: bool,
    /// The device's server is there.
    pub connected: bool,
}

/// Facts about a device: struct vuc_vmm_info.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub generation: u64,
    pub pgsizes: u64,
    /// `VFIO_DEVICE_FLAGS_*`
    pub flags: u32,
    pub num_regions: u32,
    pub num_irqs: u32,
    pub max_dma_maps: u32,
    pub max_queues: u32,
    pub max_depth: u32,
    pub max_data: u32,
    /// The server has no access to the VMM's memory: the daemon executes its accesses.
    pub dma_message: bool,
}

/// A bitmap of `VUC_VMM_EVENT_*`; bits of later versions may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub u32);

impl Events {
    pub const LOST: Events = Events(1 << 0);
    pub const BACK: Events = Events(1 << 1);
    pub const RESET: Events = Events(1 << 2);
    pub const REMOVED: Events = Events(1 << 3);
    pub const GONE: Events = Events(1 << 4);
    pub const SILENT: Events = Events(1 << 5);
    pub const ANSWERS: Events = Events(1 << 6);
    pub const STALE: Events = Events(1 << 7);
    pub const REMAP: Events = Events(1 << 8);
    pub const RELEASE: Events = Events(1 << 9);

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of the events are among these.
    pub fn contains(self, events: Events) -> bool {
        self.0 & events.0 == events.0
    }
}

impl BitOr for Events {
    type Output = Events;

    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

/// The daemon's counters for this VMM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub reads: u64,
    pub writes: u64,
    pub posted: u64,
    pub errors: u64,
}

/// An operation that was started; [`Device::events`] makes it progress and completes it.
#[derive(Debug)]
pub struct Pending(Arc<Mutex<Option<Result<()>>>>);

impl Pending {
    /// The result, once it is complete.
    pub fn result(&self) -> Option<Result<()>> {
        lock(&self.0).clone()
    }

    /// Start an operation that calls done() with arg exactly once if it returns 0.
    fn start(
        f: impl FnOnce(sys::DoneFn, *mut c_void, *mut sys::Error) -> c_int,
    ) -> Result<Pending> {
        let pending = Pending(Arc::default());
        let arg = Arc::into_raw(pending.0.clone());

        match call(|err| f(done, arg as *mut c_void, err)) {
            Ok(_) => Ok(pending),
            Err(e) => {
                // SAFETY: it was not started, so that nobody else takes this reference.
                drop(unsafe { Arc::from_raw(arg) });
                Err(e)
            }
        }
    }
}

/// Runs no code of the user, so that nothing is called from within the library.
extern "C" fn done(arg: *mut c_void, status: c_int, err: *const sys::Error) {
    // SAFETY: Pending::start() has passed a reference, which is taken here, once.
    let result = unsafe { Arc::from_raw(arg as *const Mutex<Option<Result<()>>>) };
    let outcome = if status == 0 {
        Ok(())
    } else {
        // SAFETY: err is valid during the call, and its text ends with NUL.
        Err(Error::from_c(status, unsafe {
            CStr::from_ptr((*err).text.as_ptr())
        }))
    };

    *lock(&result) = Some(outcome);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a Device and its queues share; the last one detaches.
#[derive(Debug)]
pub(crate) struct Attached {
    ptr: NonNull<sys::Device>,
    /// Held by whoever calls vuc_vmm_events(), or uses what a second call of it may free.
    events: Mutex<()>,
}

// SAFETY: any thread may call the functions of <vuc/vmm.h>, also concurrently, but for
// vuc_vmm_events(), which the mutex takes care of, and vuc_vmm_detach(), which the last owner calls.
unsafe impl Send for Attached {}
// SAFETY: likewise.
unsafe impl Sync for Attached {}

impl Attached {
    pub(crate) fn as_ptr(&self) -> *mut sys::Device {
        self.ptr.as_ptr()
    }

    /// While it is held, what vuc_vmm_region() returned stays.
    pub(crate) fn hold_events(&self) -> MutexGuard<'_, ()> {
        lock(&self.events)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: nobody else has the device any more.
        unsafe { sys::vuc_vmm_detach(self.as_ptr()) }
    }
}

/// A device that this process is attached to. Clones are the same device. Any thread may use it.
#[derive(Clone, Debug)]
pub struct Device {
    pub(crate) attached: Arc<Attached>,
}

impl Device {
    /// Attach to a device: vuc_vmm_attach().
    pub fn attach(options: &AttachOptions<'_>) -> Result<Device> {
        let mut dev = null_mut();

        options.with_c(|opts| {
            // SAFETY: opts and dev are valid during the call.
            call(|err| unsafe { sys::vuc_vmm_attach(opts, &mut dev, err) })
        })?;
        let ptr = NonNull::new(dev).expect("an attached device");

        Ok(Device {
            attached: Arc::new(Attached {
                ptr,
                events: Mutex::new(()),
            }),
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::Device {
        self.attached.as_ptr()
    }

    /// Attach again when the daemon has gone ([`Events::GONE`]), and restore what was set up:
    /// vuc_vmm_reattach(). Without `fd`, at the same path.
    pub fn reattach(&self, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let fd = fd.map_or(-1, |fd| fd.as_raw_fd());

        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_reattach(self.as_ptr(), fd, err) }).map(drop)
    }

    pub fn info(&self) -> Info {
        // SAFETY: valid until the device is detached.
        let info = unsafe { &*sys::vuc_vmm_info(self.as_ptr()) };

        debug_assert!(info.argsz >= size_of::<sys::Info>());

        Info {
            generation: info.generation,
            pgsizes: info.pgsizes,
            flags: info.flags,
            num_regions: info.num_regions,
            num_irqs: info.num_irqs,
            max_dma_maps: info.max_dma_maps,
            max_queues: info.max_queues,
            max_depth: info.max_depth,
            max_data: info.max_data,
            dma_message: info.dma_message,
        }
    }

    /// Reset the device, and wait: vuc_vmm_reset().
    pub fn reset(&self) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_reset(self.as_ptr(), err) }).map(drop)
    }

    /// The same without waiting.
    pub fn reset_start(&self) -> Result<Pending> {
        // SAFETY: done() takes arg, and the library calls it once.
        Pending::start(|done, arg, err| unsafe {
            sys::vuc_vmm_reset_start(self.as_ptr(), done, arg, err)
        })
    }

    /// Execute all queued mappings and unmappings, and wait: vuc_vmm_dma_commit().
    pub fn dma_commit(&self) -> Result<()> {
        // SAFETY: the device is attached.
        call(|err| unsafe { sys::vuc_vmm_dma_commit(self.as_ptr(), err) }).map(drop)
    }

    /// The same without waiting. Unmapped memory stays in use until the operation is complete.
    pub fn dma_commit_start(&self) -> Result<Pending> {
        // SAFETY: done() takes arg, and the library calls it once.
        Pending::start(|done, arg, err| unsafe {
            sys::vuc_vmm_dma_commit_start(self.as_ptr(), done, arg, err)
        })
    }

    /// Get the events since the last call, and complete operations. Does not wait.
    pub fn events(&self) -> Events {
        let _held = self.attached.hold_events();

        // SAFETY: the device is attached, and no other thread is in the function.
        Events(unsafe { sys::vuc_vmm_events(self.as_ptr()) })
    }

    /// The counters, at most a second old.
    pub fn counters(&self) -> Counters {
        let mut c = sys::Counters {
            argsz: size_of::<sys::Counters>(),
            ..Default::default()
        };

        // SAFETY: c is valid during the call.
        let ret = unsafe { sys::vuc_vmm_counters(self.as_ptr(), &mut c) };
        debug_assert_eq!(ret, 0);
        Counters {
            reads: c.reads,
            writes: c.writes,
            posted: c.posted,
            errors: c.errors,
        }
    }
}

/// Readable while [`Device::events`] has to be called.
impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the device owns it until it is detached.
        unsafe { BorrowedFd::borrow_raw(sys::vuc_vmm_event_fd(self.as_ptr())) }
    }
}
