"""Save, load and use fitted models: one file, without pickle; nothing in it is run."""

from dbgsom_core.estimators.model_file import FORMAT
from dbgsom_core.estimators.named_groups import NamedGroups
from dbgsom_core.experiments.models import FittedModel, answer_table, distributions, load, save

__all__ = [
    "FORMAT",
    "FittedModel",
    "NamedGroups",
    "answer_table",
    "distributions",
    "load",
    "save",
]
