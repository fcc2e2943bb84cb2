/* A heap string that doubles as it grows, with the two things every printer needs: JSON strings
 * that are valid UTF-8 whatever bytes came in, and numbers that read back to the same bits
 * whatever locale the host has set. */
#include "runtime/base/strbuf.h"

#include "runtime/base/bug.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(StrBuf *out, size_t extra)
{
    if (out->capacity - out->length > extra) {
        return;
    }
    if (extra > SIZE_MAX / 4 || out->length > SIZE_MAX / 4) {
        NNC_BUG("a string of more than %zu bytes", out->length);
    }
    size_t wanted = out->length + extra + 1;
#ifndef NNC_STRESS
    size_t doubled = out->capacity ? out->capacity * 2 : 64;
    if (wanted < doubled) {
        wanted = doubled;
    }
#endif
    char *text = realloc(out->text, wanted);
    if (!text) {
        NNC_BUG("out of memory (%zu bytes)", wanted);
    }
    out->text = text;
    out->capacity = wanted;
}

void strbuf_add_bytes(StrBuf *out, const char *bytes, size_t count)
{
    reserve(out, count);
    if (count) {
        memcpy(out->text + out->length, bytes, count);
    }
    out->length += count;
    out->text[out->length] = '\0';
}

void strbuf_add(StrBuf *out, const char *text)
{
    strbuf_add_bytes(out, text, strlen(text));
}

void strbuf_add_char(StrBuf *out, char c)
{
    strbuf_add_bytes(out, &c, 1);
}

void strbuf_vprintf(StrBuf *out, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    NNC_ASSERT(length >= 0);
    reserve(out, (size_t)length);
    vsnprintf(out->text + out->length, (size_t)length + 1, format, args);
    out->length += (size_t)length;
}

void strbuf_printf(StrBuf *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_vprintf(out, format, args);
    va_end(args);
}

/* Length of the well-formed UTF-8 sequence at `text`, 0 when the bytes there are none (overlong,
 * surrogate, too high). */
static size_t utf8_length(const unsigned char *text)
{
    unsigned char first = text[0];
    size_t length = first < 0x80                    ? 1
                    : first >= 0xC2 && first < 0xE0 ? 2
                    : (first & 0xF0) == 0xE0        ? 3
                    : first >= 0xF0 && first < 0xF5 ? 4
                                                    : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (first == 0xE0 && text[1] < 0xA0) || (first == 0xF0 && text[1] < 0x90);
    bool surrogate = first == 0xED && text[1] >= 0xA0;
    bool beyond = first == 0xF4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

void strbuf_add_json(StrBuf *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    strbuf_add_char(out, '"');
    while (*p) {
        size_t length = utf8_length(p);
        if (length == 0) {
            strbuf_add(out, "\\ufffd");
            length = 1;
        } else if (*p == '"' || *p == '\\') {
            strbuf_printf(out, "\\%c", *p);
        } else if (*p == '\n') {
            strbuf_add(out, "\\n");
        } else if (*p == '\t') {
            strbuf_add(out, "\\t");
        } else if (*p < 0x20 || *p == 0x7F) {
            strbuf_printf(out, "\\u%04x", *p);
        } else {
            strbuf_add_bytes(out, (const char *)p, length);
        }
        p += length;
    }
    strbuf_add_char(out, '"');
}

/* The host's locale may print another decimal point; the text of a number never shows it. */
static void add_number(StrBuf *out, char *text)
{
    for (char *p = text; *p; p++) {
        if (!strchr("0123456789+-e", *p)) {
            *p = '.';
        }
    }
    strbuf_add(out, text);
}

/* 10 reads better than the shorter 1e+01. */
static bool is_count(double value)
{
    return fabs(value) < 1e7 && value == floor(value);
}

void strbuf_add_double(StrBuf *out, double value)
{
    if (!isfinite(value)) {
        strbuf_add(out, "null");
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    if (is_count(value)) {
        snprintf(text, sizeof text, "%.0f", value);
    }
    add_number(out, text);
}

void strbuf_add_float(StrBuf *out, float value)
{
    if (!isfinite(value)) {
        strbuf_add(out, "null");
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) {
            break;
        }
    }
    if (is_count((double)value)) {
        snprintf(text, sizeof text, "%.0f", (double)value);
    }
    add_number(out, text);
}

void strbuf_clear(StrBuf *out)
{
    out->length = 0;
    if (out->text) {
        out->text[0] = '\0';
    }
}

void strbuf_free(StrBuf *out)
{
    free(out->text);
    *out = (StrBuf){0};
}
