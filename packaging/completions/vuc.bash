# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for the programs of vuc. bash-completion finds it by the name of each program; without
# that, read it from ~/.bashrc. In zsh it works behind "autoload -U bashcompinit && bashcompinit".
#
# A command is written here as it is typed, like "vucctl irq wait". The tests hold the lists against
# what --help says.

# The commands of a command.
_vuc_commands() {
	case $1 in
	"vuc-bench") echo mmio dma dma-message hop scale transports idle hung outage front guest all ;;
	"vucctl")
		echo probe read write reset irq dma-selftest migrate status devices stats metrics \
			add remove detach capture reload
		;;
	"vucctl irq") echo wait mask unmask trigger ;;
	"vucctl migrate") echo save load ;;
	esac
}

# The options of a command: all names of one with commas between, the long one last, and a = behind
# it when it takes a value.
_vuc_options() {
	local common="-h,--help --usage -V,--version"
	local bench="$common --rounds= --cpus= --json= --plot= --html= --label="
	local device="$common --transport= -t,--timeout= -T,--trace --capture="
	local vectors="-i,--index= -v,--vector="
	local migrate="-r,--run -n,--no-run -c,--chunk= -j,--json"
	local daemon="$common -m,--management= -t,--timeout= -j,--json"

	case $1 in
	"vuc-bench") echo "$common" ;;
	"vuc-bench mmio")
		echo "$bench" --socket= --transport= --path= --op= --burst= --compare= --ops= --region= --offset= \
			--size= --floor=
		;;
	"vuc-bench dma") echo "$bench" --socket= --transport= --path= --maps= --layout= ;;
	"vuc-bench dma-message") echo "$bench" --transport= --path= --op= --size= --depth= --transfers= ;;
	"vuc-bench hop") echo "$bench" --path= --op= --depth= --size= --ops= --spin= --floor= ;;
	"vuc-bench scale") echo "$bench" --transport= --path= --devices= --ops= ;;
	"vuc-bench idle") echo "$bench" --socket= --transport= --path= --seconds= --accesses= ;;
	"vuc-bench hung") echo "$bench" --hung= --timeout-ms= ;;
	"vuc-bench outage") echo "$bench" --retry-ms= ;;
	"vuc-bench front") echo "$bench" --ops= --idle= ;;
	"vuc-bench guest") echo "$bench" --ops= ;;
	"vuc-bench all" | "vuc-bench transports") echo "$bench" ;;
	"vuc-refdev")
		echo --socket-path= --fd= --mode= --cpu= --once --ready-fd= --max-data-xfer-size= \
			--max-msg-fds= --max-dma-maps= --pgsizes= --minor= --no-twin-socket \
			--no-write-multi --no-migration --no-dirty-log --no-io-fds --device= --bar-file= \
			--pretend= --fault= --verbose -h,--help --usage -V,--version
		;;
	"vuc-exporter") echo -l,--listen= -m,--management= -t,--timeout= "$common" ;;
	"vuc-vmm")
		echo -s,--socket= -d,--device= -g,--guest= -r,--rounds= -t,--timeout= -w,--wait= -j,--json \
			-h,--help --usage -V,--version
		;;
	"vucctl" | "vucctl irq" | "vucctl migrate") echo "$common" ;;
	"vucctl probe") echo "$device" -j,--json -l,--lspci -n,--numeric -v,-x,--verbose ;;
	"vucctl read") echo "$device" -c,--count= -j,--json -r,--raw ;;
	"vucctl write") echo "$device" -d,--data= -f,--file= -p,--posted ;;
	"vucctl reset") echo "$device" ;;
	"vucctl irq wait") echo "$device" "$vectors" -c,--count= -w,--wait= -g,--trigger -j,--json ;;
	"vucctl irq "*) echo "$device" "$vectors" ;;
	"vucctl dma-selftest") echo "$device" -s,--size= -p,--policy= -j,--json ;;
	"vucctl migrate save") echo "$device" "$migrate" -p,--precopy ;;
	"vucctl migrate load") echo "$device" "$migrate" ;;
	"vucctl status" | "vucctl devices" | "vucctl detach" | "vucctl reload") echo "$daemon" ;;
	"vucctl stats") echo "$daemon" -w,--watch -i,--interval= -c,--count= ;;
	"vucctl metrics") echo "$daemon" -o,--output= -O,--openmetrics ;;
	"vucctl add")
		echo "$daemon" -p,--poller= -d,--dma= --posted-writes= --reset= --io-fds= \
			--max-dma-maps= --server-timeout= --server-long-timeout= --retry-min= --retry-max= \
			--outage= --hold= --after-hold= --fence= --release= --map= \
			--keep-bar0= --recover= --export= --export-mode= --export-group= --reply= \
			-u,--users= -g,--groups=
		;;
	"vucctl capture") echo "$daemon" -w,--write= -c,--count= -s,--snaplen= ;;
	"vucctl remove") echo "$daemon" -f,--force ;;
	"vucd") echo -c,--config= --check --help-config -h,--help --usage -V,--version ;;
	esac
}

# The values of an option of a command, or FILE. Those that end in = go on behind it.
_vuc_values() {
	case "$1 $2" in
	"vuc-bench "*" --json" | "vuc-bench "*" --plot" | "vuc-bench "*" --html" | "vuc-bench "*" --socket") echo FILE ;;
	"vuc-bench dma --layout") echo adjacent apart ;;
	"vuc-bench dma-message --op") echo read write ;;
	"vuc-bench front --idle") echo spin yield sleep ;;
	"vuc-bench hop --floor") echo echo ring poller ;;
	"vuc-bench mmio --floor") echo own shared ;;
	"vuc-bench mmio --compare") echo blocking handover blocking,handover ;;
	"vuc-bench dma-message --path") echo inline poller ;;
	"vuc-bench hop --path" | "vuc-bench idle --path") echo poller shm ;;
	"vuc-bench "*" --path") echo inline poller shm ;;
	"vuc-bench mmio --transport" | "vuc-bench scale --transport") echo uring posix loopback ;;
	"vuc-bench "*" --op") echo read write posted ;;
	"vuc-bench hop --size" | "vuc-bench mmio --size") echo 1 2 4 8 ;;
	"vuc-refdev --fault")
		echo argsz= bad-json= cap-loop close close-on-accept delay= drop duplicate error= \
			extra-fds= fd-index= length= never reorder= split truncate= wrong-cmd wrong-count \
			wrong-id wrong-size= wrong-type wrong-version
		;;
	"vuc-refdev --mode") echo block poll ;;
	"vuc-refdev --pretend") echo reset unmap-all ;;
	"vuc-refdev --bar-file" | "vuc-refdev --socket-path") echo FILE ;;
	"vuc-vmm --device") _vuc_devices ;;
	"vuc-vmm --guest") echo drive torment recover ;;
	"vuc-exporter --management" | "vuc-vmm --socket" | "vucd --config" | "vucctl metrics --output") echo FILE ;;
	"vucctl "*" --capture" | "vucctl "*" --management") echo FILE ;;
	"vucctl add --dma" | "vucctl dma-selftest --policy") echo shared message ;;
	"vucctl add --posted-writes") echo on off auto ;;
	"vucctl add --reset") echo on trust never ;;
	"vucctl add --io-fds" | "vucctl add --fence" | "vucctl add --keep-bar0") echo on off ;;
	"vucctl add --map") echo direct none ;;
	"vucctl add --recover") echo nvme none ;;
	"vucctl add --export") echo FILE ;;
	"vucctl add --outage") echo fail hold ;;
	"vucctl add --after-hold") echo hold last ones error auto ;;
	"vucctl irq "*" --index") echo intx msi msix err req ;;
	"vucctl capture --write" | "vucctl write --file") echo FILE ;;
	*" --transport") echo uring posix ;;
	esac
}

# The devices of the daemon, if there is one where it is by default and it answers at once.
_vuc_devices() {
	vucctl devices --timeout=200 2>/dev/null | sed -n '1d; /^$/q; s/ .*//p'
}

# The values of the argument of a command that has so many arguments before it, or FILE.
_vuc_arguments() {
	case "$1 $2" in
	"vuc-refdev "*) echo FILE ;;
	"vucctl read 1" | "vucctl write 1") echo bar0 bar1 bar2 bar3 bar4 bar5 rom config vga ;;
	"vucctl migrate "*" 1" | "vucctl add 1") echo FILE ;;
	"vucctl stats 0" | "vucctl remove 0" | "vucctl detach 0" | "vucctl capture 0") _vuc_devices ;;
	"vucctl status 0" | "vucctl devices 0" | "vucctl add 0" | "vucctl reload 0" | "vucctl metrics 0") ;;
	"vucctl "*" 0") echo FILE ;;
	esac
}

# Set line to the words up to the cursor, put together again where = : or @ broke them.
_vuc_join_words() {
	local i word glue=

	line=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $i -gt 0 && ($glue || $word =~ ^[=:@]+$) ]]; then
			line[${#line[@]} - 1]+=$word
		else
			line+=("$word")
		fi
		glue=
		[[ $word =~ ^[=:@]+$ ]] && glue=yes
	done
}

# Set pending to the long name of an option whose value is the word behind it.
_vuc_look_at_option() {
	local option

	for option in $(_vuc_options "$command"); do
		if [[ $option == *= && ",${option%=}," == *",$1,"* ]]; then
			option=${option%=}
			pending=${option##*,}
		fi
	done
}

# Set command, the number of its arguments, and pending, by the words before the cursor.
_vuc_parse() {
	local word

	command=${line[0]##*/}
	nr_arguments=0
	pending=
	for word in "${line[@]:1:${#line[@]}-2}"; do
		if [[ $pending ]]; then
			pending=
		elif [[ $word == -?* ]]; then
			_vuc_look_at_option "$word"
		elif [[ " $(_vuc_commands "$command") " == *" $word "* ]]; then
			command+=" $word"
		else
			nr_arguments=$((nr_arguments + 1))
		fi
	done
}

# Offer files.
_vuc_offer_files() {
	# shellcheck disable=SC2207 # for shells whose completion is not readline's
	compopt -o default 2>/dev/null || COMPREPLY=($(compgen -f -- "$cur"))
}

# Offer those of some words that go on from what was typed, each with a prefix; files for FILE.
_vuc_offer() {
	local prefix=$1
	shift

	if [[ $* == FILE ]]; then
		_vuc_offer_files
	elif [[ $cur != *[=:@]* ]]; then
		# shellcheck disable=SC2207 # plain words
		COMPREPLY=($(compgen -P "$prefix" -W "$*" -- "$cur"))
		[[ ${COMPREPLY[*]} == *[!\ ]= ]] && compopt -o nospace 2>/dev/null
	fi
}

_vuc_offer_options() {
	local option names=()

	for option in $(_vuc_options "$command"); do
		option=${option##*,}
		names+=("${option%=}")
	done
	_vuc_offer "" "${names[@]}"
}

# Offer the values of $pending, which is in the word at the cursor unless that is a word of its own.
_vuc_offer_values() {
	local prefix=""

	if [[ $cur == "$pending="* ]]; then
		cur=${cur#*=}
		# bash replaces what is behind its last break only.
		[[ ${COMP_WORDS[COMP_CWORD]} == "$pending="* ]] && prefix=$pending=
	fi
	_vuc_offer "$prefix" "$(_vuc_values "$command" "$pending")"
}

_vuc() {
	local line command pending nr_arguments cur subcommands

	COMPREPLY=()
	_vuc_join_words
	_vuc_parse
	cur=${line[${#line[@]} - 1]}
	subcommands=$(_vuc_commands "$command")
	[[ $subcommands && $nr_arguments -gt 0 ]] && return # behind a command that there is not
	[[ -z $pending && $cur == --*=* ]] && pending=${cur%%=*}
	if [[ $pending ]]; then
		_vuc_offer_values
	elif [[ $cur == -* ]]; then
		_vuc_offer_options
	elif [[ $subcommands ]]; then
		_vuc_offer "" "$subcommands"
	else
		_vuc_offer "" "$(_vuc_arguments "$command" "$nr_arguments")"
	fi
	return 0
}

complete -F _vuc vuc-bench vuc-exporter vuc-refdev vuc-vmm vucctl vucd
