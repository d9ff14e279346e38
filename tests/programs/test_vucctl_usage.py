# SPDX-License-Identifier: BSD-3-Clause
"""vucctl's command line, and servers that do not let it open a device."""

import errno
import os
import re
import socket

import pytest

import rig

COMMANDS = ['probe', 'read', 'write', 'reset', 'irq', 'irq wait', 'irq mask', 'irq unmask',
            'irq trigger', 'dma-selftest', 'migrate', 'migrate save', 'migrate load', 'status',
            'devices', 'stats', 'add', 'remove', 'detach', 'capture', 'reload']

# What is typed, and what the error says.
USAGE = '''
                                    | no command given
prove                               | unknown command 'prove'
--prove                             | '--prove'
-p                                  | p'
--version=1                         | argument
probe                               | no socket given
probe a b                           | unexpected argument 'b'
probe --frob a                      | '--frob'
probe --json -qv a                  | q'
probe --json=1 a                    | argument
probe --json --lspci a              | mutually exclusive
probe a --timeout                   | requires an argument
probe --timeout=0 a                 | timeout '0'
probe --timeout=-1 a                | timeout '-1'
probe --timeout=1s a                | timeout '1s'
probe --timeout= a                  | timeout ''
probe --timeout=4294967296 a        | timeout '4294967296'
probe --timeout=99999999999999999999 a | timeout '99999999999999999999'
probe --transport=loopback a        | transport 'loopback'
read                                | no socket given
read S                              | no region given
read S bar0                         | no offset given
read S bar0 0                       | no size given
read S bar0 0 4 5                   | unexpected argument '5'
read S bar6 0 4                     | region 'bar6'
read S bar 0 4                      | region 'bar'
read S bar00 0 4                    | region 'bar00'
read S 4294967296 0 4               | region '4294967296'
read S bar0 x 4                     | offset 'x'
read S bar0 0 0                     | size '0'
read -c0 S bar0 0 4                 | count '0'
read -jr S bar0 0 4                 | mutually exclusive
read --trace=1 S bar0 0 4           | argument
write S bar0 0 4                    | no value given
write S bar0 0 9 1                  | size '9'
write S bar0 0 1 256                | value '256'
write -d0 S bar0 0                  | data '0'
write -d0g S bar0 0                 | data '0g'
write -d010 S bar0 0                | data '010'
write -d01: S bar0 0                | data '01:'
write -d:01 S bar0 0                | data ':01'
write -d01::02 S bar0 0             | data '01::02'
write -d0x01 S bar0 0               | data '0x01'
write -d00 S bar0 0 1               | unexpected argument '1'
write -d00 -f/dev/null S bar0 0     | mutually exclusive
reset S x                           | unexpected argument 'x'
dma-selftest --size=0 S             | size '0'
dma-selftest --size=4294967297 S    | size '4294967297'
dma-selftest --policy=none S        | policy 'none'
irq                                 | no command given
irq frob                            | unknown command 'frob'
irq --frob                          | '--frob'
irq wait                            | no socket given
irq wait -v3-2 S                    | vector '3-2'
irq wait -v5- S                     | vector '5-'
irq wait -v5--6 S                   | vector '5--6'
irq wait -v1-2-3 S                  | vector '1-2-3'
irq wait -v1,2 S                    | vector '1,2'
irq wait -v4294967295 S             | vector '4294967295'
irq wait -ifoo S                    | index 'foo'
irq wait -w0 S                      | wait '0'
irq wait -cx S                      | count 'x'
irq mask --count=1 S                | '--count=1'
migrate                             | no command given
migrate copy                        | unknown command 'copy'
migrate save S                      | no file given
migrate save S f g                  | unexpected argument 'g'
migrate save -j S -                 | mutually exclusive
migrate save -c0 S f                | chunk '0'
migrate load -p S f                 | p'
status x                            | unexpected argument 'x'
status --frob                       | '--frob'
status --timeout=0                  | timeout '0'
status -m                           | requires an argument
devices x                           | unexpected argument 'x'
stats --interval=1                  | require --watch
stats --count=1                     | require --watch
stats -w -i0.099                    | interval '0.099'
stats -w -i0                        | interval '0'
stats -w -i3601                     | interval '3601'
stats -w -i.5                       | interval '.5'
stats -w -i1.                       | interval '1.'
stats -w -i1.0001                   | interval '1.0001'
stats -w -i-1                       | interval '-1'
stats -w -i0x1                      | interval '0x1'
stats -w -i1s                       | interval '1s'
stats -w -inan                      | interval 'nan'
stats -w -i18446744073709551617     | interval '18446744073709551617'
stats -w -cx                        | count 'x'
stats a b                           | unexpected argument 'b'
add                                 | no name given
add a                               | no socket given
add a b c                           | unexpected argument 'c'
add -d no a /s                      | dma 'no'
add --posted-writes=1 a /s          | posted-writes '1'
add --reset=off a /s                | reset 'off'
add --io-fds=1 a /s                 | io-fds '1'
add --max-dma-maps=0 a /s           | max-dma-maps '0' is not a number from 1 to 65535
add --retry-min=0 a /s              | retry-min '0' is not a number from 1 to 3600000
add --retry-max=3600001 a /s        | retry-max '3600001' is not a number from 1 to 3600000
add --outage=on a /s                | outage 'on'
add --after-hold=off a /s           | after-hold 'off'
add --keep-bar0=1 a /s              | keep-bar0 '1'
add --reply=0 a /s                  | reply '0' is not a number from 1 to 3600000
add --map=off a /s                  | map 'off'
add --recover=on a /s               | recover 'on'
add --fence=1 a /s                  | fence '1'
add --hold=0 a /s                   | hold '0' is not a number from 1 to 3600000
add --server-timeout=x a /s         | server-timeout 'x'
add --server-long-timeout=x a /s    | server-long-timeout 'x'
remove                              | no device given
remove a b                          | unexpected argument 'b'
detach                              | no device given
reload x                            | unexpected argument 'x'
capture -w c                        | no device given
capture a                           | no file given
capture -j -w - a                   | --json requires a file
capture -w c -s 15 a                | snaplen '15' is not a number from 16 to 262132
capture -w c -s 262133 a            | snaplen '262133' is not a number from 16 to 262132
capture -w c -c x a                 | count 'x'
probe --capture=- S                 | --capture requires a file
'''
ROWS = [row.rsplit(' | ', 1) for row in USAGE.strip('\n').split('\n')]


@pytest.mark.parametrize('line,text', ROWS)
def test_usage(line, text):
    run = rig.vucctl(*line.split(), status=2)
    assert run.out == ''
    assert text in run.err
    assert "--help'" in run.err


@pytest.mark.parametrize('args,text', [
    (['probe', ''], 'no socket given'), (['probe', 'a', 'b\nc'], "unexpected argument 'b?c'"),
    (['probe', '--timeout= 1', 'a'], "timeout ' 1'"),
    (['--\x1b[1m'], "unrecognized option '--?[1m'"), (['-\x01'], "invalid option -- '?'"),
    (['probe', '-T\x01'], "invalid option -- '?'"), (['probe', '--x\ny=\x01', 'a'], "'--x?y=?'"),
    (['status', '--jso\x01'], "'--jso?'"),
    (['probe', '-t\x01', 'a'], "timeout '?'"),
    (['status', '-m', ''], "socket path ''"),
    (['status', '-m', 'x' * 200], "must have 1 to 107 bytes")])
def test_usage_of_odd_arguments(args, text):
    assert text in rig.vucctl(*args, status=2).err


@pytest.mark.parametrize('command', COMMANDS)
def test_help(command):
    """Each command describes itself, whatever else is on its command line."""
    run = rig.vucctl(*command.split(), '--help', '--frob')
    assert run.out.startswith(f'Usage: vucctl {command} [')
    assert ' \n' not in run.out
    assert rig.vucctl(*command.split(), '-h').out == run.out


def test_help_of_all():
    out = rig.vucctl('--help').out
    assert [name for name in COMMANDS if ' ' not in name and f'\n  {name} ' not in out] == []


@pytest.mark.parametrize('program', ['VUCCTL', 'VUCD', 'VUC_REFDEV', 'VUC_BENCH'])
def test_help_width(program):
    """glibc's argp would never end on margins as narrow as $ARGP_HELP_FMT may have them."""
    outs = {rig.Run(os.environ[program], '--help', env={'ARGP_HELP_FMT': f'rmargin={width}'}).out
            for width in (0, 1, 20, 79)}
    assert len(outs) == 1 and outs.pop().startswith('Usage: ')


@pytest.mark.parametrize('option', ['--version', '-V'])
def test_version(option):
    assert re.fullmatch(r'vucctl \d+\.\d+\.\d+\n', rig.vucctl(option).out)


# ---- sockets and servers ----

def probe_fails(path, text):
    run = rig.vucctl('probe', '--timeout=2000', path, status=1)
    assert run.out == ''
    assert text in run.err


def test_sockets(folder):
    path = f'{folder}/s'
    probe_fails(path, os.strerror(errno.ENOENT))
    with open(path, 'wb'):
        probe_fails(path, path)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        probe_fails(path, os.strerror(errno.ECONNREFUSED))  # nobody listens
        listener.listen()
        probe_fails(path, 'within 2000 ms; another client may be connected')
    probe_fails(folder, folder)
    probe_fails('x' * 108, 'at most 107')


@pytest.mark.parametrize('fault,text', [
    ('close-on-accept', 'closed the connection'), ('close@version', 'closed the connection'),
    ('close@region_read', 'closed the connection'), ('truncate=20', 'closed the connection'),
    ('never', 'within 2000 ms; another client may be connected'), ('wrong-version', 'major'),
    ('wrong-version=minor', 'minor'), ('wrong-id', 'message id'), ('wrong-size=8', 'msg_size 8'),
    ('wrong-size=1000000', 'msg_size 1000000'), ('wrong-type', 'command'), ('wrong-cmd', 'reply'),
    ('extra-fds=2', 'file descriptors'), ('bad-json={', 'JSON'),
    ('bad-json={"capabilities":{"max_msg_fds":-1}}', 'max_msg_fds'), ('cap-loop', 'region'),
    ('argsz=1000000', 'argsz 1000000'), ('error=5@device_get_info', 'error 5')])
def test_servers(refdev, fault, text):
    # The descriptor of a twin socket would come without the words that go with it.
    twin = ['--no-twin-socket'] if fault.startswith('bad-json') else []
    probe_fails(refdev(f'--fault={fault}', *twin).socket, text)


def test_warning(refdev):
    """A server that is wrong in what other clients do not look at works, with one warning."""
    device = refdev('--fault=argsz=8')
    assert rig.vucctl('probe', device.socket).err == \
        f'vucctl: {device.socket}: VFIO_USER_DEVICE_GET_INFO: argsz 8, expected at least 16\n'


@pytest.mark.parametrize('fault,option,text', [
    ('error=13@region_read', [],
     'Config space, 0 of 4096 bytes\n  unreadable from 0x0 on: '),
    ('error=13@region_read', [], '\n      2  MSI-X          8  '),
    ('never@region_read', [], 'within 2000 ms'),
    ('error=13@region_read', ['--json'], '"pci": null'),
    # A server that does not take a read of all of config space, but of its registers.
    ('error=22@region_read#1', ['-v'], 'Config space, 4096 of 4096 bytes\n  00:'),
    ('error=22@region_read#1', ['-v'], 'Device serial number: ')])
def test_config_unreadable(refdev, fault, option, text):
    run = rig.vucctl('probe', '--timeout=2000', refdev(f'--fault={fault}').socket, *option)
    assert ('no answer to a read of the BARs in config space' in run.err) == ('never' in fault)
    assert run.err.count('\n') == ('never' in fault)
    assert text in run.out


def test_lspci_unreadable(refdev):
    run = rig.vucctl('probe', '-l', refdev('--fault=error=13@region_read').socket, status=1)
    assert 'cannot read config space' in run.err
    assert run.out == ''
