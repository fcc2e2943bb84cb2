#!/bin/sh
# Trains every example to its end over several seeds and writes docs/results.md: mean and range of each metric of the test part (of
# the validation part where there is no test, of training where there is neither), time and memory. Some hours on two processors; RESULTS=iris or RESULTS="binary dense" does only these and prints the table.
set -eu
. "$(dirname "$0")/common.sh"
build=$1
wanted=${RESULTS:-all}
load=$(cut -d ' ' -f 1 /proc/loadavg)

# The table: FILE SEEDS; seeds are 0 .. SEEDS - 1.
programs='simple 5
binary 20
dense 5
dense_cancer 5
iris 5
mnist/small 1
mnist/lenet 1
mnist/cnn 5
mnist/augmented 1
adding 3
transformer 3
lstm_text 3
gpt 3
lora 3
vae 3
gan 3'

# One line per block of a run, from its end event: its number, seconds, bytes of memory and of the arena, then every scalar metric as
# name=value.
digest() {
    awk '
        function object(key) { return match($0, "\"" key "\":[{][^}]*[}]") ? substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 5) : "" }
        function number(key) { return match($0, "\"" key "\":[0-9.e+-]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : 0 }
        /"event":"end"/ {
            part = object("test"); if (part == "") part = object("valid"); if (part == "") part = object("train")
            gsub(/"[a-zA-Z_0-9.]*":\[[^}]*\],?/, "", part); gsub(/"/, "", part); gsub(/:/, "=", part); gsub(/,/, " ", part)
            print ++block, number("seconds"), number("peak_rss_bytes"), number("arena_bytes"), part
        }' "$work/stream"
}

# A row of one block of a program, from its digests: mean (lowest to highest) of each metric, seconds, memory.
row() {
    awk -v name="$1" -v block="$3" -v blocks="$4" '
        $1 == block {
          seconds += $2; if ($3 > rss) rss = $3; arena = $4; runs++
          for (i = 5; i <= NF; i++) {
              split($i, part, "=")
              m = part[1]; v = part[2] + 0
              if (!(m in sum)) { order[++metrics] = m; low[m] = v; high[m] = v }
              sum[m] += v; if (v < low[m]) low[m] = v; if (v > high[m]) high[m] = v
          } }
        END {
            text = ""
            for (i = 1; i <= metrics; i++) {
                m = order[i]
                text = text (i > 1 ? "; " : "") m " " sprintf("%.4f", sum[m] / runs)
                if (runs > 1) text = text sprintf(" (%.4f to %.4f)", low[m], high[m])
            }
            printf "| `examples/%s.nn`%s | %d | %s | %.2f | %.0f | %.0f |\n", name, (blocks > 1 ? ", block " block : ""), runs, text, seconds / runs,
                   arena / 1024, rss / 1048576
        }' "$2"
}

make_build "$build" nnc
echo "$programs" | while read -r name seeds; do
    case " $wanted " in *" all "* | *" $name "*) ;; *) continue ;; esac
    : >"$work/digests"
    for seed in $(seq 0 $((seeds - 1))); do
        failed=0
        run_example "$build" "$source/examples/$name.nn" --seed "$seed" >"$work/said" || true
        if [ "$failed" -ne 0 ]; then
            cat "$work/said" >&2
            echo failed >>"$work/failures"
            continue
        fi
        digest >>"$work/digests"
    done
    blocks=$(cut -d ' ' -f 1 "$work/digests" | sort -nu | tail -n 1)
    for block in $(seq 1 "${blocks:-0}"); do
        row "$name" "$work/digests" "$block" "$blocks" | tee -a "$work/rows" >&2
    done
done

{
    echo "# What the examples reach"
    echo
    echo "Written by \`make results\`: every program of \`examples/\` trained to its end with the seeds 0, 1, ... Figures are of the"
    echo "test part: the mean, and in brackets the lowest and the highest over the seeds. Seconds are those of a whole run"
    echo "(training, validation, test; reading and compiling are before it); the arena is the memory planned and used for activations"
    echo "and gradients; the peak is that of the process, data and compiler included."
    echo
    echo "On $(nproc) processors; load average at the start: $load."
    echo
    echo "| program | seeds | test | seconds | arena, KiB | peak, MiB |"
    echo "|---|---|---|---|---|---|"
    cat "$work/rows" 2>/dev/null || true
} >"$work/results.md"
if [ "$wanted" = all ]; then
    cp "$work/results.md" "$source/docs/results.md"
else
    cat "$work/results.md"
fi
passed=$(wc -l <"$work/rows")
failed=$(cat "$work/failures" 2>/dev/null | wc -l)
finish "make results"
