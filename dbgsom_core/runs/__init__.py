"""One run from a configuration, many of them, and reading them back.

In the order of a run: `api` is what Python and the commands call, `callbacks` makes the list of
those that are called with what happens, `setup` loads, divides and prepares the data (`data`,
`split`, `prepare`) and builds the estimator, `manifest` says what the run is, `pipeline` fits,
measures, draws (`figures`) and ends. `folder` knows every file of a run, `lock` whether it lives,
`checkpoint` what of it is done, `resume` how it goes on, `find` which runs there are.
"""
