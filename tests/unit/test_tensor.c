/* Host tensors and safetensors: round trips, refusals, damaged files. */
#include "runtime/tensor/safetensors.h"

#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(tensor, shapes_are_measured_with_care)
{
    int64_t count;
    size_t bytes;
    cr_assert(tensor_measure(DT_F32, 2, (int64_t[]){3, 4}, &count, &bytes));
    cr_assert_eq(count, 12);
    cr_assert_eq(bytes, 48);
    cr_assert(tensor_measure(DT_F64, 0, NULL, &count, &bytes));
    cr_assert_eq(bytes, 8);
    cr_assert(tensor_measure(DT_F64, 2, (int64_t[]){0, 5}, &count, &bytes));
    cr_assert_eq(count, 0);
    cr_assert_not(tensor_measure(DT_F32, 1, (int64_t[]){-1}, &count, &bytes));
    cr_assert_not(tensor_measure(DT_F32, 2, (int64_t[]){INT64_MAX, 2}, &count, &bytes));
    cr_assert_not(tensor_measure(DT_F32, 3, (int64_t[]){0, INT64_MAX, 2}, &count, &bytes));
    cr_assert_not(
        tensor_measure(DT_F32, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, &count, &bytes));
}

Test(tensor, new_ones_are_zero_and_aligned)
{
    Tensor *tensor = tensor_new(DT_I64, 2, (int64_t[]){5, 3});
    cr_assert_eq((uintptr_t)tensor->data % 64, 0);
    for (int i = 0; i < 15; i++) {
        cr_assert_eq(((int64_t *)tensor->data)[i], 0);
    }
    tensor_free(tensor);
    tensor = tensor_new(DT_F32, 1, (int64_t[]){0});
    cr_assert_not_null(tensor->data);
    tensor_free(tensor);
    cr_assert_null(tensor_new(DT_F32, 1, (int64_t[]){-3}));
}

static const float weight[6] = {1, 2, 3, -4, 0.5f, 1e-30f};
static const double moment[2] = {3.25, -1e300};
static const int64_t steps[1] = {12345678901234};
static const uint8_t mask[3] = {1, 0, 1};
static const uint16_t halves[3] = {0x3C00, 0x7C01, 0x8001};
static const int8_t bytes_with_sign[5] = {-128, -1, 0, 1, 127};
static const SafeEntry entries[] = {
    {"layer.\"weight\"", DT_F32, 2, {2, 3}, weight},
    {"mask", DT_BOOL, 1, {3}, mask},
    {"moment", DT_F64, 1, {2}, moment},
    {"steps", DT_I64, 0, {0}, steps},
    {"empty", DT_I32, 2, {0, 7}, weight},
    {"brain", DT_BF16, 1, {3}, halves},
    {"half", DT_F16, 2, {3, 1}, halves},
    {"bytes", DT_I8, 1, {5}, bytes_with_sign},
};
enum { ENTRIES = sizeof entries / sizeof *entries };
static const SafeMetadata metadata[] = {{"vocabulary", "setosa\nvirginica \xC3\xA4"},
                                        {"format", "nnc"}};

typedef struct {
    SourceMap *map;
    Diag *diag;
    char *folder, *path;
} Place;

static Place make_place(void)
{
    Place place = {.map = source_map_new(), .folder = files_folder()};
    place.diag = diag_new(place.map);
    place.path = files_path(place.folder, "w.safetensors");
    return place;
}

static void drop_place(Place place)
{
    diag_free(place.diag);
    source_map_free(place.map);
    files_remove(place.folder);
    free(place.path);
}

static const Span nowhere = {0, 0, 0};

Test(safetensors, round_trip)
{
    Place place = make_place();
    cr_assert(safetensors_write(place.path, entries, ENTRIES, metadata, 2, place.diag, nowhere));
    SafeTensors *file = safetensors_open(place.path, place.diag, nowhere);
    cr_assert_not_null(file);
    cr_assert_eq(safetensors_count(file), ENTRIES);
    for (int i = 0; i < ENTRIES; i++) {
        const Tensor *tensor = safetensors_find(file, entries[i].name);
        cr_assert_not_null(tensor, "%s", entries[i].name);
        cr_assert_eq(tensor->dtype, entries[i].dtype);
        cr_assert(
            tensor_same_shape(tensor->rank, tensor->sizes, entries[i].rank, entries[i].sizes));
        cr_assert_eq(memcmp(tensor->data, entries[i].data, tensor->bytes), 0);
        cr_assert_eq((uintptr_t)tensor->data % dtype_bytes(tensor->dtype), 0);
    }
    cr_assert_str_eq(safetensors_name(file, 0), "moment");
    cr_assert_eq(safetensors_tensor(file, 0)->count, 2);
    cr_assert_str_eq(safetensors_metadata(file, "vocabulary"), metadata[0].value);
    cr_assert_str_eq(safetensors_metadata_key(file, 0), "format");
    cr_assert_eq(safetensors_metadata_count(file), 2);
    cr_assert_null(safetensors_metadata(file, "other"));
    cr_assert_null(safetensors_find(file, "other"));
    cr_assert_eq(diag_error_count(place.diag), 0);
    safetensors_close(file);
    drop_place(place);
}

/* The bytes do not depend on the order in which entries are given. */
Test(safetensors, bytes_are_a_function_of_the_contents)
{
    Place place = make_place();
    SafeEntry backwards[ENTRIES];
    for (int i = 0; i < ENTRIES; i++) {
        backwards[i] = entries[ENTRIES - 1 - i];
    }
    SafeMetadata swapped[] = {metadata[1], metadata[0]};
    size_t a, b;
    cr_assert(safetensors_write(place.path, entries, ENTRIES, metadata, 2, place.diag, nowhere));
    char *first = files_read(place.path, &a);
    cr_assert(safetensors_write(place.path, backwards, ENTRIES, swapped, 2, place.diag, nowhere));
    char *second = files_read(place.path, &b);
    cr_assert_eq(a, b);
    cr_assert_arr_eq(first, second, a);
    free(first);
    free(second);
    drop_place(place);
}

Test(safetensors, an_empty_file_of_no_tensors)
{
    Place place = make_place();
    cr_assert(safetensors_write(place.path, NULL, 0, NULL, 0, place.diag, nowhere));
    SafeTensors *file = safetensors_open(place.path, place.diag, nowhere);
    cr_assert_not_null(file);
    cr_assert_eq(safetensors_count(file), 0);
    safetensors_close(file);
    drop_place(place);
}

/* Writes a header and some data by hand. */
static void write_raw(const char *path, const char *header, size_t data_bytes)
{
    size_t length = strlen(header);
    char *file = calloc(1, 8 + length + data_bytes);
    for (int i = 0; i < 8; i++) {
        file[i] = (char)(length >> (8 * i));
    }
    memcpy(file + 8, header, length);
    files_write(path, file, 8 + length + data_bytes);
    free(file);
}

#define ONE(name, dtype, shape, begin, end)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end   \
    "]}"

Test(safetensors, headers_that_are_refused)
{
    static const struct {
        const char *header;
        size_t bytes;
        ErrorCode code;
        const char *message;
    } cases[] = {
        {"{", 0, ERR_E0701, "JSON"},
        {"[]", 0, ERR_E0701, "JSON"},
        {"{} x", 0, ERR_E0701, "goes on after"},
        {"{" ONE("a", "F8_E4M3", "[1]", "0", "1") "}", 1, ERR_E0702, "F8_E4M3"},
        {"{" ONE("a", "F32", "[2]", "0", "4") "}", 4, ERR_E0701, "does not fill"},
        {"{" ONE("a", "F32", "[1]", "0", "4") "," ONE("a", "F32", "[1]", "4", "8") "}", 8,
         ERR_E0701, "occurs twice"},
        {"{" ONE("a", "F32", "[1]", "0", "4") "," ONE("b", "F32", "[1]", "0", "4") "}", 4,
         ERR_E0701, "does not begin"},
        {"{" ONE("a", "F32", "[1]", "4", "8") "}", 8, ERR_E0701, "does not begin"},
        {"{" ONE("a", "F32", "[1]", "0", "4") "}", 8, ERR_E0701, "after its last"},
        {"{" ONE("a", "F32", "[1]", "0", "4") "}", 2, ERR_E0701, "there are 2"},
        {"{" ONE("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, ERR_E0701, "8 axes"},
        {"{" ONE("a", "F32", "[-1]", "0", "4") "}", 4, ERR_E0701, "number"},
        {"{" ONE("a", "F32", "[9223372036854775807,4]", "0", "4") "}", 4, ERR_E0701,
         "does not fill"},
        {"{" ONE("a", "F32", "[99999999999999999999]", "0", "4") "}", 4, ERR_E0701, "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ERR_E0701, "lacks"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1]}}", 4, ERR_E0701, "repeated"},
        {"{\"a\\u0000b\":{}}", 0, ERR_E0701, "escape"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, ERR_E0701, "twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, ERR_E0701, "twice"},
    };
    Place place = make_place();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_raw(place.path, cases[i].header, cases[i].bytes);
        diag_clear(place.diag);
        cr_assert_null(safetensors_open(place.path, place.diag, nowhere), "%s", cases[i].header);
        StrBuf out = {0};
        diag_render_text(place.diag, &out, false);
        cr_assert_not_null(strstr(out.text, cases[i].message), "%s", out.text);
        cr_assert_not_null(strstr(out.text, error_code_text(cases[i].code)), "%s", out.text);
        cr_assert_not_null(strstr(out.text, "w.safetensors"));
        strbuf_free(&out);
    }
    drop_place(place);
}

Test(safetensors, names_with_escapes)
{
    Place place = make_place();
    write_raw(place.path,
              "{\"__metadata__\":{\"k\":\"\\u00e4\\ud83d\\ude00\\n\"}, " ONE("a\\/b", "U8", "[1]",
                                                                             "0", "1") "}  ",
              1);
    SafeTensors *file = safetensors_open(place.path, place.diag, nowhere);
    cr_assert_not_null(file);
    cr_assert_not_null(safetensors_find(file, "a/b"));
    cr_assert_str_eq(safetensors_metadata(file, "k"), "\xC3\xA4\xF0\x9F\x98\x80\n");
    safetensors_close(file);
    drop_place(place);
}

static int sum_of_bits(const void *data, size_t bytes)
{
    int sum = 0;
    for (size_t i = 0; i < bytes; i++) {
        sum += ((const unsigned char *)data)[i] & 1;
    }
    return sum;
}

static void open_damaged(const char *path, void *user)
{
    Place *place = user;
    diag_clear(place->diag);
    SafeTensors *file = safetensors_open(path, place->diag, nowhere);
    cr_assert_eq(file == NULL, diag_error_count(place->diag) == 1);
    for (int i = 0; file && i < safetensors_count(file);
         i++) { /* every byte that is promised can be read */
        const Tensor *tensor = safetensors_tensor(file, i);
        cr_assert_geq(sum_of_bits(tensor->data, tensor->bytes), 0);
    }
    safetensors_close(file);
}

Test(safetensors, damaged_files_are_refused_or_sound)
{
    Place place = make_place();
    cr_assert(safetensors_write(place.path, entries, ENTRIES, metadata, 2, place.diag, nowhere));
    files_damage(place.path, 3000, open_damaged, &place);
    drop_place(place);
}

Test(safetensors, files_that_cannot_be_opened_or_written)
{
    Place place = make_place();
    cr_assert_null(safetensors_open(place.path, place.diag, nowhere));
    cr_assert_null(safetensors_open(place.folder, place.diag, nowhere));
    cr_assert_not(
        safetensors_write("/nonexistent/folder/w", entries, ENTRIES, NULL, 0, place.diag, nowhere));
    cr_assert_eq(diag_error_count(place.diag), 3);
    /* A failed write leaves no temporary file and keeps the old one. */
    cr_assert_eq(mkdir(place.path, 0777), 0);
    cr_assert_not(safetensors_write(place.path, entries, ENTRIES, NULL, 0, place.diag, nowhere));
    struct stat status;
    cr_assert(stat(place.path, &status) == 0 && S_ISDIR(status.st_mode));
    rmdir(place.path);
    cr_assert_eq(rmdir(place.folder), 0, "something was left behind");
    mkdir(place.folder, 0777);
    drop_place(place);
}
