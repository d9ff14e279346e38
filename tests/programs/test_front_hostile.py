# SPDX-License-Identifier: BSD-3-Clause
"""A hostile client of an exported device: whatever it does, it gets an answer or is disconnected with a
reason in the log, no descriptor of it is kept, its device is there for the next VMM, and the VMM of
another device on the same poller goes on."""

import contextlib
import os
import socket
import struct
import tempfile
import threading

import pytest
import rig
import vfio_client as vfio
from front_qemu import Qemu
from outage_rig import SANITIZED, Holdings
from vfio_client import (BAR0, CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, DMA_MAP, DMA_READ, DMA_UNMAP,
                         DMA_WRITE, ERROR, FEATURE, GET_INFO, GET_IRQ_INFO, GET_REGION_INFO,
                         GET_REGION_IO_FDS, INTX, MASK, MIG_READ, MIG_WRITE, MSIX, NO_REPLY, PAGE, READ,
                         REGION_READ, REGION_WRITE, REPLY, RESET, SET_IRQS, TRIGGER, UNMASK, VERSION,
                         WRITE, WRITE_MULTI, Client, access, dma_map, irq_set, message, region_info)

ROWS_A_DAEMON = 12  # because lines of a user are limited
REPLY_MS = 1500
HUGE = 0xffffffff
TOP = (1 << 64) - PAGE


# A right body of each command.
BODIES = {
    DMA_MAP: dma_map(),
    DMA_UNMAP: vfio.dma_unmap(),
    GET_INFO: vfio.info(),
    GET_REGION_INFO: region_info(),
    GET_REGION_IO_FDS: vfio.info(),
    GET_IRQ_INFO: vfio.info(),
    SET_IRQS: irq_set(DATA_NONE | UNMASK, INTX),
    REGION_READ: access(BAR0, 0, 4),
    REGION_WRITE: access(BAR0, 8, 4, bytes(4)),
    RESET: b'',
    WRITE_MULTI: struct.pack('<Q', 1) + access(BAR0, 8, 4, bytes(8)),
    FEATURE: struct.pack('<II', 16, 1 << 16 | 1),
    MIG_READ: struct.pack('<II', 16, 8),
    MIG_WRITE: struct.pack('<II', 12, 4) + bytes(4),
}
NAMES = dict(zip(BODIES, (
    'dma_map dma_unmap get_info get_region_info get_region_io_fds get_irq_info set_irqs region_read '
    'region_write reset write_multi feature mig_read mig_write').split()))


class Neighbour(threading.Thread):
    """QEMU, attached to the other device, whose guest reads and writes all the time."""

    def __init__(self, path):
        super().__init__()
        self.vmm = Qemu(path)
        self.vmm.attach()
        self.count = 0
        self.ends = False
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.ends:
                self.vmm.set_reg('SCRATCH', self.count)
                assert self.vmm.reg('SCRATCH') == self.count
                self.count += 1
        except BaseException as failure:  # pylint: disable=broad-exception-caught
            self.failure = failure

    def goes_on(self):
        """Wait for three more accesses."""
        wanted = self.count + 3
        rig.eventually(lambda: self.failure or self.count >= wanted)
        if self.failure:
            raise self.failure

    def close(self):
        self.ends = True
        self.join()
        self.vmm.close()


class World:
    """A daemon with two exported devices on one poller, the second of which is in use."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix='vuc-'))
        self.path = f'{self.folder}/d0'
        self.servers = [self.stack.enter_context(rig.Refdev()) for _ in range(2)]
        self.daemon = self.stack.enter_context(rig.Vucd(''.join(
            f'[device d{i}]\nsocket = {server.socket}\nexport = {self.folder}/d{i}\n'
            f'reply-ms = {REPLY_MS if i == 0 else 60000}\n' for i, server in enumerate(self.servers))))
        self.daemon.await_state('d0', 'free')
        self.daemon.await_state('d1', 'free')
        self.neighbour = Neighbour(f'{self.folder}/d1')
        self.stack.callback(self.neighbour.close)
        self.rows = 0
        self.fds = self.count_fds()
        self.before = self.list_fds()

    def list_fds(self):
        folder = f'/proc/{self.daemon.pid}/fd'
        found = []
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f'{folder}/{fd}'))
        return sorted(found)

    def count_fds(self):
        return len(self.list_fds())

    def begin(self):
        """Forget what has been logged."""
        self.rows += 1
        self.daemon.drain()
        self.daemon.err = b''

    def has_logged(self, text):
        self.daemon.drain()
        return text.encode() in self.daemon.err

    def await_fds(self):
        """Wait until as many descriptors are open as before."""
        try:
            rig.eventually(lambda: self.count_fds() == self.fds)
        except rig.Hung as hung:
            raise AssertionError(f'{self.before}, and now {self.list_fds()}') from hung

    def is_clean(self):
        """The device is free, all descriptors are closed, and another VMM gets it."""
        self.daemon.await_state('d0', 'free')
        self.await_fds()
        with contextlib.closing(Client(self.path)) as client:
            assert client.reg('ID') == 0x52637576
        self.daemon.await_state('d0', 'free')
        self.await_fds()
        self.neighbour.goes_on()

    def close(self):
        self.stack.close()


class Worlds:
    """The world of a row: that of the rows before, while it is not worn out."""

    def __init__(self):
        self.world = None

    def get(self):
        if self.world and self.world.rows == ROWS_A_DAEMON:
            self.close()
        self.world = self.world or World()
        self.world.begin()
        return self.world

    def close(self):
        if self.world:
            world, self.world = self.world, None
            status = world.daemon.stop()
            world.close()
            assert status == 0, world.daemon.err.decode()


@pytest.fixture(name='worlds', scope='module')
def fixture_worlds():
    worlds = Worlds()
    yield worlds
    worlds.close()


@pytest.fixture(name='world')
def fixture_world(worlds):
    """A world, thrown away after a failure; in the end it is clean."""
    world = worlds.get()
    try:
        yield world
        world.is_clean()
    except BaseException:
        worlds.close()
        raise


@pytest.fixture(name='client')
def fixture_client(world):
    """A client that has agreed upon a version."""
    with contextlib.closing(Client(world.path)) as client:
        client.world = world
        yield client


def is_alive(client):
    """It is answered as any other client."""
    assert client.reg('ID') == 0x52637576


def is_closed(client, text):
    """It has been disconnected, and the log says why."""
    while client.receive() is not None:
        pass
    rig.eventually(lambda: client.world.has_logged(text))
    line = next(line for line in client.world.daemon.err.decode().split('\n') if text in line)
    assert 'd0' in line


# ---- sizes ----

@pytest.mark.parametrize('command', BODIES, ids=NAMES.get)
@pytest.mark.parametrize('how', ['short', 'long', 'empty'])
def test_size(client, command, how):
    """A body with a byte less or more is refused, or what is more is not looked at."""
    body = {'short': BODIES[command][:-1], 'long': BODIES[command] + b'x', 'empty': b''}[how]
    if body == BODIES[command]:
        assert client.try_ask(command, body) == 0
    elif how == 'long':
        client.try_ask(command, body)
    else:
        assert client.try_ask(command, body) < 0
    is_alive(client)


@pytest.mark.parametrize('size', [0, 1, 15, 64 << 20, HUGE])
def test_header_size(client, size):
    """A size that no message has."""
    client.send(message(1, REGION_READ, access(BAR0, 0, 4), size=size))
    is_closed(client, 'msg_size')


@pytest.mark.parametrize('command', [0, DMA_READ, DMA_WRITE, 14, 19, 99, 0xffff])
def test_unknown_command(client, command):
    """What is no command of a client is refused, and its body is skipped."""
    for body in (b'', bytes(24), bytes(1000)):
        assert client.try_ask(command, body) < 0
    is_alive(client)


# ---- headers ----

@pytest.mark.parametrize('flags', [REPLY, 2, 0xf, REPLY | ERROR])
def test_no_command(client, flags):
    client.send(message(1, REGION_READ, access(BAR0, 0, 4), flags))
    is_closed(client, 'not a command')


@pytest.mark.parametrize('flags', [ERROR, 0x40, 0x80000000])
def test_flags(client, flags):
    """Unknown ones are refused."""
    client.send(message(1, REGION_READ, access(BAR0, 0, 4), flags))
    assert client.receive().error < 0
    is_alive(client)


@pytest.mark.parametrize('command', BODIES, ids=NAMES.get)
def test_no_reply(client, command):
    """It is carried out, or refused, without a reply; if it is of no use so, that is the end."""
    client.post(command, BODIES[command])
    if command in (GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, REGION_READ, FEATURE,
                   MIG_READ):
        is_closed(client, 'without its reply')
    else:
        is_alive(client)


def test_same_number(client):
    """Two commands of one number are outstanding."""
    read = message(7, REGION_READ, access(BAR0, 0, 4))
    reset = message(7, RESET)
    client.send((read + reset) * 20)
    while client.receive() is not None:  # answered one after the other, or disconnected
        if client.world.has_logged('this message id'):
            return
        client.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            continue


# ---- versions ----

@pytest.fixture(name='stranger')
def fixture_stranger(world):
    """A client that has said nothing yet."""
    with contextlib.closing(Client(world.path, None)) as client:
        client.world = world
        yield client


def version(text, major=0, minor=1, end=b'\0'):
    return struct.pack('<HH', major, minor) + text + end


@pytest.mark.parametrize('body', [
    b'', b'\0', version(b'', end=b'')[:3], version(b'{', end=b''), version(b'{"capabilities"'),
    version(b'[1,2]'), version(b'{"capabilities":[]}'), version(b'\xff\xfe\0\x01'),
    version(b'{"capabilities":{"max_msg_fds":-1}}'), version(b'{"capabilities":{"max_msg_fds":"x"}}'),
    version(b'{"a":' * 1000), version(b'{}', major=1), version(b'{}', major=0xffff)],
    ids=lambda body: repr(body[:30]))
def test_version_garbage(stranger, body):
    """It is disconnected with the reason, or gets a version when it can be understood."""
    number = stranger.post(VERSION, body, 0)
    reply = stranger.receive()
    if reply is None:
        is_closed(stranger, 'd0')
    else:
        assert (reply.id, reply.cmd) == (number, VERSION)


@pytest.mark.parametrize('minor', [0, 1, 2, 3, 0xffff])
def test_version_minor(stranger, minor):
    """A version is agreed upon that both know."""
    reply = stranger.ask(VERSION, version(vfio.CAPABILITIES.encode(), minor=minor))
    assert struct.unpack_from('<HH', reply.body) <= (0, min(minor, 1))
    assert reply.body[-1:] == b'\0' and len(reply.body) <= 4 + 194


def test_version_without_data(stranger):
    """Version data is optional."""
    assert stranger.ask(VERSION, struct.pack('<HH', 0, 2)).error == 0
    is_alive(stranger)


def test_version_again(client):
    assert client.try_ask(VERSION, version(vfio.CAPABILITIES.encode())) < 0
    is_alive(client)


@pytest.mark.parametrize('command', BODIES, ids=NAMES.get)
def test_before_version(stranger, command):
    stranger.post(command, BODIES[command], 0)
    is_closed(stranger, 'before VFIO_USER_VERSION')


def test_version_with_descriptors(stranger):
    stranger.post(VERSION, version(b'{}'), 0, fds=stranger.new_eventfds(3))
    stranger.receive()


def test_version_posted(stranger):
    stranger.post(VERSION, version(b'{}'), NO_REPLY)
    is_closed(stranger, 'd0')


def test_silence(stranger):
    """A client that sends nothing does not block the device for others."""
    assert stranger.has_ended()
    rig.eventually(lambda: stranger.world.has_logged('d0'))


# ---- descriptors ----

@pytest.mark.parametrize('command', sorted(set(BODIES) - {DMA_MAP, SET_IRQS}), ids=NAMES.get)
def test_descriptors_that_are_not_asked_for(client, command):
    client.try_ask(command, BODIES[command], client.new_eventfds(2))
    is_alive(client)


@pytest.mark.parametrize('count', [2, 16])
def test_descriptors_of_a_map(client, count):
    assert client.try_ask(DMA_MAP, dma_map(), client.new_eventfds(count)) < 0
    is_alive(client)


@pytest.mark.parametrize('count', [33, 100, 253])
def test_too_many_descriptors(client, count):
    client.post(SET_IRQS, irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 8), 0, client.new_eventfds(count))
    is_closed(client, 'file descriptors')


def test_descriptors_byte_by_byte(client):
    """Each byte of a message brings some more."""
    fds = client.new_eventfds(16)
    data = message(1, SET_IRQS, irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 8))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for byte in data:
            client.send(bytes([byte]), fds)
    is_closed(client, 'file descriptors')


def test_descriptors_without_end(client):
    """Descriptors of messages that are not in turn are limited."""
    number = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        client.sock.settimeout(1)
        for number in range(3000):
            client.post(DMA_MAP, dma_map(number * 2 * PAGE), 0, client.new_eventfds(1))
            os.close(client.fds.pop())
    client.sock.settimeout(rig.TIMEOUT_S)
    client.world.neighbour.goes_on()


def test_descriptors_of_half_a_message(client):
    client.send(message(1, DMA_MAP, dma_map())[:20], client.new_eventfds(1))
    client.world.neighbour.goes_on()


def test_descriptors_out_of_band(client):
    """A byte out of band, which has descriptors too."""
    with contextlib.suppress(OSError):
        socket.send_fds(client.sock, [b'x'], client.new_eventfds(8), socket.MSG_OOB)
    client.world.neighbour.goes_on()


# ---- memory ----

def open_pipe(_):
    ends = os.pipe()
    os.close(ends[1])
    return ends[0]


def open_file(client):
    path = f'{client.world.folder}/file'
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, 1 << 20)
    os.unlink(path)
    return fd


def open_socket(_):
    ends = socket.socketpair()
    ends[1].close()
    return ends[0].detach()


@pytest.mark.parametrize('make', [
    open_pipe, open_socket,
    lambda _: os.open('/', os.O_RDONLY),
    lambda _: os.open('/dev/null', os.O_RDWR),
    lambda _: os.open('/dev/zero', os.O_RDWR),
    lambda _: os.open('/proc/self/mem', os.O_RDWR),
    lambda _: os.eventfd(0),
    lambda _: os.memfd_create('empty'),
    lambda _: os.open('/', os.O_PATH)],
    ids=['pipe', 'socket', 'folder', 'null', 'zero', 'mem', 'eventfd', 'empty', 'path'])
def test_no_memory(client, make):
    """What is no memory is refused."""
    client.fds.append(make(client))
    assert client.map(0, PAGE, fd=client.fds[-1]) < 0
    is_alive(client)


@pytest.mark.parametrize('wrong', [
    {'argsz': 31}, {'size': 0}, {'size': 1}, {'addr': 1}, {'size': 2 * PAGE, 'addr': TOP},
    {'offset': 1 << 40}, {'offset': 1}, {'offset': TOP, 'size': PAGE}, {'flags': 1 << 4},
    {'flags': HUGE}, {'size': 1 << 40}], ids=str)
def test_map_fields(client, wrong):
    """A mapping outside of its memory or of the address space, or of no pages."""
    client.fds.append(os.memfd_create('memory'))
    os.ftruncate(client.fds[-1], 4 * PAGE)
    answer = client.map(**{'addr': 0, 'size': PAGE, 'fd': client.fds[-1]} | wrong)
    assert answer < 0 or 'argsz' in wrong
    is_alive(client)


def test_map_overlap(client):
    client.map_memory(4 * PAGE, 4 * PAGE)
    for addr, pages in [(4, 4), (0, 5), (7, 1), (5, 1), (0, 64)]:
        client.fds.append(os.memfd_create('memory'))
        os.ftruncate(client.fds[-1], pages * PAGE)
        assert client.map(addr * PAGE, pages * PAGE, READ | WRITE, client.fds[-1]) < 0
    is_alive(client)


def test_map_without_end(client):
    """Maps without descriptors are not the server's, and not kept."""
    before = Holdings(client.world.daemon.pid).rss_kib
    for start in range(0, 70000, 50):
        client.send(b''.join(message(i, DMA_MAP, dma_map((start + i) * 2 * PAGE)) for i in range(50)))
        assert {client.receive().error for _ in range(50)} <= {0, vfio.ENOSPC}
    assert client.reg('DMA_MAPS') == 0
    assert SANITIZED or Holdings(client.world.daemon.pid).rss_kib < before + 4096


def test_more_maps_than_agreed_upon(client):
    """Those that have descriptors are limited."""
    fd = client.map_memory(0, PAGE)
    limit = 70000
    errors = set()
    for start in range(0, limit, 50):
        for i in range(50):
            client.send(message(i, DMA_MAP, dma_map((1 + start + i) * 2 * PAGE)), [fd])
        errors |= {client.receive().error for _ in range(50)}
        if errors != {0}:
            break
    assert errors <= {0, vfio.ENOSPC} and len(errors) == 2
    is_alive(client)


def test_memory_that_shrinks(client):
    """The device accesses memory that is gone: this affects no one else."""
    fd = client.map_memory(0, 16 * PAGE)
    os.ftruncate(fd, PAGE)
    vfio.start(client, vfio.BY_FILE, 8 * PAGE, 0, PAGE)
    vfio.await_end(client)
    is_alive(client)


@pytest.mark.parametrize('addr, size, flags', [
    (0, PAGE, 0), (1, 3, 0), (TOP, 2 * PAGE, 0), (0, 0, 0), (0, 1 << 63, 0), (0, 0, 2), (0, PAGE, 2),
    (0, PAGE, 1), (0, PAGE, HUGE)])
def test_unmap(client, addr, size, flags):
    """What was never mapped, parts of pages, all, and with wrong flags."""
    client.unmap(addr, size, flags)
    is_alive(client)


def test_unmap_a_part(client):
    client.map_memory(0, 4 * PAGE)
    client.unmap(PAGE, PAGE)
    client.unmap(0, 8 * PAGE)
    is_alive(client)


# ---- interrupts ----

@pytest.mark.parametrize('body, fds', [
    (irq_set(DATA_NONE | TRIGGER, 99), 0), (irq_set(DATA_NONE | TRIGGER, HUGE), 0),
    (irq_set(DATA_NONE | TRIGGER, MSIX, 8, 1), 0), (irq_set(DATA_NONE | TRIGGER, MSIX, 4, HUGE), 0),
    (irq_set(DATA_NONE | TRIGGER, MSIX, HUGE, 2), 0), (irq_set(DATA_NONE, MSIX), 0),
    (irq_set(TRIGGER, MSIX), 0), (irq_set(DATA_NONE | DATA_BOOL | TRIGGER, MSIX), 0),
    (irq_set(DATA_NONE | TRIGGER | MASK, MSIX), 0), (irq_set(HUGE, MSIX), 0),
    (irq_set(DATA_BOOL | TRIGGER, MSIX, 0, 8) + bytes(7), 0),
    (irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 8), 7), (irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 2), 3),
    (irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 2) + struct.pack('<ii', 0, 2), 2),
    (irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 2) + struct.pack('<ii', 0, -2), 2),
    (irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, 2) + struct.pack('<i', 0), 2),
    (irq_set(DATA_NONE | TRIGGER, MSIX), 1)])
def test_interrupts(client, body, fds):
    assert client.try_ask(SET_IRQS, body, client.new_eventfds(fds)) < 0
    is_alive(client)


@pytest.mark.parametrize('make', [open_pipe, open_socket, lambda _: os.memfd_create('no'),
                                  lambda _: os.open('/dev/null', os.O_RDWR)],
                         ids=['pipe', 'socket', 'memory', 'null'])
def test_no_eventfd(client, make):
    client.fds.append(make(client))
    assert client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=client.fds[-1:]) < 0
    is_alive(client)


def test_full_eventfd(client):
    """An eventfd that blocks its writer."""
    fd = os.eventfd(0)
    client.fds.append(fd)
    os.eventfd_write(fd, (1 << 64) - 2)
    assert client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=[fd]) == 0
    for _ in range(3):
        assert client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 1) == 0
    is_alive(client)


def test_eventfds_replaced(client):
    """Those from before are not kept."""
    for _ in range(300):
        client.eventfd(MSIX, 0)
        os.close(client.fds.pop())
    is_alive(client)
    assert client.world.count_fds() < client.world.fds + 30


# ---- features and migration ----

GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
STATE, LOG_START, LOG_STOP, LOG_REPORT = 2, 6, 7, 8


def feature(flags, data=b'', argsz=None):
    return struct.pack('<II', 8 + len(data) if argsz is None else argsz, flags) + data


def log_start(count, *ranges, page_size=PAGE, argsz=None):
    return feature(SET | LOG_START, struct.pack('<QII', page_size, count, 0) +
                   b''.join(struct.pack('<QQ', *one) for one in ranges), argsz)


def log_report(addr, size, page_size=PAGE, argsz=HUGE):
    return feature(GET | LOG_REPORT, struct.pack('<QQQ', addr, size, page_size), argsz)


@pytest.mark.parametrize('body', [
    feature(0), feature(GET | SET | STATE), feature(HUGE), feature(GET | 3, argsz=HUGE), feature(GET | 0xffff),
    feature(PROBE | 5), feature(PROBE | STATE, b'x'), feature(PROBE | GET | LOG_START), feature(SET | 1),
    feature(GET | STATE, argsz=15), feature(GET | STATE, bytes(8)), feature(SET | STATE, bytes(7)),
    feature(SET | STATE, bytes(9)), feature(SET | STATE, bytes(8), argsz=8)] +
    [feature(SET | STATE, struct.pack('<II', state, 0)) for state in (0, 5, 7, 8, HUGE)] + [
    log_start(1), log_start(2, (0, PAGE)), log_start(HUGE, (0, PAGE)), log_start((1 << 28) + 1, (0, PAGE)),
    log_start(1, (0, PAGE), argsz=8), log_start(1, (0, 0)), log_start(1, (1, PAGE)), log_start(1, (0, 1)),
    log_start(1, (TOP, 2 * PAGE)), log_start(2, (0, 2 * PAGE), (PAGE, PAGE)), log_start(0, page_size=0),
    log_start(0, page_size=4097), log_start(3000, *((i * PAGE, PAGE) for i in range(3000))),
    feature(SET | LOG_STOP), feature(SET | LOG_STOP, bytes(4)), log_report(0, PAGE), log_report(0, 0),
    log_report(TOP, 2 * PAGE), log_report(0, PAGE, 0), log_report(0, PAGE, 3), log_report(0, PAGE, argsz=39),
    log_report(0, 1 << 50), log_report(0, (1 << 64) - 1, 1), log_report(1, PAGE)],
    ids=lambda body: f'{body[:8].hex()}-{len(body)}')
def test_features(client, body):
    """With wrong methods, sizes and counts, unknown ones, and states that none can have."""
    assert client.try_ask(FEATURE, body) < 0
    is_alive(client)


@pytest.mark.parametrize('command, body', [
    (MIG_READ, struct.pack('<II', HUGE, HUGE)), (MIG_READ, struct.pack('<II', HUGE, 2 << 20)),
    (MIG_READ, struct.pack('<II', 15, 8)), (MIG_READ, struct.pack('<II', 0, 0)),
    (MIG_READ, struct.pack('<II', 16, 8) + bytes(8)), (MIG_WRITE, struct.pack('<II', 16, 8) + bytes(7)),
    (MIG_WRITE, struct.pack('<II', 16, 8) + bytes(9)), (MIG_WRITE, struct.pack('<II', HUGE, HUGE) + bytes(8)),
    (MIG_WRITE, struct.pack('<II', 0, 0xfffffff8) + bytes(8)), (MIG_READ, struct.pack('<II', 16, 8)),
    (MIG_WRITE, struct.pack('<II', 16, 8) + bytes(8))], ids=lambda x: x if isinstance(x, int) else x.hex())
def test_migration_data(client, command, body):
    """Of another length than it says, of more than a message has, and in a state without data."""
    assert client.try_ask(command, body) < 0
    is_alive(client)


def test_migration_data_without_end(client):
    """What the server takes of it is its own matter; nothing of it stays here."""
    before = Holdings(client.world.daemon.pid).rss_kib
    assert client.try_ask(FEATURE, feature(SET | STATE, struct.pack('<II', 4, 0))) == 0
    data = struct.pack('<II', 0, 30000) + os.urandom(30000)
    for _ in range(300):
        client.post(MIG_WRITE, data)
    assert client.try_ask(MIG_WRITE, data) < 0
    is_alive(client)
    assert SANITIZED or Holdings(client.world.daemon.pid).rss_kib < before + 4096


# ---- accesses ----

@pytest.mark.parametrize('region, offset, count', [
    (BAR0, 0, 0), (BAR0, 4095, 2), (BAR0, HUGE, 4), (BAR0, (1 << 64) - 1, 4), (1, 0, 4), (8, 0, 4),
    (9, 0, 4), (99, 0, 4), (HUGE, 0, 4), (CONFIG, 4096, 1), (CONFIG, 0, 4097), (BAR0, 0, HUGE),
    (2, 0, 65537)])
def test_accesses(client, region, offset, count):
    """Outside of regions, of nothing, and of more than a message has."""
    data = bytes(min(count, 60000))
    assert client.try_ask(REGION_READ, access(region, offset, count)) < 0
    assert client.try_ask(REGION_WRITE, access(region, offset, count, data)) < 0
    client.post(REGION_WRITE, access(region, offset, count, data))
    is_alive(client)


def test_write_of_other_length(client):
    """More or less data than the count."""
    assert client.try_ask(REGION_WRITE, access(BAR0, 8, 4, bytes(8))) < 0
    assert client.try_ask(REGION_WRITE, access(BAR0, 8, 8, bytes(4))) < 0
    is_alive(client)


# ---- time, and streams ----

def test_replies_that_are_not_read(client):
    """It is not read any more either, and then disconnected."""
    client.sock.setblocking(False)
    number = 0
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while not client.world.has_logged('has not taken its replies'):
            with contextlib.suppress(BlockingIOError):
                client.sock.send(message(number, REGION_READ, access(CONFIG, 0, 4096)))
                number = (number + 1) & 0xffff
                continue
            client.world.neighbour.goes_on()
    rig.eventually(lambda: client.world.has_logged('has not taken its replies'))


@pytest.mark.parametrize('size', [1, 15, 16, 17, 31])
def test_half_a_message(client, size):
    """The rest never comes."""
    client.send(message(1, REGION_READ, access(BAR0, 0, 4))[:size])
    client.world.neighbour.goes_on()


@pytest.mark.parametrize('size', [1, 15, 16, 19])
def test_half_a_version(stranger, size):
    """It is disconnected like one that says nothing."""
    stranger.send(message(0, VERSION, version(b'{}'))[:size])
    assert stranger.has_ended()


def test_byte_by_byte(client):
    """A message that comes slowly is a message."""
    for _ in range(3):
        for byte in message(5, REGION_READ, access(BAR0, 0, 4)):
            client.send(bytes([byte]))
        assert client.receive().body[16:] == b'vucR'
    is_alive(client)


@pytest.mark.parametrize('command', BODIES, ids=NAMES.get)
def test_flood(client, command):
    """Hundreds of a command at once, the replies to which are read later."""
    count = 20 if command == RESET else 300
    for _ in range(3):
        client.sock.settimeout(rig.TIMEOUT_S)
        writer = threading.Thread(target=client.sock.sendall, args=[b''.join(
            message(i, command, BODIES[command]) for i in range(count))])
        writer.start()
        for _ in range(count):
            assert client.receive() is not None
        writer.join()
    is_alive(client)


def test_shut_down_for_writing(client):
    """Closing one direction ends the connection."""
    client.post(REGION_READ, access(BAR0, 0, 4), 0)
    client.sock.shutdown(socket.SHUT_WR)
    while client.receive() is not None:
        pass


def test_shut_down_for_reading(client):
    client.sock.shutdown(socket.SHUT_RD)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(1000):
            client.post(REGION_READ, access(BAR0, 0, 4), 0)


# What it does before the version, and after that.
STEPS = {
    'connected': lambda client: None,
    'half a version': lambda client: client.send(message(0, VERSION, version(b'{}'))[:18]),
    'version': lambda client: client.post(VERSION, version(b'{}'), 0),
}
LATER_STEPS = {
    'maps': lambda client: [client.map_memory(i * PAGE, PAGE) for i in range(8)],
    'maps under way': lambda client: [client.post(DMA_MAP, dma_map(i * 2 * PAGE), 0) for i in range(60)],
    'interrupts': lambda client: [client.eventfd(MSIX, i) for i in range(8)],
    'a region': lambda client: client.ask(GET_REGION_INFO, region_info(2)),
    'a region under way': lambda client: client.post(GET_REGION_INFO, region_info(2), 0),
    'reads under way': lambda client: [client.post(REGION_READ, access(BAR0, 0, 4), 0) for _ in range(60)],
    'posted writes': lambda client: [
        client.post(REGION_WRITE, access(BAR0, 8, 4, bytes(4))) for _ in range(60)],
    'a log under way': lambda client: [
        client.map_memory(0, PAGE), client.try_ask(FEATURE, log_start(1, (0, PAGE))),
        client.post(FEATURE, log_report(0, PAGE), 0)],
    'a migration under way': lambda client: [
        client.try_ask(FEATURE, feature(SET | STATE, struct.pack('<II', 3, 0))),
        client.post(MIG_READ, struct.pack('<II', 30008, 30000), 0)],
    'a reset under way': lambda client: client.post(RESET, b'', 0),
}


@pytest.mark.parametrize('step', STEPS | LATER_STEPS)
@pytest.mark.parametrize('times', [1, 10])
def test_gone(world, step, times):
    """It disconnects at this step, repeatedly."""
    for _ in range(times):
        with contextlib.closing(Client(world.path, None)) as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, AttributeError,
                                     AssertionError):
                if step in LATER_STEPS:
                    client.propose(vfio.CAPABILITIES)
                (STEPS | LATER_STEPS)[step](client)


def test_second_client(client):
    """A device in use is not shared: the second client is disconnected, the first goes on."""
    with contextlib.closing(Client(client.world.path, None)) as second:
        assert second.has_ended()
    rig.eventually(lambda: client.world.has_logged('d0'))
    is_alive(client)


def test_crowd(client):
    """Many of them."""
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    for sock in crowd:
        sock.settimeout(1)
        with contextlib.suppress(OSError):
            sock.connect(client.world.path)
    client.world.neighbour.goes_on()
    for sock in crowd:
        sock.close()
    is_alive(client)
