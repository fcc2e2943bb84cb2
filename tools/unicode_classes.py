"""Writes runtime/data/unicode_classes.inc: ranges of letters (L*) and numbers (N*) as pairs of code points, and white space,
from the Unicode data that Python ships. Run by hand: python3 tools/unicode_classes.py > runtime/data/unicode_classes.inc"""
import re
import sys
import unicodedata


def ranges(member):
    found, start = [], None
    for code in range(0x110001):
        inside = code < 0x110000 and member(chr(code))
        if inside and start is None:
            start = code
        if not inside and start is not None:
            found.append((start, code - 1))
            start = None
    return found


def table(name, pairs):
    print(f"static const CodeRange {name}[] = {{")
    line = "   "
    for low, high in pairs:
        text = f" {{0x{low:X}, 0x{high:X}}},"
        if len(line) + len(text) > 100:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};")


print(f"/* Made by tools/unicode_classes.py from Unicode {unicodedata.unidata_version}: first and last code points. */")
table("letters", ranges(lambda c: unicodedata.category(c)[0] == "L"))
table("numbers", ranges(lambda c: unicodedata.category(c)[0] == "N"))
table("spaces", ranges(lambda c: re.match(r"\s", c) is not None and ord(c) not in (0x1C, 0x1D, 0x1E, 0x1F)))
