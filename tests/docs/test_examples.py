"""Runs the examples and the first page of the documentation, as their readers do.

With KERAS_WN_WRITE_OUTPUT=1, what they print and draw becomes that of the documentation.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.examples

DOCS = pathlib.Path(__file__).parents[2] / "docs"
OUTPUT = DOCS / "output"
EXAMPLES = sorted(
    path.stem for path in (DOCS / "examples").glob("*.py") if not path.stem.endswith("_before")
)
NUMBER = r"[-+]?\d[\d,]*\.?\d*(e[-+]?\d+)?"


def run(arguments, folder):
    """Runs a program in a process of its own, and returns what it prints."""
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "100",
    }
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout


def check(name, printed):
    """Compares what a program printed with the documentation, but for its numbers."""
    shown = OUTPUT / f"{name}.txt"
    if os.environ.get("KERAS_WN_WRITE_OUTPUT"):
        OUTPUT.mkdir(exist_ok=True)
        shown.write_text(printed, encoding="utf-8")
    expected = shown.read_text(encoding="utf-8")
    assert printed and without_numbers(printed) == without_numbers(expected)


def without_numbers(text):
    # A range is shown if the numbers differ, and a table is as wide as its numbers.
    text = re.sub(NUMBER, "#", re.sub(rf" \({NUMBER} to {NUMBER}\)", "", text))
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(tmp_path, name):
    printed = run([DOCS / "examples" / f"{name}.py"], tmp_path)
    drawn = tmp_path / f"{name}.svg"
    assert drawn.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    check(name, printed)
    if os.environ.get("KERAS_WN_WRITE_OUTPUT"):
        (OUTPUT / drawn.name).write_bytes(drawn.read_bytes())


def test_first_page(tmp_path):
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    (tmp_path / "digits.py").write_text(program, encoding="utf-8")
    printed = run(["digits.py"], tmp_path)
    check("get_started", re.sub(r"Epoch \d+/\d+\n.*\n", "", printed))
    assert float(re.search(r"held-out images: ([\d.]+)", printed)[1]) > 0.9
    # Neither file needs this package.
    code = (
        "import sys; sys.modules['keras_wn'] = None; import keras\n"
        "print(keras.models.load_model('digits_folded.keras').count_params())"
    )
    assert int(run(["-c", code], tmp_path)) > 0
    assert (tmp_path / "digits" / "saved_model.pb").exists()


def test_every_example_has_a_page_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for name in EXAMPLES:
        assert f"examples/{name}.md" in navigation
        assert f"docs/examples/{name}.py" in (DOCS / "examples" / f"{name}.md").read_text("utf-8")


def test_the_program_of_the_readme(tmp_path):
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    run(["program.py"], tmp_path)
    assert (tmp_path / "model" / "saved_model.pb").exists()
