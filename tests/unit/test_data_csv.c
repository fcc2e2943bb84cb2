/* CSV: types, quotes, categories, matching of fields to columns, located errors, damaged text. */
#include "runtime/data/data.h"

#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const Span nowhere = {0, 0, 0};
static const CsvOptions with_header = {.header = true}, without_header = {.header = false};

/* Reads text that must be sound. */
static DataTable *read_sound(const char *text, CsvOptions options, const DataField *fields,
                             int count)
{
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    DataTable *table =
        csv_read_text("t.csv", nowhere, text, strlen(text), options, fields, count, diag);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_not_null(table, "%s", out.text);
    cr_assert_eq(diag_count(diag), 0);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
    return table;
}

/* Reads text that must be refused with this one error. */
static void expect_refusal(const char *text, size_t length, CsvOptions options,
                           const DataField *fields, int count, ErrorCode code, const char *part)
{
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    DataTable *table = csv_read_text("t.csv", nowhere, text, length, options, fields, count, diag);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_null(table, "%s", text);
    cr_assert_eq(diag_error_count(diag), 1, "%s", text);
    cr_assert_not_null(strstr(out.text, error_code_text(code)), "%s", out.text);
    cr_assert_not_null(strstr(out.text, part), "%s lacks %s", out.text, part);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
}

static float f32_at(const DataTable *table, int column, int index)
{
    float value;
    memcpy(&value, table->columns[column].data + 4 * index, 4);
    return value;
}

static int32_t i32_at(const DataTable *table, int column, int index)
{
    int32_t value;
    memcpy(&value, table->columns[column].data + 4 * index, 4);
    return value;
}

Test(csv, types)
{
    DataField fields[] = {{.name = "a", .dtype = DT_F32}, {.name = "b", .dtype = DT_F64},
                          {.name = "c", .dtype = DT_I32}, {.name = "d", .dtype = DT_I64},
                          {.name = "e", .dtype = DT_U8},  {.name = "f", .dtype = DT_BOOL}};
    DataTable *table = read_sound("a,b,c,d,e,f\n"
                                  "1.5,1e-3,-7,9000000000,255,true\r\n"
                                  " +.5 , -2. ,0,-1,0,0\n",
                                  with_header, fields, 6);
    cr_assert_eq(table->rows, 2);
    cr_assert_eq(f32_at(table, 0, 0), 1.5f);
    cr_assert_eq(f32_at(table, 0, 1), 0.5f);
    double wide[2];
    memcpy(wide, table->columns[1].data, sizeof wide);
    cr_assert_eq(wide[0], 1e-3);
    cr_assert_eq(wide[1], -2);
    cr_assert_eq(i32_at(table, 2, 0), -7);
    int64_t large;
    memcpy(&large, table->columns[3].data, 8);
    cr_assert_eq(large, 9000000000);
    cr_assert_eq((unsigned char)table->columns[4].data[0], 255);
    cr_assert_eq(table->columns[5].data[0], 1);
    cr_assert_eq(table->columns[5].data[1], 0);
    table_free(table);
}

/* The host's locale has no say. */
Test(csv, a_decimal_comma_in_the_locale_changes_nothing)
{
    setlocale(LC_ALL, "de_DE.UTF-8");
    DataField field = {.name = "a", .dtype = DT_F32};
    DataTable *table = read_sound("a\n1.5\n", with_header, &field, 1);
    cr_assert_eq(f32_at(table, 0, 0), 1.5f);
    table_free(table);
}

Test(csv, quotes_separators_and_line_ends)
{
    DataField fields[] = {{.name = "word, with comma", .dtype = DT_I32, .category = true},
                          {.name = "x", .dtype = DT_I32}};
    DataTable *table = read_sound(
        "\xEF\xBB\xBF\"word, with comma\",x\r\"a \"\"quoted\"\"\nword\" ,1\r\" b\",\"2\"\r\n\n\n",
        with_header, fields, 2);
    cr_assert_eq(table->rows, 2);
    cr_assert_eq(table->columns[0].category_count, 2);
    cr_assert_str_eq(table->columns[0].categories[0], " b");
    cr_assert_str_eq(table->columns[0].categories[1], "a \"quoted\"\nword");
    cr_assert_eq(i32_at(table, 1, 1), 2);
    table_free(table);
    DataField two[] = {{.name = "a", .dtype = DT_I32}, {.name = "b", .dtype = DT_I32}};
    table = read_sound("a;b\n1;2", with_header, two, 2);
    cr_assert_eq(i32_at(table, 1, 0), 2);
    table_free(table);
    table = read_sound("a\tb\n1\t2\n", with_header, two, 2);
    cr_assert_eq(i32_at(table, 1, 0), 2);
    table_free(table);
    table = read_sound("1|2\n3|4", (CsvOptions){.separator = '|'}, two, 2);
    cr_assert_eq(table->rows, 2);
    cr_assert_eq(i32_at(table, 1, 1), 4);
    table_free(table);
}

Test(csv, categories_are_sorted_and_may_be_given)
{
    DataField field = {.name = "c", .dtype = DT_I32, .category = true};
    DataTable *table = read_sound("c\npear\napple\npear\nfig\n", with_header, &field, 1);
    cr_assert_eq(table->columns[0].category_count, 3);
    cr_assert_str_eq(table->columns[0].categories[0], "apple");
    cr_assert_str_eq(table->columns[0].categories[2], "pear");
    cr_assert_eq(i32_at(table, 0, 0), 2);
    cr_assert_eq(i32_at(table, 0, 1), 0);
    cr_assert_eq(i32_at(table, 0, 3), 1);
    table_free(table);
    const char *words[] = {"pear", "fig", "apple", "plum"};
    field.words = words;
    field.word_count = 4;
    table = read_sound("c\nfig\nplum\n", with_header, &field, 1);
    cr_assert_eq(table->columns[0].category_count, 4);
    cr_assert_str_eq(table->columns[0].categories[0], "pear");
    cr_assert_eq(i32_at(table, 0, 0), 1);
    cr_assert_eq(i32_at(table, 0, 1), 3);
    table_free(table);
    expect_refusal("c\nfig\nplumb\n", 12, with_header, &field, 1, ERR_E0611,
                   "line 3, column 1 (c): \"plumb\"");
}

/* A thousand words in shuffled order still get the codes of their sorted places. */
Test(csv, many_categories)
{
    StrBuf text = {0};
    for (int i = 0; i < 3000; i++) {
        strbuf_printf(&text, "w%04d\n", i * 7 % 1000);
    }
    DataField field = {.name = "c", .dtype = DT_I32, .category = true};
    DataTable *table = read_sound(text.text, without_header, &field, 1);
    cr_assert_eq(table->rows, 3000);
    cr_assert_eq(table->columns[0].category_count, 1000);
    for (int i = 0; i < 3000; i++) {
        cr_assert_eq(i32_at(table, 0, i), i * 7 % 1000);
    }
    table_free(table);
    strbuf_free(&text);
}

Test(csv, wide_fields_take_columns)
{
    const char *text = "id,a,b,c,y\n7,1,2,3,0\n8,4,5,6,1\n";
    DataField rest[] = {{.name = "y", .dtype = DT_I32},
                        {.name = "id", .dtype = DT_I32},
                        {.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {3}}};
    DataTable *table = read_sound(text, with_header, rest, 3);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(f32_at(table, 2, i), (float)(i + 1));
    }
    cr_assert_eq(i32_at(table, 1, 1), 8);
    table_free(table);
    static const char *const places[] = {"a..c", "1..3", "a, b ,c", "1,2,3"};
    for (int i = 0; i < 4; i++) {
        DataField field = {
            .name = "x", .dtype = DT_F32, .rank = 1, .sizes = {3}, .where = places[i]};
        table = read_sound(text, with_header, &field, 1);
        cr_assert_eq(f32_at(table, 0, 5), 6);
        table_free(table);
    }
    DataField square[] = {{.name = "x", .dtype = DT_F32, .rank = 2, .sizes = {2, 2}},
                          {.name = "y", .dtype = DT_I32}};
    table = read_sound("1,2,3,4,5\n", without_header, square, 2);
    cr_assert_eq(f32_at(table, 0, 3), 4);
    cr_assert_eq(i32_at(table, 1, 0), 5);
    table_free(table);
    DataField renamed = {.name = "label", .dtype = DT_I32, .where = "y"};
    table = read_sound(text, with_header, &renamed, 1);
    cr_assert_eq(i32_at(table, 0, 1), 1);
    table_free(table);
}

Test(csv, refusals)
{
    DataField a = {.name = "a", .dtype = DT_F32}, integer = {.name = "a", .dtype = DT_U8},
              truth = {.name = "a", .dtype = DT_BOOL},
              word = {.name = "a", .dtype = DT_I32, .category = true},
              wide = {.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {3}},
              i64 = {.name = "a", .dtype = DT_I64}, f64 = {.name = "a", .dtype = DT_F64};
    const struct {
        const char *text;
        const DataField *field;
        ErrorCode code;
        const char *part;
    } cases[] = {
        {"", &a, ERR_E0612, "t.csv is empty"},
        {"\n\r\n", &a, ERR_E0612, "empty"},
        {"a,b\n1,2\n,3\n", &a, ERR_E0608, "t.csv, line 3, column 1 (a): the cell is empty"},
        {"b,a\n1,NA\n", &a, ERR_E0608, "line 2, column 2 (a): \"NA\" is not a number"},
        {"a\nnan\n", &a, ERR_E0608, "\"nan\" is not a number"},
        {"a\ninf\n", &a, ERR_E0608, "\"inf\" is not a number"},
        {"a\n0x10\n", &a, ERR_E0608, "not a number"},
        {"a\n1e\n", &a, ERR_E0608, "not a number"},
        {"a\n1e39\n", &a, ERR_E0608, "too large"},
        {"a\n1e309\n", &f64, ERR_E0608, "too large"},
        {"a\n1,5\n", &a, ERR_E0609, "line 2: 2 cells, and the first line has 1"},
        {"a\n1\n\n2\n", &a, ERR_E0608, "line 3, column 1 (a): the cell is empty"},
        {"a,b\n1,2\n\n3,4\n", &a, ERR_E0609, "line 3: 1 cells"},
        {"a\n\"1\n", &a, ERR_E0610, "line 2, column 1: a quoted cell is not closed"},
        {"a\n\"1\"2\n", &a, ERR_E0610, "text after a closing quote"},
        {"a\n256\n", &integer, ERR_E0608, "\"256\" does not fit"},
        {"a\n-1\n", &integer, ERR_E0608, "does not fit"},
        {"a\n1.0\n", &integer, ERR_E0608, "\"1.0\" is not an integer"},
        {"a\n9223372036854775808\n", &i64, ERR_E0608, "does not fit"},
        {"a\nyes\n", &truth, ERR_E0608, "\"yes\" is not one of"},
        {"a\n\n", &word, ERR_E0612, ""},
        {"a,b\n,1\n", &word, ERR_E0608, "the cell is empty"},
        {"A1,b\n1,2\n", &a, ERR_E0607, "has no column a"},
        {"a,a\n1,2\n", &a, ERR_E0607, "two columns a"},
        {"a,b\n1,2\n", &wide, ERR_E0607, "f32[3], which takes 3 columns, and there are 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].part[0]) {
            expect_refusal(cases[i].text, strlen(cases[i].text), with_header, cases[i].field, 1,
                           cases[i].code, cases[i].part);
        }
    }
    expect_refusal("1\n2\n3\nx\n", 8, without_header, &a, 1, ERR_E0608, "line 4, column 1: \"x\"");
    expect_refusal("a\n1\0002\n", 6, with_header, &a, 1, ERR_E0608, "not a number");
    expect_refusal("a\nb\0c\n", 6, with_header, &word, 1, ERR_E0608, "NUL");
    DataField reversed = {.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}, .where = "b..a"};
    expect_refusal("a,b\n1,2\n", 8, with_header, &reversed, 1, ERR_E0607, "there are 0");
    DataField near = {.name = "petal_widht", .dtype = DT_F32};
    expect_refusal("petal_width,b\n1,2\n", 18, with_header, &near, 1, ERR_E0607,
                   "there is a column petal_width");
    DataField number = {.name = "x", .dtype = DT_F32, .where = "7"};
    expect_refusal("1,2\n", 4, without_header, &number, 1, ERR_E0607, "numbered 0 to 1");
}

Test(csv, a_header_alone_is_a_table_of_no_rows)
{
    DataField field = {.name = "a", .dtype = DT_I32, .category = true};
    DataTable *table = read_sound("a,b\n", with_header, &field, 1);
    cr_assert_eq(table->rows, 0);
    cr_assert_eq(table->columns[0].category_count, 0);
    table_free(table);
}

/* Every truncation and thousands of edits of a small file: an error or a table, never anything
 * else. */
static void read_damaged(const char *path, void *user)
{
    Diag *diag = user;
    DataField fields[] = {{.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}, .where = "a..b"},
                          {.name = "n", .dtype = DT_I32},
                          {.name = "w", .dtype = DT_I32, .category = true},
                          {.name = "t", .dtype = DT_BOOL}};
    DataTable *table = csv_read((DataFile){.path = path}, with_header, fields, 4, diag);
    cr_assert_eq(table == NULL, diag_error_count(diag) == 1);
    for (int64_t row = 0; table && row < table->rows; row++) {
        cr_assert_lt(i32_at(table, 2, (int)row), table->columns[2].category_count);
        cr_assert(isfinite(f32_at(table, 0, (int)row)));
    }
    table_free(table);
    diag_clear(diag);
}

Test(csv, damaged_files)
{
    static const char text[] =
        "a,b,n,w,t\n1.5,-2e3,7,\"one \"\"word\"\"\",true\r\n0,1,-8,two,0\n3,4,5,\"a,b\",1\n";
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    char *folder = files_folder(), *path = files_path(folder, "d.csv");
    files_write(path, text, sizeof text - 1);
    files_damage(path, 6000, read_damaged, diag);
    files_remove(folder);
    free(path);
    diag_free(diag);
    source_map_free(map);
}

Test(csv, the_tables_of_the_examples)
{
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    DataField iris[] = {{.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {4}},
                        {.name = "species", .dtype = DT_I32, .category = true}};
    DataTable *table = csv_read((DataFile){.path = NNC_SOURCE_DIR "/examples/data/iris.csv"},
                                with_header, iris, 2, diag);
    cr_assert_eq(table->rows, 150);
    cr_assert_eq(table->columns[1].category_count, 3);
    cr_assert_str_eq(table->columns[1].categories[1], "versicolor");
    cr_assert_eq(f32_at(table, 0, 0), 5.1f);
    double mean[30], deviation[30];
    data_moments(&table->columns[0], NULL, 150, mean, deviation);
    cr_assert_float_eq(mean[0], 5.843333, 1e-5);
    table_free(table);
    DataField cancer[] = {{.name = "x", .dtype = DT_F64, .rank = 1, .sizes = {30}},
                          {.name = "diagnosis", .dtype = DT_I32, .category = true}};
    table = csv_read((DataFile){.path = NNC_SOURCE_DIR "/examples/data/breast_cancer.csv"},
                     with_header, cancer, 2, diag);
    cr_assert_eq(table->rows, 569);
    int malignant = 0;
    for (int row = 0; row < 569; row++) {
        malignant += i32_at(table, 1, row);
    }
    cr_assert_eq(malignant, 212);
    data_moments(&table->columns[0], NULL, 569, mean, deviation);
    cr_assert_float_eq(mean[0], 14.127292, 1e-6);
    cr_assert_float_eq(deviation[0], 3.520951, 1e-6);
    table_free(table);
    diag_free(diag);
    source_map_free(map);
}
