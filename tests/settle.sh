# A killed program's child may still be giving a finished file its name: a moment later nothing is left of it.
settle() { for wait in 1 2 3 4 5 6 7 8 9 10; do ls -A "$1" | grep -q 'tmp-' || break; sleep 0.2; done; }
