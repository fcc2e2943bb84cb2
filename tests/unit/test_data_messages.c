/* What is said about data that does not fit its program: each case writes files into a folder of
 * its own, opens a run there, and all messages together are tests/golden/data/messages.txt
 * (NNC_UPDATE_GOLDEN=1 writes it anew). */
#include "tests/support/api.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

#include "runtime/base/strbuf.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *name;
    const void *bytes;
    size_t length;
} File;

typedef struct {
    const char *dataset; /* the lines of the dataset block */
    File files[2];
    const char *field; /* what the model takes; NULL: x */
} Case;

#define FILE_OF(name, bytes) {name, bytes, sizeof bytes - 1}
#define IDX "source = idx(\"\", x=\"x.idx\", y=\"y.idx\")\n fields = [x: u8, y: u8]"
#define ONE_IDX "source = idx(\"\", x=\"x.idx\")\n fields = [x: u8]"
#define NPY "source = npy(\"\", x=\"x.npy\")\n fields = [x: f32]"
#define HEADER(length, text) "\x93NUMPY\x01\x00" length "\x00" text
#define CSV "source = csv(\"x.csv\")\n fields = "

static const Case cases[] = {
    {ONE_IDX, {{0}}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "PK\x03\x04 and so on")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x07\x01\0\0\0\x01\x05")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x0b\x01\0\0\0\x01\x05\x05")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x08\x00\0\0\0\x01\x05")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x08\x03\0\0\0\x01\0\0")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x08\x01\0\0\0\x09\x05")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x08\x02\0\0\0\x01\0\0\0\x02\x05\x06")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x0c\x01\0\0\0\x01\0\0\0\x05")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\0\0\x08\x01\0\0\0\0")}, NULL},
    {ONE_IDX, {FILE_OF("x.idx", "\x1f\x8b\x08\x00 cut off")}, NULL},
    {IDX,
     {FILE_OF("x.idx", "\0\0\x08\x01\0\0\0\x02\x05\x06"), FILE_OF("y.idx", "\0\0\x08\x01\0\0\0\x01\x05")},
     NULL},
    {"source = idx(\"\", x=\".\")\n fields = [x: u8]", {{0}}, NULL},
    {"source = idx(\"\", x=\"/dev/null\")\n fields = [x: u8]", {{0}}, NULL},
    {NPY, {FILE_OF("x.npy", "no numbers")}, NULL},
    {NPY, {FILE_OF("x.npy", HEADER("\x40", "{'descr': '<f4', 'fortran_order': False, "))}, NULL},
    {NPY, {FILE_OF("x.npy", HEADER("\x10", "{'descr': '<f4'}"))}, NULL},
    {NPY,
     {FILE_OF("x.npy", HEADER("\x3b", "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)} \n  "))},
     NULL},
    {NPY,
     {FILE_OF("x.npy", HEADER("\x3b", "{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}  \n  "))},
     NULL},
    {NPY,
     {FILE_OF("x.npy",
              HEADER("\x3b", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,)} \n  ") "abcd")},
     NULL},
    {"source = npy(\"\", x=\"x.npy\")\n fields = [x: bool]",
     {FILE_OF("x.npy",
              HEADER("\x3b", "{'descr': '|b1', 'fortran_order': False, 'shape': (2,)} \n  ") "\x01\x02")},
     NULL},
    {"source = npz(\"x.npz\")\n fields = [x: f32]", {FILE_OF("x.npz", "no archive")}, NULL},
    {CSV "[x: f32, z: f32]", {FILE_OF("x.csv", "x,y\n1,2\n")}, NULL},
    {CSV "[x: f32, labels: f32]", {FILE_OF("x.csv", "x,label\n1,2\n")}, NULL},
    {"source = csv(\"x.csv\", header=false, x=0, y=7)\n fields = [x: f32, y: f32]",
     {FILE_OF("x.csv", "1,2\n")},
     NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "x,x\n1,2\n")}, NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "")}, NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "x,y\n1,\n")}, NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "x,y\n1,2\n3\n")}, NULL},
    {CSV "[x: f32, y: i32]", {FILE_OF("x.csv", "x,y\n1,2.5\n")}, NULL},
    {CSV "[x: f32, y: u8]", {FILE_OF("x.csv", "x,y\n1,256\n")}, NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "x,y\n1,two\n")}, NULL},
    {CSV "[x: f32, y: f32]", {FILE_OF("x.csv", "x,y\n1,\"2\n")}, NULL},
    {CSV "[x: f32[3], y: f32]", {FILE_OF("x.csv", "x,y\n1,2\n")}, NULL},
    {CSV "[x: f32, y: category(\"red\", \"green\")]", {FILE_OF("x.csv", "x,y\n1,gren\n")}, NULL},
    {CSV "[x: f32, y: f32]\n split { valid = 0.5; stratify = y }", {FILE_OF("x.csv", "x,y\n1,2\n3,4\n")},
     NULL},
    {"source = text(\"x.txt\", tokens=\"chars\", window=4)", {FILE_OF("x.txt", "caf\xe9 and so on, for some time")}, "token"},
    {"source = text(\"x.txt\", tokens=\"bytes\", window=40)", {FILE_OF("x.txt", "a short text")}, "token"},
    {"source = text(\"x.txt\", tokens=\"chars\", window=2, vocab=3)", {FILE_OF("x.txt", "many characters, few numbers")},
     "token"},
    {"source = text(\"x.txt\", tokens=\"chars\", window=2)\n test = text(\"y.txt\", tokens=\"chars\", window=2)",
     {FILE_OF("x.txt", "abcabcabcabc"), FILE_OF("y.txt", "abcabcxbcabc")},
     "token"},
};

static const char program_form[] =
    "from optim import sgd\nmodule Net {\n    param w: f32[1] = 1\n    fn (x) { f32(x) * w }\n}\n"
    "dataset data {\n %s\n}\n"
    "train net on data {\n    model = Net()\n    loss = mean(model(%s))\n    optimizer = sgd(lr=0.1)\n}\n";

/* The messages of one case, without the lines of the program. */
static void add_messages(const Case *one, StrBuf *out)
{
    char text[2048];
    char *folder = files_folder();
    cr_assert_eq(chdir(folder), 0);
    for (int i = 0; i < 2 && one->files[i].name; i++)
        files_write(one->files[i].name, one->files[i].bytes, one->files[i].length);
    snprintf(text, sizeof text, program_form, one->dataset, one->field ? one->field : "x");
    nnc_context *context = api_context(1);
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_status status = nnc_program_parse(context, "test.nn", text, NULL, &program);
    if (status == NNC_OK)
        status = nnc_trainer_new(program, NULL, NULL, &trainer);
    strbuf_printf(out, "-- %s", one->dataset);
    for (int i = 0; i < 2 && one->files[i].name; i++)
        strbuf_printf(out, "%s%s of %zu bytes", i ? ", " : "\n   ", one->files[i].name,
                      one->files[i].length);
    strbuf_printf(out, "\n%s\n", status == NNC_OK ? "nothing is wrong" : nnc_diagnostics(context, NNC_TEXT));
    cr_expect(status != NNC_OK, "%s", one->dataset);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    cr_assert_eq(chdir("/"), 0);
    files_remove(folder);
}

Test(data_messages, are_the_golden_ones)
{
    StrBuf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        add_messages(&cases[i], &out);
    cr_expect(test_golden(NNC_SOURCE_DIR "/tests/golden/data/messages.txt", out.text));
    strbuf_free(&out);
}
