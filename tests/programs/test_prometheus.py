# SPDX-License-Identifier: BSD-3-Clause
"""Metrics, alerts and the dashboard by Prometheus itself: one that is installed, or Debian's, which
is downloaded and unpacked, not installed."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import pytest

import openmetrics
import rig
from test_exporter import RESTLESS, Exporter, fixture_used  # noqa: F401 # pylint: disable=unused-import

PACKAGING = os.environ['VUC_PACKAGING']
ALERTS = f'{PACKAGING}/prometheus/alerts.yml'
ALERTS_TEST = f'{os.path.dirname(os.path.abspath(__file__))}/alerts_test.yml'
DASHBOARD = f'{PACKAGING}/grafana/vuc.json'
NAME = re.compile(r'\bvuc_\w+')


def run_apt(folder, *command):
    """Run a program that may not be there, or have no network. Says what is wrong, or None."""
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120,
                             check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if run.returncode == 0 else f'{command[0]}: {run.stderr.strip().splitlines()[-1:]}'


def unpack_prometheus(folder):
    """Make a folder of Debian's package without installing it: that would start a service."""
    if os.path.exists(folder):
        return
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='prometheus-', dir=os.path.dirname(folder)) as new:
        why = run_apt(new, 'apt-get', '-o', 'APT::Sandbox::User=', '-o', 'Acquire::Retries=2',
                      '-o', 'Acquire::http::Timeout=20', 'download', 'prometheus')
        if not why:
            package, = [name for name in os.listdir(new) if name.endswith('.deb')]
            why = run_apt(new, 'dpkg-deb', '-x', package, 'unpacked')
        if why:
            pytest.skip(f'prometheus cannot be downloaded: {why}')
        with contextlib.suppress(OSError):  # another test has been faster
            os.rename(f'{new}/unpacked/usr/bin', folder)


@pytest.fixture(name='programs', scope='module')
def fixture_programs():
    """The folder of promtool and prometheus."""
    if shutil.which('promtool') and shutil.which('prometheus'):
        return os.path.dirname(shutil.which('promtool'))
    folder = os.environ.get('VUC_PROMETHEUS_DIR')
    if folder is None:
        folder = os.path.expanduser('~/.cache/vuc/prometheus')
    if not folder:
        pytest.skip('VUC_PROMETHEUS_DIR is empty')
    unpack_prometheus(folder)
    return folder


class Prometheus(rig.Process):
    """A Prometheus that scrapes an exporter, at a port that it has picked itself."""

    def __init__(self, programs, exporter):
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        config = f'{self.folder.name}/prometheus.yml'
        with open(config, 'w', encoding='utf-8') as file:
            json.dump({  # which is YAML, too
                'global': {'scrape_interval': '1s', 'scrape_timeout': '1s', 'evaluation_interval': '1s'},
                'rule_files': [ALERTS],
                'scrape_configs': [{'job_name': 'vuc', 'static_configs': [
                    {'targets': [f'{exporter.host}:{exporter.port}']}]}]}, file)
        super().__init__(f'{programs}/prometheus', f'--config.file={config}',
                         f'--storage.tsdb.path={self.folder.name}/data',
                         '--web.listen-address=127.0.0.1:0')
        with self.closed_on_failure():
            rig.eventually(self.find_port)
            rig.eventually(self.is_ready)

    def find_port(self):
        """Not all versions say it in their log: it is the port of its only socket that listens."""
        self.drain()
        assert self.process.poll() is None, self.err.decode()
        inodes = {os.readlink(f'/proc/{self.pid}/fd/{fd}')
                  for fd in os.listdir(f'/proc/{self.pid}/fd')
                  if os.path.lexists(f'/proc/{self.pid}/fd/{fd}')}
        with open(f'/proc/{self.pid}/net/tcp', encoding='ascii') as lines:
            rows = [line.split() for line in lines][1:]
        ports = [int(row[1].split(':')[1], 16) for row in rows
                 if row[3] == '0A' and f'socket:[{row[9]}]' in inodes]
        self.port = ports[0] if ports else None
        return ports

    def get(self, path):
        self.drain()
        with urllib.request.urlopen(f'http://127.0.0.1:{self.port}{path}',
                                    timeout=rig.TIMEOUT_S) as reply:
            return reply.read()

    def is_ready(self):
        try:
            self.get('/-/ready')
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def api(self, path, **params):
        answer = json.loads(self.get(f'/api/v1/{path}?{urllib.parse.urlencode(params)}'))
        assert answer['status'] == 'success', answer
        return answer['data']

    def query(self, expr):
        return self.api('query', query=expr)['result']

    def close(self):
        super().close()
        self.folder.cleanup()


@pytest.fixture(name='prometheus')
def fixture_prometheus(programs, used):
    """One that has scraped a daemon with a device in use."""
    with Exporter(used.management) as exporter, Prometheus(programs, exporter) as prometheus:
        prometheus.daemon, prometheus.exporter = used, exporter
        rig.eventually(lambda: prometheus.query('vuc_up == 1'))
        yield prometheus


def exprs_of(node):
    """All expressions in the dashboard, as Grafana would send them."""
    if isinstance(node, dict):
        if 'expr' in node:
            yield node['expr'].replace('$__rate_interval', '1m').replace('$device', '.*')
        for child in node.values():
            yield from exprs_of(child)
    elif isinstance(node, list):
        for child in node:
            yield from exprs_of(child)


# ---- promtool ----

def test_check_metrics(programs, used):
    """Names, types, units and help are as Prometheus wants them."""
    printed = rig.vucctl('metrics', '-m', used.management).out
    check = subprocess.run([f'{programs}/promtool', 'check', 'metrics'], input=printed, text=True,
                           capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, '', '')


def test_alerts(programs):
    for args in (['check', 'rules', ALERTS], ['test', 'rules', ALERTS_TEST]):
        run = rig.Run(f'{programs}/promtool', *args)
        assert run.status == 0, run.out + run.err


def test_all_alerts():
    """Each is in the file of their tests, both firing and not."""
    with open(ALERTS, encoding='utf-8') as file:
        alerts = re.findall(r'- alert: (\w+)', file.read())
    with open(ALERTS_TEST, encoding='utf-8') as file:
        tested = re.findall(r'alertname: (\w+)\n( +exp_alerts:)?', file.read())
    assert alerts
    for alert in alerts:
        assert {bool(fires) for name, fires in tested if name == alert} == {False, True}, alert


# ---- a Prometheus ----

def test_scrape(prometheus):
    """The target is up, and each value is what vucctl prints."""
    target, = prometheus.api('targets')['activeTargets']
    assert (target['health'], target['lastError']) == ('up', '')
    print('# ' + json.dumps({key: target[key] for key in ('scrapeUrl', 'health', 'lastScrapeDuration')}))
    text = RESTLESS.sub('', rig.vucctl('metrics', '-O', '-m', prometheus.daemon.management).out)
    printed = openmetrics.samples(re.sub('\n+', '\n', text), True)

    def seen():
        rows = prometheus.query('{__name__=~"vuc_.*"}')
        return {(row['metric']['__name__'], frozenset(
            (name, value) for name, value in row['metric'].items()
            if name not in ('__name__', 'instance', 'job') and value)): float(row['value'][1])
                for row in rows}
    assert len(printed) > 60
    rig.eventually(lambda: all(seen().get((name, frozenset(labels))) == value
                               for (name, labels), value in printed.items()))


def test_metadata(prometheus):
    """It has taken type, unit and help from OpenMetrics."""
    families = openmetrics.parse(
        prometheus.exporter.ask(Accept='application/openmetrics-text').text, True)
    rows = {row['metric']: row for row in prometheus.api('targets/metadata')}
    for name, family in families.items():
        assert (rows[name]['type'], rows[name]['unit']) == (family.kind, family.unit or '')
        assert rows[name]['help'].endswith('.')


def test_rules(prometheus):
    """All alerts are evaluated, and each metric in them exists."""
    names = set(prometheus.api('label/__name__/values'))

    def are_evaluated():
        group, = prometheus.api('rules')['groups']
        return group['rules'] and all(rule['health'] == 'ok' for rule in group['rules'])
    rig.eventually(are_evaluated)
    group, = prometheus.api('rules')['groups']
    for rule in group['rules']:
        assert set(NAME.findall(rule['query'])) <= names, rule['query']


def test_dashboard(prometheus):
    """Each expression has a result, and each metric in it exists; no metric is left out."""
    with open(DASHBOARD, encoding='utf-8') as file:
        exprs = list(exprs_of(json.load(file)))
    names = set(prometheus.api('label/__name__/values'))
    # Each scrape is one more sample, and a rate needs two of them.
    rig.eventually(lambda: prometheus.query('rate(vuc_uptime_seconds[1m]) > 0'))
    for expr in exprs:
        assert set(NAME.findall(expr)) <= names, expr
        rig.eventually(lambda: prometheus.query(expr))  # pylint: disable=cell-var-from-loop
    shown = {name for expr in exprs for name in NAME.findall(expr)}
    assert {name for name in names if name.startswith('vuc_')} - shown == {'vuc_build_info'}


def test_down(prometheus):
    """A daemon that is stopped is seen, and the alert is on its way."""
    assert prometheus.daemon.stop() == 0
    rig.eventually(lambda: prometheus.query('vuc_up == 0'))
    rig.eventually(lambda: any(alert['labels']['alertname'] == 'VucdDown'
                               for alert in prometheus.api('alerts')['alerts']))
    assert not prometheus.query('vuc_uptime_seconds')
