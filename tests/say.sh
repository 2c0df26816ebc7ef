# What command-line tests say; sourced by tests/cli/*.sh.
failures=0
ok() { echo "ok - $1"; }
not_ok() { # WHAT [WHY]
    echo "not ok - $1"
    [ -n "${2:-}" ] && echo "#   $2"
    failures=$((failures + 1))
}
check() { # WHAT COMMAND...: the command succeeds
    what=$1
    shift
    if "$@" >"$TMP/said" 2>&1; then ok "$what"; else not_ok "$what" "$(tail -n 1 "$TMP/said")"; fi
}
