# A program of its own, which runs in the peers' environments: `nox -s overhead`.
collect_ignore = ["overhead"]
