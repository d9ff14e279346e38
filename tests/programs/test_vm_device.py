# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in a stock QEMU drives vuc-refdev's own device by vucd: by VFIO, behind an IOMMU."""

import json
import os
import re

import pytest

import rig
from guest_rig import Guest

DISK, DEVICE, TESTDEV = '0x6e76', '0x7663', '0x0005'  # PCI ids; QEMU emulates the last one
IOMMU = ['-device', 'intel-iommu,intremap=on,caching-mode=on']
PAGES = 3000
READ_TURNS = 20  # of 500 reads of each


def find_functions(vm, device):
    """PCI functions with a device id, sorted by their addresses."""
    return [path.split('/')[-2] for path in
            vm.ok(f'grep -l {device} /sys/bus/pci/devices/*/device').split()]


class Driver:
    """guest_vfio.c in a guest, which drives the only device of vuc-refdev there."""

    def __init__(self, vm):
        self.vm = vm
        vm.ok('for name in irqbypass vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do'
              ' insmod /modules/$name.ko || exit 1; done')
        vm.ok('echo 1 >/proc/sys/vm/nr_hugepages')
        function, = find_functions(vm, DEVICE)
        vm.ok('echo 7675 7663 >/sys/bus/pci/drivers/vfio-pci/new_id')
        vm.ok(f'(test_guest_vfio {function} <&3 >&4 2>&1 &)')

    def begin(self, what):
        self.vm.ok(f'echo {what} >&3')

    def end(self, what):
        """Returns the counters of a command, which has to succeed."""
        answer = self.vm.ok('read -r answer <&4; echo "$answer"')
        assert 'wrong=0' in answer, f'{what}: {answer}\n{self.vm.console()[-3000:]}'
        print('#', what, answer.strip())
        return {key: int(value) for key, value in re.findall(r'(\w+)=(\d+)', answer)}

    def do(self, what):
        self.begin(what)
        return self.end(what)

    def works(self, how):
        """All that it does."""
        assert self.do(f'map {PAGES}')['maps'] == PAGES
        self.do(f'dma {how}')
        assert self.do('irqs 50')['interrupts'] == 400
        assert self.do('intx 20')['interrupts'] == 20
        assert self.do('reset')['resets'] == 1
        self.do(f'dma {how}')
        assert self.do('unmap')['unmaps'] == PAGES


@pytest.mark.parametrize('how', ['shared', 'message'])
def test_iommu(guest, exported, programs, folder, how):
    """A guest's driver behind an IOMMU: DMA in all modes to many small mappings and a large one,
    all interrupts, resets, and the same after the server was killed."""
    os.mkdir(f'{folder}/bars')
    options = [f'--bar-file={folder}/bars']
    one = exported(f'dma = {how}\n', *options)
    vm = guest(one.path, kernel='intel_iommu=on', options=IOMMU,
               files=programs.modules() | {'bin/test_guest_vfio': os.environ['VUC_TEST_GUEST_VFIO']})
    driver = Driver(vm)
    driver.works(how)
    before = one.counters()['dma_maps']
    driver.begin(f'map {PAGES}')
    rig.eventually(lambda: one.counters()['dma_maps'] > before)
    one.server.restart(*options)
    assert driver.end('map')['maps'] == PAGES
    assert one.counters()['dma_maps'] == before + PAGES
    assert driver.do('restored')['vectors'] == 8
    driver.do(f'dma {how}')
    assert driver.do('unmap')['unmaps'] == PAGES
    driver.works(how)
    vm.power_off()


def show_function(vm, function):
    """What lspci says of it, but for what depends on the slot."""
    return re.sub(r'(?m)^\S+|(?<=Memory at )[0-9a-f]+|(?<=IRQ )\d+|(?<=Physical Slot: )\S+', '-',
                  vm.ok(f'lspci -vv -s {function}'))


def test_side_by_side(guest, server, exported, programs, folder):
    """A guest has a disk and vuc-refdev's own device both directly and by vucd: lspci shows no
    difference. How long a read of a register takes is printed, beside one of a device that QEMU emulates."""
    direct, behind = [
        [server(f'--device=nvme:{folder}/{name},size={1 << 20}'), server()] for name in ('disk0', 'disk1')]
    paths = [*(target.socket for target in direct), *exported(servers=behind).paths]
    options = ['-device', 'pci-testdev']
    for i, path in enumerate(paths, 1):
        options += ['-device', f'pcie-root-port,id=port{i},chassis={i + 1}',
                    '-device', json.dumps(Guest.device(path, id=f'device{i}', bus=f'port{i}'))]
    vm = guest(options=options, files=programs.files('bin/lspci') | {
        'bin/test_guest_reads': os.environ['VUC_TEST_GUEST_READS']})
    vm.eventually('[ -b /dev/nvme0n1 ] && [ -b /dev/nvme1n1 ]')
    disks, devices = find_functions(vm, DISK), find_functions(vm, DEVICE)
    for function, by_vucd in (disks, devices):
        shown = show_function(vm, function)
        assert 'MSI-X' in shown
        assert shown == show_function(vm, by_vucd)

    emulated = find_functions(vm, TESTDEV)
    files = [f'/sys/bus/pci/devices/{function}' for function in emulated + devices]
    for file in files:
        vm.ok(f'echo 1 >{file}/enable')
    times = list(map(int, vm.ok(
        f'test_guest_reads {READ_TURNS} {" ".join(f"{file}/resource0" for file in files)}').split()))
    assert len(times) == 3
    print(f'# diagnostic, medians in ns: QEMU itself {times[0]}, server {times[1]}, by vucd {times[2]},'
          f' {times[2] / times[1]:.2f} times the server')
    vm.power_off()
