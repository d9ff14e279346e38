# SPDX-License-Identifier: BSD-3-Clause
"""vuc-refdev as an NVMe controller."""

import contextlib
import os
import select
import signal
import struct

import pytest

import nvme
import rig
import vfio_client as vfio
from nvme import ALL, BASE, PAGE, Nvme
from vfio_client import BAR0, CONFIG, EINVAL, EPERM, Client

SIZE = 8 << 20
BLOCKS = SIZE // 512
MEMORY = 1024 * PAGE  # of a controller's client
DATA = BASE + 256 * PAGE


@pytest.fixture(name='disk')
def fixture_disk(folder):
    return f'{folder}/disk'


@pytest.fixture(name='serve')
def fixture_serve(refdev, disk):
    """Start a controller; returns the server and the function that makes clients of it."""
    with contextlib.ExitStack() as stack:
        def start(*options, **nvme_options):
            server = refdev(f'--device=nvme:{disk},size={SIZE}', *options)
            return server, connect(server, **nvme_options)

        def connect(server, capabilities=vfio.CAPABILITIES, **nvme_options):
            client = stack.enter_context(contextlib.closing(Client(server.socket, capabilities)))
            return Nvme(client, **nvme_options)
        start.connect = connect
        yield start


@pytest.fixture(name='controller')
def fixture_controller(serve):
    """One that is enabled; in the end it is served on, and its server has said nothing."""
    server, controller = serve()
    controller.enable()
    yield controller
    controller.client.close()
    with contextlib.closing(Client(server.socket)) as client:
        assert client.get(BAR0, nvme.VS, 4) == 0x10400
    assert (server.stop(), server.err) == (0, b'')


@pytest.fixture(name='queue')
def fixture_queue(controller):
    return controller.open_queue()


def restart(controller):
    """Reset and enable it, and see that it carries out commands."""
    controller.disable()
    controller.enable()
    assert controller.io(controller.open_queue(), nvme.READ, 0, 1, (DATA, 0)) == 0


# ---- What it is ----

def capabilities(client):
    at = client.get(CONFIG, 0x34, 1)
    found = {}
    while at and len(found) < 48:
        found[client.get(CONFIG, at, 1)] = at
        at = client.get(CONFIG, at + 1, 1)
    return found


def test_config_space(controller):
    client = controller.client
    assert client.get(CONFIG, 8, 4) >> 8 == 0x010802
    found = capabilities(client)
    assert set(found) == {0x01, 0x11, 0x10}  # power management, MSI-X, PCI Express
    assert client.get(CONFIG, found[0x11] + 2, 2) == 32
    assert [client.get(CONFIG, found[0x11] + at, 4) for at in (4, 8)] == [0x2000, 0x3000]
    assert client.get(CONFIG, found[0x10] + 4, 4) & 1 << 28  # function-level reset
    client.set(CONFIG, 0x10, 8, (1 << 64) - 1)
    assert client.get(CONFIG, 0x10, 8) == (1 << 64) - 0x4000 | 4


def test_regions(controller):
    reply = controller.client.ask(vfio.GET_REGION_INFO, struct.pack('<IIIIQQ', 96, 0, 0, 0, 0, 0))
    assert struct.unpack_from('<QQ', reply.body, 16) == (0x4000, 0)
    assert struct.unpack_from('<HHIIIQQ', reply.body, 32) == (1, 1, 0, 1, 0, 0x1000, PAGE)
    assert os.fstat(reply.fds[0]).st_size == 0x4000


def test_fresh_registers(serve):
    client = serve()[1].client
    assert client.get(BAR0, nvme.CAP, 8) == 0x20140103ff
    assert [client.get(BAR0, at, 4) for at in (nvme.VS, nvme.CC, nvme.CSTS, nvme.AQA)] == \
        [0x10400, 0, 0, 0]
    assert client.read(BAR0, 0x38, 8) == bytes(8)


@pytest.mark.parametrize('offset, size, read, write', [
    (nvme.CC, 1, EINVAL, EINVAL), (nvme.CC, 2, EINVAL, EINVAL), (nvme.CC + 2, 4, EINVAL, EINVAL),
    (nvme.VS, 4, b'\0\4\1\0', 0), (nvme.AQA, 8, EINVAL, EINVAL), (0xff8, 8, bytes(8), 0),
    (nvme.DOORBELLS, 4, EPERM, 0), (0x1fff, 1, EINVAL, EINVAL), (0x1ffc, 4, EPERM, 0),
    (0x1ffc, 8, EINVAL, EINVAL), (0x2000, 3, bytes(3), 0), (0x3ffc, 4, bytes(4), 0),
    (0x3ffd, 4, EINVAL, EINVAL)])
def test_register_access(serve, offset, size, read, write):
    client = serve()[1].client
    assert client.read(BAR0, offset, size) == read
    assert client.write(BAR0, offset, bytes(size)) == write


def test_identify_controller(controller):
    data = controller.identify(1)
    assert struct.unpack_from('<HH', data) == (0x7675, 0x7675)
    assert data[4:7] == b'VUC' and len(data[4:24].split()) == 1
    assert data[24:64].rstrip() == b'vuc-refdev NVMe'
    assert data[77] == 8
    assert struct.unpack_from('<IxxxxxxxxI', data, 80) == (0x10400, 1 << 9)
    assert data[512:514] == b'\x66\x44'
    assert struct.unpack_from('<I', data, 516) == (1,)
    assert data[768:].startswith(b'nqn.') and data[900:1024] == bytes(124)


def test_identify_namespace(controller):
    data = controller.identify(0, nsid=1)
    assert struct.unpack_from('<QQQ', data) == (BLOCKS, BLOCKS, BLOCKS)
    assert (data[25], data[26], data[128:132]) == (0, 0, b'\0\0\x09\0')
    descriptors = controller.identify(3, nsid=1)
    assert descriptors[:4] == b'\x02\x10\0\0'
    assert descriptors[4:20] == data[104:120] != bytes(16)
    assert descriptors[20:] == bytes(PAGE - 20)
    assert controller.identify(2) == b'\1' + bytes(PAGE - 1)
    assert controller.identify(2, nsid=1) == bytes(PAGE)


@pytest.mark.parametrize('what, nsid, status', [
    (0, 0, nvme.BAD_NAMESPACE), (0, 2, nvme.BAD_NAMESPACE), (0, ALL, nvme.BAD_NAMESPACE),
    (2, ALL, nvme.BAD_NAMESPACE), (2, ALL - 1, nvme.BAD_NAMESPACE), (3, 2, nvme.BAD_NAMESPACE),
    (4, 0, nvme.INVALID_FIELD), (0xff, 1, nvme.INVALID_FIELD)])
def test_identify_wrong(controller, what, nsid, status):
    assert controller.identify(what, nsid) == status


# ---- Enabling ----

@pytest.mark.parametrize('aqa, cc', [
    (0x000f0000, nvme.CC_ENABLED), (0x0000000f, nvme.CC_ENABLED), (0x0fff000f, nvme.CC_ENABLED),
    (0x000f0fff, nvme.CC_ENABLED), (0x000f000f, nvme.CC_ENABLED | 1 << 4),
    (0x000f000f, nvme.CC_ENABLED | 1 << 7), (0x000f000f, nvme.CC_ENABLED | 1 << 11)])
def test_enable_wrong(serve, aqa, cc):
    """It has failed, until it is reset."""
    controller = serve()[1]
    controller.set_reg(nvme.AQA, aqa)
    controller.set_reg(nvme.CC, cc)
    assert controller.reg(nvme.CSTS) == nvme.CFS
    restart(controller)


def test_reset_by_cc(controller, queue):
    """The registers of the admin queue stay, queues and requests go."""
    controller.submit(controller.admin, nvme.ASYNC_EVENT)
    assert controller.manage(nvme.SET_FEATURES, 0xb, 2) == 0
    controller.disable()
    assert controller.reg(nvme.ASQ, 8) == controller.page(0)
    controller.enable()
    assert controller.do(controller.admin, nvme.GET_FEATURES, 0xb) == (0, 0)
    for _ in range(4):
        controller.submit(controller.admin, nvme.ASYNC_EVENT)
    assert controller.manage(nvme.DELETE_SQ, queue.number) == nvme.BAD_QUEUE_ID
    queue = controller.open_queue()
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0


def reset(client):
    assert client.try_ask(vfio.RESET) == 0


def reset_function(client):
    at = capabilities(client)[0x10] + 8
    client.set(CONFIG, at, 2, 0x8000)


@pytest.mark.parametrize('how', [reset, reset_function])
def test_reset_of_function(controller, how):
    client = controller.client
    client.set(CONFIG, 4, 2, 6)
    how(client)
    assert [controller.reg(at) for at in (nvme.CC, nvme.CSTS, nvme.AQA, nvme.ASQ)] == [0, 0, 0, 0]
    assert client.get(CONFIG, 4, 2) == 0
    controller.enable()
    assert len(controller.identify(1)) == PAGE


def test_disconnect(serve):
    """The next client finds a fresh controller."""
    server, controller = serve()
    controller.enable()
    controller.open_queue()
    controller.client.close()
    controller = serve.connect(server)
    assert [controller.reg(at) for at in (nvme.CC, nvme.CSTS, nvme.AQA)] == [0, 0, 0]
    controller.enable()
    controller.open_queue()


@pytest.mark.parametrize('how', [1, 2])
def test_shutdown(controller, how):
    """No commands are taken any more until it is reset."""
    controller.set_reg(nvme.CC, nvme.CC_ENABLED | how << 14)
    assert controller.reg(nvme.CSTS) == nvme.RDY | nvme.SHUT_DOWN
    controller.submit(controller.admin, nvme.IDENTIFY, 1, prp=(DATA, 0))
    assert controller.reg(nvme.CSTS) == nvme.RDY | nvme.SHUT_DOWN
    assert controller.peek(controller.admin) is None
    restart(controller)


# ---- Data ----

SPANS = [(0, 512), (0, PAGE), (4, 512), (PAGE - 4, 512), (PAGE - 512, 1024), (512, PAGE),
         (0, 2 * PAGE), (4, 2 * PAGE), (PAGE - 4, 2 * PAGE), (0, 3 * PAGE), (2048, 4 * PAGE),
         (0, 65536), (12, 65536), (0, 1 << 20), (4, 1 << 20), (PAGE - 4, 1 << 20)]
LISTS = [0, 8, 2048, PAGE - 8, PAGE - 16, PAGE - 24]


def check_transfer(controller, queue, disk, span, list_offset, seed):
    """Write from one place, read to another one that has another alignment."""
    offset, size = span
    data, blocks = nvme.pattern(seed, size), size // 512
    source = DATA + offset
    target = DATA + (1 << 20) + 64 * PAGE + (offset * 5 & PAGE - 4)
    lists = controller.page(100) + list_offset
    controller.put(source, data)
    controller.put(target - 4, b'\xee' * (size + 8))
    assert controller.io(queue, nvme.WRITE, seed, blocks, controller.prps(source, size, lists)) == 0
    assert nvme.disk_bytes(disk, seed, size) == data
    assert controller.io(queue, nvme.READ, seed, blocks, controller.prps(target, size, lists)) == 0
    assert controller.get(target - 4, size + 8) == b'\xee' * 4 + data + b'\xee' * 4


@pytest.mark.parametrize('span', SPANS)
def test_alignments(controller, queue, disk, span):
    for seed, list_offset in enumerate(LISTS, 1):
        check_transfer(controller, queue, disk, span, list_offset, seed)


def test_pages_in_any_order(controller, queue, disk):
    """Each page of the data lies elsewhere."""
    pages = [DATA + 2 * PAGE * (i * 7 % 16) for i in range(16)]
    for i, page in enumerate(pages):
        controller.put(page, nvme.pattern(i, PAGE))
    controller.put(controller.page(100), struct.pack('<15Q', *pages[1:]))
    assert controller.io(queue, nvme.WRITE, 64, 128, (pages[0], controller.page(100))) == 0
    assert nvme.disk_bytes(disk, 64, 16 * PAGE) == b''.join(nvme.pattern(i, PAGE) for i in range(16))


@pytest.mark.parametrize('options', [{'mapped': True}, {'by_message': True, 'capabilities': vfio.TWIN}])
def test_other_ways(serve, disk, options):
    """Doorbells that are mapped, and memory by message."""
    server, controller = serve(**options)
    controller.enable()
    queue = controller.open_queue(entries=4)
    for seed, span in enumerate([(0, 512), (PAGE - 4, PAGE), (4, 65536), (PAGE - 4, 1 << 20)], 1):
        check_transfer(controller, queue, disk, span, PAGE - 16, seed)
    assert server.err == b''


def test_by_mapping_only(serve, disk):
    """Memory that may be mapped, and not be read as a file."""
    controller = serve()[1]
    client = controller.client
    assert client.unmap(BASE, MEMORY).error == 0
    assert client.map(BASE, MEMORY, vfio.READ | vfio.WRITE | vfio.MMAP, client.fds[-1]) == 0
    controller.enable()
    check_transfer(controller, controller.open_queue(), disk, (4, 65536), 8, 3)


def test_many_queues(controller, disk):
    """All of them, in turn, and each with a vector of its own."""
    queues = [controller.open_queue(number, vector=number) for number in range(1, 33)]
    fds = [controller.client.eventfd(vfio.MSIX, number) for number in range(33)]
    for queue in queues:
        controller.put(DATA + queue.number * PAGE, nvme.pattern(queue.number, 512))
        controller.put_command(queue, nvme.WRITE, queue.number, nsid=1,
                               prp=(DATA + queue.number * PAGE, 0))
    for queue in queues:
        controller.ring(2 * queue.number, 1)
    for queue in queues:
        assert controller.take(queue).status == 0
        assert select.select([fds[queue.number]], [], [], rig.TIMEOUT_S)[0]
        assert nvme.disk_bytes(disk, queue.number, 512) == nvme.pattern(queue.number, 512)
    assert vfio.events(fds[0]) == 0


def test_zeroes_and_discard(controller, queue, disk):
    controller.put(DATA, b'\x55' * 65536)
    assert controller.io(queue, nvme.WRITE, 0, 128,
                         controller.prps(DATA, 65536, controller.page(100))) == 0
    assert controller.io(queue, nvme.WRITE_ZEROES, 3, 2, (0, 0)) == 0
    assert nvme.disk_bytes(disk, 2, 2048) == b'\x55' * 512 + bytes(1024) + b'\x55' * 512
    controller.put(DATA, struct.pack('<IIQIIQ', 0, 8, 16, 0, 8, 64))
    assert controller.do(queue, nvme.DATASET, 1, 4, nsid=1, prp=(DATA, 0))[0] == 0
    assert nvme.disk_bytes(disk, 16, PAGE) == bytes(PAGE) == nvme.disk_bytes(disk, 64, PAGE)
    controller.put(DATA, struct.pack('<IIQIIQ', 0, 8, 0, 0, 2, BLOCKS - 1))
    assert controller.do(queue, nvme.DATASET, 1, 4, nsid=1, prp=(DATA, 0))[0] == nvme.LBA_RANGE
    assert nvme.disk_bytes(disk, 0, 512) == b'\x55' * 512
    assert controller.do(queue, nvme.FLUSH, nsid=1)[0] == 0
    assert controller.do(queue, nvme.FLUSH, nsid=ALL)[0] == 0


@pytest.mark.parametrize('opcode, lba, blocks, options, status', [
    (nvme.READ, 0, 1, {'nsid': 0}, nvme.BAD_NAMESPACE),
    (nvme.READ, 0, 1, {'nsid': 2}, nvme.BAD_NAMESPACE),
    (nvme.WRITE, 0, 1, {'nsid': ALL}, nvme.BAD_NAMESPACE),
    (nvme.FLUSH, 0, 1, {'nsid': 2}, nvme.BAD_NAMESPACE),
    (nvme.READ, BLOCKS, 1, {}, nvme.LBA_RANGE),
    (nvme.WRITE, BLOCKS - 1, 2, {}, nvme.LBA_RANGE),
    (nvme.WRITE_ZEROES, BLOCKS - 1, 2, {}, nvme.LBA_RANGE),
    (nvme.READ, (1 << 64) - 1, 2, {}, nvme.LBA_RANGE),
    (nvme.READ, 1 << 55, 1, {}, nvme.LBA_RANGE),
    (nvme.READ, 0, 2049, {}, nvme.INVALID_FIELD),
    (nvme.WRITE, 0, 65536, {}, nvme.INVALID_FIELD),
    (5, 0, 1, {}, nvme.INVALID_OPCODE),
    (0xff, 0, 1, {}, nvme.INVALID_OPCODE),
    (nvme.READ, 0, 1, {'prp': (DATA + 1, 0)}, nvme.PRP_OFFSET),
    (nvme.READ, 0, 16, {'prp': (DATA, DATA + 8)}, nvme.PRP_OFFSET),
    (nvme.READ, 0, 24, {'prp': (DATA, DATA + 4)}, nvme.PRP_OFFSET),
    (nvme.READ, 0, 1, {'prp': (0, 0)}, nvme.TRANSFER_ERROR),
    (nvme.READ, 0, 1, {'prp': (BASE + MEMORY - 256, 0)}, nvme.TRANSFER_ERROR),
    (nvme.WRITE, 0, 16, {'prp': (DATA, BASE + MEMORY)}, nvme.TRANSFER_ERROR),
    (nvme.WRITE, 0, 24, {'prp': (DATA, BASE + MEMORY)}, nvme.TRANSFER_ERROR),
    (nvme.WRITE, 0, 1, {'prp': ((1 << 64) - 256, 0)}, nvme.TRANSFER_ERROR),
])
def test_io_wrong(controller, queue, disk, opcode, lba, blocks, options, status):
    """An error by the specification, nothing is changed, and the queue is of use afterwards."""
    controller.put(DATA, b'\x77' * 8192)
    assert controller.io(queue, opcode, lba, blocks, **{'prp': (DATA, DATA + PAGE)} | options) == status
    assert nvme.disk_bytes(disk, 0, SIZE) == bytes(SIZE)
    assert controller.get(DATA, 8192) == b'\x77' * 8192
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0


@pytest.mark.parametrize('flags', [1, 2, 0x40, 0x80])
def test_flags_wrong(controller, queue, flags):
    """Neither fused commands nor SGLs."""
    assert controller.do(queue, nvme.READ, nsid=1, prp=(DATA, 0), flags=flags)[0] == nvme.INVALID_FIELD
    assert controller.manage(nvme.IDENTIFY, 1, prp=(DATA, 0), flags=flags) == nvme.INVALID_FIELD


@pytest.mark.parametrize('entry, status', [
    (DATA + 4, nvme.PRP_OFFSET), (DATA + 512, nvme.PRP_OFFSET), (0, nvme.TRANSFER_ERROR),
    ((1 << 64) - PAGE, nvme.TRANSFER_ERROR)])
def test_list_wrong(controller, queue, entry, status):
    for place in range(3):
        entries = [DATA + PAGE, DATA + 2 * PAGE, DATA + 3 * PAGE]
        entries[place] = entry
        controller.put(controller.page(100), struct.pack('<3Q', *entries))
        assert controller.io(queue, nvme.WRITE, 0, 32, (DATA, controller.page(100))) == status


def test_list_of_itself(controller, queue, disk):
    """A list whose end is its beginning has as much data as any other."""
    lists = controller.page(100)
    controller.put(lists, struct.pack('<512Q', *[lists] * 512))
    assert controller.io(queue, nvme.WRITE, 0, 2048, (DATA, lists + PAGE - 8)) == 0
    assert nvme.disk_bytes(disk, 8, PAGE) == struct.pack('<512Q', *[lists] * 512)


def test_read_only_memory(serve):
    """The controller may read it and no more."""
    controller = serve()[1]
    client = controller.client
    fd = os.memfd_create('read-only')
    os.ftruncate(fd, PAGE)
    client.fds.append(fd)
    assert client.map(0, PAGE, vfio.READ, fd) == 0
    controller.enable()
    queue = controller.open_queue()
    assert controller.io(queue, nvme.WRITE, 0, 8, (0, 0)) == 0
    assert controller.io(queue, nvme.READ, 0, 8, (0, 0)) == nvme.TRANSFER_ERROR


def test_file_gets_shorter(controller, queue, disk):
    os.truncate(disk, 512)
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0
    assert controller.io(queue, nvme.READ, 1, 1, (DATA, 0)) == 0x281  # unrecovered read error


# ---- Queues ----

@pytest.mark.parametrize('number, options, status', [
    (0, {}, nvme.BAD_QUEUE_ID), (33, {}, nvme.BAD_QUEUE_ID), (0xffff, {}, nvme.BAD_QUEUE_ID),
    (1, {'entries': 1}, nvme.BAD_QUEUE_SIZE), (1, {'entries': 1025}, nvme.BAD_QUEUE_SIZE),
    (1, {'entries': 65536}, nvme.BAD_QUEUE_SIZE), (1, {'flags': 2}, nvme.INVALID_FIELD),
    (1, {'vector': 33}, nvme.BAD_VECTOR), (1, {'vector': 0xffff}, nvme.BAD_VECTOR),
    (1, {'offset': 8}, nvme.PRP_OFFSET)])
def test_create_cq_wrong(controller, number, options, status):
    assert controller.create_cq(number, **options) == status
    assert controller.manage(nvme.DELETE_CQ, 1) == nvme.BAD_QUEUE_ID


@pytest.mark.parametrize('number, options, status', [
    (0, {}, nvme.BAD_QUEUE_ID), (33, {}, nvme.BAD_QUEUE_ID), (1, {'cq': 0}, nvme.BAD_CQ),
    (1, {'cq': 2}, nvme.BAD_CQ), (1, {'cq': 0xffff}, nvme.BAD_CQ),
    (1, {'entries': 1}, nvme.BAD_QUEUE_SIZE), (1, {'entries': 1025}, nvme.BAD_QUEUE_SIZE),
    (1, {'flags': 0}, nvme.INVALID_FIELD), (1, {'offset': 64}, nvme.PRP_OFFSET)])
def test_create_sq_wrong(controller, number, options, status):
    assert controller.create_cq(1) == 0
    assert controller.create_sq(number, **options) == status
    assert controller.manage(nvme.DELETE_SQ, 1) == nvme.BAD_QUEUE_ID
    assert controller.manage(nvme.DELETE_CQ, 1) == 0


def test_entry_sizes_wrong(serve):
    """CC has those of I/O queues."""
    controller = serve()[1]
    controller.enable()
    controller.set_reg(nvme.CC, 0x360001)
    assert controller.create_cq(1) == nvme.BAD_QUEUE_SIZE
    controller.set_reg(nvme.CC, 0x450001)
    assert controller.create_cq(1) == 0
    assert controller.create_sq(1) == nvme.BAD_QUEUE_SIZE


def test_queues_in_bad_order(controller):
    assert controller.create_sq(1) == nvme.BAD_CQ
    assert [controller.manage(opcode, number) for opcode in (nvme.DELETE_SQ, nvme.DELETE_CQ)
            for number in (0, 1, 33)] == [nvme.BAD_QUEUE_ID] * 6
    assert [controller.create_cq(1) for _ in range(2)] == [0, nvme.BAD_QUEUE_ID]
    assert [controller.create_sq(number) for number in (2, 3, 2)] == [0, 0, nvme.BAD_QUEUE_ID]
    for number in (2, 3):
        assert controller.manage(nvme.DELETE_CQ, 1) == nvme.BAD_DELETION
        assert controller.manage(nvme.DELETE_SQ, number) == 0
    assert [controller.manage(nvme.DELETE_CQ, 1) for _ in range(2)] == [0, nvme.BAD_QUEUE_ID]


def test_two_submission_queues(controller):
    """They share a completion queue."""
    assert controller.create_cq(1, 3) == 0
    assert [controller.create_sq(number, page) for number, page in ((1, 2), (2, 5))] == [0, 0]
    queue = nvme.Queue(1, controller.page(2), controller.page(3), 16)
    other = nvme.Queue(2, controller.page(5), controller.page(3), 16)
    controller.submit(queue, nvme.FLUSH, nsid=1)
    assert controller.take(queue).sq == 1
    controller.submit(other, nvme.FLUSH, nsid=1)
    assert controller.take(queue).sq == 2
    assert controller.manage(nvme.DELETE_SQ, 1) == 0
    controller.submit(other, nvme.FLUSH, nsid=1)
    assert controller.take(queue).sq == 2


def test_full_completion_queue(controller):
    """No command is taken that could not be completed."""
    queue = controller.open_queue(entries=4)
    assert controller.manage(nvme.DELETE_SQ, 1) == 0
    assert controller.create_sq(1, 8, entries=16) == 0
    commands = nvme.Queue(1, queue.sq, queue.cq, 16)
    cids = [controller.put_command(commands, nvme.FLUSH, nsid=1) for _ in range(8)]
    controller.ring(2, 8)
    for _ in range(8):  # each of them has the controller polled, and is not delayed by the queue
        assert controller.manage(nvme.GET_FEATURES, 7) == 0
    assert controller.get(queue.cq + 48, 16) == bytes(16)
    assert [controller.take(queue).cid for _ in range(8)] == cids


@pytest.mark.parametrize('entries', [2, 3, 1024])
def test_queue_sizes(controller, entries):
    queue = nvme.Queue(1, controller.page(200), controller.page(220), entries)
    assert controller.create_cq(1, 220, entries) == 0
    assert controller.create_sq(1, 200, entries) == 0
    assert [controller.do(queue, nvme.FLUSH, nsid=1)[0] for _ in range(2 * entries + 1)] == \
        [0] * (2 * entries + 1)


@pytest.mark.parametrize('lost', ['sq', 'cq'])
def test_queue_is_not_mapped(controller, lost):
    """The controller fails, and can be reset."""
    queue = nvme.Queue(1, controller.page(8), controller.page(9), 16)
    pages = {'sq': 8, 'cq': 9} | {lost: 1 << 20}
    assert controller.create_cq(1, pages['cq']) == 0
    assert controller.create_sq(1, pages['sq']) == 0
    controller.submit(queue, nvme.FLUSH, nsid=1)
    rig.eventually(lambda: controller.reg(nvme.CSTS) == nvme.RDY | nvme.CFS)
    restart(controller)


# ---- Features, log pages, events, abort ----

@pytest.mark.parametrize('feature, value, expected', [
    (1, 0x04030201, 0x04030201), (4, 0x158, 0x158), (4, 0x100100, 0x100), (6, 0, 0),
    (8, 0xffff1234, 0x1234), (0xa, 1, 1), (0xb, 0xfff, 0x2ff), (9, 0x10003, 0x10003)])
def test_features(controller, feature, value, expected):
    assert controller.manage(nvme.SET_FEATURES, feature, value) == 0
    assert controller.do(controller.admin, nvme.GET_FEATURES, feature, value) == (0, expected)


def test_number_of_queues(controller):
    for opcode in (nvme.SET_FEATURES, nvme.GET_FEATURES):
        assert controller.do(controller.admin, opcode, 7, 0x30003) == (0, 0x1f001f)
    controller.open_queue()
    assert controller.manage(nvme.SET_FEATURES, 7, 0x30003) == nvme.SEQUENCE
    assert controller.do(controller.admin, nvme.GET_FEATURES, 7) == (0, 0x1f001f)


@pytest.mark.parametrize('opcode, cdw10, cdw11, nsid, status', [
    (nvme.SET_FEATURES, 0, 0, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 0x7f, 0, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 2, 1, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 7, 0xffff, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 7, 0xffff0000, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 9, 33, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 4, 0x10000, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 4, 0x200000, 0, nvme.INVALID_FIELD),
    (nvme.SET_FEATURES, 1 << 31 | 6, 1, 0, nvme.NOT_SAVEABLE),
    (nvme.SET_FEATURES, 6, 1, 1, nvme.NOT_OF_NAMESPACE),
    (nvme.SET_FEATURES, 5, 1, 2, nvme.BAD_NAMESPACE),
    (nvme.GET_FEATURES, 0x80, 0, 0, nvme.INVALID_FIELD),
    (nvme.GET_FEATURES, 1 << 8 | 6, 0, 0, nvme.INVALID_FIELD),
    (nvme.GET_FEATURES, 9, 33, 0, nvme.INVALID_FIELD),
    (nvme.GET_LOG, 0xffff0002, 0xffff, 0, nvme.INVALID_FIELD),  # too long
    *((opcode, 0, 0, 0, nvme.INVALID_OPCODE) for opcode in (3, 7, 0xb, 0xd, 0x18, 0x7c, 0x80, 0xff))])
def test_admin_wrong(controller, opcode, cdw10, cdw11, nsid, status):
    assert controller.manage(opcode, cdw10, cdw11, nsid=nsid, prp=(DATA, 0)) == status


def test_logs(controller, queue):
    assert controller.io(queue, nvme.WRITE, 0, 1, (DATA, 0)) == 0
    assert controller.io(queue, nvme.READ, BLOCKS, 1, (DATA, 0)) == nvme.LBA_RANGE
    errors = controller.log(1, 1024)
    assert struct.unpack_from('<QHxxHHQI', errors) == (1, 1, nvme.LBA_RANGE << 1, 0xffff, BLOCKS, 1)
    assert errors[64:] == bytes(960)
    health = controller.log(2, 512)
    assert health[:5] == struct.pack('<BHBB', 0, 313, 100, 10)
    assert [int.from_bytes(health[at:at + 16], 'little') for at in (32, 48, 64, 80, 176)] == \
        [0, 1, 0, 1, 1]
    assert controller.log(3, 512)[:16] == b'\1' + bytes(7) + b'1       '


def test_error_log_is_a_ring(controller):
    for opcode in range(0x80, 0x80 + 20):
        assert controller.manage(opcode) == nvme.INVALID_OPCODE
    errors = controller.log(1, 1024)
    assert [struct.unpack_from('<Q', errors, 64 * i)[0] for i in range(16)] == [*range(20, 4, -1)]


def test_parts_of_logs(controller):
    whole = controller.log(2, 512)
    assert controller.log(2, 8, offset=100) == whole[100:108]
    assert controller.log(2, 64, offset=480) == whole[480:] + bytes(32)
    assert controller.log(2, PAGE, offset=512) == bytes(PAGE)


@pytest.mark.parametrize('number, size, offset, status', [
    (0, 512, 0, nvme.BAD_LOG), (4, 512, 0, nvme.BAD_LOG), (0xff, 512, 0, nvme.BAD_LOG),
    (2, 512, 2, nvme.INVALID_FIELD), (2, 512, 516, nvme.INVALID_FIELD),
    (2, 512, 1 << 63, nvme.INVALID_FIELD)])
def test_logs_wrong(controller, number, size, offset, status):
    assert controller.log(number, size, offset) == status


def test_event_of_temperature(controller):
    """Only when it was asked for, and again when its log was read."""
    cid = controller.submit(controller.admin, nvme.ASYNC_EVENT)
    assert controller.manage(nvme.SET_FEATURES, 4, 300) == 0
    assert controller.manage(nvme.SET_FEATURES, 0xb, 2) == 0
    event = controller.take(controller.admin)
    assert (event.cid, event.status, event.result) == (cid, 0, 0x020101)
    cid = controller.submit(controller.admin, nvme.ASYNC_EVENT)
    assert controller.manage(nvme.SET_FEATURES, 4, 301) == 0
    assert controller.log(2, 512, retain=True)[0] == 2
    assert controller.manage(nvme.SET_FEATURES, 4, 302) == 0
    assert controller.log(2, 512)[0] == 2
    assert controller.manage(nvme.SET_FEATURES, 4, 303) == 0
    assert controller.take(controller.admin).cid == cid


@pytest.mark.parametrize('index, value, info', [(2, 16, 1), (3, 16, 1), (2, ALL, 1), (3, 1, 1),
                                                (4, 1, 0), (66, 1, 0), (1023, 0, 0)])
def test_event_of_doorbell(controller, queue, index, value, info):
    """A value that is not of the queue, or no queue at all: it is as if nothing had been written."""
    controller.ring(index, value)
    cid = controller.submit(controller.admin, nvme.ASYNC_EVENT)
    event = controller.take(controller.admin)
    assert (event.cid, event.status, event.result) == (cid, 0, 0x010000 | info << 8)
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0


def test_requests_of_events(controller):
    """There are 4 of them; each can be aborted."""
    cids = [controller.submit(controller.admin, nvme.ASYNC_EVENT) for _ in range(4)]
    assert controller.manage(nvme.ASYNC_EVENT) == nvme.TOO_MANY_EVENTS
    for cid in cids:
        abort = controller.submit(controller.admin, nvme.ABORT, cid << 16)
        done = controller.take(controller.admin)
        assert (done.cid, done.status) == (cid, nvme.ABORT_REQUESTED)
        done = controller.take(controller.admin)
        assert (done.cid, done.status, done.result) == (abort, 0, 0)
    controller.submit(controller.admin, nvme.ASYNC_EVENT)
    assert controller.do(controller.admin, nvme.ABORT, 0xffff0000) == (0, 1)


@pytest.mark.parametrize('queue, cid', [(0, 77), (1, 1), (99, 1), (0xffff, 0xffff)])
def test_abort_of_nothing(controller, queue, cid):
    assert controller.do(controller.admin, nvme.ABORT, cid << 16 | queue) == (0, 1)


@pytest.mark.parametrize('transport', ['posix', 'uring'])
def test_driver_of_library(serve, start, transport):
    """The driver over libvuc that also tests SPDK's target."""
    server, controller = serve()
    controller.enable()
    serial = controller.identify(1)[4:24].decode().rstrip()
    controller.client.close()
    driver = start(os.environ['VUC_TEST_NVME'], transport, env={
        'VUC_SPDK_NVMF_SOCKET': server.socket, 'VUC_SPDK_NVMF_SERIAL': serial})
    assert driver.wait() == 0, driver.out
    assert driver.out.count(b'\nok ') == 3
    assert (server.stop(), server.err) == (0, b'')


# ---- Interrupts ----

def await_event(fd):
    assert select.select([fd], [], [], rig.TIMEOUT_S)[0]
    return vfio.events(fd)


def test_msix(controller):
    client = controller.client
    fds = [client.eventfd(vfio.MSIX, vector) for vector in range(3)]
    queue = controller.open_queue(vector=2)
    assert await_event(fds[0]) >= 1
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0
    assert await_event(fds[2]) == 1
    client.set(BAR0, 0x2000 + 2 * 16 + 12, 4, 1)
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0
    rig.eventually(lambda: client.get(BAR0, 0x3000, 8) == 1 << 2)
    assert vfio.events(fds[2]) == 0
    client.set(BAR0, 0x2000 + 2 * 16 + 12, 4, 0)
    assert await_event(fds[2]) == 1
    assert client.get(BAR0, 0x3000, 8) == 0
    assert vfio.events(fds[1]) == 0


def test_queue_without_interrupts(controller):
    fds = [controller.client.eventfd(vfio.MSIX, vector) for vector in range(2)]
    assert controller.create_cq(1, 9, flags=1, vector=1) == 0
    assert controller.create_sq(1, 8) == 0
    queue = nvme.Queue(1, controller.page(8), controller.page(9), 16)
    assert controller.do(queue, nvme.FLUSH, nsid=1)[0] == 0
    assert len(controller.identify(1)) == PAGE
    assert await_event(fds[0]) >= 1
    assert vfio.events(fds[1]) == 0


def unmask(client):
    assert client.set_irqs(vfio.DATA_NONE | vfio.UNMASK, vfio.INTX, 0, 1) == 0


def test_intx(controller):
    """A level: up while completions are not taken, and can be masked by a register."""
    client = controller.client
    fd = client.eventfd(vfio.INTX, 0)
    controller.submit(controller.admin, nvme.GET_FEATURES, 7)
    assert await_event(fd) == 1
    assert client.get(CONFIG, 6, 2) & 8
    unmask(client)
    assert await_event(fd) == 1
    controller.set_reg(nvme.INTMS, 1)
    assert [controller.reg(at) for at in (nvme.INTMS, nvme.INTMC)] == [1, 1]
    unmask(client)
    assert (vfio.events(fd), client.get(CONFIG, 6, 2) & 8) == (0, 0)
    controller.set_reg(nvme.INTMC, 1)
    assert await_event(fd) == 1
    controller.take(controller.admin)
    assert client.get(CONFIG, 6, 2) & 8 == 0
    unmask(client)
    assert vfio.events(fd) == 0


# ---- Memory by message ----

@pytest.fixture(name='remote')
def fixture_remote(serve):
    controller = serve(by_message=True, capabilities=vfio.TWIN)[1]
    controller.enable()
    return controller


def test_message_refused(remote):
    """What the client answers by an error fails that command."""
    queue = remote.open_queue()
    remote.refused = {DATA}
    assert remote.io(queue, nvme.WRITE, 0, 1, (DATA, 0)) == nvme.TRANSFER_ERROR
    assert remote.io(queue, nvme.READ, 0, 24, remote.prps(DATA - PAGE, 3 * PAGE, remote.page(100))) == \
        nvme.TRANSFER_ERROR
    remote.refused = {remote.page(100)}
    assert remote.io(queue, nvme.WRITE, 0, 24, remote.prps(DATA, 3 * PAGE, remote.page(100))) == \
        nvme.TRANSFER_ERROR
    remote.refused = set()
    assert remote.io(queue, nvme.WRITE, 0, 1, (DATA, 0)) == 0


def test_completion_is_taken_early(remote):
    """The client sees the phase, and rings, before its reply to the write of it comes."""
    queue = remote.open_queue(entries=2)

    def take():
        if remote.peek(queue):
            queue.head ^= 1
            queue.phase ^= queue.head == 0
            remote.ring(3, queue.head)
    for _ in range(4):
        head = queue.head
        remote.submit(queue, nvme.FLUSH, nsid=1)
        while queue.head == head:
            remote.answer(take)
    remote.submit(remote.admin, nvme.ASYNC_EVENT)
    assert len(remote.identify(1)) == PAGE  # and not an event of a wrong doorbell


def test_reset_between_messages(remote):
    """Answers that come later are those to nobody."""
    queue = remote.open_queue()
    remote.submit(queue, nvme.READ, nsid=1, prp=(DATA, 0))
    late = remote.client.twin.receive()
    remote.disable()
    remote.client.twin.send(vfio.message(late.id, late.cmd, late.body[:16] + bytes(64), vfio.REPLY))
    remote.enable()
    queue = remote.open_queue()
    assert remote.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0


def test_disconnect_between_messages(serve):
    server, remote = serve(by_message=True, capabilities=vfio.TWIN)
    remote.enable()
    queue = remote.open_queue()
    remote.submit(queue, nvme.READ, nsid=1, prp=(DATA, 0))
    assert remote.client.twin.receive().cmd == vfio.DMA_READ
    remote.client.close()
    controller = serve.connect(server)
    controller.enable()
    assert controller.io(controller.open_queue(), nvme.READ, 0, 1, (DATA, 0)) == 0


def test_wrong_answer(serve):
    """A client whose answers make no sense is disconnected."""
    server, remote = serve(by_message=True, capabilities=vfio.TWIN)
    remote.enable()
    remote.submit(remote.admin, nvme.IDENTIFY, 1, prp=(DATA, 0))
    command = remote.client.twin.receive()
    remote.client.twin.send(vfio.message(command.id, command.cmd, command.body[:16] + bytes(63),
                                         vfio.REPLY))
    assert remote.client.receive() is None
    server.await_output('expected 64 bytes', 'err')
    serve.connect(server).enable()


# ---- Hostile clients ----

@pytest.mark.parametrize('seed', range(20))
def test_random_commands(controller, queue, seed):
    """Nothing that a queue has keeps it from being served, or reaches beyond the client's memory."""
    for q in (controller.admin, queue):
        for i in range(12):
            entry = bytearray(nvme.pattern(seed * 64 + i, 64))
            entry[0] = (seed + i) % 14
            entry[1] = 0 if i % 4 else entry[1]
            entry[4:8] = struct.pack('<I', i % 3)
            entry[24:40] = struct.pack('<QQ', BASE + (i * seed * 1000 & 0xffffc), DATA)
            controller.put(q.sq + 64 * ((q.tail + i) % 16), entry)
        controller.ring(2 * q.number, (q.tail + 12) % 16)
    # Some of them are requests of events, and some delete the queue: what is sure is the reset.
    assert controller.reg(nvme.CSTS) & nvme.RDY
    restart(controller)


def test_memory_goes_away(controller):
    """The client unmaps, or makes the file shorter."""
    client = controller.client
    queue = controller.open_queue()
    os.ftruncate(client.fds[0], 512 * PAGE)
    assert controller.io(queue, nvme.WRITE, 0, 1, (BASE + 600 * PAGE, 0)) == nvme.TRANSFER_ERROR
    assert client.unmap(BASE, MEMORY).error == 0
    controller.submit(queue, nvme.FLUSH, nsid=1)
    rig.eventually(lambda: controller.reg(nvme.CSTS) & nvme.CFS)


def test_doorbells_of_all_kinds(serve):
    """In a page that is mapped nobody is told, and wrong values are as if there were none."""
    controller = serve(mapped=True)[1]
    controller.enable()
    queue = controller.open_queue()
    for value in (16, 17, 0xffff, ALL, 1 << 31):
        controller.ring(2, value)
        controller.ring(3, value)
        assert len(controller.identify(1)) == PAGE
    controller.doorbells[256:] = b'\xff' * (PAGE - 256)
    assert controller.io(queue, nvme.READ, 0, 1, (DATA, 0)) == 0


# ---- Restarts ----

@pytest.mark.parametrize('mapped', [False, True])
def test_kill(serve, folder, disk, mapped):
    """What was acknowledged is there, and a mapping of the doorbells is one of the next server's, with
    their values until it has the queues."""
    os.mkdir(f'{folder}/bars')
    server, controller = serve(f'--bar-file={folder}/bars', mapped=mapped)
    acknowledged = {}
    for life in range(5):
        controller.enable()
        serial = controller.identify(1)[4:24]
        queue = controller.open_queue()
        for i in range(20):
            lba = life * 100 + i * 3
            controller.put(DATA, nvme.pattern(life * 20 + i, 1024))
            assert controller.io(queue, nvme.WRITE, lba, 2, (DATA, 0)) == 0
            acknowledged[lba] = nvme.pattern(life * 20 + i, 1024)
        controller.submit(queue, nvme.WRITE, 5000, nsid=1, prp=(DATA, 0))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        doorbells = controller.doorbells
        values = doorbells[:] if mapped else None
        controller.client.close()
        server, controller = serve(f'--bar-file={folder}/bars')
        controller.doorbells = doorbells
        assert [controller.reg(at) for at in (nvme.CC, nvme.CSTS, nvme.AQA)] == [0, 0, 0]
        assert mapped is False or doorbells[:] == values
        controller.enable()
        assert controller.identify(1)[4:24] == serial
        queue = controller.open_queue()
        for lba, data in acknowledged.items():
            assert controller.io(queue, nvme.READ, lba, 2, (DATA, 0)) == 0
            assert controller.get(DATA, 1024) == data
        controller.disable()


# ---- The command line ----

@pytest.mark.parametrize('device, status, text', [
    ('nvme:', 2, 'nvme: requires a file'), ('disk:x', 2, "expected nvme:FILE[,size=BYTES], not 'disk:x'"),
    ('nvme:x,size=511', 2, '511 is not within'), ('nvme:x,size=y', 2, 'y'),
    ('nvme:/dev/null', 1, '/dev/null: not a regular file'), ('nvme:{}/none', 1, 'none: No such file'),
    ('nvme:{}', 1, 'Is a directory'), ('nvme:{}/small', 1, 'smaller than a block of 512 bytes'),
    ('nvme:{}/big,size=1024', 1, 'has 2048 bytes, expected at most 1024')])
def test_device_wrong(start, folder, device, status, text):
    for name, size in (('small', 511), ('big', 2048)):
        with open(f'{folder}/{name}', 'wb') as file:
            file.truncate(size)
    program = start(os.environ['VUC_REFDEV'], f'{folder}/s', f'--device={device.format(folder)}')
    assert program.wait() == status
    assert text.encode() in program.err
    assert not os.path.exists(f'{folder}/s')


def test_one_path(start, folder, disk):
    program = start(os.environ['VUC_REFDEV'], f'{folder}/s', f'{folder}/t', f'--device=nvme:{disk},size=4096')
    assert program.wait() == 2
    assert b'--device: 2 socket paths, expected one' in program.err


def test_file_in_use(serve, start, folder, disk):
    serve()
    program = start(os.environ['VUC_REFDEV'], f'{folder}/s', f'--device=nvme:{disk}')
    assert program.wait() == 1
    assert b'in use by another process' in program.err


@pytest.mark.parametrize('size, option, blocks', [(4096, '', 8), (5000, '', 9), (4096, ',size=8192', 16)])
def test_sizes(refdev, folder, size, option, blocks):
    with open(f'{folder}/comma,size', 'wb') as file:
        file.truncate(size)
    server = refdev(f'--device=nvme:{folder}/comma,size{option}')
    with contextlib.closing(Client(server.socket)) as client:
        controller = Nvme(client)
        controller.enable()
        assert struct.unpack_from('<Q', controller.identify(0, nsid=1)) == (blocks,)
