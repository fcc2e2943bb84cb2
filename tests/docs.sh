#!/bin/sh
# Runs the pages of docs/ and README.md: a block that begins with "```nn NAME" is saved as NAME and checked, a block "```sh" is run, in the
# order of the page and in one folder for each page, with the data of the examples under data/.
set -eu
build=$1
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NNC_CACHE=off # a user's cache decides nothing here
export PATH="$(cd "$build" && pwd):$PATH"

for page in "$source"/README.md "$source"/docs/*.md; do
    name=$(basename "$page" .md)
    mkdir "$work/$name"
    ln -s "$source/examples/data" "$work/$name/data"
    awk -v folder="$work/$name" '
        /^```nn [^ ]+$/ { file = $2; text = ""; kind = "nn"; next }
        /^```sh$/       { text = ""; kind = "sh"; next }
        /^```$/ && kind != "" {
            out = folder "/" (kind == "nn" ? file : "block.sh")
            if (kind == "nn") { printf "%s", text > out; close(out); print "nnc check " file > (folder "/all.sh") }
            else printf "%s", text > (folder "/all.sh")
            kind = ""
            next
        }
        kind != "" { text = text $0 "\n" }' "$page"
    [ -f "$work/$name/all.sh" ] || continue
    echo "$name: $(grep -c . "$work/$name/all.sh") lines"
    (cd "$work/$name" && sh -eu all.sh >log 2>&1) || { cat "$work/$name/log"; echo "docs/$name.md does not do what it says"; exit 1; }
done
