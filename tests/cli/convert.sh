#!/bin/sh
# convert, info and verify on whole models; what is left when convert is killed or the disk is full.
set -u
failed=0
tiny="$PROGRAMS/make_tiny"
model="$TMP/model"

# check WHAT COMMAND...: it succeeds.
check() {
    what=$1
    shift
    if "$@"; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        failed=1
    fi
}

. tests/settle.sh
says() { text=$1; shift; "$@" >"$TMP/said" 2>&1; grep -qF -- "$text" "$TMP/said" || { cat "$TMP/said"; false; }; }
usage() { "$NIBBLE" "$@" >"$TMP/said" 2>&1; [ $? = 2 ] && [ "$(wc -l <"$TMP/said")" = 1 ]; }

"$tiny" "$model" shards=2 bias=1
check "convert says what it wrote" says "$TMP/a.nib: " "$NIBBLE" convert "$model" -o "$TMP/a.nib"
check "verify finds nothing wrong" says "ok, 34 tensors" "$NIBBLE" verify "$TMP/a.nib"
check "verify takes a directory" says "its structure was checked" "$NIBBLE" verify "$model"
check "the output is named after the model" sh -c 'cd "$TMP" && "$NIBBLE" convert model >/dev/null && cmp model.nib a.nib'
"$NIBBLE" convert "$model" --dtype bf16 -o "$TMP/b.nib" >/dev/null
check "--dtype halves it" says "16.0000 bits per weight" "$NIBBLE" info "$TMP/b.nib"
check "info shows the recipe" says "step convert, program nibble" "$NIBBLE" info "$TMP/b.nib"
check "info shows the sources" says "model-00002-of-00002.safetensors" "$NIBBLE" info "$TMP/b.nib"
check "info --tensors lists them" says "blk.1.ffn_up.bias" "$NIBBLE" info --tensors "$TMP/b.nib"
check "info --json is one object" says '"bits_per_weight":	16' "$NIBBLE" info "$TMP/b.nib" --json -
check "no MODEL is wrong usage" usage convert
check "two MODELs are wrong usage" usage convert "$model" "$model"
check "another dtype is wrong usage" usage convert "$model" --dtype q4_0

# Only the named outputs may be in the directory after all that goes wrong.
mkdir "$TMP/out"
only() { [ "$(ls -A "$TMP/out")" = "$1" ] || { ls -A "$TMP/out"; false; }; }
cp "$TMP/a.nib" "$TMP/out/a.nib"
check "a link as output is followed" sh -c 'ln -s a.nib "$TMP/out/link.nib" && "$NIBBLE" convert "$TMP/model" -o "$TMP/out/link.nib" >/dev/null && [ -L "$TMP/out/link.nib" ]'
rm "$TMP/out/link.nib"

# Killed at any moment: the old output or the new one, and nothing beside it. The delays sweep a conversion's duration.
whole=1
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$NIBBLE" convert "$model" -o "$TMP/out/a.nib" >/dev/null 2>&1 &
    sleep "0.00$((try % 10))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    settle "$TMP/out"
    cmp -s "$TMP/out/a.nib" "$TMP/a.nib" && only a.nib || whole=0
done
check "kill -9 leaves the old output or the new one" [ $whole = 1 ]

# A full disk, as a limit on a file's size.
full() { (ulimit -f 8 && trap '' XFSZ && "$NIBBLE" convert "$model" -o "$TMP/out/a.nib" >/dev/null 2>"$TMP/full"); }
if full; then
    echo "not ok - a full disk was not noticed"
    failed=1
else
    check "a full disk is one line" says "cannot be written: File too large" cat "$TMP/full"
    check "a full disk leaves the old output" sh -c 'cmp -s "$TMP/out/a.nib" "$TMP/a.nib"'
    check "a full disk leaves nothing beside it" only a.nib
fi

if [ "$(id -u)" = 0 ]; then
    echo "skip - an unwritable directory: root may write anywhere"
else
    chmod a-w "$TMP/out"
    check "an unwritable directory is one line" says "Permission denied" "$NIBBLE" convert "$model" -o "$TMP/out/b.nib"
    chmod u+w "$TMP/out"
fi
if mkdir "$TMP/small" && mount -t tmpfs -o size=64k none "$TMP/small" 2>/dev/null; then
    check "a full file system is one line" says "No space left on device" "$NIBBLE" convert "$model" -o "$TMP/small/a.nib"
    check "a full file system keeps nothing" sh -c '[ -z "$(ls -A "$TMP/small")" ]'
    umount "$TMP/small"
else
    echo "skip - a full file system: no right to mount one"
fi
exit $failed
