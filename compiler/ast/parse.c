/* ast_parse: checks the text as a whole (size, UTF-8), then lets the grammar pull tokens through
 * filter and scanner. The grammar adds each item to the file as soon as it is complete, so a tree
 * is there whatever happens later in the text. */
#include "compiler/ast/parse.h"

#include "compiler/ast/scan.h"
#include "grammar/nn.tab.h"
#include "grammar/nn.lex.h"

static void run(AstParser *parser)
{
    yyscan_t scanner = NULL;
    if (nn_lex_init_extra(parser, &scanner) != 0) {
        diag_error(parser->diag, ERR_E0804, (Span){parser->file->file, 0, 0}, NULL,
                   "no memory to read this file");
        return;
    }
    parser->scanner = scanner;
    nn__scan_bytes(parser->text + parser->offset, (int)(parser->length - parser->offset), scanner);
    nn_parse(parser); /* what it returns is in diag */
    nn_lex_destroy(scanner);
}

AstFile *ast_parse(Arena *arena, SourceMap *map, uint32_t file, Diag *diag)
{
    AstFile *tree = ARENA_NEW(arena, AstFile);
    tree->file = file;
    size_t length = 0;
    const char *text = source_text(map, file, &length);
    if (length > AST_MAX_SOURCE) {
        diag_error(diag, ERR_E0007, (Span){file, 0, 0}, NULL,
                   "a file may have %u bytes at most, this one has %zu", AST_MAX_SOURCE, length);
        return tree;
    }
    AstParser parser = {.arena = arena, .map = map, .diag = diag, .file = tree, .text = text};
    parser.length = (uint32_t)length;
    if (length >= 3 && (unsigned char)text[0] == 0xEF && (unsigned char)text[1] == 0xBB &&
        (unsigned char)text[2] == 0xBF) {
        parser.offset = 3; /* a byte order mark */
    }
    ast_scan_check_utf8(&parser);
    run(&parser);
    strbuf_free(&parser.doc);
    return tree;
}
