#!/bin/sh
# Gets the face models and the sample portraits into ${DOORHUB_CACHE:-~/.cache/doorhub}.
#
#	deploy/models/fetch.sh [models] [portraits]
#
# Without an argument it gets both. What is there already and whole is left alone, so it
# may be run as often as one likes. Every hash is checked: the package's by pip before
# anything of it runs, each file's here before it is put in place. A wrong one is refused
# with both hashes shown, and nothing changes.
#
# Only the files listed in models.sha256 and portraits.sha256 are taken. The package also
# holds a 68-point landmark file, whose licence bars commercial use: it is never unpacked.
#
# Exit status: 0 all there, 1 something failed (it says what), 2 wrong usage.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${DOORHUB_CACHE:-$HOME/.cache/doorhub}

say() { printf '%s\n' "fetch: $*"; }
fail() {
	printf '%s\n' "fetch: $*" >&2
	exit 1
}
hash_of() { sha256sum "$1" | cut -d' ' -f1; }

# python_with_pip prints a Python whose pip can read an sdist with what is installed: a
# build environment of pip's own would be fetched without a hash, and run.
python_with_pip() {
	parts='import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ["pip", "setuptools", "wheel"])))'
	for python in ${PYTHON:-} /usr/bin/python3 python3; do
		if "$python" -c "$parts" 2>/dev/null; then
			printf '%s\n' "$python"
			return
		fi
	done
	fail "no Python with pip, setuptools and wheel: apt-get install python3-pip"
}

# whole FOLDER LIST: every file of the list is in the folder with its hash.
whole() {
	[ -d "$1" ] && (cd "$1" && sha256sum --check --status --strict "$2" 2>/dev/null)
}

# check FILE EXPECTED refuses a file with another hash.
check() {
	found=$(hash_of "$1")
	[ "$found" = "$2" ] ||
		fail "$(basename "$1") refused, its sha256 is wrong
  expected $2
  found    $found"
}

# get WHAT MEMBERS SIZE: WHAT names the lists, MEMBERS is the folder inside the package.
get() {
	target=$cache/$1 list=$here/$1.sha256
	if whole "$target" "$list"; then
		say "$1: already in $target, hashes right"
		return
	fi
	python=$(python_with_pip)
	mkdir -p "$target"
	work=$(mktemp -d "$cache/.fetch.XXXXXX")
	say "$1: downloading $3"
	"$python" -m pip --disable-pip-version-check download --no-deps --no-binary :all: \
		--no-build-isolation --require-hashes -r "$here/$1.txt" -d "$work" ||
		fail "$1: pip could not get the package of $here/$1.txt; see above"
	say "$1: unpacking and checking"
	while read -r sum name; do
		tar --no-same-owner -xzf "$work"/*.tar.gz -C "$work" --strip-components=1 --wildcards --no-anchored "*/$2/$name" ||
			fail "$1: $name is not in the package"
		check "$work/$2/$name" "$sum"
	done <"$list"
	while read -r sum name; do
		chmod 0644 "$work/$2/$name"
		mv -f "$work/$2/$name" "$target/$name"
		say "$1: $name"
	done <"$list"
	rm -rf "$work"
	work=
	say "$1: now in $target"
}

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

[ $# -gt 0 ] || set -- models portraits
for what in "$@"; do
	case $what in
	models) get models face_recognition_models/models "the face models, 100 MB" ;;
	portraits) get portraits tests/test_images "the sample portraits, 3 MB" ;;
	*)
		say "unknown: $what; use models, portraits, or nothing for both" >&2
		exit 2
		;;
	esac
done
