# compiler/std/**.nn become std_sources.c (declared in compiler/std/std.h) in the library nnc_std. The file is its own script:
# included by CMakeLists.txt it makes the target, run by `cmake -P` with OUT and SOURCES it writes the C file.
if(CMAKE_SCRIPT_MODE_FILE)
  set(texts "")
  set(rows "")
  string(REPLACE "|" ";" sources "${SOURCES}")
  foreach(source IN LISTS sources)
    file(RELATIVE_PATH name ${FOLDER} ${source})
    string(REGEX REPLACE "\\.nn$" "" name ${name})
    string(REPLACE "/" "_" symbol ${name})
    file(READ ${source} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR length "${digits} / 2")
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)" "\\1\n    "
           bytes "${bytes}")
    string(APPEND texts "static const unsigned char text_${symbol}[] = {\n    ${bytes}0};\n")
    string(APPEND rows "        {\"${name}\", (const char *)text_${symbol}, ${length}},\n")
    list(APPEND names ${name})
  endforeach()
  list(LENGTH names count)
  file(WRITE ${OUT} "/* Made by cmake/std.cmake from compiler/std. */\n#include \"compiler/std/std.h\"\n\n${texts}\n"
       "const StdSource *std_sources(uint32_t *count) {\n    static const StdSource sources[] = {\n${rows}    };\n"
       "    *count = ${count};\n    return sources;\n}\n")
  return()
endif()

file(GLOB_RECURSE std_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/compiler/std/*.nn)
list(SORT std_files)
string(REPLACE ";" "|" std_list "${std_files}")
set(std_output ${PROJECT_BINARY_DIR}/std_sources.c)
add_custom_command(OUTPUT ${std_output}
  COMMAND ${CMAKE_COMMAND} -DOUT=${std_output} -DFOLDER=${PROJECT_SOURCE_DIR}/compiler/std "-DSOURCES=${std_list}" -P ${CMAKE_CURRENT_LIST_FILE}
  DEPENDS ${std_files} ${CMAKE_CURRENT_LIST_FILE} VERBATIM)
add_library(nnc_std STATIC ${std_output})
target_include_directories(nnc_std PUBLIC ${PROJECT_SOURCE_DIR})
set_property(GLOBAL APPEND PROPERTY NNC_PARTS nnc_std)
