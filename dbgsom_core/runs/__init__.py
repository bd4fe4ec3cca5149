"""One run from a configuration, many of them, and reading them back.

In the order of a run: `api` has the functions for Python and the commands, `callbacks` the
observers of events, `pipeline` loads (`data`), prepares, fits, measures, draws (`results`) and
ends; `manifest` describes the run. `folder` reads and writes the files of a run, `stored_runs`
finds, locks and resumes runs.
"""
