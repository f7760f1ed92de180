import sys

import pytest
from absl import flags

from keras_wn.errors import UsageError
from keras_wn.training import command_line


def run(monkeypatch, main, *arguments):
    monkeypatch.setattr(sys, "argv", ["runner.py", *arguments])
    flags.FLAGS.unparse_flags()
    with pytest.raises(SystemExit) as stop:
        command_line.run(main)
    return stop.value.code


def test_status_of_main_is_the_exit_status(monkeypatch):
    assert run(monkeypatch, lambda: 130) == 130
    assert run(monkeypatch, lambda: None) is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["stray"], "Unexpected argument 'stray'. Allowed: flags that start with --, see --help."),
        (["--no_such_flag=1"], "Unknown command line flag 'no_such_flag'"),
    ],
)
def test_arguments_that_are_no_flags_are_refused_in_one_line(
    monkeypatch, capsys, arguments, message
):
    assert run(monkeypatch, lambda: 0, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"runner.py: error: {message}")


def test_usage_error_is_one_line(monkeypatch, capsys):
    def main():
        raise UsageError("--this=1: not\nallowed.")

    assert run(monkeypatch, main) == 2
    assert capsys.readouterr().err == "runner.py: error: --this=1: not allowed.\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    def main():
        raise ValueError("a bug")

    monkeypatch.setattr(sys, "argv", ["runner.py"])
    flags.FLAGS.unparse_flags()
    with pytest.raises(ValueError, match="a bug"):
        command_line.run(main)
