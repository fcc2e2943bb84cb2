#!/bin/sh
# Trains every example to its end over several seeds and writes docs/results.md: mean and range of each test metric, time and
# memory. About an hour on two processors; RESULTS=iris or RESULTS="binary dense" does only these and prints the table.
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
mnist/cnn 5'

# One line per run from the end event: seconds, megabytes, bytes of the arena, then every scalar test metric as name=value.
digest() {
    sed -n '/"event":"end"/{
        s/.*"seconds":\([^,]*\),.*"test":{\(.*\)},"arena_bytes":\([0-9]*\).*"peak_rss_bytes":\([0-9]*\).*/\1 \4 \3 \2/
        s/"[a-z_0-9]*":\[[^}]*\]//g
        s/"\([a-z_0-9]*\)":/\1=/g
        s/,/ /g
        p
    }' "$work/stream"
}

# Rows of one program, from its digests: mean (lowest to highest) of each metric, seconds, memory.
row() {
    awk -v name="$1" '
        { seconds += $1; if ($2 > rss) rss = $2; arena = $3; runs++
          for (i = 4; i <= NF; i++) {
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
            printf "| `examples/%s.nn` | %d | %s | %.2f | %.0f | %.0f |\n", name, runs, text, seconds / runs,
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
    [ ! -s "$work/digests" ] || row "$name" "$work/digests" | tee -a "$work/rows" >&2
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
