# SPDX-License-Identifier: BSD-3-Clause
"""The reference device's DMA table and engine, its own commands, the log of writes, migration."""

import os
import socket
import struct

import pytest
import vfio_client as vfio
from vfio_client import BAR2, FILE_IO, MMAP, MSIX, READ, WRITE, Client, events

EPERM, ENOENT, EACCES, EFAULT, EBUSY, EEXIST, EINVAL, ENOSPC, ENOTTY = (
    -1, -2, -13, -14, -16, -17, -22, -28, -25)
EMSGSIZE, EOPNOTSUPP, ENOTCONN = -90, -95, -107
MODES = ['--mode=block', '--mode=poll']
PAGE = 4096
TOP = (1 << 64) - PAGE
TWIN = '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":8192,' \
       '"twin_socket":{"supported":true}}}'
NO_TWIN = '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":8192}}'


# ---- The table ----

def test_maps(device):
    client = device()
    assert client.map(4 * PAGE, 4 * PAGE) == 0
    for addr, pages in [(4, 4), (0, 5), (7, 1), (5, 1), (0, 64)]:
        assert client.map(addr * PAGE, pages * PAGE) == EEXIST
    for addr, size in [(8 * PAGE, PAGE), (0, 4 * PAGE), (TOP, PAGE)]:
        assert client.map(addr, size) == 0
    assert client.map(TOP, PAGE) == EEXIST
    assert client.reg('DMA_MAPS') == 4
    for addr, pages in [(12, 1), (4, 3), (5, 3), (0, 8)]:
        assert client.unmap(addr * PAGE, pages * PAGE).error == ENOENT
    assert client.unmap(4 * PAGE, 4 * PAGE, flags=4).error == EINVAL
    assert client.unmap(4 * PAGE, 4 * PAGE, argsz=23).error == EINVAL
    assert client.reg('DMA_MAPS') == 4
    assert client.unmap(4 * PAGE, 4 * PAGE).body == struct.pack('<IIQQ', 24, 0, 4 * PAGE, 4 * PAGE)
    assert client.try_ask(vfio.RESET) == 0
    assert client.reg('DMA_MAPS') == 3
    assert client.unmap(0, PAGE, flags=2).error == EINVAL
    assert client.unmap(0, 0, flags=2).error == 0  # all
    assert client.reg('DMA_MAPS') == 0


@pytest.mark.parametrize('wrong', [
    {'argsz': 31}, {'argsz': 33}, {'flags': 0}, {'flags': READ | 1 << 4}, {'flags': READ | MMAP},
    {'size': 0}, {'size': PAGE + 1}, {'addr': 1}, {'offset': 1}, {'offset': PAGE},
    {'size': 2 * PAGE, 'addr': TOP}])
def test_map_refused(device, wrong):
    client = device()
    assert client.map(**{'addr': 0, 'size': PAGE} | wrong) == EINVAL
    assert client.reg('DMA_MAPS') == 0


@pytest.mark.parametrize('size, offset, pages, error', [
    (2, 0, 2, 0), (1, 3 * PAGE, 4, 0), (2, 0, 1, EINVAL), (1, PAGE, 1, EINVAL),
    (1, TOP, 1, EINVAL)])
def test_map_file(device, size, offset, pages, error):
    """All of a mapping lies in its file."""
    client = device()
    client.fds.append(os.memfd_create('memory'))
    os.ftruncate(client.fds[0], pages * PAGE)
    assert client.map(0, size * PAGE, READ, client.fds[0], offset) == error
    assert client.try_ask(vfio.DMA_MAP, struct.pack('<IIQQQ', 32, READ, 0, 1 << 30, PAGE),
                          2 * client.fds) == EINVAL


def test_table_limit(device):
    """The table has the size that was announced; it fills from both ends and in between."""
    client = device('--max-dma-maps=200')
    assert {client.map(i * 77 % 200 * 2 * PAGE, PAGE) for i in range(200)} == {0}
    assert client.map(400 * PAGE, PAGE) == ENOSPC
    assert {client.unmap(i * 31 % 200 * 2 * PAGE, PAGE).error for i in range(200)} == {0}
    assert client.reg('DMA_MAPS') == 0


def test_page_sizes(device):
    client = device('--pgsizes=0x40200000')
    assert [client.map(0, PAGE), client.map(PAGE, 0x200000), client.map(0x200000, 0x200000)] == [
        EINVAL, EINVAL, 0]


def test_pretended_unmap_all(device):
    """It is only answered; the mappings go with the client, as the descriptors say."""
    client = device('--pretend=unmap-all')
    client.map_memory(0, PAGE)
    assert client.unmap(0, 0, flags=2).error == 0
    assert client.reg('DMA_MAPS') == 1


# ---- The engine, through descriptors ----

BY_FILE, BY_MMAP = 1, 2
FILL, SRC_BAR2, DST_BAR2 = 0x10, 0x20, 0x40
DONE = 0
BUSY = 1


def start(client, mode, src=0, dst=0, size=1):
    for name, value in (('MODE', mode), ('SRC', src), ('DST', dst), ('LEN', size), ('START', 1)):
        client.post_reg(f'DMA_{name}', value)


def status(client):
    """DONE, BUSY or a negative error."""
    value = client.reg('DMA_STATUS')
    return BUSY if value == 1 else -client.reg('DMA_ERRNO') if value == 3 else DONE


def transfer(client, *args, **options):
    start(client, *args, **options)
    return status(client)


@pytest.mark.parametrize('how', [BY_FILE, BY_MMAP])
def test_through_mappings(device, how):
    """Over two mappings with different offsets that lie side by side."""
    client = device()
    data = bytes(i * 13 & 0xff for i in range(3 * PAGE))
    first = client.map_memory(0, 2 * PAGE)
    second = os.memfd_create('second')
    client.fds.append(second)
    os.ftruncate(second, 4 * PAGE)
    assert client.map(2 * PAGE, 2 * PAGE, READ | WRITE, second, 2 * PAGE) == 0
    os.pwrite(first, data[:PAGE], PAGE)
    os.pwrite(second, data[PAGE:], 2 * PAGE)
    assert transfer(client, how | DST_BAR2, PAGE, 0, len(data)) == DONE
    assert transfer(client, how | SRC_BAR2, 0, 5, len(data)) == DONE
    assert transfer(client, how | DST_BAR2, 5, 20000, len(data)) == DONE
    assert client.read(BAR2, 20000, len(data)) == data
    assert transfer(client, how, 5, PAGE, PAGE) == DONE
    assert os.pread(first, PAGE, PAGE) == data[:PAGE]


@pytest.mark.parametrize('how', [BY_FILE, BY_MMAP])
def test_file_that_shrinks(device, how):
    """It has become shorter than its mapping: that is no reason to die."""
    client = device()
    os.ftruncate(client.map_memory(0, 4 * PAGE), PAGE)
    assert transfer(client, how | DST_BAR2, 0, 0, 2 * PAGE) == EFAULT
    assert transfer(client, how | FILL, 0, 2 * PAGE, PAGE) == EFAULT
    assert transfer(client, how | FILL, 0, 0, PAGE) == DONE


def test_access_flags(device):
    """A mapping that says how it wants to be accessed is accessed so only."""
    client = device()
    client.map_memory(0, PAGE, WRITE | MMAP)
    client.map_memory(PAGE, PAGE, WRITE | FILE_IO)
    assert [transfer(client, how | FILL, 0, dst, 8) for dst in (0, PAGE)
            for how in (BY_FILE, BY_MMAP)] == [EACCES, DONE, DONE, EACCES]


@pytest.mark.parametrize('how', [0, BY_FILE, BY_MMAP])
def test_bounds(device, how):
    client = device()
    assert client.map(PAGE, PAGE, READ) == 0
    client.map_memory(4 * PAGE, PAGE, WRITE)
    for mode, src, dst, size, error in [
            (DST_BAR2, PAGE, 0, PAGE + 1, EFAULT), (DST_BAR2, PAGE - 1, 0, 1, EFAULT),
            (DST_BAR2, (1 << 64) - 1, 0, 2, EFAULT), (SRC_BAR2, 0, PAGE, 1, EACCES),
            (DST_BAR2, 4 * PAGE, 0, 1, EACCES), (FILL | DST_BAR2, 0, 65535, 2, EFAULT),
            (FILL, 0, 4 * PAGE, 0, EINVAL), (FILL, 0, 4 * PAGE, (1 << 20) + 1, EINVAL),
            (3, PAGE, 0, 1, EINVAL), (0x80, PAGE, 0, 1, EINVAL)]:
        assert transfer(client, how | mode, src, dst, size) == error
        assert client.reg('DMA_DONE') == 0
    if how:
        assert transfer(client, how | DST_BAR2, PAGE, 0, 1) == EOPNOTSUPP


# ---- By message ----

class Memory:
    """A client's memory at address 0, which answers the device's commands."""

    def __init__(self, client, size=65536):
        self.client = client
        self.channel = client.twin or client
        self.bytes = bytearray(i * 11 + i // 256 & 0xff for i in range(size))
        assert client.map(0, size, READ | WRITE) == 0

    def next(self):
        """The next command, and its address, count and data."""
        command = self.channel.receive()
        assert command.flags == 0
        return command, *struct.unpack_from('<QQ', command.body), command.body[16:]

    def reply(self, command, body=b'', error=0):
        flags = vfio.REPLY | (vfio.ERROR if error else 0)
        self.channel.send(vfio.message(command.id, command.cmd, body, flags, error=error))

    def answer(self, command, addr, count, data):
        if command.cmd == vfio.DMA_WRITE:
            assert len(data) == count
            self.bytes[addr:addr + count] = data
            self.reply(command, command.body[:16])
        else:
            assert (command.cmd, data) == (vfio.DMA_READ, b'')
            self.reply(command, command.body[:16] + self.bytes[addr:addr + count])


def await_end(client):
    """What was sent by the twin socket may be seen later than what was sent by the other."""
    while status(client) == BUSY:
        pass
    return status(client)


@pytest.mark.parametrize('capabilities', [NO_TWIN, TWIN])
@pytest.mark.parametrize('mode', MODES)
def test_copy_by_message(device, mode, capabilities):
    client = device(mode, capabilities=capabilities)
    memory = Memory(client)
    start(client, 0, 17, 40000, 20000)
    counts = []
    for _ in range(6):
        command = memory.next()
        counts.append(command[2])
        memory.answer(*command)
    assert counts == 2 * [8192, 8192, 3616]
    assert await_end(client) == DONE
    assert client.reg('DMA_DONE') == 20000
    assert memory.bytes[17:20017] == memory.bytes[40000:60000]


def test_window(device):
    """As many commands at a time as the window has, answered in another order; registers are served
    meanwhile."""
    client = device(capabilities=TWIN)
    memory = Memory(client)
    client.set_reg('DMA_WINDOW', 3)
    client.set_reg('DMA_CHUNK', 10)
    start(client, DST_BAR2, 5, 40, 35)
    commands = [memory.next() for _ in range(3)]
    assert [command[1:3] for command in commands] == [(5, 10), (15, 10), (25, 10)]
    assert status(client) == BUSY
    client.twin.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.twin.sock.recv(1)
    client.twin.sock.settimeout(60)
    memory.answer(*commands[2])
    commands.append(memory.next())
    assert commands[3][1:3] == (35, 5)
    for i in (0, 3):
        memory.answer(*commands[i])
    assert client.write(0, 0x7c, bytes(4)) == EBUSY
    memory.answer(*commands[1])
    assert await_end(client) == DONE
    assert client.read(BAR2, 40, 35) == memory.bytes[5:40]


def test_fill_and_vector(device):
    client = device(capabilities=TWIN)
    memory = Memory(client)
    fd = client.eventfd(MSIX, 5)
    client.set_reg('DMA_PATTERN', 0x0123456789abcdef)
    client.set_reg('DMA_VECTOR', 6)
    start(client, FILL, 0, PAGE, 13)
    assert events(fd) == 0
    memory.answer(*memory.next())
    assert await_end(client) == DONE
    assert events(fd) == 1
    assert memory.bytes[PAGE:PAGE + 13] == (2 * struct.pack('<Q', 0x0123456789abcdef))[:13]


def test_refused_by_the_client(device):
    """The client refuses one of several: the transfer ends when all are answered."""
    client = device(capabilities=TWIN)
    memory = Memory(client)
    client.set_reg('DMA_WINDOW', 2)
    client.set_reg('DMA_CHUNK', 16)
    start(client, FILL, 0, 0, 64)
    first, second = memory.next(), memory.next()
    memory.reply(first[0], error=1)
    assert status(client) == BUSY
    memory.answer(*second)
    assert await_end(client) == EPERM
    assert client.reg('DMA_DONE') == 16


CASES = ('addr', 'count', 'id', 'cmd', 'short', 'twin command', 'wrong socket', 'no twin')


@pytest.mark.parametrize('what', CASES)
def test_wrong_reply(refdev, what):
    """What answers nothing, or something else, or comes by the wrong socket, loses the client its
    connection."""
    server = refdev()
    client = Client(server.socket, capabilities=NO_TWIN if what == 'no twin' else TWIN)
    memory = Memory(client)
    start(client, DST_BAR2, 0, 0, 16)
    command, addr, count, _ = memory.next()
    data = struct.pack('<QQ', addr + (what == 'addr'), count + (what == 'count')) + bytes(16)
    data = data[:-1] if what == 'short' else data
    number = command.id ^ (what in ('id', 'no twin'))
    cmd = vfio.DMA_WRITE if what == 'cmd' else vfio.DMA_READ
    flags = 0 if what == 'twin command' else vfio.REPLY
    channel = client if what == 'wrong socket' else memory.channel
    channel.send(vfio.message(number, cmd, data, flags))
    assert client.receive() is None
    client.close()
    assert server.stop() == 0
    said = {'id': 'that was not sent', 'cmd': 'that was not sent', 'no twin': 'that was not sent',
            'twin command': f'message {number} by the twin socket is no reply',
            'wrong socket': 'reply by the main socket'}.get(what, 'is not of 16 bytes at 0x0')
    assert server.err.count(b'\n') == 1
    assert said in server.err.decode()


def test_reset_meanwhile(device):
    """After a reset the answer still comes, and means nothing."""
    client = device(capabilities=TWIN)
    memory = Memory(client)
    start(client, 0, 0, PAGE, 16)
    command = memory.next()
    assert client.try_ask(vfio.RESET) == 0
    memory.answer(*command)
    assert client.reg('DMA_STATUS') == 0


def test_client_that_leaves(device):
    """With commands unanswered, or without the twin socket only."""
    client = device(capabilities=TWIN)
    Memory(client)
    start(client, 0, 0, PAGE, 16)
    client.sock.close()
    client.twin.sock.close()
    later = Client(client.server.socket, capabilities=TWIN)
    assert status(later) == ENOTCONN
    later.twin.close()
    Memory(later)
    assert transfer(later, 0, 0, PAGE, 16) == BUSY
    later.close()


def test_raw(device):
    client = device(capabilities=TWIN)
    for name, value in (('ADDR', 0xdead0000), ('COUNT', 1 << 40), ('LEN', 3)):
        client.set_reg(f'RAW_{name}', value)
    client.set_reg('RAW_SEND', vfio.DMA_WRITE)
    command = client.twin.receive()
    assert (command.cmd, command.body) == (
        vfio.DMA_WRITE, struct.pack('<QQ', 0xdead0000, 1 << 40) + bytes(3))
    client.twin.send(vfio.message(command.id, command.cmd, b'', 0x21, error=14))
    while client.reg('RAW_ANSWERS') == 0:
        pass
    assert [client.reg(f'RAW_{name}') for name in (
        'SENT', 'ANSWER_FLAGS', 'ANSWER_ERRNO', 'ANSWER_COUNT')] == [1, 0x21, 14, 0]
    assert client.write(0, 0xac, struct.pack('<I', 10)) == EINVAL
    client.set_reg('RAW_LEN', 65537)
    assert client.write(0, 0xac, struct.pack('<I', 11)) == EINVAL


def test_raw_flood(device):
    """Not more raw messages than the table has room for; a good answer is told in registers."""
    client = device(capabilities=TWIN)
    client.set_reg('RAW_COUNT', 8)
    client.set_reg('RAW_TIMES', 1000)
    client.set_reg('RAW_SEND', vfio.DMA_READ)
    commands = [client.twin.receive() for _ in range(256)]
    assert len({command.id for command in commands}) == 256
    assert client.reg('RAW_SENT') == 256
    assert client.write(0, 0xac, struct.pack('<I', 11)) == EBUSY
    client.twin.send(vfio.message(commands[0].id, vfio.DMA_READ, bytes(24), vfio.REPLY))
    assert client.twin.receive().id != commands[0].id
    assert [client.reg(f'RAW_ANSWER_{name}') for name in ('ERRNO', 'LEN')] == [0, 8]


def test_commands_that_nobody_reads(device):
    """The device goes on, and they are all there in the end."""
    client = device(capabilities=TWIN)
    for name, value in (('FLAGS', vfio.NO_REPLY), ('COUNT', 60000), ('LEN', 60000), ('TIMES', 300)):
        client.set_reg(f'RAW_{name}', value)
    client.set_reg('RAW_SEND', vfio.DMA_WRITE)
    assert client.reg('RAW_SENT') < 300
    assert {client.twin.receive().size for _ in range(300)} == {32 + 60000}
    assert client.reg('RAW_SENT') == 300


# ---- The log of writes ----

GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
MIGRATION, STATE, LOG_START, LOG_STOP, LOG_REPORT = 1, 2, 6, 7, 8


def log_start(client, page_size=PAGE, ranges=(), count=None, reserved=0):
    data = struct.pack('<QII', page_size, len(ranges) if count is None else count, reserved)
    data += b''.join(struct.pack('<QQ', *area) for area in ranges)
    reply = client.feature(SET | LOG_START, data, len(data))
    return reply.error or struct.unpack_from('<Q', reply.body, 8)[0]


def log_report(client, addr, size, page_size=PAGE, room=8):
    """The bitmap as a number, or a negative error."""
    ask = struct.pack('<QQQ', addr, size, page_size)
    reply = client.feature(GET | LOG_REPORT, ask, len(ask) + room)
    assert reply.error or reply.body[8:32] == ask
    return reply.error or int.from_bytes(reply.body[32:], 'little')


def pages_report(client, first, count, page_size=PAGE):
    return log_report(client, first * PAGE, count * PAGE, page_size)


def test_log(device):
    client = device()
    client.map_memory(0, 64 * PAGE)
    assert transfer(client, BY_FILE | FILL, 0, 0, 1) == DONE
    assert log_start(client) == PAGE
    assert pages_report(client, 0, 64) == 0
    assert transfer(client, BY_FILE | FILL, 0, 3 * PAGE - 1, 2) == DONE
    assert transfer(client, BY_MMAP | FILL, 0, 63 * PAGE, PAGE) == DONE
    assert transfer(client, BY_FILE | DST_BAR2, 8 * PAGE, 0, PAGE) == DONE  # only read
    assert transfer(client, BY_FILE | FILL, 0, 64 * PAGE - 1, PAGE) == EFAULT
    assert [pages_report(client, 0, count) for count in (8, 64, 64)] == [3 << 2, 1 << 63, 0]
    assert client.feature(SET | LOG_STOP).error == 0


@pytest.mark.parametrize('hint, chosen, asked, bitmap', [
    (1, PAGE, 4 * PAGE, 1 << 1), (1, PAGE, 1024, 15 << 20), (3 * PAGE, 2 * PAGE, PAGE, 3 << 4),
    (1 << 40, 1 << 30, PAGE, (1 << 64) - 1)])
def test_log_page_sizes(device, hint, chosen, asked, bitmap):
    """Any power of two can be asked for, whatever the log has."""
    client = device()
    client.map_memory(0, 64 * PAGE)
    assert log_start(client, hint) == chosen
    assert transfer(client, BY_FILE | FILL, 0, 5 * PAGE, 1) == DONE
    assert log_report(client, 0, 64 * asked if asked <= PAGE else 64 * PAGE, asked) == bitmap


def test_log_ranges(device):
    client = device()
    client.map_memory(0, 64 * PAGE)
    assert log_start(client, PAGE, [(8 * PAGE, 8 * PAGE), (0, 2 * PAGE)]) == PAGE
    assert transfer(client, BY_FILE | FILL, 0, 0, 32 * PAGE) == DONE
    assert [pages_report(client, *pages) for pages in [
        (0, 2), (9, 2), (8, 8), (0, 3), (20, 1)]] == [3, 3, 0xf9, EINVAL, EINVAL]


def test_log_refused(device):
    client = device()
    assert pages_report(client, 0, 1) == EINVAL
    assert client.feature(SET | LOG_STOP).error == EINVAL
    two = [(PAGE, PAGE), (0, PAGE)]
    for wrong in [{'ranges': two, 'count': 1}, {'ranges': [(PAGE, 2 * PAGE), (2 * PAGE, PAGE)]},
                  {'ranges': [(PAGE, PAGE), ((1 << 64) - 1, 2)]},
                  {'ranges': two, 'count': 0xffffffff}, {'ranges': two, 'reserved': 1}]:
        assert log_start(client, **wrong) == EINVAL
    assert log_start(client) == PAGE
    assert log_start(client) == EINVAL
    for args in [(0, PAGE, 3000), (0, PAGE, 0), (0, 0, PAGE), (0, PAGE, PAGE, 7),
                 ((1 << 64) - 1, 2, PAGE), (0, (1 << 64) - 1, 1, 1 << 30)]:
        assert log_report(client, *args) == EINVAL
    assert log_report(client, 0, 1 << 40, PAGE, 1 << 30) == EMSGSIZE


@pytest.mark.parametrize('options, flags, error', [
    ([], PROBE | LOG_START, 0), ([], PROBE | SET | LOG_START, 0),
    ([], PROBE | GET | LOG_START, EINVAL),
    ([], PROBE | GET | LOG_REPORT, 0), ([], PROBE | GET | SET | LOG_REPORT, EINVAL),
    ([], PROBE | GET | SET | STATE, 0), ([], PROBE | GET | MIGRATION, 0), ([], PROBE | 3, ENOTTY),
    ([], PROBE | 0xffff, ENOTTY), ([], GET | SET | STATE, EINVAL), ([], STATE, EINVAL),
    ([], 1 << 19 | PROBE | STATE, EINVAL), (['--no-dirty-log'], PROBE | LOG_START, ENOTTY),
    (['--no-dirty-log'], PROBE | MIGRATION, 0), (['--no-migration'], PROBE | MIGRATION, ENOTTY),
    (['--no-migration'], PROBE | LOG_START, 0)])
def test_features(device, options, flags, error):
    assert device(*options).feature(flags).error == error


def unmap_dirty(client, size, page_size=PAGE, argsz=48):
    """The bitmap as a number, or a negative error."""
    reply = client.unmap(0, size, 1, argsz, struct.pack('<QQ', page_size, 8))
    assert reply.error or reply.body[:40] == struct.pack('<IIQQQQ', 48, 1, 0, size, page_size, 8)
    return reply.error or int.from_bytes(reply.body[40:], 'little')


def test_unmap_dirty(device):
    client = device()
    client.map_memory(0, 8 * PAGE)
    assert unmap_dirty(client, 8 * PAGE) == EINVAL
    assert log_start(client) == PAGE
    assert transfer(client, BY_MMAP | FILL, 0, 7 * PAGE, 1) == DONE
    assert [unmap_dirty(client, *args) for args in [
        (8 * PAGE, PAGE, 47), (8 * PAGE, 1000), (7 * PAGE,), (8 * PAGE,)]] == [
            EINVAL, EINVAL, ENOENT, 1 << 7]
    assert client.reg('DMA_MAPS') == 0


# ---- Migration ----

ERROR, STOP, RUNNING, STOP_COPY, RESUMING, _, PRE_COPY = range(7)


def state(client):
    return struct.unpack('<IIII', client.feature(GET | STATE, room=8).body)[2]


def go(client, to):
    return client.feature(SET | STATE, struct.pack('<II', to, 0), 8).error


def mig_read(client, size, argsz=None):
    """The bytes, or a negative error."""
    argsz = 8 + size if argsz is None else argsz
    reply = client.ask(vfio.MIG_READ, struct.pack('<II', argsz, size))
    if not reply.error:
        assert struct.unpack_from('<II', reply.body) == (len(reply.body), len(reply.body) - 8)
    return reply.error or reply.body[8:]


def mig_write(client, data, size=None):
    return client.try_ask(vfio.MIG_WRITE, struct.pack(
        '<II', 8 + len(data), len(data) if size is None else size) + data)


def read_round(client, chunk=65536):
    """Read chunks until a short one."""
    data = b''
    while True:
        part = mig_read(client, chunk)
        data += part
        if len(part) < chunk:
            return data


@pytest.mark.parametrize('before', [STOP, RUNNING, STOP_COPY, PRE_COPY])
def test_arcs(device, before):
    legal = {STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY} - (
        {PRE_COPY} if before == STOP_COPY else set())
    client = device()
    for to in range(9):
        assert client.try_ask(vfio.RESET) == 0
        assert state(client) == RUNNING
        assert go(client, before) == 0
        assert go(client, to) == (0 if to in legal else EINVAL)
        assert state(client) == (to if to in legal else before)


MARKS = [(0, 0x8, 8, 0x1122334455667788), (0, 0x34, 4, 77), (0, 0x50, 8, 0xabcdef), (0, 0x2c, 4, 1),
         (0, 0x7f8, 8, 0xfeedface), (2, 65528, 8, 0xc0ffee), (4, 0x3000, 4, 0x55aa),
         (4, 8, 4, 0x4021),
         (7, 0x9c, 4, 0x7711)]


def mark(client):
    """Leave traces all over a device."""
    for region, offset, count, value in MARKS:
        client.set(region, offset, count, value)


def marks(client):
    return [(region, offset, count, client.get(region, offset, count))
            for region, offset, count, _ in MARKS]


def save(client, pre_copy=False, chunk=65536):
    """The stream of a marked device."""
    mark(client)
    data = b''
    if pre_copy:
        client.set(BAR2, 65528, 8, 1)
        assert go(client, PRE_COPY) == 0
        data = read_round(client, chunk)
        assert len(data) > 65536
        client.set(BAR2, 65528, 8, 0xc0ffee)
    assert go(client, STOP_COPY) == 0
    data += read_round(client, chunk)
    assert read_round(client, chunk) == b''
    assert go(client, STOP) == 0
    return data


@pytest.mark.parametrize('pre_copy, chunk', [
    (False, 65536), (False, 333), (True, 4096), (True, 1000)])
def test_move(device, pre_copy, chunk):
    stream = save(device(), pre_copy, chunk)
    client = device()
    client.set(0, 0x400, 8, 9999)
    client.set_reg('IRQ_TRIGGER', 1 << 31)
    resets = client.reg('RESETS')
    assert go(client, RESUMING) == 0
    assert {mig_write(client, stream[i:i + chunk]) for i in range(0, len(stream), chunk)} == {0}
    assert go(client, RUNNING) == 0
    assert (state(client), marks(client)) == (RUNNING, MARKS)
    assert (client.get(0, 0x400, 8), client.reg('RESETS')) == (0, resets)


def test_pre_copy(device):
    """Each round has what has changed since the last one."""
    client = device()
    assert client.feature(GET | MIGRATION, room=8).body[8:] == struct.pack('<Q', 5)
    assert client.feature(GET | MIGRATION, room=7).error == EINVAL
    assert go(client, PRE_COPY) == 0
    assert len(read_round(client)) > 65536
    assert read_round(client) == b''
    client.set(BAR2, 5000, 1, 1)
    client.set(BAR2, 60000, 1, 1)
    assert len(read_round(client)) == 2 * (16 + 1024)
    assert read_round(client) == b''
    assert go(client, RUNNING) == 0
    assert mig_read(client, 8) == EINVAL


def test_bad_streams(device):
    """They are refused at the latest when they end, and harm nothing."""
    stream = save(device())
    size = len(stream)
    flipped = [*range(64), *range(64, size, 997), size - 1]
    bad = [b'', stream[:7], stream[:-1], stream[:-24], stream[16:], stream + bytes(16)]
    bad += [stream[:i] + bytes([stream[i] ^ 0x10]) + stream[i + 1:] for i in flipped]
    client = device()
    for data in bad:
        mark(client)
        assert go(client, RESUMING) == 0
        assert {mig_write(client, data[i:i + 32768])
                for i in range(0, len(data), 32768)} <= {0, EINVAL}
        assert go(client, STOP) == EINVAL
        assert (state(client), marks(client)) == (ERROR, MARKS)
        assert go(client, RUNNING) == EINVAL
        assert client.try_ask(vfio.RESET) == 0
        assert state(client) == RUNNING


def test_migration_data_refused(device):
    client = device()
    assert (mig_read(client, 8), mig_write(client, bytes(8))) == (EINVAL, EINVAL)
    assert go(client, STOP_COPY) == 0
    assert [mig_write(client, bytes(8)), mig_read(client, 8, 15),
            mig_read(client, 0xffffffff, 0xffffffff), mig_read(client, 0)] == [
                EINVAL, EINVAL, EINVAL, b'']
    assert go(client, RESUMING) == 0
    assert mig_read(client, 8) == EINVAL
    assert {mig_write(client, bytes(64), size) for size in (1, 65)} == {EINVAL}


def test_stopped(device):
    """While it is stopped the device starts no transfer, and with one under way it does not
    stop."""
    client = device(capabilities=TWIN)
    assert go(client, STOP) == 0
    assert client.write(0, 0x7c, bytes(4)) == EBUSY
    assert go(client, RUNNING) == 0
    memory = Memory(client)
    start(client, DST_BAR2, 0, 0, 8)
    assert (go(client, STOP), state(client)) == (EBUSY, RUNNING)
    memory.answer(*memory.next())
    assert await_end(client) == DONE
    assert go(client, STOP) == 0


@pytest.mark.parametrize('before, after', [
    (PRE_COPY, RUNNING), (STOP_COPY, STOP), (RESUMING, STOP), (STOP, STOP)])
def test_migration_ends_with_its_client(device, before, after):
    client = device()
    assert go(client, before) == 0
    client.sock.shutdown(socket.SHUT_RDWR)
    client.sock.close()
    later = Client(client.server.socket)
    assert state(later) == after
    later.close()
