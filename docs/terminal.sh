#!/bin/sh
# Turns the text of a terminal session (standard input) into an SVG picture of it (standard output):
#     build/nnc run examples/mnist/cnn.nn --set train.epochs=2 2>&1 | sh docs/terminal.sh > docs/demo.svg
awk '
function escape(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
{ line[NR] = $0; if (length($0) > widest) widest = length($0) }
END {
    width = 24 + widest * 7.3; height = 44 + NR * 17
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", width, height, width, height
    print "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b222c\"/>"
    split("#ff5f57 #febc2e #28c840", light, " ")
    for (i = 1; i <= 3; i++) printf "<circle cx=\"%d\" cy=\"16\" r=\"5\" fill=\"%s\"/>\n", 4 + i * 16, light[i]
    print "<g font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" font-size=\"12\" fill=\"#d7dee8\" xml:space=\"preserve\">"
    for (i = 1; i <= NR; i++) {
        colour = line[i] ~ /^\$/ ? " fill=\"#7fd1a0\"" : line[i] ~ /^epoch/ ? " fill=\"#9cc4f5\"" : line[i] ~ /^test/ ? " fill=\"#f2d27c\"" : ""
        printf "<text x=\"12\" y=\"%d\"%s>%s</text>\n", 34 + i * 17, colour, escape(line[i])
    }
    print "</g></svg>"
}'
