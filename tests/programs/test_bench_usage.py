# SPDX-License-Identifier: BSD-3-Clause
"""vuc-bench's command line, its reports, and what it says and leaves behind when it cannot measure."""

import html.parser
import json
import os
import re
import shutil
import signal
import urllib.parse
from xml.dom import minidom

import pytest

import bench_rig
import rig
from bench_rig import bench, complain

FEW = ['--ops', '200', '--rounds', '2']

# What is typed, and what the error says.
USAGE = '''
                                                | no measurement
nothing                                         | 'nothing'
--nothing                                       | '--nothing'
mmio --nothing                                  | '--nothing'
mmio -x                                         | 'x'
mmio surplus                                    | 'surplus'
mmio --ops                                      | '--ops' requires an argument
mmio --ops 0                                    | --ops: '0'
mmio --ops -1                                   | --ops: '-1'
mmio --ops 1x                                   | --ops: '1x'
mmio --ops=                                     | --ops: ''
mmio --ops 18446744073709551617                 | '18446744073709551617'
mmio --ops 10000000 --rounds 1000               | 10000000000
mmio --rounds 1001                              | --rounds: '1001'
mmio --cpus 0,0                                 | twice
mmio --cpus 0,1,2,3                             | '0,1,2,3'
mmio --cpus 0,1,0                               | twice
mmio --cpus 0,1,1                               | twice
mmio --cpus -1,0                                | '-1,0'
mmio --cpus 99999                               | '99999'
mmio --path x                                   | inline, poller or shm
mmio --compare blocking,x                       | --compare: 'x'
mmio --compare blocking --op posted             | --compare requires
mmio --compare blocking --transport loopback    | --compare requires
mmio --compare handover --socket s              | --floor own
mmio --path poller --floor shared               | --path inline
mmio --transport tcp                            | uring, posix or loopback
mmio --op erase                                 | 'erase'
mmio --size 3                                   | --size: '3' is not a power of two
mmio --region 0                                 | --region and --offset
mmio --offset 0                                 | --region and --offset
mmio --region 4294967296 --offset 0             | --region: '4294967296'
mmio --floor none                               | 'none'
mmio --transport loopback --floor own           | --floor
mmio --transport loopback --socket s            | --socket
mmio --socket s --op write                      | requires --region and --offset
mmio --socket s --op posted                     | requires --region and --offset
mmio --socket=                                  | empty
mmio --json=                                    | empty
mmio --burst 2                                  | --burst 2 requires --op posted, not read
mmio --op posted --burst 0                      | --burst: '0'
mmio --op posted --burst 257                    | --burst: '257'
mmio --maps 1                                   | '--maps'
dma --ops 1                                     | '--ops'
dma --maps 0                                    | --maps: '0'
dma --maps 65536                                | --maps: '65536'
dma --layout x                                  | --layout: 'x'
dma --transport loopback                        | uring or posix
dma --transport tcp                             | 'tcp'
dma --socket=                                   | empty
dma-message --size 5000                         | '5000' is not a multiple of 4096
dma-message --size 2097152                      | --size: '2097152'
dma-message --depth 33                          | --depth: '33'
dma-message --transfers 0                       | --transfers: '0'
dma-message --op erase                          | read or write
dma-message --transport loopback                | uring or posix
dma-message --path shm                          | use --path poller
hop --depth 3                                   | --depth: '3' is not a power of two
hop --depth 512                                 | --depth: '512'
hop --size 16                                   | --size: '16'
hop --op erase                                  | 'erase'
hop --floor call                                | echo, ring or poller
hop --floor echo --depth 2                      | --floor echo
hop --floor echo --op posted --depth 1          | --floor echo
hop --floor poller                              | --floor poller requires --path shm
hop --ops 10000000 --rounds 1000                | 10000000000
hop --transport uring                           | '--transport'
hop --path inline                               | mmio --transport loopback
hop --spin 0                                    | --spin: '0'
scale --devices 1                               | at least two
scale --devices 1,                              | ''
scale --devices 4,1                             | 1 is not greater than 4
scale --devices 1,257                           | '257'
scale --devices 1,2,3,4,5,6                     | more than 5
scale --ops 0                                   | --ops: '0'
scale --ops 1000000 --rounds 1000               | --ops times --rounds is 1000192000
scale --transport tcp                           | 'tcp'
idle --seconds 0                                | --seconds: '0'
idle --seconds nan                              | 'nan'
idle --seconds 0x10                             | '0x10'
idle --accesses 1001                            | --accesses: '1001'
idle --transport loopback                       | uring or posix
idle --path inline                              | no poller; use --path poller
hung --hung 65                                  | --hung: '65'
outage --retry-ms 0                             | --retry-ms: '0'
front --ops 0                                   | --ops: '0'
front --idle doze                               | --idle: 'doze'
guest --ops 65537                               | --ops: '65537'
guest --path shm                                | '--path'
all --op read                                   | '--op'
mmio --plot result.pdf                          | --plot: 'result.pdf' does not end in .svg or .png
'''
ROWS = [[part.strip() for part in row.rsplit(' | ', 1)] for row in USAGE.strip('\n').split('\n')]


@pytest.mark.parametrize('line,text', ROWS)
def test_usage(line, text):
    complain(text, *line.split(), status=2)


def test_usage_of_label():
    complain('--label', 'mmio', '--label', '\n', status=2)
    complain('--label', 'mmio', '--label', 'x' * 81, status=2)


@pytest.mark.parametrize('line,text', [
    ('--help', 'dma-message '), ('-h', '  mmio '), ('--usage', 'MEASUREMENT'), ('--version', 'DPDK '),
    ('-V', 'liburing '), ('transports --help', 'rounds (50)'), ('mmio --help', '--burst=N'),
    ('mmio -h', '--burst=N'), ('dma --help', '--maps'), ('dma-message --help', '--depth'),
    ('hop --help', '--depth'), ('scale --help', 'rounds (50)'), ('idle --help', '--seconds'),
    ('hung --help', '--timeout-ms'), ('outage --help', '--retry-ms'), ('front --help', '--idle'),
    ('guest --help', '--ops'), ('all --help', '--json'),
    ('mmio --usage', '[--burst=N]'), ('mmio -V', 'DPDK ')])
def test_help(line, text):
    run = bench(*line.split())
    assert text in run.out and run.err == ''


def test_text_report():
    run = bench('mmio', *FEW, '--transport', 'loopback', '--label', 'my label')
    for text in ('my label', 'p99.9', 'floor (call)', 'vuc (loopback)', 'times the floor',
                 'cpu_dma_latency'):
        assert text in run.out
    assert '\033' not in run.out and run.err == ''


def test_json_file(folder):
    path = f'{folder}/result.json'
    for _ in range(2):
        bench('mmio', *FEW, '--transport', 'loopback', '--json', path)
        with open(path, encoding='utf-8') as file:
            bench_rig.check_result(json.load(file), 'mmio', 'access', topics=[(None, 200, 1)])
        assert os.listdir(folder) == ['result.json']


def test_json_through_link(folder):
    """A link is followed, and nothing is left of what was in the file."""
    with open(f'{folder}/result.json', 'wb') as file:
        file.write(b'x' * 1000000)
    os.symlink('result.json', f'{folder}/link')
    bench('mmio', *FEW, '--transport', 'loopback', '--json', f'{folder}/link')
    with open(f'{folder}/result.json', encoding='utf-8') as file:
        bench_rig.check_result(json.load(file), 'mmio', 'access', topics=[(None, 200, 1)])
    assert sorted(os.listdir(folder)) == ['link', 'result.json']


def need_gnuplot():
    if shutil.which('gnuplot') is None:
        pytest.skip('no gnuplot')


@pytest.mark.parametrize('name,texts', [
    # A picture says what it is of, and its axis has units, whichever figures the times have.
    ("it's.svg", [b'<[?]xml', b'liburing ', b'>[0-9]+ (ns|us|ms)<']), ('$(x).png', [b'PNG'])])
def test_plot(folder, name, texts):
    need_gnuplot()
    bench('mmio', *FEW, '--transport', 'loopback', '--label', "it's `x`", '--plot',
          f'{folder}/{name}')
    with open(f'{folder}/{name}', 'rb') as file:
        picture = file.read()
    assert all(re.search(text, picture) for text in texts)
    assert os.listdir(folder) == [name]


def test_plots_of_all(folder):
    """With one CPU it is quick: what needs two has no picture."""
    need_gnuplot()
    with bench_rig.on_one_cpu():
        for _ in range(2):
            bench('all', '--rounds', '1', '--plot', f'{folder}/plots')
    assert os.listdir(f'{folder}/plots') == ['scale.svg']


def test_plot_without_gnuplot(folder):
    complain('gnuplot', 'mmio', '--transport', 'loopback', '--plot', f'{folder}/none.svg',
             env={'PATH': '/nonexistent'})
    assert os.listdir(folder) == []


class Page(html.parser.HTMLParser):
    """The pictures, links and text of a page whose elements are all closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.pictures, self.text, self.addresses = [], [], '', []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ('img', 'meta'):
            self.open.append(tag)
        self.pictures += [value for name, value in attrs if (tag, name) == ('img', 'src')]
        self.addresses += [value for name, value in attrs if name in ('src', 'href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize('where', ['file', 'stdout'])
def test_page(folder, where):
    need_gnuplot()
    path = f'{folder}/page.html' if where == 'file' else '-'
    run = bench('mmio', *FEW, '--transport', 'loopback', '--label', '</td>&"<script>', '--html',
                path)
    table, text = run.out, run.err
    if where == 'file':
        assert os.listdir(folder) == ['page.html']
        with open(path, encoding='utf-8') as file:
            text = file.read()
    else:
        table, text = text, table
    page = Page(text)
    assert '</td>&"<script>' in page.text
    assert re.search('vuc takes .* in the single rounds', table)[0] in page.text
    # When it was measured, and how.
    assert re.search(r'date20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z\n', page.text)
    assert 'optionspath inline, op read, ' in page.text and ', ops 200, ' in page.text
    assert 'floor call, ' in page.text and ', rounds 2, ' in page.text
    picture = page.pictures[0].removeprefix('data:image/svg+xml,')
    assert 'percentile' in minidom.parseString(urllib.parse.unquote(picture)).toxml()


# What a reader sees, as JSON instead of the page. A broken picture has no width.
LOOK = """
<script>
addEventListener('load', () => {
    const page = document.documentElement;
    const look = {
        title: document.title,
        pictures: [...document.images].map(image => image.naturalWidth),
        goals: document.querySelector('h2 + div table').rows.length,
        overflow: page.scrollWidth - page.clientWidth,
    };
    document.body.innerText = JSON.stringify(look);
});
</script>
"""


def test_page_in_browser(folder):
    """On one CPU it is quick: what needs two has neither table nor picture."""
    need_gnuplot()
    browser = shutil.which('chromium')
    if browser is None:
        pytest.skip('no chromium')
    with bench_rig.on_one_cpu():
        bench('all', '--rounds', '1', '--html', f'{folder}/page.html')
    with open(f'{folder}/page.html', encoding='utf-8') as file:
        page = file.read()
    assert all(address.startswith(('data:', '#')) for address in Page(page).addresses)
    with open(f'{folder}/page.html', 'w', encoding='utf-8') as file:
        file.write(page.replace('</body>', LOOK + '</body>'))
    with rig.Process(browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
                     '--no-first-run', '--disable-background-networking',
                     '--disable-component-update', '--disable-sync', '--window-size=500,800',
                     f'--user-data-dir={folder}/profile', '--dump-dom',
                     f'file://{folder}/page.html') as shown:
        assert shown.wait() == 0
        look = json.loads(re.search(b'{"title.*}', shown.out)[0])
    assert look == {'title': 'vuc-bench all', 'pictures': [960], 'goals': 11, 'overflow': 0}


@pytest.mark.parametrize('args,text', [
    (['mmio', '--transport', 'loopback', '--json', 'F/no/result.json'], 'F/no/result.json'),
    (['mmio', '--transport', 'loopback', '--html', 'F/no/page.html'], 'F/no/page.html'),
    (['mmio', '--transport', 'loopback', '--html', '-', '--json', '-'], 'only one can be stdout'),
    (['all', '--plot', '/dev/null'], '/dev/null is not a folder'),
    (['all', '--plot', 'F/no/plots'], 'F/no/plots')])
def test_unwritable_output(folder, args, text):
    if 'all' in args or '--html' in args:
        need_gnuplot()
    complain(text.replace('F/', folder + '/'), *(arg.replace('F/', folder + '/') for arg in args))


@pytest.mark.parametrize('args', [[*FEW, '--transport', 'loopback'], ['--help'], ['--version'],
                                  [*FEW, '--transport', 'loopback', '--json', '-']],
                         ids=['table', 'help', 'version', 'JSON'])
def test_full_disk(args):
    with open('/dev/full', 'w', encoding='utf-8') as full:
        run = bench('mmio', *args, status=1, stdout=full)
    assert run.err.endswith('No space left on device\n')


def test_full_disk_of_json():
    run = bench('mmio', *FEW, '--transport', 'loopback', '--json', '/dev/full', status=1)
    assert run.err == 'vuc-bench: /dev/full: No space left on device\n'


@pytest.mark.parametrize('args,text', [
    (['mmio', '--socket', 'F/missing'], 'F/missing'),
    (['mmio', '--socket', 'F/missing', '--floor', 'own'], 'F/missing'),
    (['dma', '--socket', 'F/missing'], 'F/missing'), (['mmio', '--socket', 'x' * 149], '149')],
    ids=['shared', 'own', 'dma', 'long'])
def test_missing_socket(folder, args, text):
    if args[0] == 'dma':
        bench_rig.need_two_cpus()
    complain(text.replace('F/', folder + '/'), *(arg.replace('F/', folder + '/') for arg in args))


@pytest.mark.parametrize('program,text', [
    ('/nonexistent/refdev', '/nonexistent/refdev'),
    ('/bin/true', '/bin/true: exited with status 0')])
def test_missing_server_program(program, text):
    bench_rig.need_two_cpus()
    complain(text, 'mmio', env={'VUC_REFDEV': program})


@pytest.mark.parametrize('line,text', [
    ('mmio', '1 CPU'), ('dma', '1 CPU'), ('dma-message', '1 CPU'), ('transports', '1 CPU'),
    ('hung', '1 CPU'), ('outage', '1 CPU'), ('front', '1 CPU'), ('hop', '1 CPU'), ('idle', '1 CPU'),
    ('scale --transport posix', '1 CPU'),
    ('mmio --path poller --transport loopback', 'the poller needs one')])
def test_one_cpu(line, text):
    with bench_rig.on_one_cpu():
        complain(text, *line.split())


def test_loopback_on_one_cpu():
    with bench_rig.on_one_cpu():
        assert 'vuc (loopback)' in bench('mmio', *FEW, '--transport', 'loopback').out


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupted(folder, number):
    """The signal comes when the folder for the server's socket is there; nothing stays behind."""
    bench_rig.need_two_cpus()
    notify = rig.LIBC.inotify_init1(os.O_CLOEXEC)
    assert rig.LIBC.inotify_add_watch(notify, folder.encode(), 0x100) >= 0  # IN_CREATE
    with rig.Process(os.environ['VUC_BENCH'], 'mmio', '--ops', '100000', '--rounds', '200',
                     env={'TMPDIR': folder}) as process:
        assert os.read(notify, 4096)
        assert process.stop(number) == -number
    os.close(notify)
    assert os.listdir(folder) == []


# A fault of the server, and what is said of it. The floor comes first in the first round, so it is
# the one to notice.
FAULTS = '''
wrong-id@region_read#100        | floor: got a reply to command 9, id
wrong-cmd@region_read           | floor: got a reply to command
wrong-type@region_read          | floor: expected a reply, got
wrong-size=30@region_read       | has msg_size 30
wrong-count@region_read         | does not repeat the request
error=5@region_read             | error 5 (Input/output error)
close@region_read               | Connection reset by peer
truncate=20@region_read         | Connection reset by peer
duplicate@region_read           | floor:
close@version                   | closed the connection during VERSION
wrong-version=major@version     | unsupported protocol version 1.
error=13@version                | error 13 (Permission denied)
wrong-size=1000000@version      | has msg_size 1000000
error=12@dma_map#5              | floor: the server answered command 2
error=12@dma_map#45             | vuc: DMA mapping of 0x
error=22@dma_unmap#5            | floor: the server answered command 3
error=22@dma_unmap#45           | vuc: DMA unmapping of 0x
wrong-id@dma_map#5              | floor: got a reply to command 2, id
close@dma_unmap                 | Connection reset by peer
'''
FAULT_ROWS = [[part.strip() for part in row.split(' | ')]
              for row in FAULTS.strip('\n').split('\n')]
DMA = ['dma', '--maps', '10', '--rounds', '2', '--layout', 'apart']


@pytest.mark.parametrize('fault,text', FAULT_ROWS)
def test_faulty_server(refdev, fault, text):
    bench_rig.need_two_cpus()
    args = DMA if '@dma' in fault else ['mmio', *FEW, '--floor', 'own']
    complain(text, *args, '--socket', refdev(f'--fault={fault}').socket)


def test_server_without_room(refdev):
    bench_rig.need_two_cpus()
    complain('floor: the server answered command 2', *DMA, '--socket',
             refdev('--max-dma-maps=9').socket)


@pytest.mark.parametrize('floor', ['shared', 'own'])
@pytest.mark.parametrize('region,offset,text', [
    ('0', '0xffe', 'S: 4 bytes at offset 0xffe are not within region 0, which has 0x1000 bytes'),
    ('3', '0', 'region 3, which has 0x0 bytes'),
    # This one answers with an error.
    ('0', '0x38', 'Input/output error')])
def test_missing_register(refdev, floor, region, offset, text):
    """It is found before the first access, whichever way meets it first."""
    bench_rig.need_two_cpus()
    server = refdev()
    complain(text.replace('S:', server.socket + ':'), 'mmio', *FEW, '--region', region, '--offset',
             offset, '--floor', floor, '--socket', server.socket)
