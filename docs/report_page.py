"""Makes the report of the study from its log when the site is built, which mkdocs.yml asks for."""

import os
import pathlib

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page to the files of the site."""
    # A report trains nothing. JAX is the backend that is installed in the least time.
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from keras_wn.study import report
    from keras_wn.study.log import Log

    log = Log(pathlib.Path(config.docs_dir) / "study" / "trials.jsonl")
    page = report.render(report.build(log.read()), "report.html.j2")
    files.append(File.generated(config, "study/report.html", content=page))
    return files
