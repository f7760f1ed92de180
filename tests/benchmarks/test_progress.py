import time

from keras_wn.benchmarks.progress import counted


def run(monkeypatch, seconds_each, warm_up=0):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for item in counted("abc", warm_up):
        clock[0] += seconds_each
        yield item


def test_long_measurements_say_how_far_they_are(monkeypatch, capsys):
    assert list(run(monkeypatch, 50.0)) == ["a", "b", "c"]
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "1 of 3 measured; about 1 min 40 s left",
        "2 of 3 measured; about 50 s left",
        "3 of 3 measured; about 0 s left",
    ]


def test_the_time_left_does_not_count_the_warm_up(monkeypatch, capsys):
    assert list(run(monkeypatch, 50.0, warm_up=1)) == ["a", "b", "c"]
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "1 of 1 to warm up",
        "1 of 2 measured; about 50 s left",
        "2 of 2 measured; about 0 s left",
    ]


def test_short_ones_say_nothing(monkeypatch, capsys):
    assert list(run(monkeypatch, 1.0)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
