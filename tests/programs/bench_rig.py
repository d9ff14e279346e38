# SPDX-License-Identifier: BSD-3-Clause
"""Runs of vuc-bench, and whether what its JSON says is complete and fits together."""

import contextlib
import ctypes
import datetime
import os
import tempfile

import pytest

import rig

VERSIONS = ('git', 'kernel', 'cpu', 'vuc', 'dpdk', 'liburing')
PERCENTILES = (('min_ns', 1), ('p50_ns', 1), ('p90_ns', 10), ('p99_ns', 100), ('p999_ns', 1000),
               ('max_ns', 1))  # and how many samples each takes
SYS_IO_URING_SETUP = 425


def count_cpus():
    return len(os.sched_getaffinity(0))


def has_uring():
    params = ctypes.create_string_buffer(120)
    fd = rig.LIBC.syscall(SYS_IO_URING_SETUP, 1, params)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def has_guest():
    return 'VUC_VMM' in os.environ and os.access('/dev/kvm', os.R_OK | os.W_OK)


def need_two_cpus():
    if count_cpus() < 2:
        pytest.skip('needs two CPUs')


def need_transport(transport):
    need_two_cpus()
    if transport == 'uring' and not has_uring():
        pytest.skip('io_uring is not allowed here')


@contextlib.contextmanager
def on_one_cpu():
    """What is started meanwhile may use one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def bench(*args, status=0, program=None, env=None, **popen):
    """Run vuc-bench, which ends with status and leaves no temporary files behind."""
    with tempfile.TemporaryDirectory(prefix='vuc-') as tmp:
        run = rig.Run(*(program or [os.environ['VUC_BENCH']]), *args,
                      env={'TMPDIR': tmp} | (env or {}), **popen)
        assert run.status == status, f'{args}: {run.status}, {run.err}'
        assert os.listdir(tmp) == []
    return run


def complain(text, *args, status=1, **popen):
    """Run vuc-bench, which ends with one line about what is wrong and, after wrong usage, a hint to
    the help, which argp may break."""
    run = bench(*args, status=status, **popen)
    what, *hint = run.err.splitlines()
    assert what.startswith('vuc-bench') and text in what
    assert run.err.endswith('\n') and run.out == ''
    assert bool(hint) == (status == 2)
    assert not hint or hint[0].startswith('Try `vuc-bench') and hint[-1].endswith('information.')


def check_versions(where):
    assert all(where[key] for key in VERSIONS)


def check_environment(env):
    check_versions(env)
    assert env['cpu_dma_latency'] and env['clock'] and env['cpus']
    assert datetime.datetime.fromisoformat(env['date'].removesuffix('Z')).year >= 2025
    assert env['load_before'] >= 0 and env['load_after'] >= 0 and env['steal'] <= 1
    assert env['involuntary_context_switches'] >= 0


def check_times(series, samples, rounds):
    """Percentiles ascend, and are there when there are enough samples; so do buckets, which hold
    all of them."""
    assert [key for key, _ in PERCENTILES if key in series] == \
        [key for key, least in PERCENTILES if samples >= least]
    times = [series[key] for key, least in PERCENTILES if samples >= least]
    assert times == sorted(times)
    assert len(series['rounds']) == rounds and min(series['rounds']) > 0
    assert series['mean_ns'] > 0
    assert series['samples'] == samples
    buckets = series['histogram']
    assert all(b['from_ns'] <= b['to_ns'] and b['count'] > 0 for b in buckets)
    assert all(a['to_ns'] < b['from_ns'] for a, b in zip(buckets, buckets[1:]))
    assert sum(b['count'] for b in buckets) == samples
    check_versions(series)


def check_ratios(verdict, floor, series, keys):
    """A ratio stands in the verdict, too, between its quartiles and extremes."""
    for key in keys:
        assert floor[key] == 1 and series[key] >= 0
        assert series[key] == verdict[key]
        spread = [verdict[key + end] for end in ('_min', '_q1', '', '_q3', '_max')]
        # A floor that lost its CPU for long makes a ratio that is rounded to 0.
        assert spread == sorted(spread) and spread[0] >= 0 and spread[-1] > 0


def check_posted(series, units):
    """Only posted writes are faster to submit than the server is to take them."""
    posted = 'end_to_end_per_second' in series
    assert posted == ('ratio_end_to_end' in series)
    assert not posted or 0 < series['end_to_end_per_second'] < series[f'{units}_per_second']


def check_result(result, measurement, unit, names=('floor', 'vuc'), topics=((None, 1, 1),),
                 rounds=2, transport=None, options=None, posted=False):
    """Check a result: each topic, of (name, samples in a round, accesses a sample), has series of
    these names, the first of which is the floor."""
    units = {'access': 'accesses'}.get(unit, unit + 's')
    assert result['measurement'] == measurement and isinstance(result['quiet'], bool)
    check_environment(result['environment'])
    assert result['options'] == result['options'] | {'rounds': rounds} | (options or {})
    assert len(result['series']) == len(topics) * len(names)
    keys = ['ratio_p50', 'ratio_rate'] + ['ratio_end_to_end'] * posted
    for index, series in enumerate(result['series']):
        topic, samples, per_sample = topics[index // len(names)]
        floor = result['series'][index - index % len(names)]
        assert (series.get('topic'), series['name']) == (topic, names[index % len(names)])
        check_times(series, samples * rounds, rounds)
        assert series[f'{units}_per_second'] > 0
        assert series[f'{units}_per_sample'] == per_sample
        assert series[f'syscalls_per_{unit}'] >= 0
        check_posted(series, units)
        assert ('ratio_end_to_end' in series) == posted
        if series is floor:
            continue
        if transport and series['name'] in ('vuc', *names[1:]) and series['name'] not in (
                'each', 'one by one', 'blocking', 'handover'):
            assert series['transport'] == transport
        verdict = result[topic] if topic else result
        if len(names) > 2 and series['name'] != 'vuc':
            verdict = verdict[series['name']]
        check_ratios(verdict, floor, series, keys)
