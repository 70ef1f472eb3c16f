"""The pages say what is so: their code runs, their recipes load, their tables are complete."""

import re
from pathlib import Path

import pytest

from intaglio.hardware.products import PRODUCTS
from intaglio.hardware.schedules import SCHEDULES
from intaglio.hardware.supplies import SUPPLIES
from intaglio.measure import NAMES
from intaglio.run.job import load_job
from intaglio.twin import table

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(ROOT / "docs" / "tutorial.md", "python")
    assert len(code) >= 5
    names: dict[str, object] = {}
    for number, block in enumerate(code):
        exec(compile(block, f"tutorial, block {number}", "exec"), names)


def test_recipes_in_the_pages_load(tmp_path):
    recipes = blocks(ROOT / "docs" / "tutorial.md", "yaml")
    assert recipes
    for text in recipes:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        load_job(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_in_the_pages_is_python(page):
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


def test_the_table_of_layers_is_the_one_that_refuses():
    text = (ROOT / "docs" / "howto" / "own_network.md").read_text()
    assert text.partition("table -->\n")[2] == table.page()


def test_the_table_of_names_is_complete():
    page = (ROOT / "docs" / "howto" / "script_the_results.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (\S+) \| (.+) \|$", page, re.M)
    expected = [(name, "–" if q.unit == "1" else q.unit, q.about) for name, q in NAMES.items()]
    assert rows == expected


def test_the_walk_names_at_most_ten_files_each_once():
    links = re.findall(r"\]\((\.\./src/[^)]+)\)", (ROOT / "docs" / "walk.md").read_text())
    assert 5 <= len(links) <= 10 and len(set(links)) == len(links)
    assert all((ROOT / "docs" / link).is_file() for link in links)


def test_the_page_of_plans_lists_every_choice():
    page = (ROOT / "docs" / "hardware" / "plans.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", page, re.M))
    assert rows == {kind.name: kind.needs for kind in (*SCHEDULES, *SUPPLIES, *PRODUCTS)}
