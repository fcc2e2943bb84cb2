/* Errors in the words of the user's program. An expression inside the library is reported at the
 * call in the user's text that led to it, and every call between the two is a note.
 *
 *   softmax(x, axis=7)  ->  an error at this call, with the library's line in a note */
#include "compiler/sema/internal.h"

#include <string.h>

bool sema_is_null_span(Span span)
{
    return span.file == 0;
}

bool sema_in_std(const Sema *s, Span span)
{
    for (const SemaFile *file = s->files; file; file = file->next)
        if (file->ast->file == span.file)
            return file->in_std;
    return false;
}

Span sema_user_span(const Sema *s, Span span)
{
    if (!sema_in_std(s, span))
        return span;
    for (const Frame *frame = s->frame; frame; frame = frame->parent)
        if (!sema_is_null_span(frame->call) && !sema_in_std(s, frame->call))
            return frame->call;
    return sema_is_null_span(s->at) ? span : s->at;
}

static bool span_inside(Span inner, Span outer)
{
    return inner.file == outer.file && inner.begin >= outer.begin && inner.end <= outer.end;
}

static void note_calls(const Sema *s, DiagItem *item, Span primary)
{
    uint32_t notes = 0;
    for (const Frame *frame = s->frame; frame && notes < 4; frame = frame->parent) {
        if (sema_is_null_span(frame->call) || sema_in_std(s, frame->call) ||
            span_inside(primary, frame->call))
            continue;
        if (frame->in_std || frame->quiet)
            continue;
        diag_note(item, frame->call, "in this use of %s", frame->name);
        notes++;
    }
}

/* With sizes that are symbols for numbers, these errors may be none. */
static bool is_unsure(const Sema *s, ErrorCode code)
{
    static const ErrorCode codes[] = {ERR_E0203, ERR_E0205, ERR_E0208, ERR_E0301,
                                      ERR_E0302, ERR_E0303, ERR_E0304, ERR_E0305,
                                      ERR_E0306, ERR_E0309, ERR_E0312, ERR_E0408};
    bool found = false;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        found |= codes[i] == code;
    return found && s->elab->unsure && s->mute;
}

DiagItem *sema_error(Sema *s, ErrorCode code, Span span, const char *label, const char *format, ...)
{
    Span primary = sema_user_span(s, span);
    va_list args;
    va_start(args, format);
    const char *text = arena_vformat(s->arena, format, args);
    va_end(args);
    if (is_unsure(s, code))
        return diag_error(s->mute, code, primary, NULL, "%s", text);
    if (diag_error_count(s->diag) > LIMIT_ERRORS)
        s->work_reported = true; /* far more than are shown: stop */
    bool moved = primary.file != span.file || primary.begin != span.begin;
    DiagItem *item = diag_error(s->diag, code, primary, moved ? NULL : label, "%s", text);
    if (moved && !sema_is_null_span(span))
        diag_note(item, span, "%s", label ? label : "here in the library");
    note_calls(s, item, primary);
    return item;
}

/* theirs, ours, theirs, ours, .. */
static const char *const foreign[] = {
#define FOREIGN(theirs, ours) theirs, ours,
#include "compiler/sema/foreign.def"
#undef FOREIGN
};

const char *sema_foreign(const char *name, uint32_t *row)
{
    const uint32_t count = sizeof foreign / sizeof *foreign;
    while (*row < count) {
        const char *theirs = foreign[(*row)++], *ours = foreign[(*row)++];
        if (strcmp(theirs, name) == 0)
            return ours;
    }
    return NULL;
}

const char *sema_nearest(const char *name, const char *const *names, uint32_t count)
{
    uint32_t row = 0;
    for (const char *ours; (ours = sema_foreign(name, &row)) != NULL;)
        for (uint32_t i = 0; i < count; i++)
            if (strcmp(names[i], ours) == 0)
                return names[i];
    return diag_nearest(name, names, count);
}

void sema_unknown(Sema *s, ErrorCode code, Span span, const char *what, const char *name,
                  const char *const *names, uint32_t count)
{
    DiagItem *item = sema_error(s, code, span, NULL, "%s %s", what, name);
    const char *nearest = sema_nearest(name, names, count);
    if (nearest)
        diag_help(item, "did you mean %s?", nearest);
    else if (count > 0 && count <= 12) {
        StrBuf list = {0};
        for (uint32_t i = 0; i < count; i++)
            strbuf_printf(&list, "%s%s", i ? ", " : "", names[i]);
        diag_help(item, "known here: %s", list.text);
        strbuf_free(&list);
    }
}
