# SPDX-License-Identifier: BSD-3-Clause
"""What vuc-bench measures, each by few accesses: its report is looked at, never how long something
took."""

import os

import pytest

import bench_rig
import rig
from bench_rig import bench, check_result

FEW = ['--rounds', '2', '--json', '-']

# Transport or path, operation, and --burst with the writes of a burst and the accesses of 200.
MMIO = [
    *((transport, op) for transport in ('uring', 'posix', 'loopback', 'poller', 'shm')
      for op in ('read', 'write', 'posted')),
    ('loopback', '1'), ('loopback', '3'), ('loopback', '256'), ('poller', '48'),
]


def check_syscalls(series, burst, posted, may_sleep):
    """The floor makes a send and at least one receive, or one send for all that is posted
    together; vuc bundles that, too."""
    syscalls = series['syscalls_per_access']
    if series['transport'] == 'loopback' and may_sleep:
        assert syscalls < 10
    elif series['transport'] in ('loopback', 'call'):
        assert syscalls == 0
    elif posted and series['name'] == 'floor':
        assert syscalls == pytest.approx(1 / burst, abs=1e-3)
    elif series['transport'] == 'socket':
        assert syscalls >= (1 if posted else 2)
    else:
        assert syscalls > 0
        assert burst < 32 or syscalls < 0.1


def check_mmio(result, op, floor, transport=None, burst=1, others=(), may_sleep=False):
    posted = op == 'posted'
    ops = -(-200 // burst) * burst
    options = {'op': op, 'floor': floor, 'ops': ops, 'size': 4} | ({'burst': burst} if posted else {})
    check_result(result, 'mmio', 'access', ('floor', 'vuc', *others), [(None, ops // burst, burst)],
                 transport=transport, options=options, posted=posted)
    for series in result['series']:
        check_syscalls(series, burst, posted, may_sleep)


@pytest.mark.parametrize('where,how', MMIO)
def test_mmio(where, how):
    path = where if where in ('poller', 'shm') else 'inline'
    transport = where if path == 'inline' else 'loopback'
    op = 'posted' if how.isdigit() else how
    burst = int(how) if how.isdigit() else 32 if op == 'posted' else 1
    if where != 'loopback':
        bench_rig.need_transport(transport)
    run = bench('mmio', *FEW, '--ops', '200', '--op', op, '--transport', transport, '--path', path,
                *(['--burst', how] if how.isdigit() else []))
    has_socket = transport != 'loopback'
    check_mmio(run.json(), op, 'own' if has_socket else 'call', transport, burst,
               ['each'] if has_socket and burst > 1 else [], path == 'shm')
    assert run.json()['options']['path'] == path
    assert 'p50' in run.err
    assert ('the figure is of the loopback device' in run.err) == (path != 'inline')


def test_mmio_compared_with_other_clients():
    bench_rig.need_two_cpus()
    run = bench('mmio', *FEW, '--ops', '200', '--compare', 'handover,blocking')
    check_mmio(run.json(), 'read', 'own', others=['blocking', 'handover'])
    assert 'handover takes ' in run.err


@pytest.mark.parametrize('floor,op', [('shared', 'read'), ('shared', 'posted'), ('own', 'write')])
def test_mmio_of_foreign_server(refdev, floor, op):
    bench_rig.need_two_cpus()
    server = refdev()
    run = bench('mmio', *FEW, '--ops', '200', '--op', op, '--floor', floor, '--region', '0',
                '--offset', '8', '--socket', server.socket)
    burst = 32 if op == 'posted' else 1
    check_mmio(run.json(), op, floor, burst=burst, others=['each'] if burst > 1 else [])
    assert server.stop() == 0


def test_mmio_of_server_of_one_client(refdev):
    """A server that ends with its first client is measured over one connection."""
    bench_rig.need_two_cpus()
    server = refdev('--once')
    check_mmio(bench('mmio', *FEW, '--ops', '200', '--socket', server.socket).json(), 'read', 'shared')
    assert server.wait() == 0


@pytest.mark.parametrize('args', [['mmio', '--ops', '64'],
                                  ['scale', '--ops', '256', '--devices', '1,5']], ids=lambda a: a[0])
def test_poller_and_socket(args):
    """A server beside the poller needs a third CPU."""
    args = [*args, *FEW, '--path', 'poller', '--transport', 'posix']
    if bench_rig.count_cpus() >= 3:
        assert bench(*args).json()['options']['path'] == 'poller'
    else:
        bench_rig.complain('CPU' if bench_rig.count_cpus() < 2 else
                           'use vuc-bench hop, or --transport loopback', *args)


@pytest.mark.parametrize('path', ['inline', 'poller', 'shm'])
@pytest.mark.parametrize('transport,layout', [('uring', 'adjacent'), ('posix', 'apart')])
def test_dma(path, transport, layout):
    bench_rig.need_transport(transport)
    run = bench('dma', *FEW, '--maps', '300', '--transport', transport, '--layout', layout,
                '--path', path)
    result = run.json()
    options = result['options']
    check_result(result, 'dma', 'mapping', ('floor', 'vuc', 'one by one'),
                 [('map', options['cycles'], 300), ('unmap', options['cycles'], 300)],
                 transport=transport, options={'maps': 300, 'layout': layout, 'path': path})
    assert options['cycles'] > 0 and options['page'] >= 4096
    assert all(series['syscalls_per_mapping'] > 0 for series in result['series'])
    # A send, and a receive at least.
    assert all(result['series'][i]['syscalls_per_mapping'] >= 2 for i in (2, 5))
    assert 'unmap: vuc makes' in run.err
    assert ('shares the CPU of the calling thread' in run.err) == \
        (path != 'inline' and bench_rig.count_cpus() == 2)


def test_dma_of_foreign_server(refdev):
    bench_rig.need_two_cpus()
    server = refdev()
    result = bench('dma', '--maps', '1', '--rounds', '1', '--json', '-', '--socket',
                   server.socket).json()
    cycles = result['options']['cycles']
    check_result(result, 'dma', 'mapping', ('floor', 'vuc', 'one by one'),
                 [('map', cycles, 1), ('unmap', cycles, 1)], rounds=1)
    assert server.stop() == 0


@pytest.mark.parametrize('path,transport,op,size,depth', [
    ('inline', 'uring', 'read', 65536, 1), ('inline', 'uring', 'write', 1048576, 4),
    ('inline', 'posix', 'read', 1048576, 4), ('inline', 'posix', 'write', 4096, 32),
    ('poller', 'posix', 'read', 4096, 4), ('poller', 'uring', 'write', 4096, 4)])
def test_dma_message(path, transport, op, size, depth):
    bench_rig.need_transport(transport)
    run = bench('dma-message', *FEW, '--transfers', '40', '--transport', transport, '--op', op,
                '--size', size, '--depth', depth, '--path', path)
    result = run.json()
    check_result(result, 'dma-message', 'transfer', topics=[(None, 3, 16)], transport=transport,
                 options={'op': op, 'size': size, 'depth': depth, 'transfers': 48, 'path': path})
    for series in result['series']:
        # Bytes in a nanosecond.
        assert series['gigabytes_per_second'] == pytest.approx(size / series['mean_ns'], abs=1e-3)
        assert series['syscalls_per_transfer'] > 0
    # One to receive with, and one to send with.
    assert result['series'][0]['syscalls_per_transfer'] >= 2
    assert 'GB/s, the floor' in run.err


@pytest.mark.parametrize('path,op,depth,floor', [
    ('poller', 'read', 1, 'echo'), ('poller', 'write', 1, 'echo'), ('poller', 'read', 32, 'ring'),
    ('poller', 'write', 256, 'ring'), ('poller', 'posted', 1, 'ring'),
    ('poller', 'posted', 64, 'ring'), ('poller', 'read', 1, 'ring'), ('shm', 'read', 1, 'poller'),
    ('shm', 'write', 1, 'echo'), ('shm', 'read', 32, 'ring'), ('shm', 'posted', 64, 'poller')])
def test_hop(path, op, depth, floor):
    bench_rig.need_two_cpus()
    # The floor is chosen by itself but where another one can be.
    told = ['--floor', floor] if path == 'shm' or (floor, depth, op) == ('ring', 1, 'read') else []
    run = bench('hop', *FEW, '--ops', '256', '--op', op, '--depth', depth, '--path', path, *told)
    check_result(run.json(), 'hop', 'request', topics=[(None, 256 // depth, depth)],
                 transport='shm' if path == 'shm' else 'loopback', posted=op == 'posted',
                 options={'op': op, 'floor': floor, 'depth': depth, 'path': path})


@pytest.mark.parametrize('ops,spin', [(5000, 4294967295), (50, 1)], ids=['awake', 'asleep'])
def test_hop_counts_syscalls(ops, spin):
    """A thread that never gives up spinning makes no system call at all; one that sleeps at once
    makes some, and they are seen."""
    bench_rig.need_two_cpus()
    vuc = bench('hop', *FEW, '--path', 'shm', '--ops', ops, '--spin', spin).json()['series'][1]
    if 'thread_syscalls' not in vuc:
        pytest.skip('ptrace is not allowed here')
    assert (vuc['thread_syscalls'] == 0) == (spin > 1)
    assert 0 < vuc['thread_futexes'] <= vuc['thread_syscalls'] or spin > 1


@pytest.mark.parametrize('path,transport,devices', [
    ('inline', 'loopback', '1,3,256'), ('inline', 'uring', '1,5'), ('inline', 'posix', '1,5'),
    ('poller', 'loopback', '1,3,256'), ('shm', 'loopback', '1,3,17')])
def test_scale(path, transport, devices):
    if path != 'inline' or transport != 'loopback':
        bench_rig.need_transport(transport)
    run = bench('scale', *FEW, '--ops', '300', '--devices', devices, '--path', path, '--transport',
                transport)
    topics = [('one busy', 512, 1), ('all busy', 2, 256)]
    check_result(run.json(), 'scale', 'access', devices.split(','),
                 topics if transport == 'loopback' else topics[:1], transport=transport,
                 options={'devices': devices, 'path': path})
    last = devices.split(',')[-1]
    assert f'{"a core" if transport == "loopback" else "an access"} with {last} devices ' in run.err


def test_transports():
    bench_rig.need_transport('uring')
    rows = [('lone read', 2000, 1), ('posted bursts', 100, 32), ('maps apart', 4, 1024),
            ('unmaps apart', 4, 1024), ('device reads 64 KiB', 32, 16),
            ('device writes 64 KiB', 32, 16), ('4 devices busy', 16, 256),
            ('16 devices busy', 16, 256), ('64 devices busy', 16, 256),
            ('1 of 64 devices busy', 2048, 1)]
    run = bench('transports', '--rounds', '1', '--json', '-')
    result = run.json()
    # Those of posted writes have a rate more.
    for series in result['series'][2:4]:
        assert series.pop('end_to_end_per_second') > 0 and series.pop('ratio_end_to_end') > 0
    check_result(result, 'transports', 'operation', topics=rows, rounds=1, transport='uring')
    assert all(series['syscalls_per_operation'] > 0 for series in result['series'])
    assert '64 devices busy: uring takes' in run.err


@pytest.mark.parametrize('path,transport', [('poller', 'uring'), ('poller', 'posix'),
                                            ('shm', 'posix')])
def test_idle(path, transport):
    bench_rig.need_transport(transport)
    run = bench('idle', *FEW, '--seconds', '0.05', '--accesses', '2', '--transport', transport,
                '--path', path)
    check_result(run.json(), 'idle', 'access', ('spin', 'yield', 'sleep'), [(None, 2, 1)],
                 transport=transport, options={'accesses': 2, 'milliseconds': 50, 'path': path})
    # A thread has one CPU at most, and the daemon two threads that may have something to do; the
    # two clocks are not read at once.
    most = 2.5 if path == 'shm' else 1.5
    assert all(0 <= series['cpu_share'] <= most for series in run.json()['series'])
    assert 'sleep: an idle poller takes' in run.err


def test_hung():
    bench_rig.need_two_cpus()
    rows = ['ready', 'attach', 'map 1,024', 'reset', 'detach', 'add', 'remove', 'end']
    run = bench('hung', '--rounds', '1', '--hung', '1', '--timeout-ms', '100', '--json', '-')
    result = run.json()
    check_result(result, 'hung', 'action', ('none', 'stopped', 'reset', 'full', 'maps'),
                 [(row, 1, 1) for row in rows], rounds=1, transport='vucd',
                 options={'hung': 1, 'timeout_ms': 100})
    assert all('more_ns' in result[row]['maps'] for row in rows)
    assert 'ms at p50' in run.err and '    ratio      max' in run.err


def test_outage():
    bench_rig.need_two_cpus()
    rows = ['1 map', '64 maps', '1,024 maps']
    run = bench('outage', '--rounds', '1', '--json', '-')
    result = run.json()
    check_result(result, 'outage', 'return', ('fresh', 'first read', 'restored'),
                 [(row, 1, 1) for row in rows], rounds=1, options={'retry_ms': 10})
    assert all('more_ns' in result[row]['restored'] for row in rows)
    assert 'ms at p50' in run.err and '    ratio      max' in run.err


def test_front():
    bench_rig.need_two_cpus()
    rows = [('read', 20, 1), ('write', 20, 1), ('map', 1, 1024), ('unmap', 1, 1024)]
    run = bench('front', '--rounds', '1', '--ops', '20', '--json', '-')
    check_result(run.json(), 'front', 'action', ('direct', 'vucd'), rows, rounds=1, transport='vucd',
                 options={'ops': 20, 'idle': 'sleep'})


def test_guest():
    if not bench_rig.has_guest():
        pytest.skip('needs vuc-vmm and /dev/kvm')
    bench_rig.need_two_cpus()
    run = bench('guest', *FEW, '--ops', '50')
    check_result(run.json(), 'guest', 'access', ('exit', 'read', 'posted', 'mapped'),
                 options={'path': 'shm', 'ops': 50})
    assert all(1 <= series['p50_ticks'] <= 1e9 for series in run.json()['series'])
    assert "ticks of the guest's time stamp counter" in run.err


def test_no_guest():
    """It says what is missing, be it the program or KVM."""
    there = os.access('/dev/kvm', os.R_OK | os.W_OK)
    bench_rig.complain('/nonexistent/vmm' if there else '/dev/kvm', 'guest',
                       env={'VUC_VMM': '/nonexistent/vmm'})


def check_all(result, skipped):
    """Whatever was measured has its result, and says how it stands to its goal."""
    assert result['measurement'] == 'all'
    bench_rig.check_environment(result['environment'])
    assert len(result['results']) == 16
    assert all(part['measurement'] and part['part'] for part in result['results'])
    assert all('skipped' in part or len(part['series']) > 1 for part in result['results'])
    assert sum('skipped' in part for part in result['results']) == skipped
    goals = result['summary']
    assert len(goals) == 10
    assert all(goal['figure'] and goal['floor'] and goal['goal'] for goal in goals)
    measured = [goal for goal in goals if 'value' in goal]
    assert all(goal['value'] >= 0 and goal['measured'] and 'met' in goal for goal in measured)
    return len(measured)


def test_all():
    bench_rig.need_two_cpus()
    run = bench('all', '--rounds', '1', '--json', '-')
    # One goal is about system calls, which cannot be counted everywhere.
    assert check_all(run.json(), 0 if bench_rig.has_guest() else 1) >= 9
    assert 'measured' in run.err


def test_all_on_one_cpu():
    """What is left is the loopback device without a poller: scale."""
    with bench_rig.on_one_cpu():
        run = bench('all', '--rounds', '1', '--json', '-')
    assert check_all(run.json(), 15) < 9
    assert 'hop: skipped: this process may use 1 CPU' in run.err
    assert 'not measured' in run.err


def test_progress_on_a_terminal():
    """A terminal shows a bar, takes it away again, and has colours in the table."""
    with rig.Process(os.environ['VUC_BENCH'], 'mmio', '--ops', '200', '--rounds', '2',
                     '--transport', 'loopback', tty=(24, 100), env={'TERM': 'xterm'}) as process:
        assert process.wait() == 0
        out = process.out.decode()
    assert '\rmmio [' in out and '\r\x1b[K' in out
    assert '\x1b[1mmmio\x1b[0m: read of 4 bytes' in out
