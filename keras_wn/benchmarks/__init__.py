"""Measurements of speed, each in one process and in turns: what `runners/benchmark.py` prints."""
