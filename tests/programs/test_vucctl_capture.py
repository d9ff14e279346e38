# SPDX-License-Identifier: BSD-3-Clause
"""vucctl capture: the messages of a live device, whatever becomes of the device and of the reader."""

import array
import contextlib
import fcntl
import json
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import termios

import pytest

import rig
from capture_rig import NOBODY, Capture, fields, with_tshark
from outage_rig import FAST, Server
from vfio_client import DMA_MAP, DMA_UNMAP, REGION_READ, REGION_WRITE, VERSION

VUCCTL = os.environ['VUCCTL']
POSTS = 200000  # more than the ring has room for
TAIL = 64  # where the reader's position is in the ring


@pytest.fixture(name='server')
def fixture_server():
    with Server('--no-write-multi') as server:  # each posted write is a message
        yield server


@pytest.fixture(name='daemon')
def fixture_daemon(vucd, server):
    daemon = vucd(f'[device d0]\nsocket = {server.socket}\n{FAST}')
    daemon.await_state('d0', 'free')
    return daemon


@pytest.fixture(name='path')
def fixture_path(folder):
    return f'{folder}/c'


@pytest.fixture(name='capture')
def fixture_capture(start, daemon, path):
    """Start a capture of d0 with more options, which runs then."""
    def begin(*options):
        process = start(VUCCTL, 'capture', '-m', daemon.management, '-w', path, *options, 'd0')
        rig.eventually(lambda: process.process.poll() is not None or
                       os.path.exists(path) and os.path.getsize(path) > 0)
        assert process.process.poll() is None, process.err
        return process
    return begin


def count(daemon, counter):
    return daemon.do('stats.get', device='d0')['devices'][0][counter]


def open_queue(client):
    assert client.do('queue 4096') == '0 '
    return client


def end(process, path):
    """Let it end well. Returns what was captured."""
    assert process.stop() == 0 and process.err == b''
    capture = Capture(path)
    assert process.out == f'captured {len(capture.packets)} messages, dropped {capture.dropped}\n' \
        .encode()
    assert capture.received == len(capture.packets) + capture.dropped
    return capture


def test_messages(daemon, vmm, capture, path):
    """All that a VMM has the daemon do, with descriptors and directions."""
    process = capture()
    client = open_queue(vmm(daemon, 'd0'))
    assert client.do('get 0 0') == f'0 {0x52637576}'
    assert client.do('post 3') == '0 '
    assert client.do('map 1') == '0 ' and client.do('commit') == '0 '
    client.detach()
    daemon.await_state('d0', 'free')
    seen = end(process, path)
    assert (seen.source, seen.dropped, seen.snaplen) == ('d0', 0, 65536 + 12)
    writes = seen.commands(REGION_WRITE)
    posted = [packet for packet in writes if packet.id == 0xffff]
    assert len(posted) == 3 and all(packet.sent and packet.size == 40 for packet in posted)
    assert [(packet.sent, packet.fds) for packet in seen.commands(DMA_MAP)] == [
        (True, 1), (False, 0)]
    assert seen.commands(DMA_UNMAP)
    read = [packet for packet in seen.commands(REGION_READ)
            if packet.bytes[16:32] == struct.pack('<QII', 0, 0, 4)]
    assert [(packet.sent, packet.is_reply) for packet in read] == [(True, False), (False, True)]
    assert read[1].bytes[32:] == b'vucR' and read[0].time_ns < read[1].time_ns
    # The next VMM has another connection to the server.
    assert len({packet.connection for packet in seen.packets}) == 2
    assert [packet.sent for packet in seen.commands(VERSION)] == [True, False]


@with_tshark
def test_decoded(daemon, vmm, capture, path):
    process = capture()
    client = open_queue(vmm(daemon, 'd0'))
    assert client.do('post 1') == '0 '
    client.detach()
    seen = end(process, path)
    rows = fields(path, 'vfio_user.cmd', 'vfio_user.capture.connection')
    assert rows == [(str(packet.cmd), str(packet.connection)) for packet in seen.packets]


def test_load(daemon, vmm, capture, path):
    """What was not captured was counted."""
    client, process = open_queue(vmm(daemon, 'd0')), capture()
    before = count(daemon, 'posted')
    assert client.do(f'post {POSTS}') == '0 '
    rig.eventually(lambda: count(daemon, 'posted') == before + POSTS)
    assert client.do('get 0 0') == f'0 {0x52637576}'
    seen = end(process, path)
    assert len(seen.packets) + seen.dropped == POSTS + 2
    assert sum(packet.dropped for packet in seen.packets) <= seen.dropped


def test_dropped(daemon, vmm, capture, path):
    """A reader that stands still holds up nobody, and the place of what was dropped is known."""
    client, process = open_queue(vmm(daemon, 'd0')), capture()
    process.process.send_signal(signal.SIGSTOP)
    assert client.do(f'post {POSTS}') == '0 '
    assert client.do('get 0 0') == f'0 {0x52637576}'
    process.process.send_signal(signal.SIGCONT)
    # There is room again.
    rig.eventually(lambda: os.path.getsize(path) > 8 << 20)
    assert client.do('get 0 0') == f'0 {0x52637576}'
    seen = end(process, path)
    marked, = [packet for packet in seen.packets if packet.dropped]
    index = seen.packets.index(marked)
    assert marked.cmd == REGION_READ and seen.packets[index - 1].cmd == REGION_WRITE
    assert seen.dropped == marked.dropped > 0
    # Until it was full, a record of 32 bytes for each message of 40.
    assert index == (8 << 20) // (32 + 40)
    assert len(seen.packets) + seen.dropped >= POSTS + 4


def has_ring(daemon):
    with open(f'/proc/{daemon.pid}/maps', encoding='utf-8') as maps:
        return 'vuc-capture' in maps.read()


def test_killed(daemon, vmm, capture, path):
    """A reader that dies ends the capture, and leaves nothing behind."""
    client, process = open_queue(vmm(daemon, 'd0')), capture()
    assert has_ring(daemon)
    process.stop(signal.SIGKILL)
    rig.eventually(lambda: not has_ring(daemon))
    os.unlink(path)
    assert client.do('post 10') == '0 '
    again = capture()
    assert client.do('get 0 0') == f'0 {0x52637576}'
    assert len(end(again, path).packets) == 2


def test_removed(daemon, vmm, capture, path):
    client, process = open_queue(vmm(daemon, 'd0')), capture()
    assert client.do('get 0 0') == f'0 {0x52637576}'
    assert daemon.do('devices.remove', name='d0', force=True) == {}
    assert process.wait() == 1
    assert process.err == b'vucctl: d0: the device was removed\n'
    seen = Capture(path)
    assert seen.commands(REGION_READ) and seen.dropped == 0
    rig.eventually(lambda: not has_ring(daemon))


def test_restored(daemon, vmm, capture, path, server):
    """The capture goes on over the next connection, whose messages are told apart."""
    client, process = open_queue(vmm(daemon, 'd0')), capture()
    assert client.do('get 0 0') == f'0 {0x52637576}'
    server.restart('--no-write-multi')
    assert client.do('back') == '0 '
    assert client.do('get 0 0') == f'0 {0x52637576}'
    seen = end(process, path)
    connections = [packet.connection for packet in seen.packets]
    assert connections[0] < connections[-1]
    assert connections == sorted(connections)
    new = [packet for packet in seen.packets if packet.connection == connections[-1]]
    assert [packet.cmd for packet in new[:2]] == [VERSION, VERSION]
    assert new[-1].cmd == REGION_READ and new[-1].bytes[32:] == b'vucR'


def test_snaplen(daemon, vmm, capture, path):
    client, process = open_queue(vmm(daemon, 'd0')), capture('--snaplen=32')
    assert client.do('fill 1') == '1 '
    assert client.do('get 0 0') == f'0 {0x52637576}'
    seen = end(process, path)
    assert [(packet.size, len(packet.bytes)) for packet in seen.packets] == [
        (32 + 4096, 32), (32, 32), (36, 32)]


def test_count(daemon, vmm, capture, path):
    client, process = open_queue(vmm(daemon, 'd0')), capture('--count=5', '--json')
    assert client.do('post 10') == '0 '
    assert process.wait() == 0
    assert json.loads(process.out) == {'device': 'd0', 'messages': 5, 'dropped': 0}
    assert len(Capture(path).packets) == 5


def test_standard_output(daemon, vmm, start, path):
    """What is written to a pipe is there at once."""
    client = open_queue(vmm(daemon, 'd0'))
    process = start(VUCCTL, 'capture', '-m', daemon.management, '-w', '-', 'd0')
    process.await_output('vfio-user')
    for n in range(1, 4):
        assert client.do('get 0 0') == f'0 {0x52637576}'
        assert process.await_event(lambda n=n: process.out.count(b'vucR') == n)
    assert process.stop() == 0 and process.err == b''
    with open(path, 'wb') as file:
        file.write(process.out)
    assert len(Capture(path).packets) == 6


def bytes_in(pipe):
    count = array.array('i', [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_full_pipe(daemon, vmm, path):
    """What was captured until a signal is written whole, also while the pipe is full; the daemon's part
    ends at once, however many messages there are."""
    client = open_queue(vmm(daemon, 'd0'))
    with subprocess.Popen([VUCCTL, 'capture', '-m', daemon.management, '-w', '-', 'd0'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        room = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
        data = os.read(process.stdout.fileno(), room)
        client.send(f'post {POSTS}')
        assert client.next_line() == '0 '
        rig.eventually(lambda: bytes_in(process.stdout) > room - 8192)
        process.send_signal(signal.SIGINT)
        data += os.read(process.stdout.fileno(), room)
        rig.eventually(lambda: not has_ring(daemon))
        data += process.stdout.read()
        assert process.wait(rig.TIMEOUT_S) == 0 and process.stderr.read() == b''
    with open(path, 'wb') as file:
        file.write(data)
    seen = Capture(path)
    assert seen.received == len(seen.packets) + seen.dropped


def test_file_of_others(daemon, capture, path):
    """A file that was there is only its owner's from then on."""
    with open(path, 'w', encoding='utf-8'):
        os.chmod(path, 0o644)
    end(capture(), path)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_daemon_ends(daemon, capture, path):
    process = capture()
    assert daemon.stop() == 0
    assert process.wait() == 1
    assert process.err.decode() == \
        f'vucctl: {daemon.management}: the daemon has closed the connection\n'
    assert Capture(path).dropped == 0


def refused(daemon, *args, **popen):
    run = rig.vucctl('capture', '-m', daemon.management, *args, status=1, **popen)
    assert run.out == ''
    return run.err


def test_refused(daemon, capture, path, server):
    """A second one, and one that cannot be written, which is no capture any more then."""
    assert '/nonexistent/c: No such file or directory' in refused(daemon, '-w/nonexistent/c', 'd0')
    rig.eventually(lambda: not has_ring(daemon))
    process = capture()
    with open(f'{path}2', 'w', encoding='utf-8') as file:
        file.write('precious')
    error = refused(daemon, f'-w{path}2', 'd0')
    assert re.search(r'device d0 is being captured already '
                     rf'\(user {os.getuid()}, pid {process.pid}\)', error)
    assert os.path.getsize(f'{path}2') == len('precious')
    assert 'there is no device d1' in refused(daemon, f'-w{path}2', 'd1')
    assert 'there is no device ' in refused(daemon, f'-w{path}2', 'd' * 200)
    daemon.do('devices.add', name='d1', socket=f'{server.socket}1')
    assert 'No space left on device' in refused(daemon, '-w/dev/full', 'd1')
    end(process, path)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_other_user(daemon):
    os.seteuid(NOBODY)
    try:
        with pytest.raises(PermissionError):
            Reader(daemon)
    finally:
        os.seteuid(0)
    for path in (daemon.folder.name, daemon.directory, daemon.management):
        os.chmod(path, 0o777)
    os.seteuid(NOBODY)
    try:
        reader = Reader(daemon)
    finally:
        os.seteuid(0)
    data, fds, _, _ = socket.recv_fds(reader.sock, 65536, 8)
    assert json.loads(data)['error']['data']['errno'] == 'EACCES' and not fds
    reader.sock.close()


class Reader:
    """A client that does what it likes with the ring."""

    def __init__(self, daemon):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(rig.TIMEOUT_S)
        self.sock.connect(daemon.management)

    def ask(self, name, snaplen=65536):
        """The answer, and the descriptor of the ring; None: there came none."""
        self.sock.sendall(json.dumps({
            'jsonrpc': '2.0', 'method': 'devices.capture',
            'params': {'name': name, 'snaplen': snaplen}, 'id': 1}).encode() + b'\n')
        data, fds, _, _ = socket.recv_fds(self.sock, 65536, 8)
        assert data.endswith(b'\n') and len(fds) < 2
        return json.loads(data), array.array('i', fds)[0] if fds else None


@pytest.mark.parametrize('tail', [8, 1 << 63, (1 << 64) - 8, 9 << 20])
def test_hostile_reader(daemon, vmm, tail):
    """A position that cannot be ends the capture and nothing else; the ring stays as long as it is."""
    client, reader = open_queue(vmm(daemon, 'd0')), Reader(daemon)
    with contextlib.closing(reader.sock):
        answer, fd = reader.ask('d0')
        assert answer['result'] == {'layout': 1}
        for size in (0, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with mmap.mmap(fd, 0) as ring:
            ring[:] = b'\xa5' * len(ring)
            ring[TAIL:TAIL + 8] = struct.pack('<Q', tail)
            assert client.do(f'post {POSTS}') == '0 '
            assert client.do('get 0 0') == f'0 {0x52637576}'
            head, _, state = struct.unpack_from('<QQi', ring)
            assert state == 2 or tail <= head
        os.close(fd)
    rig.eventually(lambda: not has_ring(daemon))
    assert client.do('get 0 0') == f'0 {0x52637576}'


def test_limits(daemon, server):
    """Of one connection, and of all: memory is bounded."""
    for number in range(1, 18):
        daemon.do('devices.add', name=f'd{number}', socket=f'{server.socket}{number}')
    readers = [Reader(daemon) for _ in range(17)]
    for number, reader in enumerate(readers[:16], 1):
        answer, fd = reader.ask(f'd{number}')
        assert 'result' in answer
        os.close(fd)
    answer, fd = readers[0].ask('d17')
    assert (answer['error']['data']['errno'], fd) == ('EBUSY', None)
    answer, fd = readers[16].ask('d17')
    assert (answer['error']['data']['errno'], fd) == ('EUSERS', None)
    for snaplen in (15, 262133, 1 << 40):
        answer, fd = readers[16].ask('d17', snaplen)
        assert (answer['error']['data']['errno'], fd) == ('EINVAL', None)
    readers[0].sock.close()
    rig.eventually(lambda: 'result' in readers[16].ask('d17')[0])
    for reader in readers:
        reader.sock.close()
    rig.eventually(lambda: not has_ring(daemon))
