#!/bin/sh
# Installs what Nibble's build needs, and with --tests what its tests need too. Does nothing (and asks nobody) where all
# is there. On Debian and Ubuntu, as root or with sudo; elsewhere it prints the line to run.
#   scripts/install-deps.sh [--tests]
set -u

tests=no
[ "${1:-}" = --tests ] && tests=yes

modules="zlib libcjson libxxhash openblas libpcre2-8 libutf8proc"
debian="gcc make libc6-dev pkg-config zlib1g-dev libcjson-dev libxxhash-dev libopenblas-dev libpcre2-dev libutf8proc-dev"
fedora="gcc make pkgconf-pkg-config zlib-devel cjson-devel xxhash-devel openblas-devel pcre2-devel utf8proc-devel"
homebrew="pkg-config libomp zlib cjson xxhash openblas pcre2 utf8proc"
if [ $tests = yes ]; then
    modules="$modules cmocka"
    debian="$debian libcmocka-dev"
    fedora="$fedora libcmocka-devel"
    homebrew="$homebrew cmocka"
fi
# For the NEON kernels' tests on other CPUs: nice to have, not needed.
cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

have() { command -v "$1" >/dev/null 2>&1; }

needed_are_there() {
    { have cc || have gcc; } && have make && have pkg-config && pkg-config --exists $modules
}

cross_is_there() {
    [ $tests = no ] || [ "$(uname -m)" = aarch64 ] || { have aarch64-linux-gnu-gcc && have qemu-aarch64; }
}

say_how() {
    echo "Nibble needs packages that are not installed. Run one of these, then try again:"
    echo "  Debian, Ubuntu:  sudo apt-get install $debian"
    echo "  Fedora:          sudo dnf install $fedora"
    echo "  macOS:           brew install $homebrew"
}

if ! have apt-get; then
    needed_are_there && exit 0
    say_how
    exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
    have sudo && sudo -n true 2>/dev/null && as_root=sudo
    [ -z "$as_root" ] && [ -t 0 ] && have sudo && as_root=sudo # it may ask for the password
fi
may_install() { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }
apt_install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

updated=no
apt_update() {
    [ $updated = yes ] || $as_root apt-get update -q
    updated=yes
}

if ! needed_are_there; then
    if ! may_install; then
        say_how
        exit 1
    fi
    echo "installing: $debian"
    apt_update
    apt_install $debian || { say_how; exit 1; }
fi
if ! cross_is_there && may_install && [ -z "${NIBBLE_NO_CROSS:-}" ]; then
    echo "installing, for the tests of the NEON kernels: $cross"
    apt_update
    apt_install $cross || echo "they cannot be had here: the NEON tests will be skipped"
fi
needed_are_there || { say_how; exit 1; }
