/* nnc: the entry of the command. */
#include "compiler/cli/cli.h"

int main(int argc, char **argv)
{
    Arguments arguments;
    bool done;
    int code = arguments_parse(argc, argv, &arguments, &done);
    return done ? code : command_info[arguments.command].run(&arguments);
}
