"""From trials to results: pure functions of the records of trials.jsonl, without Keras."""

from keras_wn.study.analysis.claims import judge
from keras_wn.study.analysis.results import Results, analyze

__all__ = ["Results", "analyze", "judge"]
