/* Reads the text that graph_print writes. Strict: nodes are numbered from 0 in order, none repeats
 * another, and the type at the end of a line is the one that the shape rule gives. Empty lines and
 * lines that begin with # are skipped.
 *
 *   "graph g {\n  %0 = input {x} : q8\n}\n"   ->   NULL, "line 2: no type is called q8" */
#include "compiler/graph/attr.h"
#include "compiler/graph/attr_value.h"
#include "compiler/graph/op.h"

#include <string.h>

typedef struct {
    Graph *graph;
    AttrWalk walk; /* the line being read: its text, its first error */
    int line;
    const char *rest; /* text after the line */
} Reader;

/* Moves to the next line with something in it; false: the text ends. The line is copied, so that it
 * ends with a 0. */
static bool next_line(Reader *reader)
{
    while (*reader->rest != 0) {
        size_t length = strcspn(reader->rest, "\n");
        reader->walk.at = arena_substring(reader->walk.arena, reader->rest, length);
        reader->rest += length + (reader->rest[length] == '\n');
        reader->line++;
        reader->walk.at += strspn(reader->walk.at, " ");
        if (*reader->walk.at != 0 && *reader->walk.at != '#')
            return true;
    }
    reader->line++;
    reader->walk.at = "";
    return false;
}

static bool want(Reader *reader, const char *word)
{
    if (reader->walk.error == NULL && !text_accept(&reader->walk, word))
        walk_fail(&reader->walk, "expected %s", word);
    return reader->walk.error == NULL;
}

static void want_end(Reader *reader)
{
    if (reader->walk.error == NULL && reader->walk.at[strspn(reader->walk.at, " ")] != 0)
        walk_fail(&reader->walk, "more text than expected: %s", reader->walk.at);
}

/* %N, N a node that exists. */
static Node *read_operand(Reader *reader)
{
    int64_t number = -1;
    if (!want(reader, "%"))
        return NULL;
    if (!read_integer(&reader->walk.at, &number) || number < 0 ||
        number >= reader->graph->nodes.count) {
        walk_fail(&reader->walk, "no such node");
        return NULL;
    }
    return reader->graph->nodes.data[number];
}

/* The end of the braces that open at text: past the closing one, or NULL. */
static const char *skip_braces(const char *text)
{
    bool quoted = false;
    for (; *text != 0; text++) {
        if (quoted && *text == '\\' && text[1] != 0)
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (*text == '}' && !quoted)
            return text + 1;
    }
    return NULL;
}

/* `{attribute} : type`. The type comes first: some attributes are read by it. */
static void read_tail(Reader *reader, Attr *attr, Type *type)
{
    AttrWalk *walk = &reader->walk;
    const char *begin = NULL, *end = NULL;
    if (attr->kind != AT_NONE && want(reader, "{")) {
        begin = walk->at;
        end = skip_braces(walk->at);
        if (end == NULL)
            walk_fail(walk, "expected }");
        else
            walk->at = end;
    }
    if (!want(reader, ":") || !read_type(walk, type))
        return;
    want_end(reader);
    if (begin == NULL || walk->error != NULL)
        return;
    if (attr_type(attr) != NULL)
        *attr_type(attr) = *type;
    walk->at = begin;
    if (attr_read(walk, attr))
        want(reader, "}");
    if (walk->error == NULL && walk->at != end)
        walk_fail(walk, "more text in the braces than expected");
}

static void build_read(Reader *reader, OpCode op, Node **src, int nsrc, const Attr *attr,
                       const Type *type)
{
    Graph *graph = reader->graph;
    uint32_t number = graph->nodes.count;
    Node *node = graph_node(graph, op, src, nsrc, attr);
    if (node == NULL) {
        walk_fail(&reader->walk, "%s", graph->error);
    } else if (node->id != number) {
        walk_fail(&reader->walk, "this node repeats %%%u", node->id);
    } else if (!type_equal(&node->type, type)) {
        StrBuf text = {0};
        type_print(graph->dims, &node->type, &text);
        walk_fail(&reader->walk, "the type is %s", text.text);
        strbuf_free(&text);
    }
}

static void read_node(Reader *reader)
{
    AttrWalk *walk = &reader->walk;
    int64_t number = -1;
    OpCode op = OP_INPUT;
    VEC(Node *) src = {0};
    Type type = {0};
    if (!want(reader, "%"))
        return;
    if (!read_integer(&walk->at, &number) || number != reader->graph->nodes.count)
        walk_fail(walk, "the next node is %%%u", reader->graph->nodes.count);
    want(reader, "=");
    const char *name = "";
    walk_name(walk, &name);
    if (walk->error == NULL && !op_from_text(name, &op))
        walk_fail(walk, "no operation is called %s", name);
    while (walk->error == NULL && walk->at[strspn(walk->at, " ")] == '%') {
        Node *node = read_operand(reader);
        vec_push(walk->arena, &src, node);
    }
    Attr attr = {.kind = op_info[op].attr};
    if (walk->error == NULL)
        read_tail(reader, &attr, &type);
    if (walk->error == NULL)
        build_read(reader, op, src.data, (int)src.count, &attr, &type);
}

static void read_root(Reader *reader, RootKind kind)
{
    const char *name = "";
    walk_name(&reader->walk, &name);
    want(reader, "=");
    Node *node = read_operand(reader);
    want_end(reader);
    if (reader->walk.error == NULL)
        graph_root(reader->graph, kind, name, node);
}

static void read_lines(Reader *reader)
{
    while (reader->walk.error == NULL) {
        if (!next_line(reader)) {
            walk_fail(&reader->walk, "expected }");
        } else if (text_accept(&reader->walk, "}")) {
            want_end(reader);
            break;
        } else if (text_accept(&reader->walk, "output ")) {
            read_root(reader, ROOT_OUTPUT);
        } else if (text_accept(&reader->walk, "update ")) {
            read_root(reader, ROOT_UPDATE);
        } else {
            read_node(reader);
        }
    }
    if (reader->walk.error == NULL && next_line(reader))
        walk_fail(&reader->walk, "more text after the graph");
}

Graph *graph_read(Arena *arena, DimTable *dims, const char *text, char **error)
{
    Reader reader = {.walk = {.mode = WALK_READ, .dims = dims, .arena = arena}, .rest = text};
    const char *name = "";
    next_line(&reader);
    want(&reader, "graph ");
    walk_name(&reader.walk, &name);
    want(&reader, "{");
    want_end(&reader);
    reader.graph = graph_new(arena, dims, name);
    if (reader.walk.error == NULL)
        read_lines(&reader);
    if (reader.walk.error == NULL)
        return reader.graph;
    if (error != NULL)
        *error = arena_format(arena, "line %d: %s", reader.line, reader.walk.error);
    return NULL;
}
