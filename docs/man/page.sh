#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# page.sh SCDOC: makes a man page out of stdin. Its first line says that it has tables, so that man runs
# tbl: scdoc does not write that.

printf '%s\n' "'\\\" t"
exec "$1"
