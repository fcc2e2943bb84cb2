#!/bin/sh
# Do the tests notice bugs? The sources are copied to BUILD-mutants, one of the bugs of tests/mutants/mutants.txt is put there, what
# depends on it is built again, and tests run until one fails. The rate of bugs that are caught is printed; below 9 of 10, where a
# bug's text is not in the sources any more, or where a test that caught one fails without it, too, the script fails.
#
#   MUTANTS="stale-panels cosine-sign" make mutants      some of them
#   make mutants JOBS=1                                  one processor
set -eu
. "$(dirname "$0")/common.sh"
place=$1-mutants
table=$source/tests/mutants/mutants.txt
wanted=${MUTANTS:-}
# What runs when the tests named in the table notice nothing.
rest="test_contract test_passes test_gradients test_differential test_reference test_program_fuzz test_examples"
export NNC_FUZZ_COUNT=${NNC_FUZZ_COUNT:-300}
limit=${LIMIT:-600} # seconds for one test: a bug may make a loop without an end
start=$(date +%s)

copy_sources() {
    mkdir -p "$place/source"
    (cd "$source" && tar -cf - CMakeLists.txt Makefile README.md cmake compiler docs examples grammar include runtime tests tools) |
        (cd "$place/source" && tar -xf - --exclude 'examples/*/runs')
    # Of a run that was interrupted: the object is younger than the file that is right again.
    [ ! -f "$place/changed" ] || touch "$place/source/$(cat "$place/changed")"
    rm -f "$place/changed"
}

# build TEST...
build() {
    ninja -C "$place/build" -j "$jobs" $(echo "$@" | tr ' ' '\n' | sed 's/:.*//' | sort -u) >"$work/build" 2>&1
}

# field NAME KEY: the text behind KEY in the entry of that mutant.
field() {
    awk -v name="[$1]" -v key="$2" '
        /^\[/ { inside = $1 == name; if (inside && key == "kind") print substr($0, length(name) + 2) }
        inside && index($0, key " ") == 1 { print substr($0, length(key) + 2) }' "$table"
}

# mutate NAME FILE: writes the changed file to standard output; fails where the text is not there exactly once.
mutate() {
    OLD=$(field "$1" old) NEW=$(field "$1" new) AFTER=$(field "$1" after) awk '
        BEGIN { old = ENVIRON["OLD"]; new = ENVIRON["NEW"]; after = ENVIRON["AFTER"]; open = after == "" }
        !open && index($0, after) { open = 1 }
        open && (at = index($0, old)) && !(after != "" && found) {
            found++
            $0 = substr($0, 1, at - 1) new substr($0, at + length(old))
        }
        { print }
        END { exit found != 1 }' "$2"
}

# first_to_fail TEST...: the first of the tests that fails.
first_to_fail() {
    for test in "$@"; do
        if ! (ulimit -v 8388608 && cd "$place/build" && timeout "$limit" "./${test%%:*}" -j"$jobs" --fail-fast \
              --filter "*/*$(expr "$test" : '[^:]*:\(.*\)')*" >"$work/out" 2>&1) || ! grep -q 'Failing: 0' "$work/out"; then
            echo "$test"
            return
        fi
    done
}

names=$(sed -n 's/^\[\(.*\)\] .*/\1/p' "$table")
[ -z "$wanted" ] || names=$wanted
needed=$(for name in $names; do field "$name" tests; done | tr ' ' '\n' | sort -u)
copy_sources
launcher=
! command -v ccache >/dev/null || launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
cmake -S "$place/source" -B "$place/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -w" $launcher >"$work/build" 2>&1 &&
    build $needed || { tail -n 40 "$work/build"; exit 1; }
echo "built after $(($(date +%s) - start)) s"

caught=0
catchers=
missed=0
wrong=0
for name in $names; do
    begin=$(date +%s)
    file=$(field "$name" file)
    if [ -z "$file" ] || ! mutate "$name" "$source/$file" >"$work/mutant"; then
        echo "ERROR  $name: its text is not once in ${file:-the table}"
        wrong=$((wrong + 1))
        continue
    fi
    echo "$file" >"$place/changed"
    cat "$work/mutant" >"$place/source/$file"
    own=$(field "$name" tests)
    if build $own; then
        by=$(first_to_fail $own)
        [ -n "$by" ] || { build $rest && by=$(first_to_fail $rest); }
        verdict=caught
        [ -n "$by" ] || verdict=missed
        [ $verdict = caught ] && caught=$((caught + 1)) || missed=$((missed + 1))
        catchers="$catchers $by"
        echo "$verdict $name${by:+ by $by} in $(($(date +%s) - begin)) s: $(field "$name" kind)"
    else
        echo "ERROR  $name does not compile"
        grep -m 4 -E 'error' "$work/build" || tail -n 4 "$work/build"
        wrong=$((wrong + 1))
    fi
    cat "$source/$file" >"$place/source/$file"
    rm "$place/changed"
done
# A test that fails without a mutant has caught nothing.
catchers=$(echo "$catchers" | tr ' ' '\n' | sort -u)
[ -z "$catchers" ] || build $catchers
failing=$(first_to_fail $catchers)
if [ -n "$failing" ]; then
    cat "$work/out"
    echo "ERROR  $failing fails without any mutant"
    wrong=$((wrong + 1))
fi
echo "make mutants: $caught of $((caught + missed)) caught, $wrong errors, $(($(date +%s) - start)) s"
[ $wrong -eq 0 ] && [ $((10 * caught)) -ge $((9 * (caught + missed))) ]
