# SPDX-License-Identifier: BSD-3-Clause
"""vuc itself in a Linux guest of two NUMA nodes, with two CPUs and huge pages each: what most
machines that run the tests cannot show. The guest has this machine's programs and libraries."""

import json
import os
import re

import pytest

import rig
from guest_rig import Guest, Programs, with_libraries

NODES = ((0, 1), (2, 3))  # CPUs
HUGE_PAGES = 32           # of each node
MACHINE = ['-cpu', 'max', '-smp', 4, '-m', '1G', '-machine', 'q35']
for node, cpus in enumerate(NODES):
    MACHINE += ['-object', f'memory-backend-ram,id=m{node},size=512M',
                '-numa', f'node,nodeid={node},cpus={cpus[0]}-{cpus[1]},memdev=m{node}']
KERNEL = f'hugepagesz=2M hugepages=0:{HUGE_PAGES},1:{HUGE_PAGES}'

TESTS = ['unit/test_eal', 'unit/test_eal_args', 'unit/test_eal_threads', 'unit/test_placement',
         'unit/test_vucd_config', 'integration/test_control_memory uring',
         'integration/test_numa uring', 'integration/test_poller uring',
         'integration/test_poller_attend uring', 'integration/test_poller_remote uring']

CONFIG = """[vucd]
directory = /tmp/run
hugepages = on
memory-mb = 16
[poller any]
[poller sleepy]
idle = sleep
[poller near]
cpu = 1
[poller far]
cpu = 2
[device near]
socket = /tmp/near
poller = near
[device far]
socket = /tmp/far
poller = far
"""


@pytest.fixture(name='guest', scope='module')
def fixture_guest():
    if os.environ['VUC_TEST_SANITIZE'] != 'none':
        pytest.skip('programs with a sanitizer are too slow in an interpreted guest')
    paths = [os.environ[name] for name in ('VUCD', 'VUCCTL', 'VUC_BENCH', 'VUC_REFDEV')]
    paths += [f'{os.environ["VUC_TESTS"]}/{test.split()[0]}' for test in TESTS]
    files = with_libraries(*paths) | {'etc/group': '/etc/group', 'etc/passwd': '/etc/passwd'}
    with Guest(Programs(), machine=MACHINE, kernel=KERNEL, files=files) as vm:
        yield vm
        vm.power_off()


def write_config(vm, text):
    lines = ' '.join(f"'{line}'" for line in text.splitlines())
    vm.ok(f"printf '%s\\n' {lines} >/tmp/vucd.conf")


def check_config(vm, text):
    """Returns the exit status and the output of vucd --check."""
    write_config(vm, text)
    return vm.do(f'{os.environ["VUCD"]} --check --config /tmp/vucd.conf 2>&1')


def vucctl(vm, command, *args):
    socket = '/tmp/run/management.sock'
    return vm.ok(f'{os.environ["VUCCTL"]} {command} --management {socket} {" ".join(args)}')


def start(vm, program, *args):
    """Start a program whose log is in /tmp/log. Returns a command that ends it."""
    command = f'RUNTIME_DIRECTORY=/tmp {os.environ[program]} {" ".join(args)}'
    pid = vm.ok(f'{command} >/tmp/log 2>&1 & echo $!').strip()
    return f'kill {pid}; while [ -e /proc/{pid} ]; do sleep 0.1; done'


def count_huge_pages(vm):
    return int(vm.ok('cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages'))


def test_machine(guest):
    assert guest.ok('cat /sys/devices/system/node/node*/cpulist').split() == ['0-1', '2-3']
    assert count_huge_pages(guest) == 2 * HUGE_PAGES


@pytest.mark.parametrize('program', TESTS)
def test_program(guest, program, capsys):
    """Each of its tests passes, and none is skipped."""
    refdev, tests = os.environ['VUC_REFDEV'], os.environ['VUC_TESTS']
    status, text = guest.do(f'VUC_REFDEV={refdev} {tests}/{program} 2>&1')
    with capsys.disabled():
        print('#', text.replace('\n', '\n# '))
    assert status == 0
    assert '# SKIP' not in text


def test_check(guest):
    """What fits, and pollers that spin on one CPU or on more than there are."""
    assert check_config(guest, CONFIG) == (0, 'OK: 4 pollers, 2 devices')
    more = '[poller x]\ncpu = 2\n[poller y]\ncpu = 4\nidle = sleep\n'
    name = '/tmp/vucd.conf'
    assert check_config(guest, CONFIG + more) == (
        1, f'{name}:19: warning: [poller x] cpu = 2: [poller far] in line 11 spins on the same CPU\n'
           f'{name}:21: [poller y] cpu = 4: there is no such CPU, or vucd is not allowed to use it')
    status, text = check_config(guest, CONFIG + '[poller x]\n[poller y]\n[poller z]\n')
    assert (status, '6 pollers spin; CPUs for them: 4' in text) == (0, True)


def test_daemon(guest):
    """Pollers on both nodes, with EAL in huge pages; the one that may be anywhere avoids those that
    spin, and so does the one that sleeps."""
    write_config(guest, CONFIG + '[poller crowd]\ncpu = 2\n')
    end_servers = start(guest, 'VUC_REFDEV', '/tmp/near', '/tmp/far')
    end_daemon = start(guest, 'VUCD', '--config', '/tmp/vucd.conf')
    guest.eventually("grep -q ' ready' /tmp/log")
    assert count_huge_pages(guest) == 2 * HUGE_PAGES - 8
    stats = json.loads(vucctl(guest, 'stats', '--json'))
    pollers = {poller['name']: poller for poller in stats['pollers']}
    assert [pollers[name]['cpu'] for name in ('near', 'far', 'crowd')] == [1, 2, 2]
    assert {pollers[name]['cpu'] for name in ('any', 'sleepy')} == {0, 3}
    assert re.match(r'CPU \d of node \d: no other poller', pollers['any']['placement'])
    rig.eventually(lambda: vucctl(guest, 'devices').count('free') == 2)
    guest.ok(end_daemon)
    assert count_huge_pages(guest) == 2 * HUGE_PAGES
    log = guest.ok('cat /tmp/log')
    assert 'warning pollers far and crowd both spin on CPU 2' in log
    guest.ok(end_servers)


@pytest.mark.parametrize('what', ['mmio', 'hop'])
def test_bench(guest, what):
    """On CPUs of both nodes."""
    guest.ok(f'{os.environ["VUC_BENCH"]} {what} --rounds 2 --ops 200 --cpus 1,2 >/tmp/bench 2>&1')
    assert 'vuc' in guest.ok('cat /tmp/bench')
