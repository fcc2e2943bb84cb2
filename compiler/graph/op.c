/* The table of operations, made of ops.def, and its rendering as the page docs/ops.md. */
#include "compiler/graph/op.h"
#include "compiler/graph/shape.h"

#include <string.h>

enum { COMMUTES = FLAG_COMMUTES, FAILS = FLAG_FAILS };

const OpInfo op_info[OP_COUNT] = {
#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc)                                    \
    [OP_##e] = {text, lo, hi, CLASS_##cls, AT_##attr, flags, shape_##shape, doc, #grad},
#include "compiler/graph/ops.def"
};

static const char *const class_titles[] = {
    [CLASS_LEAF] = "Leaves",       [CLASS_ELEMENTWISE] = "Elementwise", [CLASS_MOVE] = "Moves",
    [CLASS_REDUCE] = "Reductions", [CLASS_CONTRACT] = "Contractions",   [CLASS_WINDOW] = "Windows",
    [CLASS_INDEX] = "Indices",     [CLASS_LOOP] = "Loops and branches",
    [CLASS_CALL] = "Host functions",
};

static const char *const shape_docs[] = {
#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc) #shape,
#include "compiler/graph/ops.def"
};

static void list_operands(const OpInfo *info, StrBuf *out)
{
    if (info->max == MANY)
        strbuf_printf(out, "%d or more", info->min);
    else
        strbuf_printf(out, "%d", info->min);
}

static void list_row(OpCode op, StrBuf *out)
{
    const OpInfo *info = &op_info[op];
    strbuf_printf(out, "| `%s` | ", info->text);
    list_operands(info, out);
    strbuf_printf(out, " | %s | %s | %s%s", shape_docs[op], info->grad_name,
                  info->flags & COMMUTES ? "commutes " : "",
                  info->flags & FAILS ? "may fail " : "");
    strbuf_add(out, "| ");
    for (const char *c = info->doc; *c != 0; c++) {
        if (*c == '|')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *c);
    }
    strbuf_add(out, " |\n");
}

void graph_list_ops(StrBuf *out)
{
    strbuf_add(out, "# Operations of the graph\n\nMade from `compiler/graph/ops.def`, the only "
                    "place where an operation is "
                    "defined; a test keeps this page current.\nShape names the rule in "
                    "`compiler/graph/shape_*.c`, gradient "
                    "the rule in `compiler/passes/grad_*.c`.\n");
    for (int op = 0; op < OP_COUNT; op++) {
        if (op == 0 || op_info[op].op_class != op_info[op - 1].op_class)
            strbuf_printf(out,
                          "\n## %s\n\n| text | operands | shape | gradient | notes | meaning "
                          "|\n|-|-|-|-|-|-|\n",
                          class_titles[op_info[op].op_class]);
        list_row((OpCode)op, out);
    }
}

bool op_from_text(const char *text, OpCode *op)
{
    for (int i = 0; i < OP_COUNT; i++) {
        if (strcmp(op_info[i].text, text) == 0) {
            *op = (OpCode)i;
            return true;
        }
    }
    return false;
}
