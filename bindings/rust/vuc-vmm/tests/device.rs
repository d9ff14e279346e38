// SPDX-License-Identifier: BSD-3-Clause

//! A device of vuc-refdev, through vucd. `VUCD` and `VUC_REFDEV` are the paths of both programs.

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::raw::{c_char, c_int, c_uint};
use std::os::unix::fs::FileExt;
use std::os::unix::io::{AsFd, AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vuc_vmm::{
    compat, AttachOptions, Device, DmaMapping, Error, Events, IrqAction, IrqData, IrqRange, Queue,
};

const WAIT_MS: u32 = 60_000;
const PAGE: u64 = 4096;
const MEMORY: u64 = 4 * PAGE;

// Registers of BAR0, from refdev_regs.h.
const ID: u64 = 0x000;
const ID_VALUE: u32 = 0x5263_7576;
const SCRATCH: u64 = 0x008;
const DOORBELL: u64 = 0x018;
const DOORBELL_LAST: u64 = 0x01c;
const IRQ_TRIGGER: u64 = 0x028;
const RESETS: u64 = 0x030;
const DMA_MAPS: u64 = 0x048;
const DMA_DST: u64 = 0x058;
const DMA_LEN: u64 = 0x060;
const DMA_MODE: u64 = 0x064;
const DMA_PATTERN: u64 = 0x068;
const DMA_VECTOR: u64 = 0x078;
const DMA_START: u64 = 0x07c;
const DMA_STATUS: u64 = 0x080;
const FILL: u32 = 0x12; // through the mapping's descriptor, by mmap
const DMA_DONE: u32 = 2;
const DMA_ERROR: u32 = 3;

const MSIX: u32 = 2;
const EINVAL: i32 = 22;
const ENODEV: i32 = 19;
const ENOENT: i32 = 2;

extern "C" {
    fn eventfd(value: c_uint, flags: c_int) -> c_int;
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
}

fn eventually(what: &str, mut happens: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_millis(WAIT_MS.into());

    while !happens() {
        assert!(Instant::now() < deadline, "{what}: not in {WAIT_MS} ms");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A server and a daemon with the device "disk", in a folder of their own.
struct Rig {
    folder: PathBuf,
    server: Child,
    daemon: Child,
}

impl Rig {
    fn new() -> Rig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("vuc-rust-{}-{number}", std::process::id()));

        fs::create_dir(&folder).unwrap();
        fs::write(
            folder.join("vucd.conf"),
            format!(
                "[poller io0]\ncpu = none\nidle = sleep\n\
                 [vucd]\ndirectory = {0}/run\ntelemetry = off\n\
                 [device disk]\nsocket = {0}/server\noutage = hold\nhold-ms = {WAIT_MS}\n",
                folder.display()
            ),
        )
        .unwrap();
        Rig {
            server: Rig::start_server(&folder),
            daemon: Rig::start_daemon(&folder),
            folder,
        }
    }

    fn start(program: &str) -> Command {
        let mut command = Command::new(env::var_os(program).expect(program));

        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start_server(folder: &std::path::Path) -> Child {
        Rig::start("VUC_REFDEV")
            .arg(folder.join("server"))
            .spawn()
            .unwrap()
    }

    fn start_daemon(folder: &std::path::Path) -> Child {
        Rig::start("VUCD")
            .arg("--config")
            .arg(folder.join("vucd.conf"))
            .env("RUNTIME_DIRECTORY", folder)
            .spawn()
            .unwrap()
    }

    fn kill(child: &mut Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn restart_server(&mut self) {
        Rig::kill(&mut self.server);
        self.server = Rig::start_server(&self.folder);
    }

    fn restart_daemon(&mut self) {
        Rig::kill(&mut self.daemon);
        self.daemon = Rig::start_daemon(&self.folder);
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("run/vmm.sock")
    }

    fn attach(&self) -> Device {
        Device::attach(
            &AttachOptions::new("disk")
                .socket(&self.socket())
                .name("rust")
                .wait_ms(WAIT_MS),
        )
        .unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        Rig::kill(&mut self.daemon);
        Rig::kill(&mut self.server);
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn get(queue: &mut Queue, offset: u64) -> u32 {
    let mut value = [0; 4];

    queue.read(0, offset, &mut value).unwrap();
    u32::from_le_bytes(value)
}

fn set(queue: &mut Queue, offset: u64, value: u32) {
    queue.write(0, offset, &value.to_le_bytes()).unwrap();
}

fn memory() -> File {
    let name = CString::new("guest").unwrap();
    // SAFETY: the name is valid during the call, and nobody else has the descriptor.
    let file = unsafe { File::from_raw_fd(memfd_create(name.as_ptr(), 0)) };

    file.set_len(MEMORY).unwrap();
    file
}

fn event() -> File {
    const EFD_NONBLOCK: c_int = 0o4000;

    // SAFETY: nobody else has the descriptor.
    unsafe { File::from_raw_fd(eventfd(0, EFD_NONBLOCK)) }
}

fn is_signalled(mut event: &File) -> bool {
    event.read_exact(&mut [0; 8]).is_ok()
}

/// Let the device write a pattern at an address. Returns the status.
fn fill(queue: &mut Queue, iova: u64, pattern: u32) -> u32 {
    set(queue, DMA_DST, iova as u32);
    set(queue, DMA_DST + 4, (iova >> 32) as u32);
    set(queue, DMA_LEN, 8);
    set(queue, DMA_MODE, FILL);
    set(queue, DMA_PATTERN, pattern);
    set(queue, DMA_START, 1);
    eventually("DMA", || get(queue, DMA_STATUS) != 1);
    get(queue, DMA_STATUS)
}

fn word_at(file: &File, offset: u64) -> u32 {
    let mut word = [0; 4];

    file.read_exact_at(&mut word, offset).unwrap();
    u32::from_le_bytes(word)
}

/// Collect events until all of some have been reported.
fn await_events(device: &Device, wanted: Events) -> Events {
    let mut all = Events::default();

    eventually("events", || {
        all = all | device.events();
        all.contains(wanted)
    });
    all
}

#[test]
fn errors() {
    let rig = Rig::new();
    let nowhere = rig.folder.join("nowhere");
    let error = Device::attach(&AttachOptions::new("disk").socket(&nowhere)).unwrap_err();

    assert_eq!(error.errno(), ENOENT);
    assert!(error.to_string().contains(nowhere.to_str().unwrap()));
    assert_eq!(
        std::io::Error::from(error).kind(),
        std::io::ErrorKind::NotFound
    );

    let device = rig.attach();
    let other = Device::attach(&AttachOptions::new("tape").socket(&rig.socket())).unwrap_err();
    assert_eq!(other.errno(), ENOENT);
    assert!(other.to_string().contains("tape"), "{other}");
    assert_eq!(
        Device::attach(&AttachOptions::new("a\0b"))
            .unwrap_err()
            .to_string(),
        "the name of the device contains a NUL byte"
    );

    let listed = AttachOptions::new("").socket(&rig.socket()).list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "disk");
    assert!(listed[0].in_use && listed[0].connected);

    let mut queue = device.open_queue(&Default::default()).unwrap();
    let outside = queue.read(0, PAGE, &mut [0; 4]).unwrap_err();
    assert_eq!(outside.errno(), EINVAL);
    assert_ne!(outside.to_string(), "");
    assert_eq!(device.region(1000).unwrap_err().errno(), EINVAL);
}

#[test]
fn accesses() {
    let rig = Rig::new();
    let device = rig.attach();
    let mut queue = device.open_queue(&Default::default()).unwrap();

    assert_eq!(get(&mut queue, ID), ID_VALUE);
    queue.post(0, DOORBELL, &7u32.to_le_bytes()).unwrap();
    assert_eq!(get(&mut queue, DOORBELL_LAST), 7);
    queue.write_pci(0, DOORBELL, &8u32.to_le_bytes()).unwrap();
    assert_eq!(get(&mut queue, DOORBELL_LAST), 8);
    device.write(0, SCRATCH, &[1, 2, 3, 4]).unwrap();
    device.write_pci(0, SCRATCH + 4, &[5, 6, 7, 8]).unwrap();
    let mut scratch = [0; 8];
    device.read(0, SCRATCH, &mut scratch).unwrap();
    assert_eq!(scratch, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(queue.max_data() >= 64);
    eventually("counters", || device.counters().posted > 0);
}

#[test]
fn threads() {
    const THREADS: usize = 4;
    let rig = Rig::new();
    let device = rig.attach();
    let threads: Vec<_> = (0..THREADS)
        .map(|i| {
            let mut queue = device.open_queue(&Default::default()).unwrap();
            let device = device.clone();

            thread::spawn(move || {
                for _ in 0..100 {
                    assert_eq!(get(&mut queue, ID), ID_VALUE);
                    device.read(0, 0x400 + i as u64, &mut [0; 1]).unwrap();
                }
            })
        })
        .collect();

    drop(device);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn regions() {
    let rig = Rig::new();
    let device = rig.attach();
    let info = device.info();

    assert_eq!((info.num_regions, info.num_irqs), (9, 5));
    assert_eq!(device.region(0).unwrap().areas.len(), 0);
    assert_eq!(device.region(4).unwrap().areas.len(), 2);

    let bar2 = device.region(2).unwrap();
    let area = &bar2.areas[0];
    assert_eq!((area.offset, area.size, bar2.size), (0, 65536, 65536));
    device.write(2, 16, &[9, 8, 7, 6]).unwrap();
    let file = File::from(area.fd.try_clone().unwrap());
    assert_eq!(word_at(&file, area.file_offset + 16), 0x06070809);
    let (common, offset) = bar2.file.as_ref().unwrap();
    assert_eq!(common.as_raw_fd(), area.fd.as_raw_fd());
    assert_eq!(area.offset + offset, area.file_offset);
}

#[test]
fn dma_and_interrupts() {
    let rig = Rig::new();
    let device = rig.attach();
    let mut queue = device.open_queue(&Default::default()).unwrap();
    let memory = memory();
    let events = [event(), event()];
    let range = IrqRange {
        index: MSIX,
        start: 3,
        count: 2,
    };

    assert_eq!(device.irq(MSIX).unwrap().count, 8);
    device
        .irq_assign(
            range,
            IrqAction::Trigger,
            &[Some(events[0].as_fd()), Some(events[1].as_fd())],
        )
        .unwrap();
    let mappings = [
        DmaMapping::new(0x10000, 2 * PAGE, &memory),
        DmaMapping::new(0x20000, PAGE, &memory)
            .offset(2 * PAGE)
            .read_only(),
        DmaMapping::without_file(0x30000, PAGE),
    ];
    assert_eq!(device.dma_map(&mappings).unwrap(), 1);
    device.dma_commit().unwrap();
    assert_eq!(get(&mut queue, DMA_MAPS), 2);

    set(&mut queue, DMA_VECTOR, 1 + 4);
    assert_eq!(fill(&mut queue, 0x10000 + PAGE, 0x1234), DMA_DONE);
    assert_eq!(word_at(&memory, PAGE), 0x1234);
    eventually("an interrupt", || is_signalled(&events[1]));
    assert!(!is_signalled(&events[0]));
    assert_eq!(fill(&mut queue, 0x20000, 0x1234), DMA_ERROR);

    device
        .irq_set(
            range,
            IrqAction::Trigger,
            IrqData::Eventfd(&[Some(events[1].as_fd()), None]),
        )
        .unwrap();
    set(&mut queue, IRQ_TRIGGER, 3);
    eventually("an interrupt", || is_signalled(&events[1]));
    device.irq_disable(MSIX).unwrap();

    device.dma_unmap(0x10000, 2 * PAGE).unwrap();
    device.dma_unmap_if_mapped(0x50000, PAGE).unwrap();
    let pending = device.dma_commit_start().unwrap();
    eventually("a commit", || {
        device.events();
        pending.result().is_some()
    });
    assert_eq!(pending.result(), Some(Ok(())));
    assert_eq!(fill(&mut queue, 0x10000, 0x1234), DMA_ERROR);
    device.dma_unmap_all().unwrap();
    device.dma_commit().unwrap();
    assert_eq!(get(&mut queue, DMA_MAPS), 0);

    device.dma_unmap(0x10000, PAGE).unwrap();
    assert_eq!(device.dma_commit().unwrap_err().errno(), ENOENT);
    let resets = get(&mut queue, RESETS);
    device.reset().unwrap();
    assert_eq!(get(&mut queue, RESETS), resets + 1);
}

#[test]
fn server_restarts() {
    let mut rig = Rig::new();
    let device = rig.attach();
    let mut queue = device.open_queue(&Default::default()).unwrap();
    let memory = memory();

    device
        .dma_map(&[DmaMapping::new(0, MEMORY, &memory)])
        .unwrap();
    device.dma_commit().unwrap();
    rig.restart_server();
    await_events(&device, Events::LOST | Events::BACK | Events::RESET);
    assert_eq!(fill(&mut queue, 0, 0x55), DMA_DONE);
    assert_eq!(word_at(&memory, 0), 0x55);
}

#[test]
fn daemon_restarts() {
    let mut rig = Rig::new();
    let device = Device::attach(
        &AttachOptions::new("disk")
            .socket(&rig.socket())
            .wait_ms(WAIT_MS),
    )
    .unwrap();
    let mut queue = device.open_queue(&Default::default()).unwrap();
    let memory = memory();

    device
        .dma_map(&[DmaMapping::new(0, MEMORY, &memory)])
        .unwrap();
    device.dma_commit().unwrap();
    rig.restart_daemon();
    await_events(&device, Events::GONE);
    assert!(queue.read(0, ID, &mut [0; 4]).is_err());
    device.reattach(None).unwrap();
    await_events(&device, Events::RESET | Events::REMAP);
    assert_eq!(fill(&mut queue, PAGE, 0x66), DMA_DONE);
    assert_eq!(word_at(&memory, PAGE), 0x66);
}

#[test]
fn client_of_the_other_crate() {
    let rig = Rig::new();
    let path = format!("{}?device=disk", rig.socket().display());
    drop(rig.attach()); // waits for the daemon
    let client = || -> Result<compat::Client, Error> { compat::Client::new(path.as_ref()) };
    let mut first = client().unwrap();
    let memory = memory();
    let event = event();
    let mut value = [0; 4];

    assert!(client().is_err());
    assert!(first.resettable());
    first.reset().unwrap();
    first.region_read(0, ID, &mut value).unwrap();
    assert_eq!(u32::from_le_bytes(value), ID_VALUE);
    first.region_write(0, SCRATCH, &[1, 2, 3, 4]).unwrap();
    first.region_read(0, SCRATCH, &mut value).unwrap();
    assert_eq!(value, [1, 2, 3, 4]);

    let bar4 = first.region(4).unwrap();
    assert_eq!(
        bar4.sparse_areas
            .iter()
            .map(|a| (a.offset, a.size))
            .collect::<Vec<_>>(),
        [(PAGE, PAGE), (3 * PAGE, PAGE)]
    );
    assert!(bar4.file_offset.is_some() && bar4.flags & 4 != 0);
    assert!(first.region(0).unwrap().file_offset.is_none());
    assert!(first.region(9).is_none());

    let irq = first.get_irq_info(MSIX).unwrap();
    assert_eq!((irq.index, irq.count), (MSIX, 8));
    first
        .set_irqs(MSIX, 0x24, 0, 2, &[event.as_raw_fd(), -1])
        .unwrap();
    first
        .region_write(0, IRQ_TRIGGER, &0u32.to_le_bytes())
        .unwrap();
    eventually("an interrupt", || is_signalled(&event));
    first.set_irqs(MSIX, 0x24, 0, 2, &[]).unwrap();
    first.set_irqs(MSIX, 0x21, 0, 0, &[]).unwrap();
    assert_eq!(
        first
            .set_irqs(MSIX, 0x24, 0, u32::MAX, &[])
            .unwrap_err()
            .errno(),
        EINVAL
    );
    assert_eq!(
        first.set_irqs(MSIX, 0x22, 0, 1, &[]).unwrap_err().errno(),
        EINVAL
    );

    first
        .dma_map(PAGE, 0x10000, PAGE, memory.as_raw_fd())
        .unwrap();
    first.dma_map(0, 0x20000, PAGE, -1).unwrap();
    assert!(first.dma_map(0, 0x10000, PAGE, memory.as_raw_fd()).is_err());
    first.dma_unmap(0x10000, PAGE).unwrap();

    first.shutdown().unwrap();
    assert_eq!(
        first.region_read(0, ID, &mut value).unwrap_err().errno(),
        ENODEV
    );
    eventually("a second client", || client().is_ok());
}

#[test]
fn types() {
    fn is_send_and_sync<T: Send + Sync>() {}
    fn is_send<T: Send>() {}

    is_send_and_sync::<Device>();
    is_send_and_sync::<Error>();
    is_send::<Queue>();
    is_send::<compat::Client>();
    assert_eq!(Events::LOST | Events::RESET, Events(5));
}
