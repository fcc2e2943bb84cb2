/* Numbers and strings as they are written, to their values. `1_000` is 1000, `0xFF` is 255,
 * "\u{e9}" is two bytes of UTF-8. What does not fit is reported and replaced by something usable,
 * so that reading goes on. */
#include "compiler/ast/parser.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The digits without underscores; the caller's arena holds them. */
static char *plain_digits(AstParser *parser, const char *text, size_t length)
{
    char *digits = arena_alloc(parser->arena, length + 1);
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '_') {
            digits[count++] = text[i];
        }
    }
    return digits;
}

int64_t ast_read_integer(AstParser *parser, const char *text, size_t length, Span span)
{
    char *digits = plain_digits(parser, text, length);
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    char *end = NULL;
    errno = 0;
    long long value = strtoll(digits, &end, hex ? 16 : 10);
    if (hex && digits[2] == '\0') {
        diag_error(parser->diag, ERR_E0003, span, NULL, "0x needs digits after it");
        return 0;
    }
    if (errno == ERANGE) {
        DiagItem *item = diag_error(parser->diag, ERR_E0003, span, NULL,
                                    "this integer does not fit into 64 bits");
        diag_help(
            item,
            "the largest is 9223372036854775807; with a point, as in 1e30, it is a decimal number");
        return INT64_MAX;
    }
    return value;
}

double ast_read_real(AstParser *parser, const char *text, size_t length, Span span)
{
    double value = strtod(plain_digits(parser, text, length), NULL);
    if (isinf(value)) {
        DiagItem *item =
            diag_error(parser->diag, ERR_E0003, span, NULL, "this number is too large for f64");
        diag_help(item, "the largest is about 1.79e308; infinity is written inf");
        return 1;
    }
    return value;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    uint32_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (uint32_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(lead[length] | code);
    return length;
}

/* text[0] is what follows the backslash. Returns how many bytes it read, 0 if it is no escape. */
static size_t read_escape(const char *text, size_t length, char *out, uint32_t *written)
{
    static const char from[] = "nt\\\"r", to[] = "\n\t\\\"\r";
    const char *simple = text[0] != '\0' ? strchr(from, text[0]) : NULL;
    if (simple != NULL) {
        out[0] = to[simple - from];
        *written = 1;
        return 1;
    }
    if (text[0] != 'u' || length < 4 || text[1] != '{') {
        return 0;
    }
    uint32_t code = 0;
    size_t i = 2;
    for (; i < length && i < 8 && hex_value(text[i]) >= 0; i++) {
        code = code * 16 + (uint32_t)hex_value(text[i]);
    }
    bool valid = code > 0 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    if (i == 2 || i >= length || text[i] != '}' || !valid) {
        return 0;
    }
    *written = put_utf8(out, code); /* never longer than \u{...} itself */
    return i + 1;
}

static void report_control(AstParser *parser, uint32_t at, uint32_t file, char c)
{
    diag_error(parser->diag, ERR_E0002, (Span){file, at, at + 1}, NULL,
               "an unprintable character (byte 0x%02X) in a string", (unsigned char)c);
}

AstText ast_read_string(AstParser *parser, const char *text, size_t length, Span span)
{
    const char *end = text + length - 1; /* the closing quote */
    char *out = arena_alloc(parser->arena, length);
    uint32_t count = 0;
    for (const char *p = text + 1; p < end;) {
        if (*p != '\\') {
            if ((unsigned char)*p < 0x20 && *p != '\t') {
                report_control(parser, span.begin + (uint32_t)(p - text), span.file, *p);
            } else {
                out[count++] = *p;
            }
            p++;
            continue;
        }
        uint32_t written = 0;
        size_t used = read_escape(p + 1, (size_t)(end - p - 1), out + count, &written);
        if (used == 0) {
            uint32_t at = span.begin + (uint32_t)(p - text);
            DiagItem *item = diag_error(parser->diag, ERR_E0004, (Span){span.file, at, at + 2},
                                        NULL, "unknown escape in a string");
            diag_help(item, "the escapes are \\n \\t \\r \\\\ \\\" and \\u{e9}; a backslash itself "
                            "is written \\\\");
            used = 1;
        }
        count += written;
        p += 1 + used;
    }
    return (AstText){out, count};
}
