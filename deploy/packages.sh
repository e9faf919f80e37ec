#!/usr/bin/env bash
# Installs the Debian packages that doorhub is built and runs with: only those that are
# missing, so that a second run needs neither root nor a network.
#
#   deploy/packages.sh        what a build and a running doorhub need
#   deploy/packages.sh test   those, and the programs of others that the tests talk to
set -euo pipefail

# ca-certificates: pip and go fetch over TLS; a minimal Debian may lack it.
build=(ca-certificates g++ python3-pip libopencv-dev libdlib-dev libopenblas-dev
	liblapack-dev libjpeg-dev pkg-config)
# mosquitto: brokers and clients that are not ours; jinja2: what Home Assistant renders with.
peers=(mosquitto mosquitto-clients python3-jinja2)

say() { printf 'packages: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

# missing prints those of its arguments that dpkg does not list as installed.
missing() {
	local package
	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			printf '%s\n' "$package"
	done
}

# as_root runs its arguments as root: directly, or by sudo, which asks for no password when
# nobody is there to type one.
sudo=(sudo)
[ -t 0 ] || sudo+=(-n)
[ "$(id -u)" -ne 0 ] || sudo=()
as_root() { "${sudo[@]}" "$@"; }

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Use-Pty=0 "$@" </dev/null
}

# progress turns apt's hundreds of lines into a dozen.
progress() {
	awk '/ newly installed,/ { total = $3 }
		/^Need to get / { print "  " $0; fflush() }
		/^Get:/ && ++got % 50 == 0 { print "  fetched " got " of " total; fflush() }
		/^Unpacking / && ++unpacked % 50 == 0 { print "  unpacked " unpacked " of " total; fflush() }
		/^Setting up / && (++set % 50 == 0 || set == total) { print "  set up " set " of " total; fflush() }'
}

install_packages() {
	if ! apt install -y --no-install-recommends "$@" 2>&1 | tee "$log" | progress; then
		tail -n 25 "$log" >&2
		die "apt-get could not install: $*. Its last lines are above; set it right and run make again."
	fi
}

# install_peers installs the tests' broker without starting it now or at boot: it would sit
# on port 1883, where doorhub's own bus listens. A broker that was there before is left alone.
install_peers() {
	local policy=/usr/sbin/policy-rc.d ours=no
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
		ours=yes
	fi
	trap "[ $ours = no ] || as_root rm -f $policy; rm -f '$log'" EXIT
	install_packages "$@"
	case " $* " in *' mosquitto '*)
		if command -v systemctl >/dev/null; then as_root systemctl -q disable mosquitto.service || true; fi
		say "mosquitto is for the tests only: installed, not started, not enabled at boot" ;;
	esac
}

wanted=("${build[@]}")
[ "${1:-}" != test ] || wanted+=("${peers[@]}")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	die "this system has no apt. Install what these Debian packages hold: ${wanted[*]}
(OpenCV has to be 4.6 or a close relative), then say so: make PACKAGES=skip ..."
fi

mapfile -t lacking < <(missing "${wanted[@]}")
if [ ${#lacking[@]} -eq 0 ]; then
	exit 0
fi

say "to install: ${lacking[*]}"
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null ||
		die "this needs root, and there is no sudo. As root: apt-get install --no-install-recommends ${lacking[*]}"
	say "this needs root: using sudo"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "reading the package lists"
if ! apt update >"$log" 2>&1; then
	tail -n 10 "$log" >&2
	say "apt-get update failed (above); going on with the lists that are there" >&2
fi

mapfile -t now < <(missing "${build[@]}")
if [ ${#now[@]} -gt 0 ]; then
	say "installing (400 MB to fetch, 1.6 GB unpacked; usually 1 to 5 minutes)"
	install_packages "${now[@]}"
fi
if [ "${1:-}" = test ]; then
	mapfile -t now < <(missing "${peers[@]}")
	[ ${#now[@]} -eq 0 ] || install_peers "${now[@]}"
fi
say "done"
