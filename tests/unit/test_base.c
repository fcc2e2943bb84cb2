/* Arenas, memory, vectors, string buffers, element types and diagnostics. */
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/base/dtype.h"
#include "runtime/base/memory.h"
#include "runtime/base/strbuf.h"
#include "runtime/base/vec.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Test(arena, memory_is_zeroed_aligned_and_distinct)
{
    Arena *arena = arena_new();
    for (int round = 0; round < 3; round++) {
        char *previous = NULL;
        for (size_t bytes = 0; bytes < 5000; bytes += 37) {
            char *block = arena_alloc(arena, bytes);
            cr_assert_eq((uintptr_t)block % 16, 0);
            cr_assert_neq(block, previous);
            for (size_t i = 0; i < bytes; i++) {
                cr_assert_eq(block[i], 0);
            }
            memset(block, 0xAB, bytes);
            previous = block;
        }
        cr_assert_geq(arena_used(arena), 5000u);
        arena_reset(arena);
        cr_assert_eq(arena_used(arena), 0);
    }
    arena_free(arena);
    arena_free(NULL);
}

Test(arena, strings)
{
    Arena *arena = arena_new();
    cr_assert_str_eq(arena_string(arena, "abc"), "abc");
    cr_assert_str_eq(arena_substring(arena, "abcdef", 4), "abcd");
    cr_assert_str_eq(arena_format(arena, "%d-%s", 42, "x"), "42-x");
    cr_assert_str_eq(arena_copy(arena, "xyz", 4), "xyz");
    arena_free(arena);
}

Test(vec, grows)
{
    Arena *arena = arena_new();
    VEC(int) v = {0};
    for (int i = 0; i < 1000; i++) {
        vec_push(arena, &v, i * 3);
    }
    cr_assert_eq(v.count, 1000);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(v.data[i], i * 3);
    }
    arena_free(arena);
}

Test(strbuf, json_is_valid_whatever_the_bytes)
{
    StrBuf out = {0};
    strbuf_add_json(&out, "a\"b\\c\n\t\x01\x7F\xC3\xA4\xFF\xC3");
    cr_assert_str_eq(out.text, "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\xC3\xA4\\ufffd\\ufffd\"");
    strbuf_clear(&out);
    strbuf_add_json(&out, "\xED\xA0\x80\xC0\x80\xF0\x9F\x98\x80");
    cr_assert_str_eq(out.text, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\xF0\x9F\x98\x80\"");
    strbuf_free(&out);
}

static void expect_double(double value, const char *text)
{
    StrBuf out = {0};
    strbuf_add_double(&out, value);
    cr_assert_str_eq(out.text, text);
    strbuf_free(&out);
}

Test(strbuf, numbers_are_short_and_read_back)
{
    expect_double(0.1, "0.1");
    expect_double(-0.0, "-0");
    expect_double(1e300, "1e+300");
    expect_double(10, "10");
    expect_double(-9999999, "-9999999");
    expect_double(1e7, "1e+07");
    expect_double(1.0 / 3.0, "0.3333333333333333");
    expect_double((double)NAN, "null");
    expect_double((double)INFINITY, "null");
    StrBuf out = {0};
    strbuf_add_float(&out, 0.1f);
    cr_assert_str_eq(out.text, "0.1");
    strbuf_clear(&out);
    strbuf_add_float(&out, 2.3125851154327393f);
    cr_assert_eq(strtof(out.text, NULL), 2.3125851154327393f);
    strbuf_free(&out);
}

Test(dtype, rows)
{
    cr_assert_str_eq(dtype_name(DT_F32), "f32");
    cr_assert_eq(dtype_bytes(DT_I64), 8);
    cr_assert_eq(dtype_kind(DT_BOOL), KIND_BOOL);
    DType type;
    cr_assert(dtype_from_name("u8", &type));
    cr_assert_eq(type, DT_U8);
    cr_assert(dtype_from_name("bf16", &type));
    cr_assert_eq(type, DT_BF16);
    cr_assert_not(dtype_from_name("f8", &type));
    cr_assert(dtype_is_float(DT_F16));
    cr_assert_not(dtype_is_float(DT_I8));
    cr_assert_eq(dtype_computed(DT_BF16), DT_F32);
    cr_assert_eq(dtype_computed(DT_I8), DT_I8);
    cr_assert_eq(dtype_least(DT_I8), -128);
    cr_assert_eq(dtype_largest(DT_I8), 127);
    cr_assert(dtype_is_float(DT_F64));
    cr_assert_not(dtype_is_float(DT_I64));
}

static const char lenet[] =
    "one\ntwo\nthree\nfour\nfive\nsix\n    let conv2 = Conv2d(32, 64, k=3)\n8\n9\n10\n11\n12\n"
    "          |> flatten(from=1)\n          |> fc1 |> relu |> dropout(0.5)\n";

static Span span_of(uint32_t file, const char *text, const char *part)
{
    uint32_t begin = (uint32_t)(strstr(text, part) - text);
    return (Span){file, begin, begin + (uint32_t)strlen(part)};
}

static Diag *lenet_error(SourceMap *map)
{
    uint32_t file = source_add(map, "lenet.nn", lenet, strlen(lenet));
    Diag *diag = diag_new(map);
    DiagItem *item = diag_error(
        diag, ERR_E0312, span_of(file, lenet, "fc1"), "dimension 1: 3136 here ...",
        "cannot apply %s: it takes %s and gets %s", "fc1", "f32[..., 3136]", "f32[B, 2304]");
    diag_note(item, span_of(file, lenet, "flatten"), "... but 64*6*6 = %d here", 2304);
    diag_note(item, span_of(file, lenet, "Conv2d"), "conv2 has pad=0");
    diag_help(item, "Conv2d(32, 64, k=3, pad=1) keeps 14x14 and gives 64*7*7 = 3136");
    return diag;
}

Test(diag, text_with_carets_notes_and_help)
{
    SourceMap *map = source_map_new();
    Diag *diag = lenet_error(map);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_str_eq(out.text,
                     "lenet.nn:14:14: error[E0312]: cannot apply fc1: it takes f32[..., 3136] and "
                     "gets f32[B, 2304]\n"
                     "   14 |           |> fc1 |> relu |> dropout(0.5)\n"
                     "      |              ^^^ dimension 1: 3136 here ...\n"
                     "   13 |           |> flatten(from=1)\n"
                     "      |              ------- ... but 64*6*6 = 2304 here\n"
                     "    7 |     let conv2 = Conv2d(32, 64, k=3)\n"
                     "      |                 ------ conv2 has pad=0\n"
                     "   help: Conv2d(32, 64, k=3, pad=1) keeps 14x14 and gives 64*7*7 = 3136\n");
    strbuf_clear(&out);
    diag_render_text(diag, &out, true);
    cr_assert_not_null(strstr(out.text, "\033[1;31merror[E0312]\033[0m"));
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
}

Test(diag, json_is_one_line_an_item)
{
    SourceMap *map = source_map_new();
    Diag *diag = lenet_error(map);
    diag_warning(diag, (Span){0, 0, 0}, "a \"warning\"");
    StrBuf out = {0};
    diag_render_json(diag, &out);
    cr_assert_str_eq(
        out.text,
        "{\"event\":\"error\",\"code\":\"E0312\",\"file\":\"lenet.nn\",\"line\":14,\"column\":14,"
        "\"end_line\":14,"
        "\"end_column\":17,\"message\":\"cannot apply fc1: it takes f32[..., 3136] and gets f32[B, "
        "2304]\","
        "\"label\":\"dimension 1: 3136 here "
        "...\",\"notes\":[{\"file\":\"lenet.nn\",\"line\":13,\"column\":14,"
        "\"end_line\":13,\"end_column\":21,\"message\":\"... but 64*6*6 = 2304 "
        "here\"},{\"file\":\"lenet.nn\",\"line\":7,"
        "\"column\":17,\"end_line\":7,\"end_column\":23,\"message\":\"conv2 has pad=0\"}],"
        "\"help\":[\"Conv2d(32, 64, k=3, pad=1) keeps 14x14 and gives 64*7*7 = 3136\"]}\n"
        "{\"event\":\"warning\",\"message\":\"a \\\"warning\\\"\",\"notes\":[],\"help\":[]}\n");
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
}

Test(diag, a_place_is_reported_once_and_twenty_are_kept)
{
    SourceMap *map = source_map_new();
    char text[101];
    memset(text, 'x', 100);
    uint32_t file = source_add(map, "x.nn", text, 100);
    Diag *diag = diag_new(map);
    for (uint32_t i = 0; i < 50; i++) {
        Span span = {file, i % 25, i % 25 + 1};
        diag_note(diag_error(diag, ERR_E0100, span, NULL, "error %u", i), span, "a note");
    }
    cr_assert_eq(diag_count(diag), 20);
    cr_assert_geq(diag_error_count(diag), 25u);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_null(strstr(out.text, "error 20"));
    cr_assert_not_null(strstr(out.text, "more errors follow"));
    diag_clear(diag);
    cr_assert_eq(diag_error_count(diag), 0);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
}

/* Any span in any text renders: past the end, empty, over several lines, in tabs, in UTF-8, in a
 * very long line. */
Test(diag, odd_places)
{
    SourceMap *map = source_map_new();
    char text[2000];
    for (uint32_t i = 0; i < sizeof text; i++) {
        text[i] = "ab\t\xC3\xA4\x1B(\r\n"[(i * 7 + i / 900) % 9];
    }
    uint32_t file = source_add(map, "odd.nn", text, sizeof text);
    uint32_t empty_file = source_add(map, "empty.nn", "", 0);
    memset(text, 0xA4, sizeof text);
    uint32_t long_file = source_add(map, "long.nn", text, sizeof text);
    StrBuf out = {0};
    for (uint32_t begin = 0; begin < 2100; begin += 13) {
        Diag *diag = diag_new(map);
        DiagItem *item =
            diag_error(diag, ERR_E0001, (Span){file, begin, begin + begin % 50}, "here", "message");
        diag_note(item, (Span){long_file, begin, begin + 5}, "note");
        diag_note(item, (Span){empty_file, begin, begin}, "note");
        diag_note(item, (Span){0, 0, 0}, "note");
        diag_render_text(diag, &out, false);
        diag_render_json(diag, &out);
        diag_free(diag);
    }
    cr_assert_null(memchr(out.text, '\x1B', out.length));
    strbuf_free(&out);
    source_map_free(map);
}

Test(diag, texts_of_an_owner_go_when_nothing_speaks_of_them)
{
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    int first, second;
    uint32_t shared = source_add(map, "std/nn.nn", "shared", 6);
    uint32_t mine = source_add_owned(map, &first, "a.nn", "const a = b\n", 12);
    uint32_t other = source_add_owned(map, &second, "b.nn", "other", 5);
    diag_error(diag, ERR_E0101, (Span){mine, 10, 11}, NULL, "no b");
    source_disown(map, &first);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_not_null(strstr(out.text, "const a = b"));
    diag_clear(diag);
    source_collect(map);
    cr_assert_str_eq(source_text(map, shared, NULL), "shared");
    cr_assert_str_eq(source_text(map, other, NULL), "other");
    cr_assert_eq(source_add_owned(map, &first, "c.nn", "new", 3), mine);
    cr_assert_str_eq(source_name(map, mine), "c.nn");
    source_collect(map);
    cr_assert_str_eq(source_text(map, mine, NULL), "new");
    cr_assert_eq(source_add(map, "d.nn", "", 0), other + 1);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
}

Test(diag, nearest_name)
{
    const char *names[] = {"Conv2d", "Linear", "relu", "gelu", "max_pool"};
    cr_assert_str_eq(diag_nearest("conv2D", names, 5), "Conv2d");
    cr_assert_str_eq(diag_nearest("Lienar", names, 5), "Linear");
    cr_assert_str_eq(diag_nearest("maxpool", names, 5), "max_pool");
    cr_assert_str_eq(diag_nearest("rleu", names, 5), "relu");
    cr_assert_null(diag_nearest("softmax", names, 5));
    cr_assert_null(diag_nearest("x", names, 5));
    cr_assert_null(diag_nearest("", names, 5));
}

Test(diag, codes)
{
    ErrorCode code;
    cr_assert(error_from_text("E0312", &code));
    cr_assert_eq(code, ERR_E0312);
    cr_assert(error_from_text("e0312", &code));
    cr_assert(error_from_text("shape-mismatch", &code));
    cr_assert_not(error_from_text("", &code));
    cr_assert_not(error_from_text("E9999", &code));
    for (int i = 0; i < ERR_COUNT; i++) {
        cr_assert_gt(strlen(error_page((ErrorCode)i)), 40u);
        cr_assert_gt(strlen(error_title((ErrorCode)i)), 8u);
        for (int j = 0; j < i; j++) {
            cr_assert_str_neq(error_code_text((ErrorCode)i), error_code_text((ErrorCode)j));
            cr_assert_str_neq(error_slug((ErrorCode)i), error_slug((ErrorCode)j));
        }
    }
}

Test(memory, lies_on_lines_and_is_all_there)
{
    static const size_t sizes[] = {0, 1, 65, 2u << 20, (4u << 20) - 1, 4u << 20, (5u << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *memory = memory_new(sizes[i]);
        cr_assert_not_null(memory);
        cr_assert_eq((uintptr_t)memory % 64, 0);
        memset(memory, 0xa5, sizes[i]);
        cr_assert(sizes[i] == 0 || (memory[0] == 0xa5 && memory[sizes[i] - 1] == 0xa5));
        free(memory);
    }
}
