"""Words that were taken back before the first release, and what takes their place.

Each has a line in CHANGELOG.md, too. Who meets an unknown word asks here first.
"""

_WORDS = {
    "figure u_star_matrix": "take u_matrix or density_map",
    "figure error_map": "plot(color='error') draws it",
    "figure topographic_function_curve": "the measure topographic_function stays",
    "figure parallel_coordinates": "take sweep_heatmap, or 'dbgsom compare'",
    "figure side_by_side": "open two explorers",
    "engine blocks": "dask reads with threads of this process, too",
    "key system_metrics": "write tracking: {name: mlflow, system_metrics: true}",
    "key robust": "fit again without the samples that novelty_pvalue finds unlike the rest",
    "key patience": "write stopping: patience",
    "key unpacked": "Parquet is decoded in each epoch",
    "key processes": "the workers of dask are processes",
    "command doctor": "'dbgsom plugins list' shows what cannot be imported, and why",
    "command plan": "a fit says before its first epoch how much memory it needs",
    "command diff": "compare what two 'dbgsom config show' print",
    "option --dry-run": "'dbgsom validate' checks the file and names the runs of a sweep",
    "option --log-json": "run.json and metrics.jsonl are for programs",
    "option --format": "'dbgsom export' writes neurons.csv; the model file is npz",
    "option --plain": "'dbgsom config show' prints the resolved file",
    "option --no-defaults": "'dbgsom config show' prints the resolved file",
    "option --sklearn-only": "a configuration is its owner's code",
    "option --for-spreadsheets": "import such columns as text, or write parquet",
    "option --limit": "a check ends after five minutes",
}


def withdrawn(kind: str, word: str) -> str:
    """Return ``"; it is gone: …"`` for a word that was taken back, or an empty string.

    The kind is that of a component, ``key``, ``command`` or ``option``.
    """
    cure = _WORDS.get(f"{kind} {word}")
    return f"; it is gone: {cure}" if cure else ""
