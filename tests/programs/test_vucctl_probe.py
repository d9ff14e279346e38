# SPDX-License-Identifier: BSD-3-Clause
"""vucctl probe: on a reference device, and on a server made up of the bytes that it answers."""

import itertools
import json
import os
import random
import re
import shutil
import struct

import pytest

import rig
from fake_device import FakeDevice, Region, sample_config


DEVICE = pytest.fixture(rig.reference_device, name='device', scope='module')


def probe(device, *options):
    run = rig.vucctl('probe', '--transport=posix', device.socket, *options)
    assert run.err == ''
    return run


TEXT = '''\
  transport       posix
  flags           reset pci
  version         0.2
  server's data   {"capabilities":{
      0  BAR0       4 KiB      0x1000         rw-
      2  BAR2       64 KiB     0x10000        rwm    1 fd, offset 0x0
         area 0x3000-0x3fff, 4 KiB
      2  MSI-X          8  eventfd maskable
  BAR2            memory, 64 bits at 0x0, prefetchable, 64 KiB
MSI-X: vectors 8, table BAR4+0x0, PBA BAR4+0x2000, disabled
PCI Express: version 2, endpoint
Device serial number: \n\
Config space, 64 of 4096 bytes
'''


def test_text(device):
    out = probe(device).out
    assert device.socket in out
    assert [line for line in TEXT.split('\n') if line not in out] == []
    assert '\n  40: ' not in out


def test_default_transport(device):
    run = rig.vucctl('probe', device.socket)
    assert run.err == ''
    assert re.search(r'^  transport       (uring|posix)$', run.out, re.MULTILINE)


def test_json(device):
    """Of a real server: what the made up one below does not have."""
    root = probe(device, '--json').json()
    assert (root['socket'], root['transport']) == (device.socket, 'posix')
    assert (root['version']['minor'], root['regions'][2]['fds']) == (2, 1)
    assert root['regions'][4]['areas'] == [{'offset': 4096, 'size': 4096},
                                           {'offset': 0x3000, 'size': 4096}]
    caps = root['pci']['capabilities']
    assert [cap['type'] for cap in caps[:2]] == ['pcie', 'msix']
    assert caps[1]['fields'] == {
        'vectors': 8, 'table_bar': 4, 'table_offset': 0, 'pba_bar': 4, 'pba_offset': 0x2000,
        'masked': False, 'enabled': False}
    assert [root['pci'][f'{kind}capabilities_problem'] for kind in ('', 'extended_')] == [None] * 2
    assert (root['config']['read'], root['config']['error']) == (4096, None)


def test_lspci_bytes(device):
    """What JSON says of config space, lspci gets byte by byte."""
    digits = probe(device, '--json').json()['config']['bytes']
    title, *rows, end, more = probe(device, '--lspci', '--numeric').out.split('\n')
    assert title.startswith('00:00.0 ')
    assert ''.join(row.split(':')[1].replace(' ', '') for row in rows) == digits
    assert (end, more) == ('', '')


def test_lspci_reads_it(device, folder):
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    if not shutil.which('lspci'):
        pytest.skip('lspci is not installed')
    dump = probe(device, '--lspci').out
    with open(f'{folder}/dump', 'w', encoding='utf-8') as file:
        file.write(dump)
    run = rig.Run('lspci', '-vv', '-F', f'{folder}/dump')
    assert run.status == 0
    assert run.out.split('\n')[0] == dump.split('\n')[0]
    for text in ('MSI-X: Enable- Count=8 Masked-\n', 'PBA: BAR=4 offset=00002000\n',
                 'Express (v2) Endpoint', 'Device Serial Number'):
        assert text in run.out


@pytest.mark.parametrize('fault', ['split', 'delay=2'])
def test_slow_server(device, refdev, fault):
    """A server that answers the same in pieces, or late."""
    well, slow = probe(device).out, probe(refdev(f'--fault={fault}')).out
    assert slow.split('\n\n', 1)[1] == well.split('\n\n', 1)[1]


# ---- a device made up ----

WHOLE = '''\
Device
  socket          SOCKET
  transport       posix
  flags           reset pci

Protocol
  version         0.1
  message fds     at most 8
  message data    at most 1 MiB
  DMA maps        at most 65535
  page sizes      4 KiB, 2 MiB
  twin socket     no
  write multiple  yes
  server's data   JSON

Regions
  index  name       size                      flags  to map
      0  BAR0       4 KiB      0x1000         rw-
      2  BAR2       8 EiB      0x8000000000000000 rwm    no fd, cannot be mapped
      4  BAR4       16 KiB     0x4000         rw-
      7  config     4 KiB      0x1000         rw-
      9  region 9   100 bytes  0x64           r-- 0x100
  none:  BAR1, BAR3, BAR5, ROM, VGA

Interrupts
  index  name       count  flags
      0  INTx           1  eventfd maskable
      2  MSI-X          8  eventfd noresize
  none:  MSI

PCI
  device          7675:7663
  subsystem       fffd:0042
  class           088000
  revision        01
  header type     00         device
  command         0006       memory bus-master
  status          0010       capabilities
  interrupt       pin A      line 11
  BAR0            memory, 32 bits at 0xfebf0000, 4 KiB
  BAR2            memory, 64 bits at 0x3800000000, prefetchable, 8 EiB
  BAR4            memory, 32 bits at 0x0, 16 KiB
  BAR5            I/O ports at 0xc000, no region

Capabilities
  [40]  Power management: version 3, in D3hot, no soft reset
  [48]  MSI: vectors 8, 64 bits, maskable, disabled
  [60]  PCI Express: version 2, endpoint, function level reset, 8 GT/s x4
  [a0]  MSI-X: vectors 8, table BAR4+0x0, PBA BAR4+0x2000, enabled
  [b0]  Vendor specific: length 16
  [100] Advanced error reporting
  [148] Device serial number: 11223344-55667788

Config space, 64 of 4096 bytes
  00: 75 76 63 76 06 00 10 00 01 00 80 08 00 00 00 00
  10: 00 00 bf fe 00 00 00 00 0c 00 00 00 38 00 00 00
  20: 00 00 00 00 01 c0 00 00 00 00 00 00 fd ff 42 00
  30: 00 00 00 00 40 00 00 00 00 00 00 00 0b 01 00 00
'''


@pytest.fixture(name='fake')
def fixture_fake():
    with FakeDevice() as fake:
        yield fake


def look(fake, *options):
    return probe(fake, '--numeric', *options).out


def test_whole(fake):
    """All of it, so that order and alignment are seen, too."""
    assert look(fake) == WHOLE.replace('SOCKET', fake.socket).replace('JSON', fake.version_json())


def test_whole_json(fake):
    root = json.loads(look(fake, '--json'))
    pci = root['pci']
    assert root['device'] == {'flags': '0x3', 'flag_names': ['reset', 'pci'], 'num_regions': 10,
                              'num_irqs': 3}
    assert root['regions'][9] == {
        'index': 9, 'name': 'region 9', 'size': 100, 'flags': '0x101', 'flag_names': ['read'],
        'offset': 0, 'fds': 0, 'areas': [], 'type': '0x0', 'subtype': '0x0'}
    assert root['irqs'][1] == {'index': 1, 'name': 'MSI', 'count': 0, 'flags': '0x0',
                               'flag_names': []}
    assert root['version'] == {
        'major': 0, 'minor': 1, 'max_msg_fds': 8, 'max_data_xfer_size': 1048576,
        'max_dma_maps': 65535, 'pgsizes': 0x201000, 'twin_socket': False,
        'write_multiple': True, 'server_data': fake.version_json()}
    assert {key: pci[key] for key in list(pci)[:13]} == {
        'vendor': '0x7675', 'device': '0x7663', 'name': None, 'class': '0x088000',
        'class_name': None, 'revision': 1,
        'subsystem': {'vendor': '0xfffd', 'device': '0x0042', 'name': None}, 'header_type': 0,
        'multifunction': False, 'command': '0x0006', 'status': '0x0010', 'interrupt_pin': 1,
        'interrupt_line': 11}
    assert pci['bars'] == [
        {'index': 0, 'type': 'memory32', 'prefetchable': False, 'address': 0xfebf0000,
         'size': 4096},
        {'index': 2, 'type': 'memory64', 'prefetchable': True, 'address': 0x3800000000,
         'size': 1 << 63},
        {'index': 4, 'type': 'memory32', 'prefetchable': False, 'address': 0, 'size': 16384},
        {'index': 5, 'type': 'io', 'prefetchable': False, 'address': 0xc000, 'size': 0}]
    assert pci['rom'] is None
    assert pci['capabilities'][0] == {
        'offset': 0x40, 'extended': False, 'id': '0x01', 'type': 'pm',
        'fields': {'version': 3, 'state': 'D3hot', 'no_soft_reset': True}}
    assert pci['capabilities'][6] == {
        'offset': 0x148, 'extended': True, 'id': '0x0003', 'version': 1, 'type': 'serial_number',
        'fields': {'high': '0x11223344', 'low': '0x55667788'}}
    assert list(root) == ['socket', 'transport', 'version', 'device', 'regions', 'irqs', 'pci',
                          'config']
    assert root['config'] == {'size': 4096, 'read': 4096, 'error': None,
                              'bytes': fake.config.hex()}


def test_whole_lspci(fake):
    title, *rows = look(fake, '--lspci').splitlines()
    assert title == '00:00.0 0880: 7675:7663 (rev 01)'
    assert rows[0] == '00: 75 76 63 76 06 00 10 00 01 00 80 08 00 00 00 00'
    assert len(rows) == 257


def test_names(fake):
    out = probe(fake).out
    assert re.search('^  device          7675:7663  .*Device 7663$', out, re.M) or \
        '  device          7675:7663  Device 7675:7663\n' in out
    assert '  class           088000     ' in out


@pytest.mark.parametrize('option', ['--verbose', '-v', '-x'])
def test_all_config(fake, option):
    out = look(fake, option)
    assert 'Config space, 4096 of 4096 bytes\n' in out
    assert '\n  b0: 09 00 10 00 ' in out
    assert '\n  140: 00 00 00 00 00 00 00 00 03 00 01 00 88 77 66 55\n' in out
    assert '\n  *\n' in out


def test_no_config(fake):
    fake.regions[7] = Region()
    out = look(fake)
    assert '\nConfig space\n  none\n' in out
    assert '\nPCI\n' not in out and '\nCapabilities\n' not in out and '\nInterrupts\n' in out
    root = json.loads(look(fake, '-j'))
    assert (root['config'], root['pci']) == (None, None)
    assert 'the device has no config space' in rig.vucctl('probe', '-l', fake.socket, status=1).err


def test_config_partly_read(fake):
    fake.readable = 256
    out = look(fake, '-v')
    assert 'Config space, 256 of 4096 bytes\n  unreadable from 0x100 on: ' in out
    assert '\n  [b0]  Vendor specific: length 16\n\n' in out
    root = json.loads(look(fake, '-j'))
    assert root['config']['read'] == 256 and root['config']['error']


@pytest.mark.parametrize('size,rows', [(256, 16), (128, 4), (64, 4)])
def test_lspci_sizes(fake, size, rows):
    """libpci knows 64, 256 and 4096 bytes; what is between is left out."""
    fake.regions[7].size = size
    assert len(look(fake, '--lspci').splitlines()) == rows + 2


def test_lspci_too_short(fake):
    fake.regions[7].size = 60
    assert 'config space of 60 bytes is too short for lspci' in rig.vucctl(
        'probe', '-l', fake.socket, status=1).err


# What is put into config space, at which offsets, and what is read of it.
CONFIG = [
    ('broken lists', {0xb0: b'\x7e\xb0', 0x100: struct.pack('<I', 0x1020000 | 0xabcd)}, [
        '  [b0]  unknown, id 0x7e\n  [100] unknown, id 0xabcd\n  list broken: loop, back to 0xb0\n'
        '  extended list broken: link to 0x010, below 0x100\n']),
    ('no list', {0x06: b'\0', 0x100: b'\0\0\0\0'}, ['\nCapabilities\n  none\n']),
    ('reserved bits of links', {0x34: b'\xb3', 0xb1: b'\2'},
     ['\nCapabilities\n  [b0]  Vendor specific: length 16\n  [100]']),
    ('CardBus pointer', {0x0e: b'\x82', 0x34: b'\0', 0x14: b'\xb0'},
     ['\nCapabilities\n  [b0]', 'header type     02         CardBus bridge, multifunction\n']),
    ('loops', {0xb1: b'\x48', 0x14a: b'\x81\x14'},
     ['list broken: loop, back to 0x48\n', 'extended list broken: loop, back to 0x148\n']),
    ('links into the header', {0x41: b'\x3c', 0x100: struct.pack('<I', 0x0fc10001)},
     ['list broken: link into the header, to 0x3c\n',
      'extended list broken: link to 0x0fc, below 0x100\n']),
    ('nothing answers', {0x48: b'\xff', 0x148: b'\xff' * 4},
     ['list broken: nothing answers at 0x48\n', 'broken: nothing answers at 0x148\n']),
    ('empty extended list', {0x100: b'\xff' * 4}, ['  [b0]  Vendor specific: length 16\n\n']),
    ('bridge', {0x0e: b'\x81', 0x3d: b'\x09', 0x38: struct.pack('<I', 0xfeb00001)},
     ['  header type     01         PCI bridge, multifunction\n',
      '  interrupt       pin 9, which is invalid\n', '  ROM             enabled at '
      '0xfeb00000, no region\n']),
    ('ROM', {0x30: struct.pack('<I', 0xfeb007fe)},
     ['  ROM             disabled at 0xfeb00000, no region\n']),
    ('BARs', {0x10: struct.pack('<II', 0x000a0002, 6), 0x24: struct.pack('<I', 4)},
     ['  BAR0            memory, below 1 MiB at 0xa0000, 4 KiB\n',
      '  BAR1            invalid type at 0x0, no region\n',
      '  BAR5            invalid type at 0x0, no region\n']),
    ('unknown type', {0x0e: b'\x7f'}, ['  header type     7f         unknown\n']),
]


@pytest.mark.parametrize('changes,texts', [row[1:] for row in CONFIG],
                         ids=[row[0] for row in CONFIG])
def test_config(fake, changes, texts):
    for offset, data in changes.items():
        fake.config[offset:offset + len(data)] = data
    out = look(fake)
    assert [text for text in texts if text not in out] == []


@pytest.mark.parametrize('subsystem', [0, 0xffff])
def test_no_subsystem(fake, subsystem):
    fake.config[0x2c:0x2e] = struct.pack('<H', subsystem)
    assert 'subsystem' not in look(fake)
    assert json.loads(look(fake, '-j'))['pci']['subsystem'] is None


@pytest.mark.parametrize('size,count,problem', [
    (0xa1, 3, 'link to 0xa0, behind what was read'), (0xa2, 4, 'link to 0xb0, behind what was read'),
    (0x14b, 6, 'link to 0x148, behind what was read'), (0x14c, 7, None), (256, 5, None)])
def test_truncated(fake, size, count, problem):
    fake.regions[7].size = size
    pci = json.loads(look(fake, '-j'))['pci']
    assert len(pci['capabilities']) == count
    assert problem in (pci['capabilities_problem'], pci['extended_capabilities_problem'])


@pytest.mark.parametrize('size,fields', [(0xac, True), (0xab, False)])
def test_field_bounds(fake, size, fields):
    """A field that is not all there has no value."""
    fake.regions[7].size = size
    assert ('pba_bar' in json.loads(look(fake, '-j'))['pci']['capabilities'][3]['fields']) == fields


def test_longest_lists(fake):
    """Both lists as long as they can be, and closed to a circle."""
    fake.config[0x34] = 0x40
    for offset in range(0x40, 0x100, 4):
        fake.config[offset:offset + 4] = bytes([9, (offset + 4) % 0x100 or 0x40, 0, 0])
    for offset in range(0x100, 0x1000, 4):
        link = (offset + 4) % 0x1000 or 0x100
        fake.config[offset:offset + 4] = struct.pack('<I', 0xb | 1 << 16 | link << 20)
    pci = json.loads(look(fake, '-j'))['pci']
    assert len(pci['capabilities']) == (0x100 - 0x40) // 4 + (0x1000 - 0x100) // 4
    assert pci['capabilities_problem'] == 'loop, back to 0x40'
    assert pci['extended_capabilities_problem'] == 'loop, back to 0x100'


@pytest.mark.parametrize('seed', range(8))
def test_noise(fake, seed):
    """Whatever the bytes and however many, it is printed."""
    noise = random.Random(seed)
    fake.regions[7].size = noise.choice([64, 100, 256, 300, 4096])
    fake.config[:] = noise.randbytes(4096)
    fake.config[6] |= 0x10
    assert look(fake).startswith('Device\n')
    assert json.loads(look(fake, '-j'))['pci']['capabilities'] is not None


def test_every_kind(fake):
    """Each id of a capability that is known has a name of its own, in text and JSON."""
    for offset, number in zip(itertools.count(0x40, 4), range(0x30)):
        fake.config[offset:offset + 4] = bytes([number, (offset + 4) % 0x100, 0, 0])
    fake.config[0x34] = 0x40
    offsets = range(0x100, 0x100 + 0x30 * 0x40, 0x40)
    for number, offset in enumerate(offsets):
        link = offset + 0x40 if offset != offsets[-1] else 0
        fake.config[offset:offset + 4] = struct.pack('<I', number | 1 << 16 | link << 20)
    caps = json.loads(look(fake, '-j'))['pci']['capabilities']
    kinds = [(cap['extended'], cap['type']) for cap in caps if cap['type'] != 'unknown']
    assert len(kinds) == len(set(kinds)) == 62
    assert look(fake).count('unknown, id ') == len(caps) - len(kinds)


def test_areas(fake):
    fake.regions[4].size = 0xa000
    fake.regions[4].areas = [(i * 0x1000, 0x800) for i in range(10)]
    fake.regions[4].flags |= 4
    fake.regions[4].fd = True
    out = look(fake)
    assert '         area 0x7000-0x77ff, 2 KiB\n         and 2 more areas\n' in out
    assert 'rwm    1 fd, offset 0x0\n' in out
    out = look(fake, '-v')
    assert '         area 0x9000-0x97ff, 2 KiB\n' in out and 'more areas' not in out


def test_region_type(fake):
    fake.regions[9].type = (0x80001af4, 1)
    assert '  region 9   100 bytes  0x64           r-- 0x100    type 0x80001af4.0x1\n' in look(fake)


def test_nothing_there(fake):
    fake.regions, fake.irqs = [Region() for _ in range(7)] + [fake.regions[7]], []
    out = look(fake)
    assert '\nInterrupts\n  index  name       count  flags\n\nPCI\n' in out
    assert '  BAR0            memory, 32 bits at 0xfebf0000, no region\n' in out
    assert '  BAR4 ' not in out


def test_page_sizes(fake):
    fake.capabilities['pgsizes'] = 0x7ffffffffffff000
    assert '  page sizes      4 KiB, 8 KiB, 16 KiB, 32 KiB, ... (0x7ffffffffffff000)\n' in look(fake)


def test_foreign_text(fake):
    """Nothing that a terminal would act upon gets to it."""
    fake.more = ',"\x9b":1'
    assert '"\\xc2\\x9b":1}\n' in look(fake)
    assert '"\ufffd":1}' in json.loads(look(fake, '-j'))['version']['server_data']


def test_sample_is_whole():
    assert len(sample_config()) == 4096
