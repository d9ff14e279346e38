# SPDX-License-Identifier: BSD-3-Clause
"""The reference device as its client sees it: what it answers and what it refuses, regions and
interrupts. What the tests of libvuc exercise is not here again."""

import json
import mmap
import os
import struct

import pytest
import rig
import vfio_client as vfio
from vfio_client import (BAR0, BAR2, BAR4, CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, EINVAL, EIO,
                         ENXIO, EOPNOTSUPP, ERR, INTX, MASK, MSI, MSIX, REQ, TRIGGER, UNMASK,
                         Client, events)

ALL_ONES = 0xffffffff


@pytest.fixture(name='plain', scope='module')
def fixture_plain():
    """A client of a device that is there for all tests that change nothing."""
    with rig.Refdev() as server:
        client = Client(server.socket)
        yield client
        client.close()
        assert server.stop() == 0
        assert server.err == b''


# ---- VERSION ----

@pytest.mark.parametrize('ours, theirs, agreed', [
    (2, 2, 2), (2, 0, 0), (2, 65535, 2), (0, 2, 0), (7, 3, 3)])
def test_minor(device, ours, theirs, agreed):
    client = device(f'--minor={ours}', capabilities=None)
    assert struct.unpack_from('<HH', client.propose(minor=theirs).body) == (0, agreed)


@pytest.mark.parametrize('text', [
    '{}', ' { } ', '{"capabilities":{}}', '{"capabilities":{"max_msg_fds":0}}',
    '{"capabilities":{"max_data_xfer_size":1,"max_dma_maps":1,"pgsizes":4096}}',
    '{"capabilities":{"write_multiple":true,"unknown":[1,2]}}',
    '{"capabilities":{"migration":{"pgsize":4096}},"other":null}'])
def test_capabilities(device, text):
    client = device(capabilities=None)
    capabilities = json.loads(client.propose(text).body[4:-1])['capabilities']
    assert capabilities.pop('write_multiple', False) == ('write_multiple' in text)
    assert capabilities == {'max_msg_fds': 8, 'max_data_xfer_size': 1048576,
                            'max_dma_maps': 65535, 'pgsizes': 4096}


@pytest.mark.parametrize('text', [
    'x', 'null', '[]', '1', '""', '{', '{}x', '{}{}', '{"capabilities":[]}',
    '{"capabilities":null}', '{"capabilities":{},}', '{}\0',
    *(f'{{"capabilities":{{{text}}}}}' for text in [
        '"max_msg_fds":-1', '"max_msg_fds":1.5', '"max_msg_fds":"8"', '"max_data_xfer_size":0',
        '"max_dma_maps":0', '"pgsizes":0', '"twin_socket":true', '"write_multiple":1'])])
def test_capabilities_refused(device, text):
    """What is refused may be proposed again, better; and once it is agreed on, no more."""
    client = device(capabilities=None)
    assert client.propose(text).error == EINVAL
    for body in (b'\0\0\2', b'\0\0\2\0\0', b'\0\0\2\0{}', b'\0\0\2\0{\0}\0'):
        assert client.ask(vfio.VERSION, body).error == EINVAL
    assert client.propose('{}').error == 0
    assert client.propose('{}').error == EINVAL
    assert client.try_ask(vfio.RESET) == 0


@pytest.mark.parametrize('options, text, twin', [
    ([], '"twin_socket":{"supported":true}', True),
    (['--no-twin-socket'], '"twin_socket":{"supported":true}', False),
    ([], '"twin_socket":{"supported":false}', False),
    ([], '"twin_socket":{}', False),
    ([], '"max_msg_fds":0,"twin_socket":{"supported":true}', False)])
def test_twin_socket(device, options, text, twin):
    client = device(*options, capabilities=None)
    reply = client.propose(f'{{"capabilities":{{{text}}}}}')
    assert len(reply.fds) == twin
    assert json.loads(reply.body[4:-1])['capabilities'].get('twin_socket') == (
        {'supported': True, 'fd_index': 0} if twin else None)


# ---- Messages ----

@pytest.mark.parametrize('cmd, size, longer', [
    (vfio.DMA_MAP, 32, EINVAL), (vfio.DMA_UNMAP, 24, EINVAL), (vfio.GET_INFO, 16, 0),
    (vfio.GET_REGION_INFO, 32, 0), (vfio.GET_IRQ_INFO, 16, 0), (vfio.GET_REGION_IO_FDS, 16, 0),
    (vfio.SET_IRQS, 20, EINVAL), (vfio.REGION_READ, 16, EINVAL), (vfio.REGION_WRITE, 16, EINVAL),
    (vfio.RESET, 0, EINVAL), (vfio.FEATURE, 8, -25), (vfio.MIG_READ, 8, EINVAL),
    (vfio.MIG_WRITE, 8, EINVAL)])
def test_body_sizes(plain, cmd, size, longer):
    """Every command refuses a body that is shorter than its own, and a longer one unless it begins
    with argsz and only asks."""
    body = struct.pack('<I', 64 if longer == 0 else 0).ljust(1024, b'\0')
    assert {plain.try_ask(cmd, body[:length]) for length in range(size)} <= {EINVAL}
    assert plain.try_ask(cmd, body[:size + 1]) == longer
    assert plain.try_ask(cmd, body) == longer


def test_commands_without_handler(device):
    client = device('--no-migration', '--no-dirty-log', '--no-io-fds', '--no-write-multi',
                    capabilities='{"capabilities":{"write_multiple":true}}')
    off = [vfio.FEATURE, vfio.MIG_READ, vfio.MIG_WRITE, vfio.GET_REGION_IO_FDS, vfio.WRITE_MULTI]
    assert [client.try_ask(cmd) for cmd in off] == 5 * [EOPNOTSUPP]
    assert device().try_ask(vfio.WRITE_MULTI, bytes(32)) == EOPNOTSUPP  # not agreed on
    unknown = [0, vfio.DMA_READ, vfio.DMA_WRITE, 14, 19, 0xffff]
    assert [client.try_ask(cmd) for cmd in unknown] == 6 * [EINVAL]
    assert [client.try_ask(vfio.RESET, flags=flags) for flags in (vfio.ERROR, 1 << 6)] == [
        EINVAL, EINVAL]
    assert client.reg('RESETS') == 0


def test_no_reply(client):
    """Every command is carried out all the same, and the descriptors of its reply are closed."""
    for cmd, body in [(vfio.DMA_MAP, struct.pack('<IIQQQ', 32, 1, 0, 0, 4096)),
                      (vfio.GET_REGION_INFO, struct.pack('<IIIIQQ', 4096, 0, BAR2, 0, 0, 0)),
                      (vfio.REGION_READ, vfio.access(BAR0, 0x10, 8)), (vfio.RESET, b''), (99, b'')]:
        client.post(cmd, body)
    assert [client.reg(name) for name in ('DMA_MAPS', 'COUNTER', 'RESETS')] == [1, 0, 1]
    client.post(vfio.DMA_UNMAP, struct.pack('<IIQQ', 24, 0, 0, 4096))
    client.post(vfio.DMA_UNMAP, struct.pack('<IIQQ', 24, 0, 0, 4096))
    assert client.reg('DMA_MAPS') == 0


ACCESSES = [
    (1, 0, 1), (8, 0, 1), (9, 0, 1), (ALL_ONES, 0, 1), (BAR2, 65536, 1), (BAR2, 65535, 2),
    (BAR2, (1 << 64) - 1, 1), (BAR2, 1, ALL_ONES), (BAR0, 0, 0), (BAR0, 0x1000, 1),
    (BAR0, 0xffc, 8), (BAR0, 0x800, 4), (BAR0, 0x7ff, 2), (BAR0, 0x3ff, 2), (BAR0, 9, 2),
    (BAR0, 12, 8), *((BAR0, 8, count) for count in range(1, 17) if count not in (1, 2, 4, 8)),
    (BAR4, 1, 16384), (CONFIG, 0, 4097), (CONFIG, 4093, 4)]
REFUSED = [  # command, its format and fields
    *((vfio.REGION_READ, '<QII', offset, region, count) for region, offset, count in ACCESSES),
    *((vfio.REGION_WRITE, f'<QII{min(count, 16384)}x', offset, region, count)
      for region, offset, count in ACCESSES),
    *((vfio.GET_INFO, '<IIII', *ask) for ask in [
        (15, 0, 0, 0), (0, 0, 0, 0), (16, 1, 0, 0), (16, 0, 1, 0), (16, 0, 0, 1)]),
    *((vfio.GET_IRQ_INFO, '<IIII', *ask) for ask in [
        (16, 0, 5, 0), (15, 0, 0, 0), (16, 1, 0, 0), (16, 0, 0, 1)]),
    *((vfio.GET_REGION_INFO, '<IIIIQQ', *ask) for ask in [
        (32, 0, 9, 0, 0, 0), (32, 0, ALL_ONES, 0, 0, 0), (32, 1, 0, 0, 0, 0), (32, 0, 0, 1, 0, 0),
        (32, 0, 0, 0, 1, 0), (32, 0, 0, 0, 0, 1)]),
    *((vfio.SET_IRQS, '<IIIII', 20, flags, MSIX, 0, 1) for flags in [
        0, DATA_NONE, TRIGGER, DATA_NONE | DATA_BOOL | TRIGGER, DATA_NONE | TRIGGER | MASK,
        DATA_NONE | MASK | UNMASK, DATA_NONE | TRIGGER | 1 << 6, DATA_NONE | TRIGGER | 1 << 31]),
    *((vfio.SET_IRQS, '<IIIII', 20, *ask) for ask in [
        *((DATA_NONE | TRIGGER, MSIX, start, count) for start, count in [
            (0, 9), (8, 1), (7, 2), (ALL_ONES, 2), (1, ALL_ONES), (1, 0)]),
        (DATA_NONE | MASK, MSIX, 0, 0), (DATA_NONE | TRIGGER, MSI, 0, 1),
        (DATA_NONE | TRIGGER, 5, 0, 1), (DATA_NONE | TRIGGER, ALL_ONES, 0, 0),
        (DATA_NONE | MASK, ERR, 0, 1), (DATA_NONE | UNMASK, REQ, 0, 1),
        (DATA_EVENTFD | MASK, ERR, 0, 1)]),
]


@pytest.mark.parametrize('cmd, fmt, fields', [(cmd, fmt, fields) for cmd, fmt, *fields in REFUSED],
                         ids=range(len(REFUSED)))
def test_refused(plain, cmd, fmt, fields):
    assert plain.try_ask(cmd, struct.pack(fmt, *fields)) == EINVAL


def test_data_limit(device):
    client = device('--max-data-xfer-size=256')
    assert len(client.read(BAR2, 0, 256)) == 256
    assert client.write(BAR2, 0, bytes(256)) == 0
    assert client.read(BAR2, 0, 257) == EINVAL
    assert client.write(BAR2, 0, bytes(257)) == EINVAL
    # The data of a write is as long as its count.
    assert [client.try_ask(vfio.REGION_WRITE, vfio.access(BAR0, 0x400, 4, bytes(size)))
            for size in range(9)] == [0 if size == 4 else EINVAL for size in range(9)]


def entry(region, offset, count, value=1):
    return struct.pack('<QIIQ', offset, region, count, value)


@pytest.mark.parametrize('count, entries, done', [
    (4, [entry(BAR0, 0x18, 4, 7), entry(BAR2, 16, 1, 0x1ff), entry(BAR0, 0x18, 4, 9),
         entry(BAR0, 8, 8, 77)], 4),
    (4, [entry(BAR0, 8, 8), entry(BAR0, 0x38, 4), entry(BAR0, 8, 8), entry(BAR0, 8, 8, 77)], 3),
    (3, [entry(BAR0, 0x38, 4), entry(BAR0, 4096, 4), entry(9, 0, 4)], EIO),
    (3, [entry(BAR2, 0, 9), entry(BAR0, 0x38, 4), entry(BAR2, 0, 0)], EINVAL),
    (0, [], EINVAL), (1, [entry(BAR2, 0, 1)] * 2, EINVAL), (2, [entry(BAR2, 0, 1)], EINVAL),
    ((1 << 64) - 1, [entry(BAR2, 0, 1)] * 2, EINVAL), ((1 << 61) + 1, [entry(BAR2, 0, 1)], EINVAL),
], ids=range(9))
def test_write_multi(device, count, entries, done):
    """In order; a write that fails keeps no other from being done."""
    client = device(capabilities='{"capabilities":{"write_multiple":true}}')
    reply = client.ask(vfio.WRITE_MULTI, struct.pack('<Q', count) + b''.join(entries))
    assert reply.error == min(done, 0)
    assert reply.body == (struct.pack('<Q', done) if done > 0 else b'')
    assert client.reg('SCRATCH') == (77 if done > 0 else 0)
    assert client.reg('DOORBELL_LAST') == (9 if done == 4 else 0)


# ---- Info ----

def test_info(client):
    assert client.ask(vfio.GET_INFO, struct.pack('<IIII', 16, 0, 0, 0)).body == \
        struct.pack('<IIII', 16, 3, 9, 5)


SPARSE = struct.pack('<HHIIIQQQQ', 1, 1, 0, 2, 0, 0x1000, 0x1000, 0x3000, 0x1000)
REGIONS = {BAR0: (3, 4096), BAR2: (7, 65536), BAR4: (15, 16384), CONFIG: (3, 4096)}


def ask_region(client, index, argsz=4096):
    return client.ask(vfio.GET_REGION_INFO, struct.pack('<IIIIQQ', argsz, 0, index, 0, 0, 0))


def test_regions(client):
    for index in range(9):
        flags, size = REGIONS.get(index, (0, 0))
        caps = SPARSE if flags & 8 else b''
        reply = ask_region(client, index)
        assert reply.body == struct.pack('<IIIIQQ', 32 + len(caps), flags, index,
                                         32 if caps else 0, size, 0) + caps
        assert len(reply.fds) == (flags & 4 != 0)


def test_region_argsz(client):
    """A reply is cut at argsz, says how long it would be, and has its descriptor only when it is
    whole."""
    whole = ask_region(client, BAR4).body
    for argsz in range(83):
        reply = ask_region(client, BAR4, argsz)
        assert reply.error == (EINVAL if argsz < 32 else 0)
        assert reply.body == (b'' if argsz < 32 else whole[:argsz])
        assert len(reply.fds) == (argsz >= 80)


def test_client_without_fds(device):
    """It has nothing to map."""
    client = device(capabilities='{"capabilities":{"max_msg_fds":0}}')
    reply = ask_region(client, BAR4)
    assert (reply.body, reply.fds) == (struct.pack('<IIIIQQ', 32, 3, BAR4, 0, 16384, 0), [])


def test_irq_info(client):
    for index, (flags, count) in enumerate([(7, 1), (0, 0), (3, 8), (1, 1), (1, 1)]):
        assert client.ask(vfio.GET_IRQ_INFO, struct.pack('<IIII', 100, 0, index, 0)).body == \
            struct.pack('<IIII', 16, flags, index, count)


# ---- BAR0 ----

def test_registers(client):
    assert client.get(BAR0, 0, 8) == 0x152637576
    client.set_reg('ID', 0)
    assert client.reg('ID') == 0x52637576
    client.set_reg('SCRATCH', 0x1122334455667788)
    client.set(BAR0, 12, 4, 0xaabbccdd)
    client.set(BAR0, 10, 2, 0xeeff)
    client.set(BAR0, 15, 1, 0x01)
    assert client.reg('SCRATCH') == 0x01bbccddeeff7788
    assert (client.get(BAR0, 15, 1), client.get(BAR0, 12, 4)) == (0x01, 0x01bbccdd)
    for hole in (0x100, 0x3f8):
        client.set(BAR0, hole, 8, (1 << 64) - 1)
        assert client.get(BAR0, hole, 8) == 0


def test_counters(client):
    assert [client.reg('COUNTER'), client.get(BAR0, 0x10, 4), client.get(BAR0, 0x14, 4)] == [
        0, 1, 0]
    client.set_reg('COUNTER', 0)
    assert client.reg('COUNTER') == 3
    client.set_reg('DOORBELL', 0x12345678)
    client.set(BAR0, 0x18, 2, 0xabcd)
    client.set_reg('DOORBELL2', 5)
    assert [client.reg(name) for name in ('DOORBELL', 'DOORBELL_LAST', 'DOORBELL_COUNT')] == [
        0, 5, 3]
    client.set(BAR0, 0x400, 8, 1)
    assert client.write(BAR0, 0x38, bytes(4)) == EIO
    client.post_reg('SCRATCH', 7)
    assert (client.reg('SCRATCH'), client.reg('WRITES')) == (7, 7)


def test_error_register(client):
    assert client.read(BAR0, 0x38, 4) == EIO
    for wrong in (0, 4096):
        assert client.write(BAR0, 0x34, struct.pack('<I', wrong)) == EINVAL
    client.set_reg('ERRNO', 6)
    assert [client.read(BAR0, 0x38, 4), client.read(BAR0, 0x38, 1),
            client.write(BAR0, 0x38, bytes(4))] == 3 * [ENXIO]
    client.set_reg('ERRNO', 4095)
    assert client.read(BAR0, 0x38, 4) == -4095


RESETS = {
    'message': lambda client: client.try_ask(vfio.RESET),
    'FLR': lambda client: client.write(CONFIG, 0x48, b'\xff\xff'),
    'FLR by its byte': lambda client: client.write(CONFIG, 0x49, b'\x80'),
}


@pytest.mark.parametrize('how', RESETS)
def test_reset(client, how):
    mapped = mmap.mmap(ask_region(client, BAR2).fds[0], 65536)
    places = [(BAR0, 0x8), (BAR0, 0x400), (BAR2, 8), (BAR4, 0x3010), (BAR4, 12), (CONFIG, 0x9c)]
    for region, offset in places:
        client.set(region, offset, 4, 1)
        assert client.get(region, offset, 4) == 1
    client.set(CONFIG, 0x10, 4, 0xfebf1000)
    client.set(CONFIG, 4, 2, 4)
    client.set_reg('DOORBELL', 1)
    assert RESETS[how](client) == 0
    for region, offset in places + [(CONFIG, 0x10), (BAR0, 0x20), (BAR0, 0x40)]:
        assert client.get(region, offset, 4) == 0
    assert client.get(CONFIG, 0, 8) == 0x0010000076637675
    assert (client.reg('RESETS'), client.reg('ID'), mapped[8]) == (1, 0x52637576, 0)
    assert client.get(CONFIG, 0x48, 2) & 0x8000 == 0
    client.set(CONFIG, 0x48, 2, 0x7fff)
    client.set(CONFIG, 0x47, 1, 0x80)
    assert client.reg('RESETS') == 1
    mapped.close()


def test_pretended_reset(device):
    """It is only answered, and comes when the client leaves."""
    client = device('--pretend=reset')
    client.set_reg('SCRATCH', 1)
    before = client.reg('RESETS')
    assert client.try_ask(vfio.RESET) == 0
    assert (client.reg('SCRATCH'), client.reg('RESETS')) == (1, before + 1)
    client.close()
    with_next = Client(client.server.socket)
    assert with_next.reg('SCRATCH') == 0
    with_next.close()


# ---- Config space ----

@pytest.mark.parametrize('offset, size, value', [
    (0x00, 4, 0x76637675), (0x2c, 4, 0x76637675), (0x08, 4, 0x08800001), (0x0e, 1, 0), (0x3d, 1, 1),
    (0x06, 2, 0x10), (0x34, 1, 0x40), (0x40, 2, 0x8010), (0x80, 2, 0x9011), (0x90, 2, 0x0009),
    (0x42, 2, 0x0002), (0x52, 2, 0x0011), (0x82, 2, 7), (0x84, 4, 0x0004), (0x88, 4, 0x2004),
    (0x92, 1, 16), (0x94, 4, 0x52637576), (0x100, 4, 0x00010003), (0x104, 8, 1), (4092, 4, 0)])
def test_config_space(plain, offset, size, value):
    assert plain.get(CONFIG, offset, size) == value


WRITABLE = {0x04: 0x0546, 0x0c: 0xff, 0x10: 0xfffff000, 0x18: 0xffff0000, 0x1c: ALL_ONES,
            0x20: 0xffffc000, 0x3c: 0xff, 0x48: 0x78ff, 0x50: 0x48, 0x70: 0xf, 0x80: 0xc0000000,
            0x9c: ALL_ONES}


def test_writable_bits(client):
    """What all ones and all zeros change, over the whole of config space: sizes of BARs as well."""
    found = {}
    for offset in range(0, 4096, 4):
        client.set(CONFIG, offset, 4, ALL_ONES & ~(0x8000 if offset == 0x48 else 0))
        ones = client.get(CONFIG, offset, 4)
        client.set(CONFIG, offset, 4, 0)
        if ones != client.get(CONFIG, offset, 4):
            found[offset] = ones ^ client.get(CONFIG, offset, 4)
    assert found == WRITABLE
    assert client.reg('RESETS') == 0


def test_bar_addresses(client):
    client.set(CONFIG, 0x10, 4, 0xfebf1234)
    assert client.get(CONFIG, 0x10, 4) == 0xfebf1000
    client.set(CONFIG, 0x13, 1, 0x12)
    assert client.get(CONFIG, 0x10, 4) == 0x12bf1000
    client.set(CONFIG, 0x18, 8, 0x4080010000)
    assert client.get(CONFIG, 0x18, 8) == 0x408001000c


# ---- BAR4 ----

def test_msix_table(client):
    for n in range(8):
        client.set(BAR4, 16 * n, 8, (1 << 64) - 1)
        client.set(BAR4, 16 * n + 8, 8, (1 << 64) - 1)
        assert client.get(BAR4, 16 * n, 8) == 0xfffffffffffffffc
        assert client.get(BAR4, 16 * n + 8, 8) == 0x1ffffffff
    for nothing in (0x2000, 0x80):
        client.set(BAR4, nothing, 8, (1 << 64) - 1)
        assert client.get(BAR4, nothing, 8) == 0


def test_mapped_memory(client):
    """What is mapped and what messages access is the same memory, which nobody can cut."""
    for index, offset in [(BAR2, 0), (BAR4, 0x1000), (BAR4, 0x3000)]:
        fd = ask_region(client, index).fds[0]
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        with mmap.mmap(fd, 4096, offset=offset) as memory:
            memory[16] = 0xc3
            assert client.get(index, offset + 16, 1) == 0xc3
            client.set(index, offset + 8, 4, 0x11223344)
            assert memory[8:12] == b'\x44\x33\x22\x11'


# ---- Interrupts ----

VECTOR_5 = 16 * 5 + 12
MASKS = {
    'vector': lambda client, on: client.write(BAR4, VECTOR_5, bytes([on, 0, 0, 0])),
    'function': lambda client, on: client.write(CONFIG, 0x82, bytes([0, on << 6])),
    'client': lambda client, on: client.set_irqs(DATA_NONE | (MASK if on else UNMASK), MSIX, 5, 1),
    'client by booleans': lambda client, on: client.set_irqs(
        DATA_BOOL | (MASK if on else UNMASK), MSIX, 4, 2, b'\0\1'),
}


@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('other', MASKS)
def test_masks(client, mask, other):
    """A masked vector is pending, and delivered when nothing masks it any more."""
    fd = client.eventfd(MSIX, 5)
    same = mask.split()[0] == other.split()[0]
    assert MASKS[mask](client, True) == 0
    client.set_reg('IRQ_TRIGGER', 5)
    client.set_reg('IRQ_TRIGGER', 5)
    assert MASKS[other](client, True) == 0
    assert (events(fd), client.get(BAR4, 0x2000, 8)) == (0, 1 << 5)
    assert MASKS[mask](client, False) == 0
    assert events(fd) == same
    assert MASKS[other](client, False) == 0
    assert (events(fd), client.get(BAR4, 0x2000, 8)) == (not same, 0)


def test_mask_and_reset(client):
    """A reset unmasks, and what was pending is gone."""
    fd = client.eventfd(MSIX, 5)
    assert MASKS['vector'](client, True) == 0
    client.set_reg('IRQ_TRIGGER', 5)
    assert client.try_ask(vfio.RESET) == 0
    assert (events(fd), client.get(BAR4, 0x2000, 8), client.get(BAR4, VECTOR_5, 4)) == (0, 0, 0)
    client.set_reg('IRQ_TRIGGER', 5)
    assert events(fd) == 1


def test_mask_events(client):
    """The client is told when an interrupt becomes masked and unmasked, by whomever."""
    masked, unmasked = client.eventfd(MSIX, 5, MASK), client.eventfd(MSIX, 5, UNMASK)
    steps = [('vector', True, (1, 0)), ('client', True, (0, 0)), ('vector', False, (0, 0)),
             ('client', False, (0, 1))]
    for mask, on, told in steps:
        assert MASKS[mask](client, on) == 0
        assert (events(masked), events(unmasked)) == told


def test_vectors(client):
    """What test_irq.c does not ask for."""
    fds = client.new_eventfds(8)
    assert client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 8, fds=fds) == 0
    assert client.set_irqs(DATA_BOOL | TRIGGER, MSIX, 2, 3, b'\1\0\2') == 0
    assert [events(fd) for fd in fds] == [0, 0, 1, 0, 1, 0, 0, 0]
    assert client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1) == 0
    assert client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 2) == 0
    assert [events(fd) for fd in fds] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 0) == 0
    assert client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 8) == 0
    assert client.set_irqs(DATA_NONE | TRIGGER, MSI, 0, 0) == 0
    assert [events(fd) for fd in fds] == 8 * [0]
    assert client.write(BAR0, 0x28, struct.pack('<I', 8)) == EINVAL


@pytest.mark.parametrize('index, value', [
    (INTX, 1 << 31), (ERR, 1 << 30), (REQ, 1 << 29), (MSIX, 0)])
def test_triggers(client, index, value):
    """By the client and by the device; another eventfd takes the place of the first, and one whose
    counter is full is not waited for."""
    first, fd = client.eventfd(index, 0), client.eventfd(index, 0)
    assert client.set_irqs(DATA_NONE | TRIGGER, index, 0, 1) == 0
    assert (events(first), events(fd)) == (0, 1)
    assert index != INTX or client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1) == 0
    client.set_reg('IRQ_TRIGGER', value)
    assert (events(first), events(fd)) == (0, 1)
    full = (1 << 64) - 2
    os.write(fd, full.to_bytes(8, 'little'))
    assert client.set_irqs(DATA_NONE | TRIGGER, index, 0, 1) == 0
    assert events(fd) == full


def test_intx(client):
    """INTx masks itself, and comes again on unmasking until the driver has acknowledged it."""
    fd = client.eventfd(INTX, 0)
    unmask = (DATA_NONE | UNMASK, INTX, 0, 1)
    client.set_reg('IRQ_TRIGGER', 1 << 31)
    assert (events(fd), client.reg('INTX'), client.get(CONFIG, 6, 2)) == (1, 1, 0x18)
    client.set_reg('IRQ_TRIGGER', 1 << 31)
    client.set(CONFIG, 4, 2, 0)
    assert events(fd) == 0
    assert (client.set_irqs(*unmask), events(fd)) == (0, 1)
    client.set_reg('INTX', 0)
    assert client.get(CONFIG, 6, 2) == 0x10
    assert (client.set_irqs(*unmask), events(fd)) == (0, 0)
    client.set(CONFIG, 4, 2, 0x400)  # INTx disable
    client.set_reg('INTX', 1)
    assert (events(fd), client.get(CONFIG, 6, 2)) == (0, 0x18)
    client.set(CONFIG, 4, 2, 0)
    assert events(fd) == 1


def test_intx_of_the_next_client(client):
    """A client that leaves takes its eventfds and masks with it, and the level stays."""
    old = client.eventfd(INTX, 0)
    assert client.set_irqs(DATA_NONE | MASK, INTX, 0, 1) == 0
    client.set_reg('INTX', 1)
    client.sock.close()
    later = Client(client.server.socket)
    assert later.reg('INTX') == 1
    assert (events(later.eventfd(INTX, 0)), events(old)) == (1, 0)
    later.close()


@pytest.mark.parametrize('flags, count, data, fds', [
    (DATA_EVENTFD | TRIGGER, 1, b'', 2), (DATA_EVENTFD | TRIGGER, 3, b'', 2),
    (DATA_NONE | TRIGGER, 2, b'', 2), (DATA_BOOL | TRIGGER, 2, b'\1\1', 2),
    (DATA_NONE | TRIGGER, 2, b'\1\1', 0), (DATA_EVENTFD | TRIGGER, 2, b'\1\1', 0),
    *((DATA_BOOL | TRIGGER, 4, bytes(size), 0) for size in (0, 1, 2, 3, 5, 8))],
    ids=range(12))
def test_irq_data_refused(plain, flags, count, data, fds):
    """Descriptors and booleans as many as interrupts, and only where they belong."""
    own = [os.eventfd(0) for _ in range(fds)]
    assert plain.set_irqs(flags, MSIX, 0, count, data, own) == EINVAL
    assert plain.set_irqs(DATA_BOOL | TRIGGER, MSIX, 0, 4, bytes(4), argsz=20) == EINVAL
    assert plain.set_irqs(DATA_BOOL | TRIGGER, MSIX, 0, 4, bytes(4)) == 0
    for fd in own:
        os.close(fd)


# ---- Timer, and descriptors of regions ----

@pytest.mark.parametrize('mode', ['--mode=block', '--mode=poll'])
def test_timer(device, mode):
    client = device(mode)
    fd = client.eventfd(MSIX, 3)
    os.set_blocking(fd, True)
    client.set_reg('TIMER_VECTOR', 3)
    client.set_reg('TIMER', 1)
    assert events(fd) == 1


def ask_io_fds(client, index, argsz=4096):
    return client.ask(vfio.GET_REGION_IO_FDS, struct.pack('<IIII', argsz, 0, index, 0))


# Offset, size, fd_index, type, flags, index of the shadow's memory, its offset, datamatch.
SUB_REGIONS = [(0x18, 4, 0, 0, 1, 0, 0, 0x10), (0x400, 0x400, 1, 1, 0, 0, 0x400, 0),
               (0xe0, 4, 2, 2, 0, 3, 0, 0)]


def test_io_fds(device):
    """As many bytes as fit and no descriptor, where not all fits."""
    client = device()
    reply = ask_io_fds(client, BAR0)
    assert reply.body == struct.pack('<IIII', 160, 0, BAR0, 3) + b''.join(
        struct.pack('<QQIIIIQQ', *sub) for sub in SUB_REGIONS)
    assert len(reply.fds) == 4
    assert ask_io_fds(client, BAR0, 15).error == EINVAL
    cut = ask_io_fds(client, BAR0, 16)
    assert (cut.body, cut.fds) == (reply.body[:16], [])
    assert ask_io_fds(client, BAR2).body == struct.pack('<IIII', 16, 0, BAR2, 0)
    assert ask_io_fds(client, 9).error == EINVAL
    poor = device(capabilities='{"capabilities":{"max_msg_fds":3}}')
    assert ask_io_fds(poor, BAR0).body == struct.pack('<IIII', 16, 0, BAR0, 0)


@pytest.mark.parametrize('mode', ['--mode=block', '--mode=poll'])
def test_doorbells(device, mode):
    """By their descriptors, without a message; those of a client that has left ring nothing."""
    client = device(mode)
    fds = ask_io_fds(client, BAR0).fds
    os.write(fds[0], (1).to_bytes(8, 'little'))
    while client.reg('DOORBELL_COUNT') == 0:
        pass
    assert client.reg('DOORBELL_LAST') == 0x10
    with mmap.mmap(fds[3], 4096) as shadow:
        shadow[:4] = struct.pack('<I', 4711)
    os.write(fds[2], (1).to_bytes(8, 'little'))
    while client.reg('DOORBELL_COUNT') == 1:
        pass
    assert client.reg('DOORBELL_LAST') == 4711
    client.sock.close()
    later = Client(client.server.socket)
    os.write(fds[0], (1).to_bytes(8, 'little'))
    ask_io_fds(later, BAR0)
    assert later.reg('DOORBELL_COUNT') == 2
    later.close()
