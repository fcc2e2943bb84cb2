"""Writes examples/data/dates.csv and dates_test.csv: dates as people write them, and in ISO form, for examples/transformer.nn.
No date of the test occurs in training. Run by hand: python3 tools/make_dates.py examples/data"""
import datetime
import random
import sys

FORMATS = ["%-d %B %Y", "%B %-d, %Y", "%-d. %B %Y", "%A, %-d %B %Y", "%-d.%-m.%Y", "%d/%m/%Y", "%Y/%m/%d", "%-d %b %Y", "%b %-d %Y",
           "%a %d %b %Y", "%A %B %-d %Y"]
FIRST, DAYS = datetime.date(1900, 1, 1), 73049  # to the end of 2099


def ending(day):
    return "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def written(draw, date):
    if draw.random() < 0.15:
        text = f"the {date.day}{ending(date.day)} of {date:%B %Y}"
    else:
        text = date.strftime(draw.choice(FORMATS))
    return draw.choice([text, text.lower(), text.upper()]) if draw.random() < 0.5 else text


def write(path, draw, days, rows):
    with open(path, "w") as out:
        out.write("date,iso\n")
        for _ in range(rows):
            date = FIRST + datetime.timedelta(days=draw.choice(days))
            out.write(f'"{written(draw, date)}",{date:%Y-%m-%d}\n')


draw = random.Random(0)
days = list(range(DAYS))
draw.shuffle(days)
write(f"{sys.argv[1]}/dates.csv", draw, days[5000:], 20000)
write(f"{sys.argv[1]}/dates_test.csv", draw, days[:5000], 1000)
