"""Kills a run at its file operations, and looks whether it can go on.

`python tests/runners/killed.py FOLDER FIRST` runs a tiny run in FOLDER again and again, where FIRST
is `start` for a new run or `overwrite` for one that replaces another. Each time it is killed at
another file operation: at each of the first and of the last ones, and at some of those between,
which repeat. Then `--resume` must finish the run, or `--overwrite`.
"""

import contextlib
import json
import os
import pathlib
import runpy
import shutil
import signal
import sys

FLAGS = ("--norm=wn", "--dry_run", "--checkpoint_steps=1")
# File operations of the start and of the end of a run, all of which are tried.
EDGE, BETWEEN = 12, 6
# Events of Python before an operation on a file, and the places of the paths in their arguments.
EVENTS = {
    "open": (0,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
}


def kill_at(number, folder):
    """Kills this process at an operation on a file of the folder, before it is done.

    Returns a function that tells the number of operations so far.
    """
    seen = 0

    def hook(event, arguments):
        nonlocal seen
        if event not in EVENTS:
            return
        if event == "open" and not (arguments[1] and set(str(arguments[1])) & set("wax+")):
            # Opened by its flags, or to read.
            if not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                return
        paths = [arguments[place] for place in EVENTS[event]]
        if any(isinstance(path, str | os.PathLike) and folder in os.fspath(path) for path in paths):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: seen


def run(found, flags, killed_at=None, folder="", counts=None):
    """Exit status of a fork that runs the runner. Writes the number of operations to `counts`."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = 1
    with contextlib.suppress(BaseException):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        seen = kill_at(killed_at, folder) if folder else None
        sys.argv = ["tiny.py", *flags]
        try:
            found["command_line"].run(found["command_line"].train)
        except SystemExit as ended:
            code = ended.code or 0
        if counts:
            counts.write_text(str(seen()))
    os._exit(code)


def main(folder, first):
    folder = pathlib.Path(folder)
    found = runpy.run_path(str(pathlib.Path(__file__).parent / "tiny.py"))
    before, more = folder / "before", []
    if first == "overwrite":
        more = ["--overwrite"]
        run(found, [*FLAGS, "--seed=1", f"--model_dir={before}"])

    def prepared(name):
        place = folder / name
        if first == "overwrite":
            shutil.copytree(before, place)
        return place, [*FLAGS, f"--model_dir={place}"]

    place, flags = prepared("counted")
    run(found, [*flags, *more], None, str(place), folder / "counts")
    count = int((folder / "counts").read_text())
    edges = {*range(1, EDGE + 1), *range(count - EDGE + 1, count + 1)}
    # What follows the start is the same in both.
    numbers = sorted(edges | {*range(1, count, BETWEEN)} if first == "start" else edges)
    outcomes = {}
    for number in numbers:
        place, flags = prepared(f"run{number}")
        code = run(found, [*flags, *more], number, str(place))
        if code != -signal.SIGKILL:
            outcomes[number] = f"not killed: {code}"
            continue
        if run(found, [*flags, "--resume"]) == 0:
            outcomes[number] = "resumed"
        else:
            code = run(found, [*flags, "--overwrite"])
            outcomes[number] = "replaced" if code == 0 else f"stuck: {code}"
        left = [path.name for path in place.rglob(".keras_wn-writing-*")]
        left += [path.name for path in place.glob("*.lock")]
        result = json.loads((place / "result.json").read_text())
        if left or result["status"] != "finished" or result["seed"] != 0:
            outcomes[number] += f", with {left} and {result['status']}"
        shutil.rmtree(place)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
