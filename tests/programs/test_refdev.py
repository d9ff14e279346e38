# SPDX-License-Identifier: BSD-3-Clause
"""The program vuc-refdev: its command line, sockets and modes, and how it reads a stream."""

import mmap
import os
import re
import signal
import socket
import struct

import pytest
import rig
import vfio_client as vfio
from vfio_client import BAR0, BAR2, BAR4, Client, message

MODES = ['--mode=block', '--mode=poll']
ID_VALUE = 0x52637576
ID = vfio.access(BAR0, 0, 4)
PROPOSAL = b'\0\0\2\0'


def run(*args, **popen):
    return rig.Run(os.environ['VUC_REFDEV'], *args, **popen)


def check_serves(path):
    client = Client(path)
    assert client.reg('ID') == ID_VALUE
    client.set_reg('SCRATCH', 0x0123456789abcdef)
    assert client.reg('SCRATCH') == 0x0123456789abcdef
    client.close()


def check_ends(server, said=''):
    """It ends by SIGTERM, and has said nothing or one line."""
    assert server.stop() == 0
    assert len(os.listdir(server.folder.name)) == 0
    lines = server.err.decode().splitlines()
    assert len(lines) == bool(said)
    assert not said or lines[0].startswith('vuc-refdev: ') and said in lines[0]


@pytest.mark.parametrize('mode', MODES)
def test_clients_in_turn(refdev, mode):
    """The device outlives its clients; a client that comes early waits for its turn."""
    server = refdev(mode)
    first = Client(server.socket)
    second = Client(server.socket, capabilities=None)
    number = second.post(vfio.VERSION, PROPOSAL, flags=0)
    first.set_reg('SCRATCH', 0x1234)
    second.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        second.sock.recv(1)
    second.sock.settimeout(rig.TIMEOUT_S)
    first.close()
    assert second.receive().id == number
    assert second.reg('SCRATCH') == 0x1234
    second.close()
    check_ends(server)


@pytest.mark.parametrize('mode', MODES)
def test_once(refdev, folder, mode):
    """Each path is a device of its own, and with --once each of them has its client."""
    server = refdev(mode, '--once', '--socket-path', f'{folder}/second')
    first, second = Client(server.socket), Client(f'{folder}/second')
    first.set_reg('SCRATCH', 1)
    second.set_reg('SCRATCH', 2)
    assert first.reg('SCRATCH') == 1
    first.close()
    assert second.reg('SCRATCH') == 2
    second.close()
    assert server.wait() == 0
    assert os.listdir(folder) == []


def test_serial_numbers(refdev, folder):
    server = refdev(f'{folder}/second', '--socket-path', f'{folder}/third')
    numbers = []
    for path in (server.socket, f'{folder}/second', f'{folder}/third'):
        client = Client(path)
        assert client.get(vfio.CONFIG, 0x100, 4) == 0x00010003
        numbers.append(client.get(vfio.CONFIG, 0x104, 8))
        client.close()
    assert sorted(numbers) == [1, 2, 3]


def leave_socket(path):
    """A socket file that a process has left behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


def test_stale_socket(refdev, folder):
    leave_socket(f'{folder}/stale')
    server = refdev(f'{folder}/stale')
    check_serves(f'{folder}/stale')
    check_ends(server)
    assert os.listdir(folder) == []


def test_live_socket(refdev):
    """It is left alone, and so is its server's client-to-be."""
    server = refdev('--once')
    other = run(server.socket)
    assert (other.status, other.out) == (1, '')
    assert other.err == f'vuc-refdev: {server.socket}: another process serves this socket\n'
    check_serves(server.socket)
    assert server.wait() == 0


def test_replaced_socket(refdev):
    """A server removes the socket file that it made, not one that took its place."""
    server = refdev()
    os.rename(server.socket, f'{server.folder.name}/moved')
    leave_socket(server.socket)
    assert server.stop() == 0
    assert os.path.exists(server.socket)


def test_paths(refdev, folder):
    with open(f'{folder}/file', 'w', encoding='utf-8'):
        pass
    longest = f'{folder}/'.ljust(107, 'x')
    for path, text in [(f'{folder}/file', 'exists and is not a socket'),
                       (f'{folder}/no/folder', 'No such file or directory'),
                       ('', 'the socket path is empty'),
                       (longest + 'x', 'socket path of 108 bytes')]:
        other = run(path)
        assert (other.status, other.out, other.err.count('\n')) == (1, '', 1)
        assert other.err.startswith('vuc-refdev: ') and text in other.err
    assert os.listdir(folder) == ['file']
    server = refdev(longest)
    check_serves(longest)
    check_ends(server)


@pytest.mark.parametrize('option, text', [
    ('--bogus', '--bogus'),
    ('--mode=fast', "--mode: 'fast' is neither block nor poll"),
    ('--mode', "option '--mode' requires an argument"),
    ('--cpu=x', "--cpu: 'x' is not a number"),
    ('--cpu=-1', "'-1'"),
    ('--cpu=4096', '4096 is not within 0 ... 4095'),
    ('--minor=65536', '65536'),
    ('--max-msg-fds=17', '17'),
    ('--max-data-xfer-size=0', '0 is not within 1'),
    ('--max-dma-maps=0', '0 is not within 1'),
    ('--pgsizes=4097', '4097'),
    ('--pretend=map', "'map'"),
    ('--fd=3', "--fd and a socket path are mutually exclusive: never-made"),
    ('--socket-path=never-made', "socket path 'never-made' is given twice"),
    ('--fault=explode', "'explode'"),
    ('--fault=delay', 'delay requires a number'),
    ('--fault=delay=soon', "'soon'"),
    ('--fault=extra-fds=0', "'0'"),
    ('--fault=close@version#0', "'0'"),
    ('--fault=close@versions', "'versions'"),
    ('--fault=wrong-count@version', "wrong-count does not apply to version"),
    ('--fault=close-on-accept@version', 'does not apply'),
    ('--fault=reorder', 'reorder requires a number'),
    ('--fault=reorder=0', "'0'"),
    ('--fault=reorder=5@dma_read', "reorder does not apply to dma_read"),
    ('--fault=drop=1', 'drop takes no value'),
    ('--fault=wrong-version=patch', "'patch'"),
    ('--fault=bad-json', 'requires a text'),
    ('--fault=bad-json=' + 4097 * 'x', 'at most 4096 bytes, not 4097'),
    ('--fault=', "''"),
])
def test_wrong_option(folder, option, text):
    wrong = run('never-made', option, cwd=folder)
    assert (wrong.status, wrong.out) == (2, '')
    error, hint = wrong.err.splitlines()
    assert error.startswith('vuc-refdev: ') and text in error
    assert 'vuc-refdev --help' in hint
    assert os.listdir(folder) == []


def test_no_path():
    wrong = run()
    assert (wrong.status, wrong.out) == (2, '')
    assert wrong.err.startswith('vuc-refdev: no socket path\n')


@pytest.mark.parametrize('option, text', [
    ('-h', r'Usage: vuc-refdev (.*\n)*.*--socket-path=PATH'),
    ('--help', r'Usage: vuc-refdev (.*\n)*.*--socket-path=PATH'),
    ('--usage', r'Usage: vuc-refdev (.*\n)*.*\[--socket-path=PATH\]'),
    ('-V', r'vuc-refdev \d+\.\d+\.\d+\n$'),
    ('--version', r'vuc-refdev \d+\.\d+\.\d+\n$'),
])
def test_prints(option, text):
    asked = run(option)
    assert (asked.status, asked.err) == (0, '')
    assert re.match(text, asked.out)
    with open('/dev/full', 'w', encoding='utf-8') as full:
        assert run(option, stdout=full).status == 1


def test_fd_listening(start, folder):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f'{folder}/socket')
        sock.listen(1)
        server = start(os.environ['VUC_REFDEV'], f'--fd={sock.fileno()}', '--once',
                       pass_fds=[sock.fileno()])
    check_serves(f'{folder}/socket')
    assert server.wait() == 0


def test_fd_connected(start):
    """The server ends with its only client."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    server = start(os.environ['VUC_REFDEV'], f'--fd={theirs.fileno()}', '--mode=poll',
                   pass_fds=[theirs.fileno()])
    theirs.close()
    client = Client(ours)
    assert client.reg('ID') == ID_VALUE
    client.close()
    assert server.wait() == 0


def test_fd_that_is_no_socket():
    wrong = run('--fd=2')
    assert (wrong.status, wrong.err) == (1, 'vuc-refdev: fd 2 is not a UNIX stream socket\n')


def test_verbose(refdev):
    server = refdev('--verbose')
    client = Client(server.socket)
    assert client.reg('ID') == ID_VALUE
    client.close()
    assert server.stop() == 0
    said = server.err.decode()
    assert ': version (1) id 1, ' in said
    assert (': region_read (9) id 2, 32 bytes 0 fds region 0 offset 0x0 count 4 -> 36 bytes 0 fds\n'
            in said)


def test_limits(refdev):
    server = refdev('--minor=1', '--max-msg-fds=3', '--max-data-xfer-size=4096',
                    '--max-dma-maps=7', '--pgsizes=0x201000')
    reply = Client(server.socket, capabilities=None).propose()
    assert reply.body == (b'\0\0\1\0{"capabilities":{"max_msg_fds":3,"max_data_xfer_size":4096,'
                          b'"max_dma_maps":7,"pgsizes":2101248}}\0')


def test_many_maps(refdev):
    """More maps with descriptors than a process may have open by default."""
    client = Client(refdev().socket)
    fd = client.map_memory(1 << 40, 4096)
    assert all(client.map(4096 * i, 4096, 3, fd) == 0 for i in range(1100))
    assert client.reg('DMA_MAPS') == 1101


# ---- Files of BARs ----

MAPPABLE = [(BAR2, 0x10000, 0), (BAR4, 0x4000, 0x1000)]  # with an offset that can be mapped


def region_file(client, region):
    """The descriptor that a client gets for a region."""
    ask = struct.pack('<IIIIQQ', 4096, 0, region, 0, 0, 0)
    return client.ask(vfio.GET_REGION_INFO, ask).fds[0]


def inode(fd):
    return os.fstat(fd).st_dev, os.fstat(fd).st_ino


def test_bar_files_outlive_the_server(refdev, folder):
    """What a client has mapped is the memory of each server that comes after its own."""
    path = f'{folder}/s'
    server = refdev(f'--bar-file={folder}', at=path)
    client = Client(path)
    regions = []
    for bar, size, offset in MAPPABLE:
        fd = region_file(client, bar)
        assert os.stat(f'{folder}/device1-bar{bar}').st_ino == os.fstat(fd).st_ino
        regions.append((bar, offset, inode(fd), mmap.mmap(fd, size)))
    for turn in range(1, 4):
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for bar, offset, _, memory in regions:
            memory[offset] = turn
        server = refdev(f'--bar-file={folder}', at=path)
        client = Client(path)
        for bar, offset, first, memory in regions:
            assert inode(region_file(client, bar)) == first
            assert client.get(bar, offset, 1) == turn
            client.set(bar, offset + 8, 1, 100 + turn)
            assert memory[offset + 8] == 100 + turn
    assert client.try_ask(vfio.RESET) == 0
    assert all(memory[:] == bytes(len(memory)) for *_, memory in regions)
    assert server.stop() == 0
    assert server.err == b''
    assert sorted(os.listdir(folder)) == ['device1-bar2', 'device1-bar4']


def test_bar_files_of_each_device(refdev, folder):
    refdev(f'{folder}/s', f'--bar-file={folder}')
    assert sorted(os.listdir(folder)) == [
        f'device{n}-bar{bar}' for n in (1, 2) for bar in (BAR2, BAR4)] + ['s']


def make_file(path, size):
    with open(path, 'wb') as file:
        file.truncate(size)


def make_link(path):
    make_file(f'{path}-real', 0x10000)
    os.symlink(f'{path}-real', path)


def make_foreign(path):
    if os.geteuid() != 0:
        pytest.skip('only root can give files away')
    make_file(path, 0x10000)
    os.chown(path, 1, 1)


@pytest.mark.parametrize('make, text', [
    (os.mkdir, 'Is a directory'),
    (os.mkfifo, 'not a regular file'),
    (make_link, 'Too many levels of symbolic links'),
    (make_foreign, 'owned by user 1'),
    (lambda path: make_file(path, 0xffff), 'has 65535 bytes, expected 65536'),
    (lambda path: make_file(path, 0x10001), 'has 65537 bytes, expected 65536'),
], ids=['directory', 'fifo', 'link', 'foreign', 'short', 'long'])
def test_bar_file_that_cannot_be_used(folder, make, text):
    """It is refused in a line, and stays as it is."""
    path = f'{folder}/device1-bar2'
    make(path)
    before = os.lstat(path)
    wrong = run(f'{folder}/s', f'--bar-file={folder}')
    assert (wrong.status, wrong.out, wrong.err.count('\n')) == (1, '', 1)
    assert wrong.err.startswith(f'vuc-refdev: {path}') and text in wrong.err
    after = os.lstat(path)
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino, after.st_size, after.st_mtime_ns)


def test_bar_file_that_is_empty(refdev, folder):
    """A server that was killed before it had set the size leaves one."""
    make_file(f'{folder}/device1-bar4', 0)
    server = refdev(f'--bar-file={folder}')
    assert os.stat(f'{folder}/device1-bar4').st_size == 0x4000
    check_ends(server)


def test_bar_folder_that_is_missing(folder):
    wrong = run(f'{folder}/s', f'--bar-file={folder}/none')
    assert (wrong.status, wrong.err) == (
        1, f'vuc-refdev: {folder}/none/device1-bar2: No such file or directory\n')


# ---- The stream ----

@pytest.mark.parametrize('mode', MODES)
def test_bytewise(refdev, mode):
    server = refdev(mode)
    client = Client(server.socket, capabilities=None)
    for data in (message(1, vfio.VERSION, PROPOSAL + b'{}\0'),
                 message(2, vfio.REGION_WRITE, vfio.access(BAR0, 8, 8, b'M'.ljust(8, b'\0')))):
        for byte in data:
            client.send(bytes([byte]))
        assert client.receive().id == data[0]
    assert client.reg('SCRATCH') == 77
    client.close()
    check_ends(server)


NR_PIPELINED = 500


@pytest.mark.parametrize('mode', MODES)
def test_pipelined(refdev, mode):
    """Many requests in one send; the replies come in order, and posted writes get none."""
    client = Client(refdev(mode).socket)
    client.send(b''.join(
        message(0, vfio.REGION_WRITE, vfio.access(BAR0, 8, 8, struct.pack('<Q', i)), vfio.NO_REPLY)
        + message(i, vfio.REGION_READ, vfio.access(BAR0, 8, 8)) for i in range(NR_PIPELINED)))
    replies = [client.receive() for _ in range(NR_PIPELINED)]
    assert [(reply.id, reply.body[16:]) for reply in replies] == [
        (i, struct.pack('<Q', i)) for i in range(NR_PIPELINED)]
    assert client.reg('WRITES') == NR_PIPELINED


def test_replies_that_nobody_reads(refdev, folder):
    """A client that sends until nothing more goes in, and reads only then: nothing is lost, and the
    server waits without holding up its other device."""
    client = Client(refdev(f'{folder}/other').socket)
    ask = message(5, vfio.REGION_READ, vfio.access(BAR2, 0, 4096))
    sent = 0
    client.sock.setblocking(False)
    while True:
        try:
            assert client.sock.send(ask) == len(ask)
        except BlockingIOError:
            break
        sent += 1
        if sent % 64 == 0:
            check_serves(f'{folder}/other')
    assert sent > 64
    client.sock.settimeout(rig.TIMEOUT_S)
    assert all(client.receive().size == 32 + 4096 for _ in range(sent))
    assert client.reg('ID') == ID_VALUE


def freeze(server):
    """Stop it, so that all that is sent meanwhile is there at once when it goes on."""
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED)


@pytest.mark.parametrize('mode', MODES)
def test_last_words(refdev, mode):
    """What a client has sent before it left without taking its replies is carried out."""
    server = refdev(mode)
    client = Client(server.socket)
    freeze(server)
    client.send(NR_PIPELINED * message(1, vfio.REGION_WRITE, vfio.access(BAR0, 8, 8, bytes(8))))
    client.close()
    os.kill(server.pid, signal.SIGCONT)
    client = Client(server.socket)
    assert client.reg('WRITES') == NR_PIPELINED
    client.close()
    check_ends(server)


def test_early_leave(refdev):
    """A client that leaves without taking its reply, and one in the middle of a message."""
    server = refdev()
    for size in (32, 20):
        client = Client(server.socket)
        client.send(message(1, vfio.REGION_READ, ID)[:size])
        client.close()
    check_serves(server.socket)
    check_ends(server, 'client disconnected within a message, after 20 bytes of it')


@pytest.mark.parametrize('size, flags, text', [
    (15, 0, 'message 7 has size 15, expected 16 to 1048608'),
    (0, 0, 'message 7 has size 0'),
    (1048609, 0, 'message 7 has size 1048609'),
    (0xffffffff, 0, 'message 7 has size 4294967295'),
    *((16, kind, f'message 7 is not a command: flags {kind:#x}') for kind in range(1, 16)),
])
def test_broken_header(refdev, size, flags, text):
    """The client is disconnected, with a line, and the next one is served."""
    server = refdev()
    client = Client(server.socket)
    client.send(message(7, vfio.RESET, size=size, flags=flags))
    assert client.receive() is None
    client.close()
    check_serves(server.socket)
    check_ends(server, text)


@pytest.mark.parametrize('cmd, text', [
    (vfio.VERSION, 'client requests version 1.0, supported is 0.2'),
    (vfio.RESET, 'message 1 has command 13 (device_reset), expected VFIO_USER_VERSION first'),
])
def test_broken_start(refdev, cmd, text):
    server = refdev()
    client = Client(server.socket, capabilities=None)
    assert client.ask(cmd, b'\1\0\0\0') is None
    client.close()
    check_ends(server, text)


def test_fds_in_a_crowd(refdev):
    """Each descriptor stays with its message, whatever was sent around it."""
    server = refdev()
    client = Client(server.socket)
    fds = client.new_eventfds(4)
    freeze(server)
    for n, fd in enumerate(fds):
        assign = struct.pack('<IIIII', 20, vfio.DATA_EVENTFD | vfio.TRIGGER, vfio.MSIX, n, 1)
        client.send(message(10, vfio.SET_IRQS, assign) + message(20, vfio.REGION_READ, ID), [fd])
        client.send(message(30, vfio.DMA_MAP, struct.pack('<IIQQQ', 32, 1, 0, 4096 * n, 4096)))
    os.kill(server.pid, signal.SIGCONT)
    assert all(client.receive().flags == vfio.REPLY for _ in range(12))
    for n in range(4):
        client.set_reg('IRQ_TRIGGER', n)
        assert [vfio.events(fd) for fd in fds] == [other == n for other in range(4)]


def test_fds_bytewise(refdev):
    """Descriptors that come with several bytes of one message are all of that message."""
    client = Client(refdev().socket)
    fds = client.new_eventfds(2)
    data = message(1, vfio.SET_IRQS, struct.pack(
        '<IIIII', 20, vfio.DATA_EVENTFD | vfio.TRIGGER, vfio.MSIX, 2, 2))
    for i in range(len(data)):
        client.send(data[i:i + 1], fds[i:i + 1])
    assert client.receive().error == 0
    client.set_reg('IRQ_TRIGGER', 3)
    assert [vfio.events(fd) for fd in fds] == [0, 1]


def test_fds_of_a_client_that_left(refdev):
    """Interrupts stop with the client that wanted them: nobody else holds its descriptor then."""
    client = Client(refdev().socket)
    ours, theirs = os.pipe()
    assert client.set_irqs(vfio.DATA_EVENTFD | vfio.TRIGGER, vfio.MSIX, 0, 1, fds=[theirs]) == 0
    os.close(theirs)
    client.close()
    assert os.read(ours, 1) == b''
    os.close(ours)


@pytest.mark.parametrize('count, text', [
    (1, ''), (8, ''),
    (9, 'message has 9 file descriptors, expected at most 8'), (16, 'message has 16 file descriptors'),
    (17, 'message has too many file descriptors'), (64, 'too many file descriptors'),
])
def test_many_fds(refdev, count, text):
    """Descriptors where none belong get an error and are closed; too many end the connection."""
    server = refdev()
    client = Client(server.socket)
    ours, theirs = os.pipe()
    reply = client.ask(vfio.REGION_READ, ID, [theirs] * count)
    assert reply is None if text else reply.error == -22
    os.close(theirs)
    assert os.read(ours, 1) == b''
    os.close(ours)
    client.close()
    check_ends(server, text)
