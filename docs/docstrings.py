"""Puts the examples of docstrings into fences, so that the site shows them as code."""

import re
from typing import Any

import griffe

# A block of a doctest: from a prompt to the next empty line.
_DOCTEST = re.compile(r"^([ ]*)>>> .*?(?=^\s*$|\Z)", re.MULTILINE | re.DOTALL)


class Doctests(griffe.Extension):
    """Extension of the reader of docstrings, named in mkdocs.yml."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(match):
    indent, block = match[1], match[0].rstrip("\n")
    return f"{indent}```pycon\n{block}\n{indent}```\n"
