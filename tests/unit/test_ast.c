/* Scanner, filter, grammar, errors, and the text form of trees. Golden files:
 * tests/golden/ast/NAME.nn with its tree NAME.ast, tests/golden/ast/errors/NAME.nn with what is
 * reported about it, NAME.txt. NNC_UPDATE_GOLDEN=1 writes them anew. */
#include "compiler/ast/parse.h"
#include "compiler/ast/print.h"
#include "tests/support/golden.h"
#include "tests/support/fuzz_text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena *arena;
    SourceMap *map;
    Diag *diag;
    AstFile *tree;
} Parsed;

static Parsed begin(void)
{
    Parsed p = {.arena = arena_new(), .map = source_map_new()};
    p.diag = diag_new(p.map);
    return p;
}

static Parsed parse_bytes(const char *name, const char *text, size_t length)
{
    Parsed p = begin();
    p.tree = ast_parse(p.arena, p.map, source_add(p.map, name, text, length), p.diag);
    return p;
}

static Parsed parse(const char *text)
{
    return parse_bytes("test.nn", text, strlen(text));
}

static void end(Parsed *p)
{
    diag_free(p->diag);
    source_map_free(p->map);
    arena_free(p->arena);
}

static char *errors_of(const Parsed *p)
{
    StrBuf out = {0};
    strbuf_add(&out, "");
    diag_render_text(p->diag, &out, false);
    return out.text;
}

static char *text_of(const AstFile *tree)
{
    StrBuf out = {0};
    strbuf_add(&out, "");
    ast_print(tree, &out);
    return out.text;
}

/* Every run of blanks becomes one space, and none is left at the end. */
static void join_lines(char *text)
{
    size_t out = 0;
    for (const char *p = text; *p != '\0'; p++) {
        bool blank = *p == ' ' || *p == '\n';
        if (!blank || (out > 0 && text[out - 1] != ' ')) {
            text[out++] = blank ? ' ' : *p;
        }
    }
    text[out] = '\0';
    if (out > 0 && text[out - 1] == ' ') {
        text[out - 1] = '\0';
    }
}

/* The tree of `fn f() { TEXT }` without its wrapping, or the errors. */
static void expect_body(const char *body, const char *want)
{
    char *program = malloc(strlen(body) + 20);
    sprintf(program, "fn f() { %s\n}\n", body);
    Parsed p = parse(program);
    char *got = diag_error_count(p.diag) ? errors_of(&p) : text_of(p.tree);
    if (diag_error_count(p.diag) == 0) {
        join_lines(got);
    }
    static const char prefix[] = "(fn f (params) - (block ";
    size_t length = strlen(want);
    bool same = strncmp(got, prefix, strlen(prefix)) == 0 &&
                strncmp(got + strlen(prefix), want, length) == 0 &&
                strcmp(got + strlen(prefix) + length, "))") == 0;
    cr_expect(same, "%s\nwant %s\ngot  %s", body, want, got);
    free(got);
    free(program);
    end(&p);
}

static void expect_error(const char *text, const char *want)
{
    Parsed p = parse(text);
    char *got = errors_of(&p);
    cr_expect(strstr(got, want) != NULL, "in\n%s\nwant %s\ngot  %s", text, want, got);
    free(got);
    end(&p);
}

static void expect_error_count(const char *text, uint32_t want)
{
    Parsed p = parse(text);
    char *got = errors_of(&p);
    cr_expect_eq(diag_error_count(p.diag), want, "in\n%s\nwant %u errors, got\n%s", text, want,
                 got);
    free(got);
    end(&p);
}

Test(ast, precedence)
{
    expect_body("a + b * c", "(expr (+ (name a) (* (name b) (name c))))");
    expect_body("-x ** 2", "(expr (neg (** (name x) (int 2))))");
    expect_body("2 ** -x ** y", "(expr (** (int 2) (neg (** (name x) (name y)))))");
    expect_body("a - b - c", "(expr (- (- (name a) (name b)) (name c)))");
    expect_body("not a == b and c", "(expr (and (not (== (name a) (name b))) (name c)))");
    expect_body("a or b and c", "(expr (or (name a) (and (name b) (name c))))");
    expect_body("x / 2 |> f(1) |> g",
                "(expr (pipe (pipe (/ (name x) (int 2)) (call (name f) (int 1))) (name g)))");
    expect_body("0..n - 1", "(expr (range (int 0) (- (name n) (int 1))))");
    expect_body("a // b % c @ d", "(expr (@ (% (// (name a) (name b)) (name c)) (name d)))");
    expect_body("fn (x) -> x |> f", "(expr (lambda (x) (pipe (name x) (name f))))");
    expect_body("grad(f)(x)[0].y",
                "(expr (member (index (call (call (name grad) (name f)) (name x)) (int 0)) y))");
}

Test(ast, comparisons_do_not_chain)
{
    expect_error("fn f() { a < b < c }", "unexpected `<`");
}

Test(ast, literals)
{
    expect_body("1_000", "(expr (int 1000))");
    expect_body("0xFF", "(expr (int 255))");
    expect_body("9223372036854775807", "(expr (int 9223372036854775807))");
    expect_body("1e-3", "(expr (float 0.001))");
    expect_body("2.5", "(expr (float 2.5))");
    expect_body("true", "(expr (bool true))");
    expect_body("\"a\\n\\\"\\u{e9}\\\\\"", "(expr (string \"a\\n\\\"\xC3\xA9\\\\\"))");
    expect_body("\"# no comment\" # comment", "(expr (string \"# no comment\"))");
}

Test(ast, indexing)
{
    expect_body("x[0..T]", "(expr (index (name x) (range (int 0) (name T))))");
    expect_body("x[:, 1]", "(expr (index (name x) (range - -) (int 1)))");
    expect_body("x[.., 0..n, 2.., ..k]", "(expr (index (name x) (range - -) (range (int 0) (name "
                                         "n)) (range (int 2) -) (range - (name k))))");
    expect_body("x[..., -1]", "(expr (index (name x) (ellipsis) (neg (int 1))))");
}

Test(ast, statements)
{
    expect_body("let a, (b, c) = f(x)", "(let (a (b c)) - (call (name f) (name x)))");
    expect_body("let a: f32[B] = x", "(let a (type f32 (dims (name B))) (name x))");
    expect_body("let s[b, t] = q[b, t]", "(let-index s (b t) (index (name q) (name b) (name t)))");
    expect_body("a, b = (b, a)", "(assign = (a b) (tuple (name b) (name a)))");
    expect_body("n += B; m -= 1", "(assign += (n) (name B)) (assign -= (m) (int 1))");
    expect_body("return", "(return -)");
    expect_body("return (a, b)", "(return (tuple (name a) (name b)))");
    expect_body("minimize a + b wrt D, G using o",
                "(minimize (+ (name a) (name b)) (wrt (name D) (name G)) (name o))");
    expect_body("for i in 0..3 { x = f(x) }",
                "(for i (range (int 0) (int 3)) (block (assign = (x) (call (name f) (name x)))))");
}

Test(ast, branches)
{
    expect_body("let y = if a { b } else if c { d } else { e }",
                "(let y - (if (name a) (block (expr (name b))) (block (expr (if (name c)"
                " (block (expr (name d))) (block (expr (name e)))))))"
                ")");
    expect_body("f(if a { b } else { c }, 2)",
                "(expr (call (name f) (if (name a) (block (expr (name b))) "
                "(block (expr (name c)))) (int 2)))");
}

Test(ast, lines_end_statements)
{
    expect_body("a\n  |> f\n  |> g", "(expr (pipe (pipe (name a) (name f)) (name g)))");
    expect_body("a.\nb", "(expr (member (name a) b))");
    expect_body("a\n.b", "(expr (member (name a) b))");
    expect_body("f(a,\n  b\n)", "(expr (call (name f) (name a) (name b)))");
    expect_body("a +\n  b", "(expr (+ (name a) (name b)))");
    expect_body("a\n\n# comment\n\n |> f", "(expr (pipe (name a) (name f)))");
    expect_body("a\n-b", "(expr (name a)) (expr (neg (name b)))");
    expect_body("if a { b }\nelse { c }", "(expr (if (name a) (block (expr (name b))) (block "
                                          "(expr (name c)))))");
    expect_body("f(if a {\n b\n c } else { d })",
                "(expr (call (name f) (if (name a) (block (expr (name b)) (expr (name c))) "
                "(block (expr (name d))))))");
}

Test(ast, soft_keywords_are_names)
{
    expect_body(
        "train + from.state(on=1, in=2)",
        "(expr (+ (name train) (call (member (name from) state) (= on (int 1)) (= in (int 2)))))");
    expect_body("let metric = sqrt(in)", "(let metric - (call (name sqrt) (name in)))");
    expect_body("for in in in { init }", "(for in (name in) (block (expr (name init))))");
    expect_error_count("train t on d {\n model = M()\n train = 1\n on { in = 3 }\n}\n", 0);
    expect_error_count(
        "module M(in: int, init: init) { param state: f32[in] = init\n state param: f32 = 0 }\n",
        0);
    expect_error_count(
        "from init import zeros\nfrom train import (state, on as metric,)\nimport dataset as d\n",
        0);
}

Test(ast, comments_and_docs)
{
    Parsed p = parse("## About the file.\n\n## Doubles.\n## Twice.\nfn f() { 1 } # end\n\n## "
                     "lost\n\nmodule M {\n ## The weight.\n"
                     " param w: f32[3] = 0\n}\n");
    cr_assert_eq(diag_error_count(p.diag), 0);
    cr_expect_str_eq(p.tree->doc, "About the file.");
    cr_expect_str_eq(p.tree->items.data[0]->doc, "Doubles.\nTwice.");
    cr_expect_null(p.tree->items.data[1]->doc);
    cr_expect_str_eq(p.tree->items.data[1]->as.declaration.members.data[0]->doc, "The weight.");
    cr_expect_eq(p.tree->comments.count, 6);
    cr_expect(p.tree->comments.data[0].doc && p.tree->comments.data[0].own_line);
    cr_expect(!p.tree->comments.data[3].doc && !p.tree->comments.data[3].own_line);
    end(&p);
}

Test(ast, spans_cover_their_text)
{
    const char *text = "fn f(x: f32[B]) { let y = g(x) + 1 }\n";
    Parsed p = parse(text);
    const AstFunction *function = &p.tree->items.data[0]->as.function;
    const AstStmt *stmt = function->body.stmts.data[0];
    Span value = stmt->as.let.value->span, header = function->header,
         type = function->parameters.data[0].type->span;
    cr_expect_arr_eq(text + value.begin, "g(x) + 1", value.end - value.begin);
    cr_expect_eq(value.end - value.begin, 8);
    cr_expect_eq(header.end - header.begin, 15);
    cr_expect_arr_eq(text + type.begin, "f32[B]", 6);
    end(&p);
}

Test(ast, several_errors_each_in_its_statement)
{
    expect_error_count("fn f() {\n let = 1\n let a = 2\n x y\n return (3 +)\n}\nfn g() { 4 5 }\n",
                       4);
    expect_error_count(
        "module M {\n let a 3\n param w f32\n fn (x) { x + }\n let b = 4\n}\nconst c = \n", 4);
    expect_error_count("modul X() {\n let a = 1\n let b = 2\n}\nconst a = 3\nconts b = 4\n", 2);
}

Test(ast, brackets_are_mended)
{
    expect_error_count("fn f() { g(1, 2 }\nfn h() { 3 }\n", 1);
    expect_error_count("fn f() {\n let a = g(1, 2\n let b = 3\n}\nfn h() { 3 }\n", 1);
    expect_error_count("module M {\n let a = 1\n\ntrain t on d {\n batch = 3\n}\n", 1);
    expect_error_count("fn f() { 1 }}\nfn g() { 2 }\n", 1);
    expect_error_count("fn f() {\n if a { 1\n", 2);
    expect_error("module M {\n let a = 1\ntrain t on d { }\n", "`{` is not closed");
    expect_error("const a = (1]\n", "is not closed");
}

Test(ast, limits)
{
    size_t depth = 5000;
    static const char *const open[] = {"(",    "[",         "-", "not ", "f(", "{ a = 1 } a {",
                                       "a + ", "fn (x) -> "};
    for (size_t kind = 0; kind < sizeof open / sizeof *open; kind++) {
        size_t each = strlen(open[kind]);
        char *deep = malloc(depth * each + 100);
        size_t at = (size_t)sprintf(deep, kind == 5 ? "train t on d {" : "const a = ");
        for (size_t i = 0; i < depth; i++, at += each) {
            memcpy(deep + at, open[kind], each);
        }
        strcpy(deep + at, "1\n");
        expect_error(deep, "E0005");
        free(deep);
    }
    expect_error("const a = 9223372036854775808\n", "does not fit into 64 bits");
    expect_error("const a = 1e999\n", "too large for f64");
}

Test(ast, chains_are_flat_up_to_the_limit)
{
    StrBuf text = {0};
    strbuf_add(&text, "const a = 0");
    for (int i = 0; i < AST_MAX_DEPTH - 2; i++) {
        strbuf_add(&text, " + 1");
    }
    strbuf_add(&text, "\n");
    expect_error_count(text.text, 0);
    strbuf_clear(&text);
    strbuf_add(&text, "const a = [");
    for (int i = 0; i < 20000; i++) {
        strbuf_add(&text, "1, ");
    }
    strbuf_add(&text, "]\n");
    expect_error_count(text.text, 0);
    strbuf_free(&text);
}

Test(ast, sizes)
{
    size_t length = AST_MAX_SOURCE + 1;
    char *text = malloc(length);
    memset(text, ' ', length);
    Parsed p = parse_bytes("big.nn", text, length);
    cr_expect_eq(diag_error_count(p.diag), 1);
    end(&p);
    memset(text, ';', length);
    p = parse_bytes("big.nn", text, length - 1);
    cr_expect_geq(diag_error_count(p.diag), 1);
    end(&p);
    for (size_t i = 0; i + 1 < length; i++) {
        text[i] = "(a,)\n"[i % 5];
    }
    p = parse_bytes("big.nn", text, length - 1);
    cr_expect_geq(diag_error_count(p.diag), 1);
    end(&p);
    free(text);
}

Test(ast, bytes_that_are_no_text)
{
    expect_error_count("const a = 1 \xFF\xFE\n", 2);
    expect_error_count("const a = \"\xC3\"\n", 1);
    expect_error_count("const a = 1 \xC3\xA9 $ \x01\n", 3);
    expect_error_count("\xEF\xBB\xBF"
                       "const a = 1\n",
                       0);
    Parsed p = parse_bytes("zero.nn", "const a\0 = 1\n", 13);
    cr_expect_eq(diag_error_count(p.diag), 1);
    end(&p);
}

Test(ast, empty_files)
{
    expect_error_count("", 0);
    expect_error_count("\n\n# nothing\n", 0);
    expect_error_count("## only a comment", 0);
    expect_error_count("const a = 1", 0);
}

/* ---- golden files ---- */

static char *beside(const char *path, const char *suffix)
{
    size_t stem = strlen(path) - 3;
    char *out = malloc(stem + strlen(suffix) + 1);
    memcpy(out, path, stem);
    strcpy(out + stem, suffix);
    return out;
}

static Parsed parse_file(const char *path)
{
    size_t length = 0;
    char *text = test_read_file(path, &length);
    cr_assert_not_null(text, "%s", path);
    const char *slash = strrchr(path, '/');
    Parsed p = parse_bytes(slash + 1, text, length);
    free(text);
    return p;
}

Test(ast, golden_trees)
{
    size_t count;
    char **paths = test_list_files("tests/golden/ast", ".nn", &count);
    cr_assert_geq(count, 5);
    for (size_t i = 0; i < count; i++) {
        Parsed p = parse_file(paths[i]);
        char *errors = errors_of(&p), *text = text_of(p.tree), *golden = beside(paths[i], ".ast");
        cr_expect_str_empty(errors);
        cr_expect(test_golden(golden, text), "%s", golden);
        free(golden);
        free(errors);
        free(text);
        end(&p);
    }
    test_free_list(paths, count);
}

Test(ast, golden_errors)
{
    size_t count;
    char **paths = test_list_files("tests/golden/ast/errors", ".nn", &count);
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        Parsed p = parse_file(paths[i]);
        char *errors = errors_of(&p), *golden = beside(paths[i], ".txt");
        cr_expect_gt(diag_error_count(p.diag), 0, "%s", paths[i]);
        cr_expect(test_golden(golden, errors), "%s", golden);
        free(golden);
        free(errors);
        end(&p);
    }
    test_free_list(paths, count);
}

/* ---- the text form ---- */

/* print(read(print(tree))) is print(tree). */
static bool round_trip(const AstFile *tree)
{
    char *first = text_of(tree);
    Parsed p = begin();
    uint32_t file = source_add(p.map, "tree.ast", first, strlen(first));
    AstFile *again = ast_read(p.arena, p.map, file, p.diag);
    char *second = again ? text_of(again) : errors_of(&p);
    bool same = again != NULL && strcmp(first, second) == 0;
    if (!same) {
        fprintf(stderr, "first:\n%s\nsecond:\n%s\n", first, second);
    }
    free(first);
    free(second);
    end(&p);
    return same;
}

static const char *const program_folders[] = {"tests/golden/ast", "compiler/std", "examples"};

static bool same_again(const char *path)
{
    Parsed p = parse_file(path);
    bool broken = strstr(path, "/errors/") != NULL;
    char *errors = errors_of(&p);
    cr_expect(broken == (errors[0] != '\0'), "%s: %s", path, errors);
    bool same = round_trip(p.tree);
    free(errors);
    end(&p);
    return same;
}

Test(ast, round_trip_of_all_programs)
{
    for (size_t f = 0; f < sizeof program_folders / sizeof *program_folders; f++) {
        size_t count;
        char **paths = test_list_tree(program_folders[f], ".nn", &count);
        cr_assert_gt(count, 0);
        for (size_t i = 0; i < count; i++) {
            cr_expect(same_again(paths[i]), "%s", paths[i]);
        }
        test_free_list(paths, count);
    }
}

static bool try_parse(void *user, const char *name, const char *text, size_t length)
{
    (void)user;
    Parsed p = parse_bytes(name, text, length);
    char *errors = errors_of(&p);
    bool good = round_trip(p.tree);
    free(errors);
    end(&p);
    return good;
}

Test(ast, damaged_programs, .timeout = 40000)
{
    for (size_t f = 0; f < sizeof program_folders / sizeof *program_folders; f++) {
        fuzz_folder(&(FuzzFolder){program_folders[f], ".nn", 1, 300, 20000, 1.0, try_parse, NULL, NULL});
    }
}

static bool try_read(void *user, const char *name, const char *text, size_t length)
{
    (void)user;
    Parsed p = begin();
    AstFile *tree = ast_read(p.arena, p.map, source_add(p.map, name, text, length), p.diag);
    bool good = tree != NULL ? round_trip(tree) : diag_error_count(p.diag) > 0;
    end(&p);
    return good;
}

Test(ast, damaged_trees, .timeout = 40000)
{
    fuzz_folder(&(FuzzFolder){"tests/golden/ast", ".ast", 2, 300, 0, 1.0, try_read, NULL, NULL});
}
