# SPDX-License-Identifier: BSD-3-Clause
"""The reference device's DMA table and engine, and its own commands."""

import os
import struct

import pytest
import vfio_client as vfio
from vfio_client import (BAR2, BUSY, BY_FILE, BY_MMAP, DONE, DST_BAR2, FILE_IO, FILL, MMAP, MSIX,
                         NO_TWIN, PAGE, READ, SRC_BAR2, TWIN, WRITE, Client, Memory, await_end,
                         events, start, status, transfer)
from vfio_client import (EACCES, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, ENOTCONN,
                         EOPNOTSUPP, EPERM)

MODES = ['--mode=block', '--mode=poll']
TOP = (1 << 64) - PAGE


# ---- The table ----

def test_maps(client):
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
def test_map_refused(client, wrong):
    assert client.map(**{'addr': 0, 'size': PAGE} | wrong) == EINVAL
    assert client.reg('DMA_MAPS') == 0


@pytest.mark.parametrize('size, offset, pages, error', [
    (2, 0, 2, 0), (1, 3 * PAGE, 4, 0), (2, 0, 1, EINVAL), (1, PAGE, 1, EINVAL),
    (1, TOP, 1, EINVAL)])
def test_map_file(client, size, offset, pages, error):
    """All of a mapping lies in its file."""
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

@pytest.mark.parametrize('how', [BY_FILE, BY_MMAP])
def test_through_mappings(client, how):
    """Over two mappings with different offsets that lie side by side."""
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
def test_file_that_shrinks(client, how):
    """It has become shorter than its mapping: that is no reason to die."""
    os.ftruncate(client.map_memory(0, 4 * PAGE), PAGE)
    assert transfer(client, how | DST_BAR2, 0, 0, 2 * PAGE) == EFAULT
    assert transfer(client, how | FILL, 0, 2 * PAGE, PAGE) == EFAULT
    assert transfer(client, how | FILL, 0, 0, PAGE) == DONE


def test_access_flags(client):
    """A mapping that says how it wants to be accessed is accessed so only."""
    client.map_memory(0, PAGE, WRITE | MMAP)
    client.map_memory(PAGE, PAGE, WRITE | FILE_IO)
    assert [transfer(client, how | FILL, 0, dst, 8) for dst in (0, PAGE)
            for how in (BY_FILE, BY_MMAP)] == [EACCES, DONE, DONE, EACCES]


@pytest.mark.parametrize('how', [0, BY_FILE, BY_MMAP])
def test_bounds(client, how):
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
    said = {'id': 'unexpected reply', 'cmd': 'unexpected reply', 'no twin': 'unexpected reply',
            'twin command': f'message {number} on the twin socket is not a reply',
            'wrong socket': 'reply on the main socket'}.get(what, 'expected 16 bytes at 0x0')
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
    # This may overtake the answer, which comes by the twin socket; the next message does not.
    assert client.reg('DMA_STATUS') == 0
    assert client.write(0, 0x7c, bytes(4)) == 0  # no transfer is under way


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
