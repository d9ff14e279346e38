# SPDX-License-Identifier: BSD-3-Clause
"""vucctl's commands for the daemon, on a daemon that answers what it likes: a thread of the test."""

import contextlib
import json
import re
import socket

import pytest

import rig
from fake_daemon import Daemon, error, result

CLOSED = 'the daemon has closed the connection'


def run(folder, args, answers, status=1, **options):
    with Daemon(folder, answers, **options) as daemon:
        return daemon, rig.vucctl(*args, '-m', daemon.path, status=status)


def fails(folder, args, answers, text, **options):
    ended = run(folder, args, answers, **options)[1]
    assert ended.out == ''
    assert text in ended.err


# ---- answers that are none ----

@pytest.mark.parametrize('answer,text', [
    (b'\n', 'the response is not JSON'), (b'{"jsonrpc":\n', 'the response is not JSON'),
    (b'hello\n', 'the response is not JSON'), (result({})[:-1] + b' x\n', 'the response is not JSON'),
    (result({'a': 1}).replace(b'1}', b'"\xff"}', 1), 'the response is not JSON'),
    (result({})[:-1] + b'\0\n', 'the response is not JSON'),
    (b'[' * 100000 + b'\n', 'the response is not JSON'),
    (b'[]\n', 'the response is not JSON-RPC 2.0'), (b'null\n', 'the response is not JSON-RPC 2.0'),
    (b'{"result":{},"id":1}\n', 'the response is not JSON-RPC 2.0'),
    (b'{"jsonrpc":2.0,"result":{},"id":1}\n', 'the response is not JSON-RPC 2.0'),
    (b'{"jsonrpc":"2.0","id":1}\n', 'neither a result nor an error'),
    (b'{"jsonrpc":"2.0","result":{},"error":{},"id":1}\n', 'a result and an error'),
    (result([]), "the result of the response is not an object"),
    (result({}, 2), 'the id of another request'), (result({}, '"1"'), 'the id of another request'),
    (result({}, 'null'), 'the id of another request'),
    (b'{"jsonrpc":"2.0","result":{}}\n', 'the id of another request'),
    (error('"no"', 0), 'the id of another request'),
    (result({}) + b'{}', 'data after its response'),
    (Daemon.FLOOD, 'the response has more than 4194304 bytes'),
    (error('1'), 'an error without a message'),
    (b'{"jsonrpc":"2.0","error":null,"id":1}\n', 'an error without a message'),
    (Daemon.HANG_UP, CLOSED)])
def test_no_answer(folder, answer, text):
    fails(folder, ['status'], [answer], text)


@pytest.mark.parametrize('message,number,text', [
    ('"Failed: there is no device x"', 1, ': there is no device x\n'),
    ('"Invalid params: a = b"', 1, ': a = b\n'), ('"Method not found: a"', 1, ': Method not found'),
    ('"Parse error"', 'null', ': Parse error\n'),
    ('"\\u001b[2J\\n\\u009b"', 1, ': \\x1b[2J\\x0a\\xc2\\x9b\n')])
def test_error(folder, message, number, text):
    fails(folder, ['status'], [error(message, number)], text)


def test_long_error(folder):
    ended = run(folder, ['status'], [error('"' + 'x' * 2000 + '"')])[1]
    assert 400 < ended.err.count('x') < 1100


def test_turned_away(folder):
    """A daemon that does not serve this user says so and hangs up, before it is asked."""
    fails(folder, ['status'], [Daemon.HANG_UP], 'not for you',
          before=[error('"Failed: not for you"', 'null')])


@pytest.mark.parametrize('answers', [[Daemon.WAIT], [b'{"jsonrpc"', Daemon.HANG_UP]])
def test_silence(folder, answers):
    """No answer, or half of one: the client gives up."""
    fails(folder, ['status', '--timeout=50'], answers, 'the daemon has not answered within 50 ms')


def test_nobody_accepts(folder):
    """A daemon that accepts nothing: the first fills its backlog, and the next cannot connect."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f'{folder}/s')
        listener.listen(0)
        first.connect(f'{folder}/s')
        ended = rig.vucctl('status', '-m', f'{folder}/s', '--timeout=50', status=1)
        assert 'cannot connect: Connection timed out' in ended.err


def test_reads_nothing(folder):
    """What is asked does not fit into the socket, and is not read."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{folder}/s')
        listener.listen()
        users = ','.join(['x' * 200] * 600)
        ended = rig.vucctl('add', '-m', f'{folder}/s', '--timeout=50', '-u', users, '-g', users,
                           '-p', users, 'a', '/s', status=1)
        assert 'not answered within 50 ms' in ended.err


@pytest.mark.parametrize('path,text', [
    ('/nonexistent/s', 'cannot connect: No such file or directory'),
    ('.', 'cannot connect: Connection refused')])
def test_cannot_connect(path, text):
    assert text in rig.vucctl('status', '-m', path, status=1).err


def test_socket_of_vmms(folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f'{folder}/s')
        listener.listen()
        assert 'not the management socket of vucd; is it that of VMMs?' in \
            rig.vucctl('status', '-m', f'{folder}/s', status=1).err


# ---- what is asked ----

def test_requests(folder):
    """Answers in pieces, with more than is known; the request has what was typed."""
    device = {'name': 'a/"', 'state': 'away', 'poller': 'p', 'socket': '/s', 'generation': 0,
              'since_ms': 1, 'reason': None, 'vmm': None}
    daemon, ended = run(folder, [
        'add', '-p', 'io7', '-d', 'shared', '--posted-writes=auto', '--reset=never', '--io-fds=on',
        '--max-dma-maps=0x10', '--server-timeout=1', '--server-long-timeout=2', '--retry-min=3',
        '--retry-max=4', '--outage=hold', '--hold=5', '--after-hold=ones', '--fence=off',
        '--release=6', '--map=none', '--keep-bar0=on', '--recover=none',
        '--export=/e', '--export-mode=0660', '--export-group=kvm', '--reply=8',
        '-u', 'root, 7', '-g', '', 'a/"', '/s'],
        [b' ' + result({'more': 0})[:-1] + b'\r\n', result({'devices': [device]}, 2)], status=0)
    assert ended.out == 'added a/", now away\n'
    assert [json.loads(line) for line in daemon.requests] == [
        {'jsonrpc': '2.0', 'method': 'devices.add', 'id': 1, 'params': {
            'poller': 'io7', 'dma': 'shared', 'posted_writes': 'auto', 'reset': 'never',
            'io_fds': True, 'max_dma_maps': 16, 'timeout_ms': 1, 'long_timeout_ms': 2,
            'retry_min_ms': 3, 'retry_max_ms': 4, 'outage': 'hold', 'hold_ms': 5,
            'after_hold': 'ones', 'fence': False, 'release_ms': 6, 'map': 'none', 'keep_bar0': True,
            'recover': 'none', 'export': '/e', 'export_mode': '0660', 'export_group': 'kvm', 'reply_ms': 8, 'users': ['root', '7'],
            'groups': [], 'name': 'a/"', 'socket': '/s'}},
        {'jsonrpc': '2.0', 'method': 'devices.list', 'id': 2}]


@pytest.mark.parametrize('args,request_', [
    (['status'], {'method': 'status'}), (['devices'], {'method': 'devices.list'}),
    (['stats'], {'method': 'stats.get', 'params': {}}),
    (['stats', 'd'], {'method': 'stats.get', 'params': {'device': 'd'}}),
    (['remove', 'd'], {'method': 'devices.remove', 'params': {'name': 'd'}}),
    (['remove', '-f', 'd'], {'method': 'devices.remove', 'params': {'name': 'd', 'force': True}}),
    (['detach', 'd'], {'method': 'vmms.detach', 'params': {'device': 'd'}}),
    (['reload'], {'method': 'reload'})])
def test_request(folder, args, request_):
    daemon, _ = run(folder, args, [error('"Failed: no"')])
    assert json.loads(daemon.requests[0]) == {'jsonrpc': '2.0', 'id': 1} | request_


# ---- answers that lack something, and that contradict each other ----

VMM = {'pid': 7, 'uid': 4294967294, 'name': 'v', 'plane': 'shared-memory', 'queues': 3}


def listed(name='a', state='free', vmm=None):
    return {'name': name, 'socket': '/s', 'poller': 'p', 'state': state, 'reason': None,
            'since_ms': 999999999999999999, 'generation': 1, 'vmm': vmm, 'export': None}


def counted(name='a', **counters):
    return {'name': name, 'state': 'free', 'reads': 0, 'writes': 0, 'posted': 0, 'errors': 0,
            'timeouts': 0, 'outages': 0, 'outage_last_ms': 0, 'dropped_writes': 0, 'attaches': 1, 'queues': 2, 'dma_maps': 3} | counters


@pytest.mark.parametrize('args,answer,text', [
    (['status'], {}, "the response to status lacks a valid '"),
    (['status'], {'devices': {}, 'version': '1', 'state': []},
     "the response to status lacks a valid '"),
    (['devices'], {'devices': 7}, "the response to devices.list lacks a valid 'devices'"),
    (['devices'], {'devices': [1, None]}, "the response to devices.list lacks a valid 'name'"),
    (['devices'], {'devices': [listed(vmm={})]},
     "the response to devices.list lacks a valid 'pid'"),
    (['devices', '--json'], {}, "the response to devices.list lacks a valid 'devices'"),
    (['stats'], {'time_ms': 1, 'devices': []}, "the response to stats.get lacks a valid 'pollers'"),
    (['stats'], {'time_ms': 1, 'devices': [], 'pollers': [1]}, "stats.get lacks a valid 'name'"),
    (['stats'], {'devices': [], 'pollers': []}, "stats.get lacks a valid 'time_ms'"),
    (['stats'], {'time_ms': 1, 'devices': {}, 'pollers': []}, "stats.get lacks a valid 'devices'"),
    (['stats'], {'time_ms': 1, 'devices': [[]], 'pollers': []}, "stats.get lacks a valid 'name'"),
    (['stats'], {'time_ms': 1, 'devices': [counted(reads=-1)], 'pollers': []}, "a valid 'reads'"),
    (['stats'], {'time_ms': 1, 'devices': [counted(reads=1.5)], 'pollers': []}, "a valid 'reads'"),
    (['stats'], {'time_ms': 1, 'devices': [counted(reads=None)], 'pollers': []}, "a valid 'reads'"),
    (['stats'], {'time_ms': 1, 'devices': [counted(reads='7')], 'pollers': []}, "a valid 'reads'"),
    (['stats', '-w', '-i0.1'], {'time_ms': '1', 'devices': []},
     "stats.get lacks a valid 'time_ms'"),
    (['reload'], {}, "the response to reload lacks a valid 'added'")])
def test_lacks(folder, args, answer, text):
    fails(folder, args, [result(answer)], text)


@pytest.mark.parametrize('args,answers', [
    (['devices'], []), (['add', 'a', '/s'], [{}]), (['detach', 'a'], [])])
def test_hangs_up(folder, args, answers):
    fails(folder, args, [*map(result, answers), Daemon.HANG_UP], CLOSED)


def test_gone_already(folder):
    fails(folder, ['add', 'a', '/s'], [result({}), result({'devices': []}, 2)],
          'a was added, but has been removed again')


def test_clock_stands_still(folder):
    sample = {'time_ms': 5, 'devices': []}
    fails(folder, ['stats', '-w', '-i0.1'], [result(sample), result(sample, 2)],
          "the daemon's clock stands still")


def test_late(folder):
    """Samples of a daemon that answers late are an interval apart as well: those of one moment
    would be of no use."""
    answers = [result({'time_ms': i, 'devices': []}, i) for i in (1, 2, 3)]
    daemon, _ = run(folder, ['stats', '-wc2', '-i0.1'], answers, status=0, late_s=0.2)
    assert daemon.shortest_s >= 0.099


def test_rates(folder):
    """A device that was removed and added again begins anew."""
    answers = [
        result({'time_ms': 1000, 'devices': [counted(), counted('b', attaches=2, reads=9)]}),
        result({'time_ms': 1500, 'devices': [counted('b', reads=10), counted('new'), counted(
            reads=500, writes=1, posted=2, errors=3)]}, 2)]
    out = run(folder, ['stats', '-w', '-c1', '-i0.1', '-j'], answers, status=0)[1].out
    root = json.loads(out)
    assert (root['time_ms'], root['interval_ms']) == (500, 500)
    rates = [[device['name'], *[device[f'{key}_per_s'] for key in
                                ('reads', 'writes', 'posted', 'errors')]]
             for device in root['devices']]
    assert rates == [['b'] + [None] * 4, ['new'] + [None] * 4, ['a', 1000, 2, 4, 6]]
    assert list(root['devices'][0]) == ['name', 'state', 'reads_per_s', 'writes_per_s',
                                        'posted_per_s', 'errors_per_s', 'queues', 'dma_maps']


def test_slow_rates(folder):
    answers = [result({'time_ms': 1, 'devices': [counted()]}),
               result({'time_ms': 2001, 'devices': [counted(reads=1, writes=21, posted=19)]}, 2)]
    out = run(folder, ['stats', '-w', '-c1', '-i0.1'], answers, status=0)[1].out
    assert out.splitlines()[1].split() == ['2.0', 'a', 'free', '0.5', '10', '9.5', '0', '2', '3']


# ---- what is printed ----

STATUS = {
    'version': '1.2.3', 'pid': 7, 'state': 'running', 'uptime_ms': 0, 'directory': '/d',
    'vmm_socket': '/d/v', 'log_level': 'info', 'pollers': 2, 'connections': 3,
    'devices': {'away': 1, 'free': 2, 'attached': 3, 'cleaning': 4, 'not-answering': 0,
                'stale': 0, 'fenced': 0, 'restoring': 0}}
TROUBLE = STATUS['devices'] | {'not-answering': 5, 'stale': 6, 'fenced': 7, 'restoring': 8}
RELOADED = {'added': [], 'removed': [], 'changed': [], 'restart': [], 'failed': []}

# A command, its answer, and what is printed of it.
PRINTED = [
    ('devices', {'devices': [listed('a', 'attached', VMM) | {'export': '/x'}]},  # of an unknown user
     'NAME  STATE     SINCE  CONNECTION  POLLER  VMM             QUEUES  SOCKET  EXPORT\n'
     'a     attached  -               1  p       7 4294967294 v       3  /s      /x\n'),
    ('status', STATUS, '''\
Daemon
  version         1.2.3
  pid             7
  state           running
  running for     0 s
  directory       /d
  VMM socket      /d/v
  log level       info
  pollers         2
  devices         3 attached, 2 free, 1 away, 4 cleaning
  VMM connections 3
'''),
    ('status', STATUS | {'devices': TROUBLE},
     ', 4 cleaning, 5 not answering, 6 stale, 7 fenced, 8 restoring\n'),
    ('reload', RELOADED | {'added': ['a', 'b'], 'removed': ['c'], 'changed': ['d'],
                           'restart': [{'what': 'e', 'reason': None}]},
     'added a\nadded b\nremoved c\nchanged d\nneeds a restart: e\n'),
] + [('status', STATUS | {'uptime_ms': seconds * 1000 + 999}, f'  running for     {text}\n')
     for seconds, text in [
         (59, '59 s'), (60, '1 min 0 s'), (3599, '59 min 59 s'), (7260, '2 h 1 min'),
         (86400, '1 day 0 h'), (3 * 86400 + 7200, '3 days 2 h')]]


@pytest.mark.parametrize('command,answer,text', PRINTED)
def test_printed(folder, command, answer, text):
    out = run(folder, [command], [result(answer)], status=0)[1].out
    assert text in out and (text.count('\n') == 1 or text == out)


def test_reload_that_failed(folder):
    answer = RELOADED | {'failed': [{'what': 'device x', 'reason': 'why\x1b'}]}
    ended = run(folder, ['reload'], [result(answer)])[1]
    assert (ended.out, ended.err) == ('', 'vucctl: device x: why\\x1b\n')


def test_table(folder):
    """Columns are as wide as what is in them, what is printable; an empty text is '-'."""
    rows = [listed('x' * 40, ''), listed('\x1b', 'y' * 300)]
    lines = run(folder, ['devices'], [result({'devices': rows})], status=0)[1].out.splitlines()
    assert lines[0].startswith('NAME' + ' ' * 38 + 'STATE')
    assert lines[1].startswith('x' * 40 + '  -   ')
    assert lines[2].startswith('\\x1b' + ' ' * 38 + 'y' * 200)


def test_escapes(folder):
    """Nothing of what a terminal would act upon gets to it, in text and in JSON."""
    device = json.dumps(listed('\x1b[2J\r', '@')).encode().replace(b'@', b'\xc2\x9b')
    answer = b'{"jsonrpc":"2.0","result":{"devices":[' + device + \
        b'],"more\\u007f":[true,1.5,null,{"a":"\\u0007"}]},"id":1}\n'
    with Daemon(folder, [answer]) as daemon:
        out = rig.vucctl('devices', '-m', daemon.path).out
    assert re.search(r'\n\\x1b\[2J\\x0d  (\\xef\\xbf\\xbd|\\xc2\\x9b)  -               1  p ', out)
    assert all(c == '\n' or ' ' <= c <= '~' for c in out)
    rig.os.unlink(daemon.path)
    with Daemon(folder, [answer]) as daemon:
        out = rig.vucctl('devices', '--json', '-m', daemon.path).out
    assert all(c == '\n' or c >= ' ' and c not in '\x7f\x9b' for c in out)
    assert json.loads(out)['more\ufffd'] == [True, 1.5, None, {'a': '\x07'}]
