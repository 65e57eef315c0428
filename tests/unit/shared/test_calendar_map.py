import re
from datetime import date
from xml.etree import ElementTree as ET

import pytest

from shared.calendar_map import DayCell, page, svg

DAY = date(2024, 8, 8)  # a Thursday


@pytest.mark.parametrize(
    ("cell", "colour", "text"),
    [
        (DayCell(DAY, "complete", 1000, 0), "#2da44e", "2024-08-08: 1,000 of 1,000 ids, complete"),
        (DayCell(DAY, "open", 9999, 1), "#eac54f", "2024-08-08: 9,999 of 10,000 ids, open"),
        (DayCell(DAY, "open", 998, 2), "#e16f24", "2024-08-08: 998 of 1,000 ids, open"),
        (DayCell(DAY, "open", 50, 50), "#cf222e", "2024-08-08: 50 of 100 ids, open"),
        (DayCell(DAY, "unhealable", 5, 5), "#8250df", "2024-08-08: 5 of 10 ids, unhealable"),
        (
            DayCell(DAY, "unnumbered", 7, 0),
            "#8c959f",
            "2024-08-08: 7 messages, no ids to go by",
        ),
    ],
)
def test_a_day_has_the_colour_and_the_words_of_its_state(cell, colour, text):
    assert (cell.colour, cell.text) == (colour, text)


def test_a_calendar_is_xml_with_a_cell_at_its_week_and_weekday():
    cells = [DayCell(date(2024, 8, 18), "open", 1, 1), DayCell(DAY, "complete", 1, 0)]
    root = ET.fromstring(svg(cells))  # noqa: S314 - our own text
    places = [
        (int(item.get("x")), int(item.get("y"))) for item in root.iter() if "rect" in item.tag
    ]
    # Thursday of the first week, Sunday of the second.
    assert places == [(34, 18 + 3 * 15), (34 + 15, 18 + 6 * 15)]
    words = [item.text for item in root.iter() if item.tag.endswith("text")]
    assert words == ["Mon", "Wed", "Fri", "Aug 2024"]


def test_months_are_named_where_they_begin_and_years_once():
    cells = [DayCell(date(2024, 11, 28), "complete", 1, 0), DayCell(date(2025, 2, 3), "open", 1, 1)]
    words = re.findall(r'y="12">([^<]*)<', svg(cells))
    assert words == ["Nov 2024", "Dec", "Jan 2025", "Feb"]


def test_a_page_needs_nothing_from_elsewhere_and_trusts_no_name():
    text = page("Completeness", {"spot <b> trade": [DayCell(DAY, "complete", 1, 0)]})
    assert "spot &lt;b&gt; trade" in text
    assert re.findall(r'(?:src|href)="', text) == []
    assert text.startswith("<!doctype html>")
