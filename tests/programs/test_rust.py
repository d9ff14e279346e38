# SPDX-License-Identifier: BSD-3-Clause
"""bindings/rust: the crate's own tests, each kind of them."""

import os
import pathlib
import re
import shutil

import pytest

import rig

CRATE = pathlib.Path(__file__).resolve().parents[2] / 'bindings' / 'rust' / 'vuc-vmm'


@pytest.fixture(name='target', scope='module')
def fixture_target(tmp_path_factory):
    """Where cargo puts what it builds."""
    if shutil.which('cargo') is None:
        pytest.skip('there is no cargo')
    return tmp_path_factory.mktemp('target')


@pytest.mark.parametrize('kind', [['--lib'], ['--test', 'device'], ['--doc']], ids=' '.join)
def test_crate(target, kind):
    run = rig.Run('cargo', 'test', '--offline', '--locked', '--manifest-path', CRATE / 'Cargo.toml',
                  '--target-dir', target, *kind,
                  env={'VUC_VMM_LIB_DIR': os.path.dirname(os.environ['VUC_VMM_SHARED'])})
    assert run.status == 0, run.out + run.err
    assert re.search(r'test result: ok\. [1-9]\d* passed; 0 failed; 0 ignored', run.out), run.out
    assert 'warning' not in run.err, run.err
