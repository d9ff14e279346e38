# SPDX-License-Identifier: BSD-3-Clause
"""The reference device's features: the log of writes, and migration."""

import random
import socket
import struct

import pytest
import vfio_client as vfio
from vfio_client import (BAR2, BY_FILE, BY_MMAP, DONE, DST_BAR2, EBUSY, EFAULT, EINVAL, EMSGSIZE,
                         ENOENT, ENOTTY, FILL, PAGE, TWIN, Client, Memory, await_end, start, transfer)

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


def test_log(client):
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
def test_log_page_sizes(client, hint, chosen, asked, bitmap):
    """Any power of two can be asked for, whatever the log has."""
    client.map_memory(0, 64 * PAGE)
    assert log_start(client, hint) == chosen
    assert transfer(client, BY_FILE | FILL, 0, 5 * PAGE, 1) == DONE
    assert log_report(client, 0, 64 * asked if asked <= PAGE else 64 * PAGE, asked) == bitmap


def test_log_ranges(client):
    client.map_memory(0, 64 * PAGE)
    assert log_start(client, PAGE, [(8 * PAGE, 8 * PAGE), (0, 2 * PAGE)]) == PAGE
    assert transfer(client, BY_FILE | FILL, 0, 0, 32 * PAGE) == DONE
    assert [pages_report(client, *pages) for pages in [
        (0, 2), (9, 2), (8, 8), (0, 3), (20, 1)]] == [3, 3, 0xf9, EINVAL, EINVAL]


def test_log_model(client):
    """Random writes and reports, against a set of pages."""
    client.map_memory(0, 64 * PAGE)
    assert log_start(client) == PAGE
    numbers, written = random.Random(1), set()
    for _ in range(300):
        first = numbers.randrange(64)
        pages = range(first, min(first + numbers.randint(1, 12), 64))
        if numbers.random() < 0.5:
            assert transfer(client, BY_FILE | FILL, 0, first * PAGE, len(pages) * PAGE) == DONE
            written |= set(pages)
        else:
            assert pages_report(client, first, len(pages)) == sum(
                1 << page - first for page in written & set(pages))
            written -= set(pages)


def test_log_ends(client):
    """The first and the last page of all addresses."""
    top = (1 << 52) - 1
    for page in (0, top):
        client.map_memory(page * PAGE, PAGE)
    assert log_start(client) == PAGE
    for _ in range(2):
        for page in (0, top):
            assert transfer(client, BY_FILE | FILL, 0, page * PAGE, PAGE) == DONE
        assert [pages_report(client, page, 1) for page in (0, top, 0, top)] == [1, 1, 0, 0]
        assert pages_report(client, 1, 63) == pages_report(client, top - 63, 63) == 0
    assert client.feature(SET | LOG_STOP).error == 0
    assert log_start(client, PAGE, [(top * PAGE, PAGE), (0, PAGE)]) == PAGE
    assert [pages_report(client, *pages) for pages in [(top, 1), (0, 1), (0, 2), (top - 1, 2)]] == [
        0, 0, EINVAL, EINVAL]
    # Ranges that touch are as one, in any order.
    for pages in ((0, 1), (1, 0), (top - 1, top), (top, top - 1)):
        assert client.feature(SET | LOG_STOP).error == 0
        assert log_start(client, PAGE, [(page * PAGE, PAGE) for page in pages]) == PAGE
        assert pages_report(client, min(pages), 2) == 0


def test_log_refused(client):
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


FEATURES = [
    ([], PROBE | LOG_START, 0), ([], PROBE | SET | LOG_START, 0),
    ([], PROBE | GET | LOG_START, EINVAL),
    ([], PROBE | GET | LOG_REPORT, 0), ([], PROBE | GET | SET | LOG_REPORT, EINVAL),
    ([], PROBE | GET | SET | STATE, 0), ([], PROBE | GET | MIGRATION, 0), ([], PROBE | 3, ENOTTY),
    ([], PROBE | 0xffff, ENOTTY), ([], GET | SET | STATE, EINVAL), ([], STATE, EINVAL),
    ([], 1 << 19 | PROBE | STATE, EINVAL), (['--no-dirty-log'], PROBE | LOG_START, ENOTTY),
    (['--no-dirty-log'], PROBE | MIGRATION, 0), (['--no-migration'], PROBE | MIGRATION, ENOTTY),
    (['--no-migration'], PROBE | LOG_START, 0)]


@pytest.mark.parametrize('options, flags, error', FEATURES)
def test_features(device, options, flags, error):
    assert device(*options).feature(flags).error == error


def unmap_dirty(client, size, page_size=PAGE, argsz=48):
    """The bitmap as a number, or a negative error."""
    reply = client.unmap(0, size, 1, argsz, struct.pack('<QQ', page_size, 8))
    assert reply.error or reply.body[:40] == struct.pack('<IIQQQQ', 48, 1, 0, size, page_size, 8)
    return reply.error or int.from_bytes(reply.body[40:], 'little')


def test_unmap_dirty(client):
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


def test_pre_copy(client):
    """Each round has what has changed since the last one."""
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


def test_stop_in_a_round(device):
    """What has changed since a round began is not lost if the device stops before its end."""
    client = device()
    assert go(client, PRE_COPY) == 0
    stream = mig_read(client, 5000)
    mark(client)
    assert go(client, STOP_COPY) == 0
    stream += read_round(client)
    client = device()
    assert go(client, RESUMING) == 0
    assert {mig_write(client, stream[i:i + 65536]) for i in range(0, len(stream), 65536)} == {0}
    assert (go(client, RUNNING), marks(client)) == (0, MARKS)


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


def test_migration_data_refused(client):
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
def test_migration_ends_with_its_client(client, before, after):
    assert go(client, before) == 0
    client.sock.shutdown(socket.SHUT_RDWR)
    client.sock.close()
    later = Client(client.server.socket)
    assert state(later) == after
    later.close()
