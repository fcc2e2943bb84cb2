/* The table as a JSON file, and as a page with one bar for each pair: to the right of the middle
 * line nnc is faster. */
#include "tests/bench/support/result.h"

#include <math.h>
#include <string.h>

static const char *const status_words[] = {"ok", "missing", "unequal", "failed"};

/* Names and reasons have no control characters but these. */
static void json_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc((unsigned char)*text < 32 ? ' ' : *text, file);
    }
    fputc('"', file);
}

static void json_side(FILE *file, const char *name, const Side *side)
{
    fprintf(
        file,
        ", \"%s\": {\"least_ms\": %.6g, \"median_ms\": %.6g, \"steps\": %ld, \"first_s\": %.4g, "
        "\"peak_bytes\": %.0f}",
        name, 1e3 * side->least, 1e3 * side->median, side->steps, side->first, side->peak_bytes);
}

static void json_pair(FILE *file, const Results *results, const Pair *pair)
{
    fprintf(file, "    {\"row\": \"%s\", \"threads\": %d, \"peer\": ", pair->row->name,
            pair->threads);
    json_text(file, pair->engine ? pair->engine->name : "");
    fprintf(file, ", \"status\": \"%s\"", status_words[pair->status]);
    if (pair->status != PAIR_OK) {
        fputs(", \"reason\": ", file);
        json_text(file, pair->reason);
    } else {
        if (pair->engine)
            fprintf(file, ", \"ratio\": %.4g, \"median_ratio\": %.4g", pair_ratio(pair),
                    pair_median_ratio(pair));
        fprintf(file,
                ", \"share_of_peak\": %.4g, \"share_of_roofline\": %.4g, "
                "\"memory_bound\": %.0f, \"load\": %.2f",
                pair_share(results, pair), pair_roofline(pair), pair_memory(pair), pair->load);
        json_side(file, "nnc", &pair->nnc);
        if (pair->engine)
            json_side(file, "peer", &pair->peer);
    }
    fputs("}", file);
}

static void json_machine(FILE *file, const Results *r)
{
    fputs("  \"processor\": ", file);
    json_text(file, r->processor);
    fprintf(file, ",\n  \"started\": \"%s\",\n  \"load\": %.2f,\n  \"threads\": [1, %d],\n",
            r->started, r->load, r->most);
    fprintf(file, "  \"peak_gflops\": [%.4g, %.4g],\n  \"peak_gflops_at_end\": [%.4g, %.4g],\n",
            r->peak[0], r->peak[1], r->peak_end[0], r->peak_end[1]);
    fprintf(file, "  \"stream_gbs\": [%.4g, %.4g],\n  \"stream_gbs_at_end\": [%.4g, %.4g],\n",
            r->stream[0], r->stream[1], r->stream_end[0], r->stream_end[1]);
}

bool write_json(const Results *results, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fputs("{\n", file);
    json_machine(file, results);
    fputs("  \"pairs\": [\n", file);
    for (int i = 0; i < results->count; i++) {
        json_pair(file, results, &results->pairs[i]);
        fputs(i + 1 < results->count ? ",\n" : "\n", file);
    }
    fputs("  ]\n}\n", file);
    return fclose(file) == 0;
}

/* ---- the page ---- */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>nnc and its "
    "peers</title>\n"
    "<style>\n"
    "body{font:14px/1.45 system-ui,sans-serif;margin:2em "
    "auto;max-width:62em;color:#1c2733;background:#fff}\n"
    "h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.1em;margin:1.6em 0 .3em}p{margin:.2em "
    "0;color:#4a5866}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th{font-weight:600;text-align:right;color:#4a5866;font-size:12px;padding:2px "
    "6px}td{text-align:right;padding:2px 6px;white-space:nowrap}\n"
    "td.n,th.n{text-align:left;white-space:nowrap}td.r{font-weight:600}tr+tr td{border-top:1px "
    "solid #e8edf1}\n"
    ".b{position:relative;width:12em;height:1.1em;background:#f3f6f8}\n"
    ".b i{position:absolute;top:0;bottom:0}.b "
    "u{position:absolute;left:50%;top:-2px;bottom:-2px;width:1px;background:#4a5866}\n"
    ".f{background:#2e8b6d}.s{background:#c9603b}.m{color:#8a97a3;text-align:left}\n"
    "</style></head><body>\n<h1>nnc and its peers</h1>\n";

static void page_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", file);
        else if (*text == '&')
            fputs("&amp;", file);
        else
            fputc((unsigned char)*text < 32 ? ' ' : *text, file);
    }
}

/* The bar grows with the logarithm: the whole half for a factor of 8. */
static void page_bar(FILE *file, double ratio)
{
    double part = 50 * fmin(fabs(log(ratio)) / log(8.0), 1);
    fprintf(file,
            "<td><div class=\"b\"><i class=\"%c\" "
            "style=\"%s:50%%;width:%.1f%%\"></i><u></u></div></td>",
            ratio >= 1 ? 'f' : 's', ratio >= 1 ? "left" : "right", part);
}

static void page_pair(FILE *file, const Results *results, const Pair *pair)
{
    fputs("<tr><td class=\"n\">", file);
    page_text(file, pair->row->name);
    fputs("</td><td class=\"n\">", file);
    page_text(file, pair->engine ? pair->engine->name : "nnc alone");
    fprintf(file, "</td><td>%d</td>", pair->threads);
    if (pair->status != PAIR_OK) {
        fprintf(file, "<td class=\"m\" colspan=\"8\">%s: ", status_words[pair->status]);
        page_text(file, pair->reason);
        fputs("</td></tr>\n", file);
        return;
    }
    if (pair->engine) {
        fprintf(file, "<td class=\"r\">%.2f</td>", pair_ratio(pair));
        page_bar(file, pair_ratio(pair));
        fprintf(file, "<td>%.2f</td>", pair_median_ratio(pair));
    } else {
        fputs("<td></td><td></td><td></td>", file);
    }
    fprintf(file, "<td>%.4g</td>", 1e3 * pair->nnc.least);
    if (pair->engine)
        fprintf(file, "<td>%.4g</td>", 1e3 * pair->peer.least);
    else
        fputs("<td></td>", file);
    fprintf(file, "<td>%.0f%%</td><td>%.0f%%</td><td>%.0f (%.0f)",
            100 * pair_share(results, pair), 100 * pair_roofline(pair),
            1e-6 * pair->nnc.peak_bytes, 1e-6 * pair_memory(pair));
    if (pair->engine)
        fprintf(file, " / %.0f", 1e-6 * pair->peer.peak_bytes);
    fputs("</td></tr>\n", file);
}

static void page_part(FILE *file, const Results *results, int kind, const char *title)
{
    int rows = 0;
    for (int i = 0; i < results->count; i++)
        rows += (results->pairs[i].row->flags & kind) != 0;
    if (rows == 0)
        return;
    fprintf(file,
            "<h2>%s</h2>\n<table><tr><th class=\"n\">row</th><th "
            "class=\"n\">peer</th><th>threads</th><th>ratio</th><th style=\"text-align:center\">"
            "slower | faster</th><th>median</th><th>nnc ms</th><th>peer ms</th><th>of "
            "peak</th><th>of roofline</th><th>MB (bound) / peer</th></tr>\n",
            title);
    for (int i = 0; i < results->count; i++)
        if (results->pairs[i].row->flags & kind)
            page_pair(file, results, &results->pairs[i]);
    fputs("</table>\n", file);
}

bool write_page(const Results *results, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fputs(page_head, file);
    fputs("<p>", file);
    page_text(file, results->processor);
    fprintf(file,
            ", %s, load %.1f. Multiply-add peak %.0f GFLOP/s on one thread, %.0f on %d; triad %.1f "
            "and %.1f GB/s.</p>\n",
            results->started, results->load, results->peak[0], results->peak[1], results->most,
            results->stream[0], results->stream[1]);
    fputs("<p>Ratio: the peer's least time over nnc's, taken in turns on the same work, whose "
          "results were compared "
          "before. Bars are logarithmic, a whole half is a factor of 8.</p>\n",
          file);
    page_part(file, results, TRAINS, "Training steps");
    page_part(file, results, INFERS, "Inference");
    page_part(file, results, WRITES, "Texts, token by token");
    fputs("</body></html>\n", file);
    return fclose(file) == 0;
}
