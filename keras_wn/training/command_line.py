"""How every runner starts and fails."""

import os
import sys

from absl import app, flags

from keras_wn.training.errors import UsageError


def run(main):
    """Runs `main()` after the flags are parsed; an error that the user can mend is one line, and exit status 2.

    Args:
        main: Function without arguments; it returns the exit status, or None for 0.
    """
    try:
        app.run(lambda _: main(), flags_parser=_parse)
    except (UsageError, flags.Error) as error:
        line = " ".join(str(error).split())
        print(f"{os.path.basename(sys.argv[0])}: error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{os.path.basename(sys.argv[0])}: interrupted before training.", file=sys.stderr)
        sys.exit(130)


def _parse(argv):
    rest = flags.FLAGS(argv)
    if rest[1:]:
        raise UsageError(f"Unexpected argument {rest[1]!r}. Allowed: flags that start with --, see --help.")
    return rest
