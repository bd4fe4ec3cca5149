"""One run from a configuration, many of them, and reading them back.

In the order of a run: `api` is what Python and the commands call, `callbacks` makes the list of
those that are called with what happens, `pipeline` loads (`data`), prepares, fits, measures, draws
(`results`) and ends; `manifest` says what the run is. `folder` knows every file of a run,
`stored_runs` which runs there are, whether they live, and how they are resumed.
"""
