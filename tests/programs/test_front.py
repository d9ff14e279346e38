# SPDX-License-Identifier: BSD-3-Clause
"""Stock VMMs attach to a device: to the reference server itself, which validates these clients, and
to vucd, which exports it. They see the same in both cases."""

import os
import signal

import pytest
import vfio_client as vfio
from fake_device import FakeDevice
from front_client import HIGH_RAM, RAM_SIZE, RAM_WINDOW, Alioth, CloudHypervisor
from front_qemu import VMMS, Qemu, TimedOut
from vfio_client import BAR0, BAR2, BAR4, BY_FILE, BY_MMAP, CONFIG, DONE, EFAULT, EIO, ERR, INTX, MSIX, PAGE, REQ

TRIGGERS = {INTX: 1 << 31, ERR: 1 << 30, REQ: 1 << 29}


@pytest.fixture(name='front', params=['direct', 'vucd'])
def fixture_front(request, refdev, exported):
    """Attach a VMM to a reference device: front(Qemu, '--minor=1'). It has .server, and .daemon,
    which is None when there is none between."""
    vmms = []

    def attach(kind, *options, more='', **vmm):
        server = refdev(*options)
        one = exported(more, servers=[server]) if request.param == 'vucd' else None
        vmms.append(kind(one.path if one else server.socket, **vmm))
        vmms[-1].server, vmms[-1].daemon = server, one and one.daemon
        vmms[-1].attach()
        return vmms[-1]
    yield attach
    for vmm in vmms:
        vmm.close()


@VMMS
def test_accesses(front, kind):
    """By each size, and by lengths that take several pieces anywhere else."""
    vmm = front(kind)
    assert vmm.reg('ID') == 0x52637576
    for size in (1, 2, 4, 8):
        value = int.from_bytes(bytes(range(0x81, 0x81 + size)), 'little')
        vmm.set(BAR0, RAM_WINDOW + 64, size, value)
        assert vmm.get(BAR0, RAM_WINDOW + 64, size) == value
    data = bytes(i * 7 & 0xff for i in range(1024))
    assert vmm.write(BAR0, RAM_WINDOW, data) == 0
    assert vmm.read(BAR0, RAM_WINDOW, 1024) == data
    assert vmm.read(BAR0, RAM_WINDOW + 3, 509) == data[3:512]
    vmm.detach()


@VMMS
def test_configuration_space(front, kind):
    """Registers of the device pass, each at its own width; what a BAR says is its size."""
    vmm = front(kind)
    assert vmm.get(CONFIG, 0, 4) == 0x76637675
    vmm.set(CONFIG, 4, 2, 0x0006)
    assert vmm.get(CONFIG, 4, 2) & 7 == 6
    for at, value in ((0x9c, 0x11), (0x9d, 0x22), (0x9e, 0x33), (0x9f, 0x44)):
        vmm.set(CONFIG, at, 1, value)
    assert vmm.get(CONFIG, 0x9c, 4) == 0x44332211
    for bar, mask in ((0, 0xfffff000), (2, 0xffff0000), (4, 0xffffc000)):
        register = 0x10 + 4 * bar
        kind_bits = vmm.get(CONFIG, register, 4) & 0xf
        vmm.set(CONFIG, register, 4, 0xffffffff)
        assert vmm.get(CONFIG, register, 4) == mask | kind_bits
        vmm.set(CONFIG, register, 4, 0xe0000000)
        assert vmm.get(CONFIG, register, 4) == 0xe0000000 | kind_bits
    assert len(vmm.read(CONFIG, 0, 4096)) == 4096


@pytest.mark.parametrize('listed', [True, False])
def test_extended_capabilities(exported, listed):
    """Where there are none, only the first register of them is read: a server that takes a millisecond
    for each would stop the VM for a second."""
    with FakeDevice() as device:
        if not listed:
            device.config[0x100:] = bytes(4096 - 0x100)
            device.readable = 0x104
        one = exported('reset = never\n', servers=[device])
        vmm = one.client(kind=Qemu)
        vmm.negotiate()
        for offset in (0x40, 0xfe, 0x100):
            assert vmm.read(CONFIG, offset, 4096 - offset) == device.config[offset:]
        assert one.daemon.stop() == 0


@VMMS
def test_memory(front, kind):
    """The device reads and writes guest memory that is mapped, and no other."""
    vmm = front(kind)
    vmm.ram[PAGE:3 * PAGE] = data = os.urandom(2 * PAGE)
    for mode in (BY_FILE, BY_MMAP):
        vmm.ram[HIGH_RAM:HIGH_RAM + 4 * PAGE] = bytes(4 * PAGE)
        assert vmm.transfer(mode, PAGE, HIGH_RAM + PAGE, 2 * PAGE) == DONE
        assert vmm.ram[HIGH_RAM:HIGH_RAM + 4 * PAGE] == bytes(PAGE) + data + bytes(PAGE)
    vmm.ram[:PAGE] = bytes(PAGE)
    map_high, unmap_high = high_memory(vmm)
    assert unmap_high() == 0
    assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == EFAULT
    assert map_high() == 0
    assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == DONE
    assert vmm.ram[HIGH_RAM:HIGH_RAM + PAGE] == data[:PAGE]


def high_memory(vmm):
    """How a VMM maps and unmaps a part of its memory: functions that return 0 or an error."""
    if isinstance(vmm, Qemu):
        def run(number):
            return sum(vmm.transaction([number]))
        return (lambda: run(vmm.map_section(HIGH_RAM, RAM_SIZE - HIGH_RAM, vmm.memory, HIGH_RAM)),
                lambda: run(vmm.unmap_section(HIGH_RAM, RAM_SIZE - HIGH_RAM)))
    if isinstance(vmm, Alioth):  # it has mapped all at once
        return (lambda: vmm.map(0, 0, RAM_SIZE)), (lambda: vmm.unmap(0, RAM_SIZE))
    return (lambda: vmm.map(HIGH_RAM, HIGH_RAM, RAM_SIZE - HIGH_RAM),
            lambda: vmm.unmap(HIGH_RAM, RAM_SIZE - HIGH_RAM))


def test_transactions(front):
    """QEMU sends the maps of a transaction without waiting, a vIOMMU's by the page, unmaps what it
    has never mapped, and maps ROMs without a descriptor; it takes the same again."""
    vmm = front(Qemu)
    pages = range(1 << 32, (1 << 32) + 2000 * PAGE, 2 * PAGE)
    for _ in range(3):
        assert vmm.transaction([vmm.map_section(page, PAGE, vmm.memory, page % (1 << 20))
                                for page in pages]) == []
        vmm.ram[PAGE:2 * PAGE] = data = os.urandom(PAGE)
        assert vmm.transfer(BY_MMAP, PAGE, pages[-1], PAGE) == DONE
        assert vmm.ram[pages[-1] % (1 << 20):][:PAGE] == data
        assert vmm.transaction([vmm.unmap_section(page, PAGE) for page in pages]) == []
        rom = vmm.unmap_section(0xe0000, 0x20000), vmm.map_section(0xe0000, 0x20000)
        assert vmm.transaction(rom) == []
        errors = vmm.transaction([vmm.unmap_section(page, PAGE) for page in pages[:10]])
        assert errors == [] or vmm.daemon is None
    assert vmm.reg('ID') == 0x52637576


@VMMS
def test_interrupts(front, kind):
    vmm = front(kind)
    skip_indexes(vmm)
    for index in {INTX, ERR, REQ} & {index for index, _ in vmm.events}:
        vmm.set_reg('IRQ_TRIGGER', TRIGGERS[index])
        assert vmm.await_event(index) >= 1  # INTx again with each unmask
        if index == INTX:
            vmm.set_reg('INTX', 0)
            vmm.take_events()
    vmm.enable_msix()
    for vector in range(8):
        vmm.set_reg('IRQ_TRIGGER', vector)
        assert vmm.await_event(MSIX, vector) == 1
    assert vmm.take_events() == set()
    vmm.disable_msix()
    vmm.write(BAR0, vfio.REGISTERS['IRQ_TRIGGER'][0], bytes(4))
    assert vmm.reg('ID') == 0x52637576
    assert vmm.take_events() == set()


def skip_indexes(vmm):
    if isinstance(vmm, Alioth) and vmm.daemon is None:
        pytest.skip('the reference server refuses the index of each descriptor that Alioth sends')


def test_single_vectors(front):
    """QEMU takes the eventfd of one vector away, and gives another; one message each."""
    vmm = front(Qemu)
    vmm.enable_msix()
    assert vmm.assign(MSIX, 3, [None]) == 0
    vmm.set_reg('IRQ_TRIGGER', 4)
    assert vmm.await_event(MSIX, 4) == 1
    assert vmm.assign(MSIX, 3, [vmm.new_eventfd(MSIX, 103)]) == 0
    vmm.set_reg('IRQ_TRIGGER', 3)
    assert vmm.await_event(MSIX, 103) == 1
    assert vmm.take_events() == set()


def test_gaps(front):
    """Alioth assigns all vectors up to the last by one message, with no eventfd for some."""
    vmm = front(Alioth)
    skip_indexes(vmm)
    vmm.assign(MSIX, [None, vmm.new_eventfd(MSIX, 1), None, None, vmm.new_eventfd(MSIX, 4)])
    for vector in (4, 1):
        vmm.set_reg('IRQ_TRIGGER', vector)
        assert vmm.await_event(MSIX, vector) == 1
    vmm.assign(MSIX, [None] * 5)
    assert vmm.reg('ID') == 0x52637576


@VMMS
def test_reset(front, kind):
    vmm = front(kind)
    before = vmm.reg('RESETS')
    vmm.set(BAR0, RAM_WINDOW, 4, 0x12345678)
    vmm.reset()
    assert vmm.reg('RESETS') == before + 1
    assert vmm.get(BAR0, RAM_WINDOW, 4) == 0


@VMMS
def test_mapped_regions(front, kind):
    """A region's descriptor maps its areas, the memory that messages access."""
    vmm = front(kind)
    for index, count in ((BAR2, 1), (BAR4, 2)):
        if vmm.regions[index].fd is None and vmm.daemon is None:
            continue  # the reference server sends it with the whole reply, which Alioth does not want
        areas = vmm.map_region(index)
        assert len(areas) == count
        for at, memory in areas:
            memory[:8] = at.to_bytes(8, 'little')
            assert vmm.get(index, at, 8) == at
            vmm.set(index, at + 0xff8, 8, 77)
            assert memory[0xff8:0x1000] == (77).to_bytes(8, 'little')


@VMMS
def test_refused(front, kind):
    """A failure of the device takes nobody's place in the stream; Cloud Hypervisor wants as many
    bytes as ever, and sees none."""
    vmm = front(kind)
    if kind is CloudHypervisor and vmm.daemon is None:
        pytest.skip('the reference server answers errors by a header')
    offset, size = vfio.REGISTERS['ERROR']
    for _ in range(3):
        data = vmm.read(BAR0, offset, size)
        assert data == EIO or kind is CloudHypervisor and vmm.error == -EIO
        assert vmm.write(BAR0, offset, bytes(size)) == EIO
        assert vmm.reg('ID') == 0x52637576


def test_silent_server(front):
    """Config space is known: while the server is stopped, it takes the time of one read, if any,
    and reads as it did."""
    vmm = front(Qemu, more='timeout-ms = 500\n')
    if vmm.daemon is None:
        pytest.skip('there is no vucd')
    known = vmm.read(CONFIG, 0, 256)
    vmm.set(CONFIG, 0x10, 4, 0xe0000000)
    os.kill(vmm.server.pid, signal.SIGSTOP)
    for _ in range(1000):
        assert vmm.get(CONFIG, 0, 4) == 0x76637675
        assert vmm.get(CONFIG, 0x10, 4) & ~0xf == 0xe0000000
    assert vmm.read(CONFIG, 0x34, 256 - 0x34) == known[0x34:]
    for offset in range(0x100, 0x1000, 4):
        assert vmm.get(CONFIG, offset, 4) == 0
    os.kill(vmm.server.pid, signal.SIGCONT)
    vmm.daemon.await_state('d0', 'attached')
    vmm.set(CONFIG, 0x9c, 1, 0x5a)
    assert vmm.get(CONFIG, 0x9c, 1) == 0x5a
    assert vmm.reg('ID') == 0x52637576


def test_questions_beside_a_read(front):
    """A poller that sleeps while the server works on a read notices the VMM's messages at once."""
    vmm = front(Alioth, more='timeout-ms = 3600000\nreply-ms = 3600000\npoller = tired\n'
                '[poller tired]\ncpu = none\nidle = sleep\nidle-loops = 0\n')
    if vmm.daemon is None:
        pytest.skip('there is no vucd')
    os.kill(vmm.server.pid, signal.SIGSTOP)
    vmm.send(vfio.message(0xffff, vfio.REGION_READ, vfio.access(BAR0, 0, 4)))
    for _ in range(50):
        assert vmm.transact(vfio.GET_INFO, vfio.info(), 16)
    os.kill(vmm.server.pid, signal.SIGCONT)


def test_many_bytes_under_way(front):
    """More than vucd has memory for: what comes then waits its turn, and is intact."""
    vmm = front(Qemu, '--max-data-xfer-size=4096')
    os.kill(vmm.server.pid, signal.SIGSTOP)
    written, reads = [], []
    for _ in range(12):
        written.append(os.urandom(1024))
        vmm.send_one(vfio.REGION_WRITE, vfio.access(BAR0, RAM_WINDOW, 1024, written[-1]))
        reads.append(vmm.send_one(vfio.REGION_READ, vfio.access(BAR0, RAM_WINDOW, 1024),
                                  room=32 + 1024))
    os.kill(vmm.server.pid, signal.SIGCONT)
    assert [vmm.wait(number).body[16:] for number in reads] == written


def test_posted_descriptors(front):
    """A posted request that is refused goes without a reply, and so do its descriptors; the next
    request is answered all the same."""
    vmm = front(Alioth)
    for body in (bytes(31), vfio.dma_map(size=0)):
        vmm.send(vfio.message(7, vfio.DMA_MAP, body, vfio.NO_REPLY), [vmm.memory])
        assert vmm.reg('ID') == 0x52637576


def test_late_reply(refdev):
    """QEMU takes the body of a reply that has come too late for a header: without vucd, that is the
    end of its connection."""
    vmm = Qemu(refdev('--fault=delay=500@region_read').socket)
    vmm.negotiate()
    vmm.timeout_s = 0.05
    with pytest.raises(TimedOut):
        vmm.read(CONFIG, 0, 4)
    while not vmm.dead:
        assert vmm.await_readable()
        vmm.receive_one()
    assert vmm.dead == 'bad header size'
    vmm.close()
