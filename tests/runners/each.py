"""Runs a script once for each list of flags, in forks of a process that has imported it once.

Importing takes most of the time of a command line that is refused.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback


def finish(run, script, flags):
    """Exit status, standard output and standard error of a fork that runs the script."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = os.fork()
        if not process:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [script, *flags]
            code = 1
            try:
                code = run()
            except SystemExit as ended:
                code = ended.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code or 0)
        _, status = os.waitpid(process, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        return os.waitstatus_to_exitcode(status), *texts


def main():
    script, commands = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(0, os.path.dirname(script))
    found = runpy.run_path(script)
    command_line, command = found["command_line"], found["command"]
    answers = [finish(lambda: command_line.run(command.run), script, flags) for flags in commands]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
