# SPDX-License-Identifier: BSD-3-Clause
"""vuc-vmm and its guest, with a vuc-refdev behind vucd: the whole way, from an instruction on."""

import contextlib
import json
import os

import pytest

import rig
from outage_rig import FAST, Server


@pytest.fixture(name='guest')
def fixture_guest(refdev, vucd):
    """Run vuc-vmm with a device dev0 of a daemon; skips without KVM. config and fault are what the
    device has."""
    daemons = {}

    def run(*args, config='', fault=(), device='dev0', status=0, **popen):
        if not daemons:
            server = refdev(*fault)
            daemons['one'] = vucd(f'[device dev0]\nsocket = {server.socket}\n{config}')
            daemons['one'].await_state('dev0', 'free')
        vmm = rig.Run(os.environ['VUC_VMM'], '--socket', daemons['one'].vmm_socket,
                      f'--device={device}', *args, **popen)
        if vmm.status == 77 and '/dev/kvm' in vmm.err:
            pytest.skip('there is no use of /dev/kvm here')
        assert vmm.status == status, vmm.out + vmm.err
        if status == 0:
            assert vmm.err == ''
        else:
            assert vmm.err.startswith('vuc-vmm: ') and vmm.err.count('\n') == 1
        return vmm
    yield run
    assert daemons['one'].stop() == 0


def run_program(guest, program, nr_steps, **options):
    root = guest('--json', '--rounds=50', '--guest', program, **options).json()
    assert root.items() >= {
        'measurement': 'guest', 'device': 'dev0', 'vendor_id': '0x7675', 'device_id': '0x7663',
        'result': 'pass', 'mapped_areas': 3, 'eventfds': 1, 'rounds': 50}.items()
    assert root['exits'] > 0
    assert len(root['steps']) == nr_steps
    return root


@pytest.mark.parametrize('dma', ['shared', 'message'])
def test_drive(guest, dma):
    """By message, the device is never given the guest's memory, and has to ask for each access."""
    root = run_program(guest, 'drive', 11, config=f'dma = {dma}\n')
    assert root['failed_accesses'] == 0
    for name in ('exit', 'read', 'post', 'mapped'):
        series = root['series'][name]
        assert 0 < series['min_ticks'] <= series['median_ticks'] <= series['p99_ticks'] <= \
            series['max_ticks']
        assert root['tsc_khz'] <= 0 or series['median_ns'] > 0


def test_torment(guest):
    """What the guest of the first VMM has done, the one of the second does not see."""
    run_program(guest, 'torment', 9)
    run_program(guest, 'drive', 11)


def test_text(guest):
    out = guest('--rounds=5').out
    for text in ('device dev0, 7675:7663\n', '\n  pass  find the device on the bus\n',
                 '\n  read of a mapped BAR  '):
        assert text in out
    assert 'FAIL' not in out


def test_server_ends(guest):
    """The device's server goes while the guest uses it: the VMM says so, and ends."""
    run = guest('--rounds=500', config='outage = fail\n', status=1,
                fault=['--fault=close@region_read#450'])
    assert 'device dev0: lost the connection to its server' in run.err
    assert '\n  FAIL  time accesses\n' in run.out


def test_server_reconnects(guest):
    """The guest does not notice that its device's server has closed the connection."""
    out = guest('--rounds=500', fault=['--fault=close@region_read#450']).out
    assert '\n  pass  time accesses\n' in out


TURNS = 300  # reads: more than one turn of a guest that recovers needs


class Recovering:
    """A guest that uses its device until that has returned from so many outages, at a server that
    can be restarted and a daemon that can be killed."""

    def __init__(self, start, vucd, server, outages, config='', options=()):
        self.server, self.outages = server, outages
        self.daemon = vucd(f'[device dev0]\nsocket = {server.socket}\n{FAST}hold-ms = 3600000\n'
                           f'{config}')
        self.daemon.await_state('dev0', 'free')
        self.vmm = start(os.environ['VUC_VMM'], '--socket', self.daemon.vmm_socket, '--json',
                         '--device=dev0', '--guest=recover', f'--rounds={outages}',
                         '--wait=60', *options)

    def await_reads(self, number=TURNS):
        """Wait until the guest has made so many reads more, or has ended. Returns whether it runs."""
        def reads():
            return self.daemon.do('stats.get', device='dev0')['devices'][0]['reads']
        first = reads()
        rig.eventually(lambda: self.vmm.process.poll() is not None or reads() >= first + number)
        return self.vmm.process.poll() is None

    def finish(self):
        """Returns the report of a guest that has passed."""
        status = self.vmm.wait()
        assert (status, self.vmm.err) == (0, b''), self.vmm.out
        root = json.loads(self.vmm.out)
        assert root.items() >= {'result': 'pass', 'failed_accesses': 0}.items()
        assert len(root['steps']) == 10
        assert self.daemon.stop() == 0
        return root


@pytest.fixture(name='recovering')
def fixture_recovering(start, vucd):
    """Skips without KVM. recovering(3, options of the server, config='')."""
    with contextlib.ExitStack() as stack:
        def run(outages, *options, config='', vmm=()):
            probe = rig.Run(os.environ['VUC_VMM'], '--socket=/dev/null', '--device=dev0')
            if probe.status == 77:
                pytest.skip('there is no use of /dev/kvm here')
            return Recovering(start, vucd, stack.enter_context(Server(*options)), outages, config,
                              vmm)
        yield run


@pytest.mark.parametrize('config,areas', [('', 3), ('map = none\n', 0)])
def test_vucd_killed(recovering, config, areas):
    """The guest goes on with the next daemon: memory, interrupts, mapped parts and the doorbell by
    eventfd are there. Half of the daemons end in order."""
    guest = recovering(4, config=config)
    for number in range(guest.outages):
        assert guest.await_reads()
        if number % 2 != 0:
            assert guest.daemon.stop() == 0
            assert guest.daemon.next_notification() == 'STOPPING=1'
        guest.daemon.kill_and_run()
    report = guest.finish()
    assert report.items() >= {'outages': 4, 'reattaches': 4, 'remaps': 4, 'mapped_areas': areas,
                              'eventfds': 1}.items()


def test_vucd_and_server_killed(recovering):
    """The mapped parts are those of another file then, at the same place in the guest."""
    guest = recovering(3)
    for _ in range(guest.outages):
        assert guest.await_reads()
        guest.server.kill()
        guest.daemon.kill_and_run()
        guest.server.start()
    report = guest.finish()
    assert report['reattaches'] == 3
    assert report['mapped_areas'] == 3


@pytest.mark.parametrize('keeps_files', [False, True])
def test_server_killed(recovering, folder, keeps_files):
    """Only if the files of the mapped parts are others, they are mapped again."""
    options = [f'--bar-file={folder}'] if keeps_files else []
    guest = recovering(3, *options)
    while guest.await_reads():
        guest.server.restart(*options)
    report = guest.finish()
    assert report['outages'] >= 3
    assert report['reattaches'] == 0
    assert report['remaps'] == 0 if keeps_files else report['remaps'] >= 3


def test_vucd_killed_for_good(recovering):
    """A daemon that does not come back is waited for, but not for ever."""
    guest = recovering(1, vmm=['--wait=1'])
    assert guest.await_reads()
    guest.daemon.process.kill()
    assert guest.vmm.wait() == 1
    assert guest.vmm.err.startswith(b'vuc-vmm: device dev0: vucd has exited: cannot connect ')
    assert guest.vmm.err.count(b'\n') == 1
    assert json.loads(guest.vmm.out)['reattaches'] == 0


def test_released(recovering):
    """The operator asks for the device: the VMM ends, long before it is disconnected."""
    guest = recovering(1, config='release-ms = 3600000\n')
    assert guest.await_reads()
    with rig.Process(os.environ['VUCCTL'], 'detach', 'dev0', '-m', guest.daemon.management) as asking:
        assert guest.vmm.wait() == 1
        assert asking.wait() == 0
    assert guest.vmm.err == b"vuc-vmm: device dev0: released at the operator's request\n"


def test_no_device(guest):
    run = guest(device='other', status=1)
    assert 'device other: ' in run.err and run.out == ''


@pytest.mark.parametrize('args,text', [
    ([], "option '--device' is required"),
    (['--device'], "option '--device' requires an argument"),
    (['--nonsense'], "unrecognized option '--nonsense'"),
    (['-x'], "invalid option -- 'x'"),
    (['--device=a', 'b'], "unexpected argument 'b'"),
    (['--device=a', '--rounds=0'], '--rounds: 0 is not within 1 ... 65536'),
    (['--device=a', '--rounds=65537'], '--rounds: 65537 is not within'),
    (['--device=a', '--rounds=+1'], "--rounds: '+1' is not a number"),
    (['--device=a', '--timeout=99999999999999999999'],
     '--timeout: 99999999999999999999 is not within 1 ... 3600'),
    (['--device=a', '--guest=other'], "--guest: 'other' is not drive, torment or recover")])
def test_wrong_options(args, text):
    run = rig.Run(os.environ['VUC_VMM'], *args)
    assert (run.status, run.out) == (2, '')
    assert run.err.startswith('vuc-vmm: ') and text in run.err
    assert "\nTry `vuc-vmm --help' or `vuc-vmm --usage'" in run.err


def test_full_stdout(guest):
    """A report that cannot be written is a failure."""
    with open('/dev/full', 'wb') as full:
        run = guest('--rounds=5', stdout=full, status=1)
    assert run.err == 'vuc-vmm: cannot write the output: No space left on device\n'


@pytest.mark.parametrize('option,begins', [
    ('--help', 'Usage: vuc-vmm '), ('--usage', 'Usage: vuc-vmm '), ('--version', 'vuc-vmm ')])
def test_help(option, begins):
    run = rig.Run(os.environ['VUC_VMM'], option)
    assert (run.status, run.err) == (0, '') and run.out.startswith(begins)
