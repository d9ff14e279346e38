# SPDX-License-Identifier: BSD-3-Clause
"""A stock VMM keeps its device while the server behind it is restarted, and is asked for it when it
has to give it back; who may have it, and how long each answer takes at most."""

import contextlib
import os
import signal
import socket
import struct
import sys

import pytest
import rig
from front_client import HIGH_RAM, RAM_WINDOW, Alioth, CloudHypervisor
from front_qemu import VMMS, Qemu
from outage_rig import FOREVER, HOUR
from vfio_client import (BAR0, BAR2, BY_MMAP, CONFIG, DATA_NONE, DMA_MAP, DONE, EFAULT, EINVAL, MSIX, PAGE,
                         REGION_READ, REQ, TRIGGER, VERSION, Channel, access, dma_map, message)


def send_read(vmm, region, offset, count):
    """Send a read, whose reply is waited for later."""
    return vmm.send_one(REGION_READ, access(region, offset, count), room=32 + count)


def assert_closed(path):
    """Whoever connects is disconnected."""
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(rig.TIMEOUT_S)
        other.connect(path)
        assert other.recv(1) == b''


@VMMS
def test_restarted(exported, kind, folder):
    """Mapped memory, mappings, interrupts and registers are there after each return; each interrupt
    comes once more, for it may have been lost."""
    one = exported(FOREVER, f'--bar-file={folder}')
    vmm = one.attach(kind)
    (at, memory), = vmm.map_region(BAR2)
    vmm.enable_msix()
    vmm.ram[PAGE:2 * PAGE] = data = os.urandom(PAGE)
    for number in range(3):
        one.lose()
        assert vmm.get(CONFIG, 0, 4) == 0x76637675
        vmm.set(BAR0, RAM_WINDOW, 4, 1)
        one.find(f'--bar-file={folder}')
        for vector in range(8):
            assert vmm.await_event(MSIX, vector) == 1
        assert vmm.get(BAR0, RAM_WINDOW, 4) == 0
        memory[:8] = number.to_bytes(8, 'little')
        assert vmm.get(BAR2, at, 8) == number
        assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM + number * PAGE, PAGE) == DONE
        assert vmm.ram[HIGH_RAM + number * PAGE:][:PAGE] == data
        vmm.set_reg('IRQ_TRIGGER', 5)
        assert vmm.await_event(MSIX, 5) == 1
        vmm.take_events()
    assert one.counters()['dropped_writes'] == 3
    one.daemon.await_output('; dropped writes: 1\n', 'err')


def test_held_read(exported, folder):
    """It is answered after the return; configuration space meanwhile."""
    one = exported(FOREVER + 'reply-ms = 3600000\n', f'--bar-file={folder}')
    vmm = one.attach()
    one.lose()
    number = send_read(vmm, BAR0, 0, 4)
    assert vmm.get(CONFIG, 0, 4) == 0x76637675
    rig.eventually(lambda: one.counters()['held_reads'] == 1)
    one.server.start(f'--bar-file={folder}')
    assert vmm.wait(number).body[16:] == (0x52637576).to_bytes(4, 'little')


def test_reply_in_time(exported, folder):
    """A read that is held for ever is answered with an error, and the stream goes on."""
    one = exported(FOREVER + 'reply-ms = 1500\n', f'--bar-file={folder}')
    vmm = one.attach()
    one.lose()
    for _ in range(2):
        assert vmm.read(BAR0, 0, 4) == -110
        assert vmm.get(CONFIG, 0, 4) == 0x76637675
    one.find(f'--bar-file={folder}')
    assert vmm.reg('ID') == 0x52637576


def test_hung(exported):
    """So is one that a server does not answer, and whatever the VMM's thread waits for; what comes
    behind that, too."""
    one = exported(HOUR + 'reply-ms = 1500\n')
    vmm = one.attach()
    one.server.signal(signal.SIGSTOP)
    assert vmm.read(BAR0, 0, 4) == -110
    numbers = [vmm.map_section(1 << 40, PAGE, vmm.memory)]
    assert vmm.transaction(numbers) == [-110]
    assert vmm.transaction([vmm.unmap_section(1 << 41, PAGE)]) == [-110]
    assert vmm.read(BAR0, 0, 4) == -110
    one.server.signal(signal.SIGCONT)
    rig.eventually(lambda: vmm.read(BAR0, 0, 4) == (0x52637576).to_bytes(4, 'little'))
    rig.eventually(lambda: vmm.transaction([vmm.unmap_section(1 << 40, PAGE)]) == [])


@VMMS
def test_started_while_away(exported, kind, folder):
    """What was learned of the device answers; the server gets what the VMM has set when it is back."""
    one = exported(FOREVER, f'--bar-file={folder}')
    one.lose()
    vmm = one.attach(kind)
    assert len(vmm.read(CONFIG, 0, 4096)) == 4096
    vmm.enable_msix()
    vmm.ram[PAGE:2 * PAGE] = data = os.urandom(PAGE)
    one.find(f'--bar-file={folder}')
    assert vmm.await_event(MSIX, 7) == 1
    vmm.set(CONFIG, 4, 2, 0x0407)  # what was written meanwhile was dropped
    assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == DONE
    assert vmm.ram[HIGH_RAM:][:PAGE] == data
    vmm.close()
    one.daemon.await_state('d0', 'free')
    one.lose()
    one.server.start(f'--bar-file={folder}')
    one.daemon.await_state('d0', 'free')
    assert one.attach(kind).reg('ID') == 0x52637576


@pytest.mark.parametrize('reset', ['on', 'trust', 'never'])
def test_started_again_while_away(exported, vmm, folder, reset):
    """So does the next one in the same outage, whatever the last one was and has set: neither it nor
    the server sees anything of that."""
    one = exported(FOREVER + f'reset = {reset}\n', f'--bar-file={folder}')
    client = vmm(one.daemon, 'd0')
    client.ok('queue')
    one.lose()
    client.detach()
    one.await_left()
    config = None
    for kind in (CloudHypervisor, Alioth, CloudHypervisor):
        stock = one.attach(kind)
        config = config or stock.read(CONFIG, 0, 4096)
        assert stock.read(CONFIG, 0x40, 4032) == config[0x40:]  # what VMMs write is before that
        stock.enable_msix()
        assert stock.map(1 << 40, 0, PAGE) == 0
        stock.close()
        one.await_left()
    stock = one.attach()
    stock.enable_msix()
    one.find(f'--bar-file={folder}')
    assert stock.await_event(MSIX, 7) == 1
    stock.set(CONFIG, 4, 2, 0x0407)
    assert stock.transfer(BY_MMAP, 1 << 40, PAGE, PAGE) == EFAULT
    stock.ram[PAGE:2 * PAGE] = data = os.urandom(PAGE)
    assert stock.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == DONE
    assert stock.ram[HIGH_RAM:][:PAGE] == data
    stock.close()
    one.daemon.await_state('d0', 'free')
    assert one.attach().reg('ID') == 0x52637576


def test_lost_at_once(exported, vmm):
    """What was learned of a device is there when a VMM attaches: it is not read again."""
    one = exported(FOREVER, '--fault=delay=20@region_read')
    client = vmm(one.daemon, 'd0')
    one.lose()
    client.detach()
    one.await_left()
    assert one.attach().read(CONFIG, 0, 4) == b'uvcv'


@pytest.mark.parametrize('reset', ['on', 'trust', 'never'])
def test_lost_again(exported, reset):
    """A device that is free again is known again."""
    one = exported(f'{FOREVER}reset = {reset}\n')
    one.attach().close()
    one.daemon.await_state('d0', 'free')
    one.lose()
    assert one.attach().read(CONFIG, 0, 4) == b'uvcv'


def test_learned_late(exported):
    """If config space cannot be read when the server is connected to, it is read for the first VMM."""
    one = exported(FOREVER, '--fault=error=5@region_read#7')
    client = one.attach()
    one.lose()
    client.close()
    one.await_left()
    assert one.attach().read(CONFIG, 0, 4) == b'uvcv'


def test_nothing_learned(exported):
    """A device whose server has never been connected cannot be attached."""
    one = exported(FOREVER, ready=False)
    one.lose()
    one.daemon.kill_and_run()
    rig.eventually(lambda: one.row()['state'] == 'away')
    assert_closed(one.path)
    one.daemon.await_output('the server of device d0 is away', 'err')
    one.server.start()
    one.daemon.await_state('d0', 'free')
    assert one.attach().reg('ID') == 0x52637576


def test_memory_that_waits(exported):
    """Mappings that wait behind one that a server does not answer leave no descriptors open."""
    one = exported(HOUR + 'reply-ms = 1500\n')
    vmm = one.attach()
    one.server.signal(signal.SIGSTOP)
    assert vmm.transaction([vmm.map_section(1 << 40, PAGE, vmm.memory)]) == [-110]
    memory = os.memfd_create('waits')
    os.ftruncate(memory, PAGE)
    vmm.fds.append(memory)
    for _ in range(2):
        numbers = [vmm.map_section(i << 40, PAGE, memory) for i in range(2, 5)]
        assert vmm.transaction(numbers) == [-110] * 3
    folder = f'/proc/{one.daemon.pid}/fd'

    def is_left():
        return any('waits' in os.path.realpath(f'{folder}/{fd}') for fd in os.listdir(folder))
    rig.eventually(lambda: not is_left())
    one.server.signal(signal.SIGCONT)


def test_another_file(exported, folder):
    """A mapping that nobody can change is not left behind: the device stays away until the file is
    back."""
    one = exported(FOREVER + 'reply-ms = 1500\n', f'--bar-file={folder}')
    vmm = one.attach()
    one.server.restart()
    rig.eventually(lambda: one.row()['reason'] is not None and 'another file' in one.row()['reason'])
    assert vmm.get(CONFIG, 0, 4) == 0x76637675
    assert vmm.read(BAR0, 0, 4) == -110
    one.server.restart(f'--bar-file={folder}')
    one.await_return()
    assert vmm.reg('ID') == 0x52637576


@pytest.mark.parametrize('mapped', [True, False])
def test_swapped_sockets(exported, server, folder, mapped):
    """Two servers of one kind that come back with each other's sockets are told apart by the memory
    that VMMs have mapped, and by nothing else."""
    options = [f'--bar-file={folder}/{name}' for name in 'ab']
    for name in 'ab':
        os.mkdir(f'{folder}/{name}')
    one = exported(FOREVER + ('' if mapped else 'map = none\n'), servers=[server(option) for option in options])
    vmms = [one.attach(number=number) for number in range(2)]
    for number in range(2):
        one.lose(number)
    for target, option in zip(one.servers, reversed(options)):
        target.start(option)
    for number, vmm in enumerate(vmms):
        if mapped:
            rig.eventually(lambda number=number: 'another file' in (one.row(number)['reason'] or ''))
        else:
            one.await_return(number)
            assert vmm.reg('ID') == 0x52637576


def test_file_of_last_vmm(exported, folder):
    """The next VMM, which has mapped nothing, has its device back with any file."""
    one = exported(FOREVER + 'reset = trust\n', f'--bar-file={folder}')
    one.attach().close()
    one.daemon.await_state('d0', 'free')
    vmm = one.client(kind=Qemu)
    vmm.negotiate()
    one.lose()
    one.find()
    assert vmm.reg('ID') == 0x52637576


def test_nothing_mapped(exported):
    """With map = none there is no file to be kept."""
    one = exported(FOREVER + 'map = none\n')
    vmm = one.attach()
    assert vmm.is_posting()
    vmm.post_write(BAR0, RAM_WINDOW, bytes(range(4)))
    assert vmm.read(BAR0, RAM_WINDOW, 4) == bytes(range(4))
    assert one.counters()['posted'] == 1
    one.server.restart()
    one.await_return()
    assert vmm.reg('ID') == 0x52637576


def test_another_device(exported, folder):
    """The VMM is asked for the device, by REQ."""
    one = exported(FOREVER + 'map = none\n')
    vmm = one.attach()
    one.server.restart(f'--device=nvme:{folder}/disk,size=1048576')
    assert vmm.await_event(REQ) == 1
    assert 'another device has come back' in one.row()['reason']


def test_removed(exported):
    """It is asked first, and has release-ms to leave. What it has made of REQ before, but
    for another eventfd, does not matter."""
    one = exported('release-ms = 3600000\n')
    vmm = one.attach()
    assert vmm.set_irqs(DATA_NONE | TRIGGER, REQ, 0, 1) == 0
    assert vmm.await_event(REQ) == 1
    removal = rig.Process(os.environ['VUCCTL'], 'remove', '-f', 'd0', '-m',
                          one.daemon.management)
    with removal:
        assert vmm.await_event(REQ) == 1
        assert vmm.reg('ID') == 0x52637576
        vmm.close()
        assert removal.wait() == 0
    assert not os.path.exists(one.path)


def test_one_at_a_time(exported, vmm):
    """By either socket; the next one may come when the last has gone."""
    one = exported()
    stock = one.attach()
    row = one.row()['vmm']
    assert (row['plane'], row['pid'], row['queues']) == ('vfio-user', os.getpid(), 1)
    assert rig.Run(os.environ['VUC_TEST_VMM'], one.daemon.vmm_socket, 'd0').status != 0
    assert_closed(one.path)
    one.daemon.await_output('device d0 is in use by VMM', 'err')
    assert stock.reg('ID') == 0x52637576
    stock.close()
    client = vmm(one.daemon, 'd0')
    assert_closed(one.path)
    client.detach()
    assert one.attach().reg('ID') == 0x52637576


@pytest.mark.skipif(os.getuid() != 0, reason='needs root')
def test_users(exported):
    """Others may connect where the mode allows it, and have the device if they are named."""
    one = exported('export-mode = 0666\nexport-group = 65534\nusers = 1\n')
    os.chmod(one.server.folder.name, 0o755)
    status = os.stat(one.path)
    assert (status.st_mode & 0o777, status.st_gid) == (0o666, 65534)
    code = f"""
import os, socket
os.setuid(int(os.environ['USER_ID']))
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout({rig.TIMEOUT_S})
    s.connect('{one.path}')
    try:
        s.send(bytes.fromhex('0000010014000000000000000000000000000000'))
        print(s.recv(100) != b'')
    except (BrokenPipeError, ConnectionResetError):
        print(False)
"""
    for user, text in (('2', 'False'), ('1', 'True')):
        ended = rig.Run(sys.executable, '-c', code, env=os.environ | {'USER_ID': user})
        assert ended.out == text + '\n', ended.err
        one.daemon.await_state('d0', 'free')
    one.daemon.await_output('user 2 may not use device d0', 'err')
    assert f' attached at {one.path}\n' in one.daemon.err.decode()


# ---- a hostile or unlucky client ----

def raw(path):
    """A client that sends what it likes."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    client = Channel(sock)
    client.send(message(0, VERSION, struct.pack('<HH', 0, 1) +
                        b'{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}\0'))
    assert client.receive().error == 0
    return client


def send_map(client, number, addr, name='memory'):
    """Map a page of memory of its own."""
    memory = os.memfd_create(name)
    os.ftruncate(memory, PAGE)
    client.send(message(number, DMA_MAP, dma_map(addr)), [memory])
    os.close(memory)


def test_no_room_for_replies(exported):
    """What waits for room for its reply goes on when others have been sent."""
    one = exported('reply-ms = 3600000\n', '--max-data-xfer-size=4096')
    with contextlib.closing(raw(one.path)) as client:
        client.send(b''.join(message(number, REGION_READ, access(8, 1 << 40, 4096))
                             for number in range(1, 41)))
        for _ in range(1, 41):
            assert client.receive().error == EINVAL


def test_gone_before_its_answer(exported):
    """A client that has closed when its late answer is to be sent has left for good."""
    one = exported('reply-ms = 100\n', '--fault=delay=150@dma_map#1')
    client = raw(one.path)
    send_map(client, 1, 0)
    client.close()
    one.daemon.await_state('d0', 'free')


def test_detached_meanwhile(exported):
    """Descriptors of a request that the thread has not begun with are closed."""
    one = exported('reply-ms = 1500\n' + HOUR, '--fault=drop@dma_map')
    with contextlib.closing(raw(one.path)) as client:
        send_map(client, 1, 0, 'leaked')
        assert client.receive().error == -110
        send_map(client, 2, PAGE, 'leaked')
        rig.vucctl('detach', 'd0', '-m', one.daemon.management)
        one.daemon.await_state('d0', 'free')
    files = f'/proc/{one.daemon.pid}/fd'
    assert not [fd for fd in os.listdir(files) if 'leaked' in os.readlink(f'{files}/{fd}')]
