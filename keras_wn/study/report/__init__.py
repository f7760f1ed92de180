"""The report of a study: one page, and Markdown, from the records of trials.jsonl alone."""

from keras_wn.study.report.making import document, write

__all__ = ["document", "write"]
