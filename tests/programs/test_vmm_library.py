# SPDX-License-Identifier: BSD-3-Clause
"""libvuc-vmm as those see it who link it: what it needs, what it exports, other languages."""

import ctypes
import os
import pathlib
import re
import shlex
import shutil

import pytest

import rig

SHARED = os.environ['VUC_VMM_SHARED']
INCLUDE = pathlib.Path(__file__).resolve().parents[2] / 'include'

PROGRAM = r'''
#include <errno.h>
#include <string.h>
#include <vuc/vmm.h>

int main(int argc, char **argv)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct vuc_error err;
	int rc;

	(void)argc;
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = argv[1];
	opts.device = "disk";
	rc = vuc_vmm_attach(&opts, &dev, &err);
	return rc == -ENOENT && dev == NULL && strstr(err.text, argv[1]) != NULL ? 0 : 1;
}
'''


class Options(ctypes.Structure):
    """struct vuc_vmm_attach_opts"""
    _fields_ = [('size', ctypes.c_size_t), ('socket', ctypes.c_char_p),
                ('device', ctypes.c_char_p), ('name', ctypes.c_char_p),
                ('timeout_ms', ctypes.c_uint32)]


def output_of(*command, **options):
    run = rig.Run(*command, **options)
    assert run.status == 0, run.err
    return run.out


def test_needs_libc_only():
    needed = re.findall(r'\(NEEDED\).*\[(.*)\]', output_of('readelf', '-dW', SHARED))
    # On some machines the thread pointer's support is in the dynamic linker.
    assert [n for n in needed if not n.startswith('ld-linux')] == ['libc.so.6']


def test_exports():
    """What the headers declare, as version VUC_VMM_1."""
    symbols = re.findall(r'^\S+ T (\w+)@@(\w+)$', output_of('nm', '-D', '--defined-only', SHARED),
                         re.MULTILINE)
    declared = set()
    for header in ('vmm.h', 'queue.h'):
        text = (INCLUDE / 'vuc' / header).read_text(encoding='utf-8')
        declared |= set(re.findall(r'\b(vuc_\w+)\s*\(', re.sub(r'/\*.*?\*/', '', text, flags=re.DOTALL)))
    assert {name for name, version in symbols if version == 'VUC_VMM_1'} == declared
    others = {version for _, version in symbols} - {'VUC_VMM_1'}
    assert all(version.startswith('VUC_PRIVATE_') for version in others)


@pytest.mark.parametrize('compiler,suffix,library', [
    (os.environ['VUC_TEST_CC'], '.c', SHARED),
    (os.environ['VUC_TEST_CC'], '.c', os.environ['VUC_VMM_STATIC']),
    (os.environ.get('CXX', 'c++'), '.cc', SHARED)], ids=['c', 'static', 'cxx'])
def test_program(folder, compiler, suffix, library):
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip(f'there is no {compiler}')
    source = pathlib.Path(folder, f'program{suffix}')
    source.write_text(PROGRAM, encoding='utf-8')
    output_of(*shlex.split(compiler), '-Wall', '-Wextra', '-Werror', f'-I{INCLUDE}', source, '-o',
              f'{folder}/program', library)
    output_of(f'{folder}/program', f'{folder}/none.sock',
              env={'LD_LIBRARY_PATH': os.path.dirname(SHARED)})


def test_another_language(folder):
    library = ctypes.CDLL(SHARED)
    options, device = Options(), ctypes.c_void_p(1)
    error = ctypes.create_string_buffer(256)
    library.vuc_vmm_attach_opts_init(
        ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    assert options.size == ctypes.sizeof(options) and options.timeout_ms == 65000
    options.socket = f'{folder}/none.sock'.encode()
    options.device = b'disk'
    rc = library.vuc_vmm_attach(ctypes.byref(options), ctypes.byref(device), error)
    assert rc == -2 and device.value is None
    assert error.value == (b'cannot connect to the daemon at ' + options.socket +
                           b': No such file or directory')
