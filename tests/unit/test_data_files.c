/* IDX, npy and npz: sound files, every kind of refusal, damaged files. */
#include "runtime/data/data.h"

#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct {
    SourceMap *map;
    Diag *diag;
    char *folder, *path, *other;
} Place;

static Place make_place(void)
{
    Place place = {.map = source_map_new(), .folder = files_folder()};
    place.diag = diag_new(place.map);
    place.path = files_path(place.folder, "a.data");
    place.other = files_path(place.folder, "b.data");
    return place;
}

static void drop_place(Place place)
{
    diag_free(place.diag);
    source_map_free(place.map);
    files_remove(place.folder);
    free(place.path);
    free(place.other);
}

/* The one error must have this code and contain this text. */
static void expect_error(Diag *diag, ErrorCode code, const char *part)
{
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    cr_assert_eq(diag_error_count(diag), 1, "%s", out.text ? out.text : "no error");
    cr_assert_not_null(strstr(out.text, error_code_text(code)), "%s is not %s", out.text,
                       error_code_text(code));
    cr_assert_not_null(strstr(out.text, part), "%s lacks %s", out.text, part);
    strbuf_free(&out);
    diag_clear(diag);
}

static void write_gzip(const char *path, const void *data, size_t length, const char *mode)
{
    gzFile file = gzopen(path, mode);
    cr_assert_eq(gzwrite(file, data, (unsigned)length), (int)length);
    gzclose(file);
}

static unsigned checksum_of_table(const DataTable *table)
{
    unsigned sum = 0;
    for (int i = 0; table && i < table->column_count; i++) {
        for (int64_t k = 0; k < table->rows * table->columns[i].row_bytes; k++) {
            sum = sum * 31 + (unsigned char)table->columns[i].data[k];
        }
    }
    return sum;
}

static const unsigned char idx_images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                           0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const unsigned char idx_labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};
static const unsigned char idx_ints[] = {0,    0,    12,   1,    0,    0,    0,    2,
                                         0x01, 0x02, 0x03, 0x04, 0xFF, 0xFF, 0xFF, 0xFE};

Test(idx, images_and_labels)
{
    Place place = make_place();
    files_write(place.path, idx_images, sizeof idx_images);
    write_gzip(place.other, idx_labels, sizeof idx_labels, "wb");
    DataField fields[] = {
        {.name = "image", .dtype = DT_U8, .rank = 2, .sizes = {2, 3}, .where = place.path},
        {.name = "label", .dtype = DT_U8, .where = place.other}};
    DataTable *table = idx_read(fields, 2, place.diag);
    cr_assert_not_null(table);
    cr_assert_eq(table->rows, 2);
    const DataColumn *image = table_column(table, "image"), *label = table_column(table, "label");
    cr_assert_eq(image->row_bytes, 6);
    cr_assert_arr_eq(image->data, idx_images + 16, 12);
    cr_assert_arr_eq(label->data, idx_labels + 8, 2);
    cr_assert_null(table_column(table, "other"));
    table_free(table);
    files_write(place.path, idx_ints, sizeof idx_ints);
    DataField ints = {.name = "x", .dtype = DT_I32, .where = place.path};
    table = idx_read(&ints, 1, place.diag);
    int32_t values[2];
    memcpy(values, table->columns[0].data, sizeof values);
    cr_assert_eq(values[0], 0x01020304);
    cr_assert_eq(values[1], -2);
    table_free(table);
    drop_place(place);
}

/* A stream of two members is one file. */
Test(idx, gzip_members_one_after_the_other)
{
    Place place = make_place();
    write_gzip(place.path, idx_labels, 5, "wb");
    write_gzip(place.path, idx_labels + 5, sizeof idx_labels - 5, "ab");
    DataField field = {.name = "label", .dtype = DT_U8, .where = place.path};
    DataTable *table = idx_read(&field, 1, place.diag);
    cr_assert_not_null(table);
    cr_assert_eq(table->columns[0].data[1], 9);
    table_free(table);
    drop_place(place);
}

Test(idx, refusals)
{
    Place place = make_place();
    DataField field = {
        .name = "image", .dtype = DT_U8, .rank = 2, .sizes = {2, 3}, .where = place.path};
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0600, "a.data: No such file");
    field.where = place.folder;
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0600, "folder");
    field.where = place.path;
    files_write(place.path, "hello world", 11);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0602, "two zero bytes");
    files_write(place.path, "\0\0\7\1....", 8);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0602, "0x07");
    files_write(place.path, "\0\0\x0B\1....", 8);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0604, "i16");
    files_write(place.path, "\0\0\x08\xC8....", 8);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0602, "200 axes");
    files_write(place.path, idx_images, 27);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0601, "12 bytes, and 11 follow");
    unsigned char longer[29] = {0};
    memcpy(longer, idx_images, 28);
    files_write(place.path, longer, 29);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0603, "12 bytes, and 13 follow");
    files_write(place.path, idx_images, 28);
    field.sizes[1] = 4;
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0605, "u8[2, 3], and the field image is u8[2, 4]");
    field.dtype = DT_F32;
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0604, "u8[2, 3], and the field image is f32[2, 4]");
    /* A header that promises a hundred terabytes costs nothing. */
    files_write(place.path, "\0\0\x08\3\xFF\xFF\xFF\xFF\0\0\xFF\xFF\0\0\xFF\xFF", 16);
    DataField huge = {
        .name = "image", .dtype = DT_U8, .rank = 2, .sizes = {65535, 65535}, .where = place.path};
    cr_assert_null(idx_read(&huge, 1, place.diag));
    expect_error(place.diag, ERR_E0617, "do not fit");
    drop_place(place);
}

Test(idx, columns_of_different_lengths)
{
    Place place = make_place();
    files_write(place.path, idx_labels, sizeof idx_labels);
    files_write(place.other, "\0\0\x08\1\0\0\0\3abc", 11);
    DataField fields[] = {{.name = "a", .dtype = DT_U8, .where = place.path},
                          {.name = "b", .dtype = DT_U8, .where = place.other}};
    cr_assert_null(idx_read(fields, 2, place.diag));
    expect_error(place.diag, ERR_E0606, "b.data has 3 rows");
    drop_place(place);
}

Test(idx, damaged_gzip)
{
    Place place = make_place();
    write_gzip(place.path, idx_images, sizeof idx_images, "wb");
    size_t length;
    char *whole = files_read(place.path, &length);
    DataField field = {
        .name = "image", .dtype = DT_U8, .rank = 2, .sizes = {2, 3}, .where = place.path};
    files_write(place.path, whole, length - 5);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0615, "ends too early");
    whole[length - 6] ^= 1;
    files_write(place.path, whole, length);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0615, "damaged");
    whole[length - 6] ^= 1;
    char *longer = calloc(1, length + 3);
    memcpy(longer, whole, length);
    files_write(place.path, longer, length + 3);
    cr_assert_null(idx_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0615, "after the end");
    free(longer);
    free(whole);
    drop_place(place);
}

static void read_damaged_idx(const char *path, void *user)
{
    Place *place = user;
    DataField field = {.name = "image", .dtype = DT_U8, .rank = 2, .sizes = {2, 3}, .where = path};
    DataTable *table = idx_read(&field, 1, place->diag);
    cr_assert_eq(table == NULL, diag_error_count(place->diag) == 1);
    checksum_of_table(table);
    table_free(table);
    diag_clear(place->diag);
}

Test(idx, damaged_files)
{
    Place place = make_place();
    files_write(place.path, idx_images, sizeof idx_images);
    files_damage(place.path, 2000, read_damaged_idx, &place);
    write_gzip(place.path, idx_images, sizeof idx_images, "wb");
    files_damage(place.path, 2000, read_damaged_idx, &place);
    drop_place(place);
}

/* The published MNIST files that the examples use. */
Test(idx, mnist)
{
    Place place = make_place();
    DataField fields[] = {
        {.name = "image",
         .dtype = DT_U8,
         .rank = 2,
         .sizes = {28, 28},
         .where = NNC_SOURCE_DIR "/examples/data/mnist/t10k-images-idx3-ubyte.gz"},
        {.name = "label",
         .dtype = DT_U8,
         .where = NNC_SOURCE_DIR "/examples/data/mnist/t10k-labels-idx1-ubyte.gz"}};
    DataTable *table = idx_read(fields, 2, place.diag);
    cr_assert_not_null(table);
    cr_assert_eq(table->rows, 10000);
    static const char first[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
    cr_assert_arr_eq(table->columns[1].data, first, 10);
    double mean[784], deviation[784], total = 0;
    data_moments(&table->columns[0], NULL, table->rows, mean, deviation);
    for (int i = 0; i < 784; i++) {
        total += mean[i] / 784 / 255;
    }
    cr_assert_float_eq(total, 0.1325, 0.0001); /* the known mean of the test images */
    table_free(table);
    drop_place(place);
}

/* ---- npy ---- */

typedef struct {
    char bytes[4096];
    size_t length;
} Buffer;

static void put(Buffer *buffer, const void *data, size_t length)
{
    memcpy(buffer->bytes + buffer->length, data, length);
    buffer->length += length;
}

static void put_u16(Buffer *buffer, unsigned value)
{
    put(buffer, (unsigned char[]){(unsigned char)value, (unsigned char)(value >> 8)}, 2);
}

static void put_u32(Buffer *buffer, unsigned value)
{
    put_u16(buffer, value & 0xFFFF);
    put_u16(buffer, value >> 16);
}

static Buffer npy_of(int version, const char *header, const void *data, size_t length)
{
    Buffer buffer = {.length = 0};
    put(&buffer, "\x93NUMPY", 6);
    put(&buffer, (char[]){(char)version, 0}, 2);
    put_u16(&buffer, (unsigned)strlen(header));
    if (version > 1) {
        put_u16(&buffer, 0);
    }
    put(&buffer, header, strlen(header));
    put(&buffer, data, length);
    return buffer;
}

static const float four[4] = {1.5f, -2, 3, 1e30f};
#define FOUR "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }          \n"

Test(npy, versions_and_types)
{
    Place place = make_place();
    for (int version = 1; version <= 3; version++) {
        Buffer file = npy_of(version, FOUR, four, sizeof four);
        files_write(place.path, file.bytes, file.length);
        DataField field = {
            .name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}, .where = place.path};
        DataTable *table = npy_read(&field, 1, place.diag);
        cr_assert_not_null(table);
        cr_assert_eq(table->rows, 2);
        cr_assert_eq(memcmp(table->columns[0].data, four, sizeof four), 0);
        table_free(table);
    }
    static const struct {
        const char *header;
        DType dtype;
    } cases[] = {{"{'descr':'<f8','fortran_order':False,'shape':(2,)}", DT_F64},
                 {"{'shape': (2,), 'descr': '<i8', 'fortran_order': True}", DT_I64},
                 {"{\"descr\": \"<i4\", \"fortran_order\": False, \"shape\": (4,),}", DT_I32},
                 {"{'descr': '|u1', 'fortran_order': False, 'shape': (16,), }", DT_U8},
                 {"{'descr': '|i1', 'fortran_order': False, 'shape': (16,), }", DT_I8},
                 {"{'descr': '<f2', 'fortran_order': False, 'shape': (8,), }", DT_F16},
                 {"{'descr': '|b1', 'fortran_order': False, 'shape': (16,), }", DT_BOOL}};
    char zeros[16] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buffer file = npy_of(1, cases[i].header, zeros, 16);
        files_write(place.path, file.bytes, file.length);
        DataField field = {.name = "x", .dtype = cases[i].dtype, .where = place.path};
        DataTable *table = npy_read(&field, 1, place.diag);
        cr_assert_not_null(table, "%s", cases[i].header);
        cr_assert_eq(table->rows * table->columns[0].row_bytes, 16);
        table_free(table);
    }
    drop_place(place);
}

Test(npy, refusals)
{
    static const struct {
        const char *header;
        size_t bytes;
        ErrorCode code;
        const char *part;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2)}", 16, ERR_E0604, "'>f4'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1)}", 16, ERR_E0604,
         "f64[1], and the field x is f32[2]"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", 16, ERR_E0602, "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, ERR_E0602, "single number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 24, ERR_E0605, "f32[3]"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", 15, ERR_E0601, "15 follow"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", 17, ERR_E0603, "17 follow"},
        {"{'descr': '<f4', 'fortran_order': False}", 16, ERR_E0602, "dictionary"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", 16, ERR_E0602,
         "dictionary"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}", 16, ERR_E0602,
         "dictionary"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 99999999999999999999)}", 16,
         ERR_E0602, "dictionary"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2)}", 16,
         ERR_E0617, "do not fit"},
    };
    Place place = make_place();
    char zeros[32] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buffer file = npy_of(1, cases[i].header, zeros, cases[i].bytes);
        files_write(place.path, file.bytes, file.length);
        DataField field = {
            .name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}, .where = place.path};
        cr_assert_null(npy_read(&field, 1, place.diag), "%s", cases[i].header);
        expect_error(place.diag, cases[i].code, cases[i].part);
    }
    Buffer truth =
        npy_of(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", "\1\2", 2);
    files_write(place.path, truth.bytes, truth.length);
    DataField field = {.name = "x", .dtype = DT_BOOL, .where = place.path};
    cr_assert_null(npy_read(&field, 1, place.diag));
    expect_error(place.diag, ERR_E0608, "row 2");
    drop_place(place);
}

static void read_damaged_npy(const char *path, void *user)
{
    Place *place = user;
    DataField field = {.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}, .where = path};
    DataTable *table = npy_read(&field, 1, place->diag);
    cr_assert_eq(table == NULL, diag_error_count(place->diag) == 1);
    checksum_of_table(table);
    table_free(table);
    diag_clear(place->diag);
}

Test(npy, damaged_files)
{
    Place place = make_place();
    Buffer file = npy_of(1, FOUR, four, sizeof four);
    files_write(place.path, file.bytes, file.length);
    files_damage(place.path, 3000, read_damaged_npy, &place);
    drop_place(place);
}

/* ---- npz ---- */

typedef struct {
    const char *name;
    Buffer file;
    int method; /* 0 stored, 8 deflated */
} Member;

static size_t deflate_raw(const Buffer *file, char *out, size_t capacity)
{
    z_stream stream = {0};
    deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (Bytef *)file->bytes;
    stream.avail_in = (uInt)file->length;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)capacity;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

/* What the local header and the directory have in common. */
static void put_sizes(Buffer *zip, const Member *member, size_t packed)
{
    put_u16(zip, 20);
    put_u16(zip, 0);
    put_u16(zip, (unsigned)member->method);
    put_u32(zip, 0);
    put_u32(zip, (unsigned)crc32(0, (const Bytef *)member->file.bytes, (uInt)member->file.length));
    put_u32(zip, (unsigned)packed);
    put_u32(zip, (unsigned)member->file.length);
    put_u16(zip, (unsigned)strlen(member->name) + 4);
}

static Buffer zip_of(const Member *members, int count)
{
    Buffer zip = {.length = 0}, directory = {.length = 0};
    for (int i = 0; i < count; i++) {
        char packed[4096];
        size_t local = zip.length, length = members[i].file.length;
        memcpy(packed, members[i].file.bytes, length);
        if (members[i].method == 8) {
            length = deflate_raw(&members[i].file, packed, sizeof packed);
        }
        put_u32(&zip, 0x04034B50);
        put_sizes(&zip, &members[i], length);
        put_u16(&zip, 3);
        put(&zip, members[i].name, strlen(members[i].name));
        put(&zip, ".npy", 4);
        put(&zip, "xtr", 3);
        put(&zip, packed, length);
        put_u32(&directory, 0x02014B50);
        put_u16(&directory, 20);
        put_sizes(&directory, &members[i], length);
        put(&directory, (char[12]){0}, 12);
        put_u32(&directory, (unsigned)local);
        put(&directory, members[i].name, strlen(members[i].name));
        put(&directory, ".npy", 4);
    }
    size_t begin = zip.length;
    put(&zip, directory.bytes, directory.length);
    put_u32(&zip, 0x06054B50);
    put_u32(&zip, 0);
    put_u16(&zip, (unsigned)count);
    put_u16(&zip, (unsigned)count);
    put_u32(&zip, (unsigned)directory.length);
    put_u32(&zip, (unsigned)begin);
    put_u16(&zip, 5);
    put(&zip, "notes", 5);
    return zip;
}

static Buffer two_arrays(void)
{
    int64_t labels[2] = {4, -1};
    Member members[] = {
        {"x", npy_of(1, FOUR, four, sizeof four), 8},
        {"labels", npy_of(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", labels, 16),
         0}};
    return zip_of(members, 2);
}

static DataTable *read_two(const char *path, Diag *diag)
{
    DataField fields[] = {{.name = "x", .dtype = DT_F32, .rank = 1, .sizes = {2}},
                          {.name = "y", .dtype = DT_I64, .where = "labels"}};
    return npz_read((DataFile){.path = path}, fields, 2, diag);
}

Test(npz, stored_and_deflated)
{
    Place place = make_place();
    Buffer zip = two_arrays();
    files_write(place.path, zip.bytes, zip.length);
    DataTable *table = read_two(place.path, place.diag);
    cr_assert_not_null(table);
    cr_assert_eq(table->rows, 2);
    cr_assert_eq(memcmp(table->columns[0].data, four, sizeof four), 0);
    int64_t last;
    memcpy(&last, table->columns[1].data + 8, 8);
    cr_assert_eq(last, -1);
    table_free(table);
    drop_place(place);
}

Test(npz, refusals)
{
    Place place = make_place();
    Buffer zip = two_arrays();
    files_write(place.path, zip.bytes, zip.length);
    DataField field = {.name = "z", .dtype = DT_F32};
    cr_assert_null(npz_read((DataFile){.path = place.path}, &field, 1, place.diag));
    expect_error(place.diag, ERR_E0614, "no array z");
    zip.bytes[100] ^= 1;
    files_write(place.path, zip.bytes, zip.length);
    cr_assert_null(read_two(place.path, place.diag));
    expect_error(place.diag, ERR_E0614, "checksum");
    files_write(place.path, "PK but no archive at all", 24);
    cr_assert_null(read_two(place.path, place.diag));
    expect_error(place.diag, ERR_E0614, "not a zip archive");
    Member twice[] = {{"x", npy_of(1, FOUR, four, sizeof four), 8},
                      {"x", npy_of(1, FOUR, four, sizeof four), 0}};
    zip = zip_of(twice, 2);
    files_write(place.path, zip.bytes, zip.length);
    cr_assert_null(read_two(place.path, place.diag));
    expect_error(place.diag, ERR_E0614, "twice");
    Member other = {"x", npy_of(1, FOUR, four, sizeof four), 12};
    zip = zip_of(&other, 1);
    files_write(place.path, zip.bytes, zip.length);
    cr_assert_null(read_two(place.path, place.diag));
    expect_error(place.diag, ERR_E0614, "another method");
    drop_place(place);
}

static void read_damaged_npz(const char *path, void *user)
{
    Place *place = user;
    DataTable *table = read_two(path, place->diag);
    cr_assert_eq(table == NULL, diag_error_count(place->diag) == 1);
    checksum_of_table(table);
    table_free(table);
    diag_clear(place->diag);
}

Test(npz, damaged_files)
{
    Place place = make_place();
    Buffer zip = two_arrays();
    files_write(place.path, zip.bytes, zip.length);
    files_damage(place.path, 4000, read_damaged_npz, &place);
    drop_place(place);
}
