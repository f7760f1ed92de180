"""Runs a runner on many command lines in one process, up to where it would begin to train.

`python tests/runners/fuzz.py SCRIPT` reads lists of flags as JSON from standard input, and writes
for each list its exit status, its errors, and its longest time in seconds.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import time
import traceback

from absl import flags


class Begun(BaseException):
    """The command line is one to train by."""


def begin(*arguments, **options):
    raise Begun


def finish(run, script, line):
    sys.argv = [script, *line]
    flags.FLAGS.unparse_flags()
    errors, code, started = io.TextIOWrapper(io.BytesIO(), "utf-8"), 0, time.perf_counter()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(sys.stderr):
        try:
            run()
        except SystemExit as ended:
            code = ended.code or 0
        except Begun:
            code = "begun"
        except BaseException:
            code = "traceback"
            traceback.print_exc()
    errors.seek(0)
    return code, errors.read(), time.perf_counter() - started


def main():
    script = sys.argv[1]
    lines = json.load(sys.stdin)
    sys.path.insert(0, os.path.dirname(script))
    sys.argv = [script]
    found = runpy.run_path(script)
    from keras_wn.study import workers
    from keras_wn.training import loop

    # What follows a good command line takes long.
    loop.make_run = workers.Worker.begin = begin
    main = found["command"].run if "command" in found else found["command_line"].train
    answers = [finish(lambda: found["command_line"].run(main), script, line) for line in lines]
    print(json.dumps(answers))


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = out
    main()
