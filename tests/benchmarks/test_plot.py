import re
import xml.etree.ElementTree as ET

from benchmarks.plot import Panel, Point, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_points_lie_where_their_numbers_say_and_series_keep_their_colour():
    first = Panel(
        "a <b>", "x", "y", {"one": [Point(1, 0.0), Point(4, 1.0)], "two": [Point(2, 0.5, 0.4, 0.6)]}, {1: "1"}, log_x=True
    )
    second = Panel("c", "x", "y", {"two": [Point(0, 3.0), Point(1, 5.0)]}, {0: "0"}, y_from=2.0)
    root = ET.fromstring(draw([first, second]))
    dots = [circle for circle in root.iter(f"{SVG}circle") if circle.get("r") == "3.5"]
    x = [float(dot.get("cx")) for dot in dots]
    y = [float(dot.get("cy")) for dot in dots]
    assert abs((x[0] + x[1]) / 2 - x[2]) < 0.2  # 2 lies half way from 1 to 4
    assert y[0] > y[2] > y[1]
    assert abs((y[0] + y[1]) / 2 - y[2]) < 0.2
    assert dots[2].get("fill") == dots[3].get("fill") != dots[0].get("fill")
    assert y[4] < y[3] < y[0]  # 3 of 2 … 5
    assert not re.search(r"href|url\(", draw([first]))  # nothing is fetched


def test_points_of_names_are_not_joined():
    for joined, lines in ((True, 1), (False, 0)):
        panel = Panel("a", "x", "y", {"one": [Point(0, 0.5), Point(1, 0.7)]}, {0: "this", 1: "that"}, joined=joined)
        assert len(list(ET.fromstring(draw([panel])).iter(f"{SVG}polyline"))) == lines
