"""One run from a configuration, many of them, and reading them back.

In the order of a run: `api` has the functions for Python and the commands, `session` the callbacks
around a run, `pipeline` loads (`data`), prepares, fits, measures, draws (`results`) and ends;
`describe` gives the run its name and parameters. `folder` reads and writes the files of a run,
`stored_runs` finds, locks and resumes runs.
"""
