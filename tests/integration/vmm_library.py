#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check libvuc-vmm as those see it who link it: what it needs, what it exports, other languages."""

import argparse
import ctypes
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

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


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def declared(include):
    """The functions of both headers."""
    names = set()
    for header in ('vmm.h', 'queue.h'):
        text = (include / 'vuc' / header).read_text(encoding='utf-8')
        text = re.sub(r'/\*.*?\*/', '', text, flags=re.DOTALL)
        names |= set(re.findall(r'\b(vuc_\w+)\s*\(', text))
    return names


def test_needs(args):
    needed = re.findall(r'\(NEEDED\).*\[(.*)\]', run('readelf', '-dW', args.shared))
    # On some machines the thread pointer's support is in the dynamic linker.
    assert [n for n in needed if not n.startswith('ld-linux')] == ['libc.so.6'], needed


def test_exports(args):
    symbols = re.findall(r'^\S+ T (\w+)@@(\w+)$',
                         run('nm', '-D', '--defined-only', args.shared), re.MULTILINE)
    public = {name for name, version in symbols if version == 'VUC_VMM_1'}
    assert public == declared(args.include), symbols
    others = {version for _, version in symbols} - {'VUC_VMM_1'}
    assert all(version.startswith('VUC_PRIVATE_') for version in others), symbols


def build_and_run(args, folder, compiler, suffix, libraries):
    source = folder / f'program{suffix}'
    source.write_text(PROGRAM, encoding='utf-8')
    run(*shlex.split(compiler), '-Wall', '-Wextra', '-Werror', f'-I{args.include}', str(source),
        '-o', str(folder / 'program'), *libraries)
    run(str(folder / 'program'), str(folder / 'none.sock'),
        env={**os.environ, 'LD_LIBRARY_PATH': str(args.shared.parent)})


def test_c(args):
    with tempfile.TemporaryDirectory() as folder:
        build_and_run(args, pathlib.Path(folder), args.cc, '.c', [str(args.shared)])


def test_c_static(args):
    with tempfile.TemporaryDirectory() as folder:
        build_and_run(args, pathlib.Path(folder), args.cc, '.c', [str(args.static)])


def test_cxx(args):
    compiler = os.environ.get('CXX', 'c++')
    if shutil.which(shlex.split(compiler)[0]) is None:
        return f'there is no {compiler}'
    with tempfile.TemporaryDirectory() as folder:
        build_and_run(args, pathlib.Path(folder), compiler, '.cc', [str(args.shared)])
    return None


def test_ffi(args):
    library = ctypes.CDLL(str(args.shared))
    options, device = Options(), ctypes.c_void_p(1)
    error = ctypes.create_string_buffer(256)
    library.vuc_vmm_attach_opts_init(
        ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    assert options.size == ctypes.sizeof(options) and options.timeout_ms == 65000
    with tempfile.TemporaryDirectory() as folder:
        options.socket = f'{folder}/none.sock'.encode()
        options.device = b'disk'
        rc = library.vuc_vmm_attach(ctypes.byref(options), ctypes.byref(device), error)
        assert rc == -2 and device.value is None, rc
        assert error.value == (b'cannot connect to the daemon at ' + options.socket +
                               b': No such file or directory'), error.value


TESTS = [
    ('needs libc only', test_needs),
    ('exports what the headers declare as version VUC_VMM_1', test_exports),
    ('a C program', test_c),
    ('a C program, linked statically', test_c_static),
    ('a C++ program', test_cxx),
    ('a program in another language', test_ffi),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--shared', required=True, type=pathlib.Path)
    parser.add_argument('--static', required=True, type=pathlib.Path)
    parser.add_argument('--include', required=True, type=pathlib.Path)
    parser.add_argument('--cc', required=True, help='the C compiler, with its arguments')
    args = parser.parse_args()
    failed = 0

    print(f'1..{len(TESTS)}')
    for number, (name, test) in enumerate(TESTS, 1):
        skip, problem = None, None
        try:
            skip = test(args)
        except (AssertionError, OSError) as e:
            problem = e
        except subprocess.CalledProcessError as e:
            problem = f'{e}: {e.stderr}'
        failed += problem is not None
        print(f'{"not " if problem else ""}ok {number} - libvuc-vmm: {name}' +
              (f' # SKIP {skip}' if skip else ''))
        for line in str(problem).splitlines() if problem else []:
            print(f'# {line}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
