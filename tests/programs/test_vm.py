# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in a stock QEMU has an NVMe disk of vuc-refdev, directly or by vucd."""

import os
import signal
import time

import pytest

from outage_rig import FAST, spdk

DISK = 64 << 20
KILLS = 10
SPDK_KILLS = 20
AWAY_S = (7, 8, 12)  # longer than vucd's hold-ms; about two of the guest's I/O timeouts, and more
LONG_AWAY_S = int(os.environ.get('VUC_TEST_AWAY_S', '60'))
IO_TIMEOUT_MAX = 4294967295  # what clouds recommend


@pytest.fixture(name='attach', params=['direct', 'vucd'])
def fixture_attach(request, exported):
    """The socket for VMMs of a server's device: the server's own, or vucd's."""
    return lambda target: exported(servers=[target]).path if request.param == 'vucd' else target.socket


@pytest.fixture(name='disk')
def fixture_disk(folder):
    path = f'{folder}/disk'
    with open(path, 'wb') as file:
        file.truncate(DISK)
    return path


@pytest.fixture(name='filesystem')
def fixture_filesystem(disk, programs):
    """A disk with an ext4 file system, which is a good one in the end as well."""
    programs.run('sbin/mke2fs', '-q', '-t', 'ext4', disk)
    yield disk
    programs.run('sbin/e2fsck', '-f', '-n', disk)


def count_interrupts(vm):
    """Of each vector of the disk, by all CPUs."""
    rows = vm.ok('grep nvme0q /proc/interrupts').splitlines()
    assert all('PCI-MSIX' in row for row in rows), rows
    return [sum(map(int, row.split()[1:3])) for row in rows]


def count_accesses(one):
    """Messages for the disk's registers so far."""
    counters = one.counters()
    return counters['reads'] + counters['writes'] + counters['posted']


def has_worked(vm, path):
    """Write and verify for some rounds, and once more after the file was closed."""
    vm.begin(path)
    vm.await_rounds()
    vm.tell('stop')
    vm.tell('run')
    vm.await_rounds()
    report = vm.tell('stop')
    vm.end()
    assert report['verified'] > 0
    print('#', path, report)


def test_disk(guest, attach, server, disk):
    """A guest does with a disk what guests do."""
    vm = guest(attach(server(f'--device=nvme:{disk}')))
    vm.await_disk()

    # What the guest sees of it, and its interrupts.
    function = vm.ok('basename $(readlink -f /sys/class/nvme/nvme0/device)').strip()
    sysfs = f'/sys/bus/pci/devices/{function}'
    assert vm.ok(f'cat {sysfs}/vendor {sysfs}/device {sysfs}/class').split()[::2] == ['0x7675', '0x010802']
    assert vm.ok('cat /sys/block/nvme0n1/size').strip() == str(DISK // 512)
    before = count_interrupts(vm)
    assert len(before) == 3
    vm.begin('/dev/nvme0n1')
    vm.await_rounds()
    vm.tell('stop')
    assert sum(count_interrupts(vm)[1:]) > sum(before[1:])

    # Resets: the driver's, and the function's while no driver has it.
    vm.ok('echo 1 >/sys/class/nvme/nvme0/reset_controller')
    vm.await_disk()
    vm.tell('run')
    vm.ok('echo 1 >/sys/class/nvme/nvme0/reset_controller')
    vm.await_rounds()
    vm.tell('stop')
    vm.end()
    vm.ok(f'echo {function} >/sys/bus/pci/drivers/nvme/unbind')
    assert vm.do('[ -e /dev/nvme0n1 ]') == (1, '')
    vm.ok(f'echo 1 >{sysfs}/reset')
    vm.ok(f'echo {function} >/sys/bus/pci/drivers/nvme/bind')
    vm.await_disk()
    has_worked(vm, '/dev/nvme0n1')
    vm.power_off()


def test_filesystem(guest, attach, server, filesystem):
    """A disk that is plugged in while the guest runs, which has no MSI-X, has files."""
    vm = guest(kernel='pci=nomsi')
    vm.monitor.do('device_add', **vm.device(attach(server(f'--device=nvme:{filesystem}'))))
    vm.await_disk()
    assert 'IO-APIC' in vm.ok('grep nvme0q0 /proc/interrupts')
    vm.ok('mount -t ext4 /dev/nvme0n1 /mnt')
    has_worked(vm, '/mnt/file')
    vm.ok('umount /mnt')
    vm.power_off()


@pytest.mark.parametrize('doorbells', ['mapped', 'trapped'])
def test_killed(guest, exported, filesystem, bars, doorbells):
    """The guest resets its controller as soon as a server is there again, and nothing is lost; also when
    the guest has begun to reset it by itself, just before or while the server comes back."""
    options, more = [f'--device=nvme:{filesystem}'], 'map = none\n'
    if doorbells == 'mapped':
        options, more = options + [f'--bar-file={bars}'], ''
    one = exported(more, *options)
    target = one.server
    vm = guest(one.path, kernel='nvme_core.io_timeout=3')
    vm.await_disk()
    vm.ok('mount -t ext4 /dev/nvme0n1 /mnt')
    vm.begin('/mnt/file')
    vm.await_rounds()

    # Doorbells that are mapped need no message, and others one each.
    accesses, written = count_accesses(one), vm.tell('report')['written']
    vm.await_rounds()
    written = vm.tell('report')['written'] - written
    accesses = count_accesses(one) - accesses
    assert accesses == 0 if doorbells == 'mapped' else accesses >= written > 0

    away, pauses = [], []
    for _ in range(KILLS):
        killed = time.monotonic()
        target.restart(*options)
        away.append(int(1000 * (time.monotonic() - killed)))
        pauses.append(vm.await_rounds())
        vm.await_disk()
    assert vm.console().count('controller due to persistent internal error') == KILLS
    for seconds in AWAY_S:
        target.kill()
        time.sleep(seconds)
        target.start(*options)
        pauses.append(vm.await_rounds())
        vm.await_disk()
    # The last time, the guest was resetting it, and what it waited for has failed.
    failed = vm.console().count('Abort status: 0x6')
    assert failed > 0
    vm.tell('stop')
    vm.ok('umount /mnt')
    vm.ok('mount -t ext4 /dev/nvme0n1 /mnt')
    vm.tell('run')
    report = vm.tell('stop')
    vm.end()
    vm.ok('umount /mnt')
    vm.power_off()
    print(f'# {accesses} messages for {written} writes;'
          f' {KILLS + len(AWAY_S)} kills; the server was away for {away} ms and {AWAY_S} s, the longest pauses were '
          f'{pauses} ms; {failed} aborts have failed;'
          f' {report}')


def test_io_timeouts(guest, exported, filesystem, folder, bars):
    """Neither Linux's default timeout nor the longest one delays the reset, and neither guest loses a
    disk whose server is away for long. Both wait for that at once."""
    with open(f'{folder}/other', 'wb') as file:
        file.truncate(DISK)
    rows = [([f'--device=nvme:{filesystem}', f'--bar-file={bars}'], '', '', '/mnt/file'),
            ([f'--device=nvme:{folder}/other'], 'map = none\n',
             f'nvme_core.io_timeout={IO_TIMEOUT_MAX}', '/dev/nvme0n1')]
    devices = [exported(more, *options) for options, more, _, _ in rows]
    targets = [one.server for one in devices]
    vms = [guest(one.path, kernel=kernel) for one, (_, _, kernel, _) in zip(devices, rows)]
    for vm, timeout, (_, _, _, path) in zip(vms, (30, IO_TIMEOUT_MAX), rows):
        vm.await_disk()
        assert int(vm.ok('cat /sys/module/nvme_core/parameters/io_timeout')) == timeout
        if path.startswith('/mnt'):
            vm.ok('mount -t ext4 /dev/nvme0n1 /mnt')
        vm.begin(path)
        vm.await_rounds()
    pauses = []
    for _ in range(2):
        for target, (options, _, _, _), vm in zip(targets, rows, vms):
            target.restart(*options)
            pauses.append(vm.await_rounds())
            vm.await_disk()
    for vm in vms:
        assert vm.console().count('controller due to persistent internal error') == 2
    for target in targets:
        target.kill()
    time.sleep(LONG_AWAY_S)
    for target, (options, _, _, _) in zip(targets, rows):
        target.start(*options)
    for vm in vms:
        pauses.append(vm.await_rounds())
        vm.await_disk()
        report = vm.tell('stop')
        vm.end()
        print('#', report)
    vms[0].ok('umount /mnt')
    for vm in vms:
        vm.power_off()
    print(f'# the longest pauses were {pauses} ms; the servers were away for {LONG_AWAY_S} s in the end')


def test_stopped(guest, exported, disk):
    """QEMU's connection outlives a server that is stopped for longer than QEMU waits for a reply,
    though the guest reads a register meanwhile."""
    one = exported('', f'--device=nvme:{disk}')
    vm = guest(one.path)
    vm.await_disk()
    config = '/sys/class/nvme/nvme0/device/config'
    vm.begin('/dev/nvme0n1')
    for seconds in (6, 20):
        vm.await_rounds()
        one.server.signal(signal.SIGSTOP)
        until = time.monotonic() + seconds
        vm.ok(f'dd if={config} of=/dev/null bs=4 count=1')
        time.sleep(max(0, until - time.monotonic()))
        one.server.signal(signal.SIGCONT)
        vm.await_rounds()
        assert vm.ok(f'head -c 2 {config}; echo') == 'uv'
    vm.tell('stop')
    vm.power_off()


def test_away_at_start(guest, exported, disk):
    """A guest that boots while the server is away finds the device, and binds its driver later."""
    one = exported('map = none\n', f'--device=nvme:{disk}')
    one.server.kill()
    vm = guest(one.path)
    function = vm.ok('basename $(grep -l 0x010802 /sys/bus/pci/devices/*/class | xargs dirname)').strip()
    one.server.start(f'--device=nvme:{disk}')
    vm.eventually(f'echo {function} >/sys/bus/pci/drivers/nvme/bind')
    vm.await_disk()
    has_worked(vm, '/dev/nvme0n1')
    vm.power_off()


def test_spdk(guest, vucd, folder):
    """The same with SPDK's target, whose file of doorbells is vucd's."""
    path, restart = spdk()
    daemon = vucd(f'[device nvme0]\nsocket = {path}\nkeep-bar0 = on\nexport = {folder}/export\n{FAST}')
    restart()
    daemon.await_state('nvme0', 'free')
    vm = guest(f'{folder}/export')
    vm.await_disk()
    vm.begin('/dev/nvme0n1')
    vm.await_rounds()
    away, pauses = [], []
    for _ in range(SPDK_KILLS):
        killed = time.monotonic()
        restart()
        away.append(int(1000 * (time.monotonic() - killed)))
        pauses.append(vm.await_rounds())
        vm.await_disk()
    report = vm.tell('stop')
    vm.end()
    vm.power_off()
    print(f'# {SPDK_KILLS} kills; the target was away for {away} ms, the longest pauses were '
          f'{pauses} ms; {report}')
