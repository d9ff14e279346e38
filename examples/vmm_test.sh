#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Usage: vmm_test.sh VUC_REFDEV VUCD EXPECTED EXAMPLE [FOREIGN]
# Runs a VMM's example against vucd with a reference device, in a private folder, for each way of
# DMA. It has to end well and print a line that contains EXPECTED, and to say in one line when there
# is no daemon and no such device. FOREIGN is the example for another device than the reference device,
# which it has to say in one line.

set -u
refdev=$1
vucd=$2
expected=$3
example=$4
foreign=${5-}

. "${0%/*}/tap.sh"

refdev_pid=
vucd_pid=

clean_up() {
	[ -z "$vucd_pid" ] || kill "$vucd_pid"
	[ -z "$refdev_pid" ] || kill "$refdev_pid"
	wait
	rm -rf "$dir"
}

# The server writes a line when it can be connected to; when it dies before, the file just ends.
start_refdev() {
	mkfifo "$dir/ready" || return
	"$refdev" --ready-fd=3 "$dir/dev.sock" "$dir/other.sock" 3>"$dir/ready" >"$dir/refdev.out" 2>"$dir/refdev.err" &
	refdev_pid=$!
	read -r _ <"$dir/ready"
}

write_config() {
	cat >"$dir/vucd.conf" <<-END
		[vucd]
		directory = $dir/run
		[poller io0]
		cpu = none
		idle = sleep
		[device shared]
		socket = $dir/dev.sock
		[device message]
		socket = $dir/other.sock
		dma = message
	END
}

start_vucd() {
	"$vucd" --config "$dir/vucd.conf" >"$dir/vucd.out" 2>"$dir/vucd.err" &
	vucd_pid=$!
	until [ -S "$dir/run/vmm.sock" ]; do
		kill -0 "$vucd_pid" || return
		sleep 0.05
	done
}

stop() {
	kill "$1" && wait "$1"
}

# The daemon connects to its devices when it likes.
attached() {
	for _ in $(seq 100); do
		status_is 0 "$example" "$dir/run/vmm.sock" "$1" && return
		grep -q "is away" "$dir/example.err" || return
		sleep 0.05
	done
	return 1
}

says() {
	grep -qF "$1" "$dir/example.out"
}

check "usage" status_is 2 "$example"
check "no daemon" status_is 1 "$example" "$dir/run/vmm.sock" shared
check "no daemon: one line says so" one_line "$dir/example.err"
check "configuration" write_config
check "server" start_refdev
check "daemon" start_vucd
check "no such device" status_is 1 "$example" "$dir/run/vmm.sock" nothing
check "no such device: one line says so" one_line "$dir/example.err"
for way in shared message; do
	check "$way: runs" attached "$way"
	check "$way: says \"$expected\"" says "$expected"
done
if [ -n "$foreign" ]; then
	check "a device of another kind" status_is 1 "$foreign" "$dir/run/vmm.sock" shared
	check "a device of another kind: one line says so" one_line "$dir/example.err"
	check "a device of another kind: it is named" grep -qF "shared: the device is not a vuc-refdev" "$dir/example.err"
fi
check "the daemon ends well" stop "$vucd_pid"
vucd_pid=
check "the server is well" stop "$refdev_pid"
refdev_pid=
echo "1..$n"
exit $failed
