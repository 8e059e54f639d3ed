import re
from pathlib import Path

import polars as pl
import pytest

import app.pages
from app import fakes
from core import columns as c

WEB = Path(app.pages.__file__).parent / "web"
HTML = {"accept": "text/html"}


@pytest.mark.parametrize(
    "path", ["/", "/?q=star", "/?category=Chess", "/watch/5", "/ops", "/ops/reports", "/ops/features", "/ops/tables", "/docs"]
)
def test_pages_are_html(reader, path):
    answer = reader.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.count("<main") == 1
    assert '<html lang="en">' in answer.text


def test_an_unknown_video_has_a_page_of_its_own(reader):
    answer = reader.get("/watch/no such", headers=HTML)
    assert answer.status_code == 404
    assert "There is no video" in answer.text
    assert reader.get("/watch/no such").json()["error"] == "there is no video 'no such'"


def test_errors_are_pages_for_people_and_json_for_programs(reader):
    assert "<h1>" in reader.get("/nowhere", headers=HTML).text
    assert reader.get("/nowhere").json() == {"error": "Not Found", "details": []}


def test_a_title_is_text_and_never_markup(make_client, clock):
    frame = fakes.videos(clock.now()).with_columns(pl.lit('<script>alert("x")</script>"\'').alias(c.TITLE))
    with make_client(fakes.services(clock, frame=frame)) as client:
        page = client.get("/watch/5").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_an_empty_site_still_has_pages(make_client, clock):
    frame = fakes.videos(clock.now()).head(0)
    with make_client(fakes.services(clock, frame=frame)) as client:
        assert client.get("/").status_code == 200
        assert client.get("/recommend").json()["videos"] == []
        assert client.get("/watch/1").status_code == 404


def test_assets_are_kept_for_ever_under_their_hash(reader):
    path = re.search(r'href="(/static/[0-9a-f]{12}/style\.css)"', reader.get("/").text)[1]
    answer = reader.get(path)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert reader.get("/static/old/style.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["home.html", "../pages.py", "..%2Fpages.py", "__init__.py", "nothing.js"])
def test_only_assets_are_served(reader, name):
    assert reader.get(f"/static/x/{name}").status_code == 404


def test_templates_have_no_inline_script_or_style():
    for template in WEB.glob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), template
        assert not re.search(r"<style|\sstyle=|\son\w+=", text), template
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), template


def test_modules_import_only_modules_that_exist():
    names = {path.name for path in WEB.iterdir()}
    for module in WEB.glob("*.js"):
        text = module.read_text()
        for imported in re.findall(r'from "([^"]+)"', text):
            assert imported.removeprefix("./") in names, (module, imported)
        assert "innerHTML" not in text, module


def test_every_route_is_on_the_api_page(reader):
    page = reader.get("/docs").text
    for path in ("/recommend", "/upnext/{video_id}", "/search", "/events", "/viewers", "/videos/{video_id}", "/metrics"):
        assert f"<code>{path}</code>" in page
