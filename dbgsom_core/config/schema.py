"""The model of a configuration: keys, types, bounds, defaults and what each key means.

It validates what is loaded, is written down as the resolved configuration, and gives the JSON
Schema for editors (see `json_schema`) and the tables of keys in configs/README.md, where the text
below each key says what it means. A key of ``model`` is a parameter of the estimators as well, in
`estimators.growing_map`, or of those of one kind in `estimators.som`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from dbgsom_core.config.components import STEP, ComponentOf, Named, written_fields
from dbgsom_core.config.load import split_key
from dbgsom_core.estimators.parameters import check_threshold
from dbgsom_core.plugins.validation_messages import WORDED

# What a section under model: without a name changes: the estimators' own defaults.
DEFAULT_NAMES = {
    "metric": "euclidean",
    "kernel": "gaussian",
    "growth": "directed",
    "grid": "adaptive",
    "init": "pca",
}
ESTIMATOR_OF = {  # keys of one estimator alone
    "unlabelled": "classifier", "class_weight": "classifier", "threshold": "classifier",
    "positive": "classifier", "target_transform": "regressor",
}  # fmt: skip
GROWTH_FIELDS = ("spreading_factor", "max_neurons")  # that the estimator may fill
SWEEPS = ("grid", "random", "list", "optimize")  # ways to say what varies
DEFAULT = "default"  # in place of a list

_LONGEST_PART = 200  # characters
_MOST_RUNS = 10_000  # of a sweep
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")  # of all runs of a sweep
_Tag = Annotated[str, Field(pattern=r"^\w[\w ./:-]{0,199}$")]  # what trackers take
_NAME = re.compile(r"[A-Za-z0-9 ._-]+(/[A-Za-z0-9 ._-]+)*")


def _absent() -> Any:
    """Return None, the default of keys that may be left out, but not be null."""


def refuse(messages: Mapping[tuple[str | int, ...], str]) -> NoReturn:
    """Raise the error of a section's validator that has messages at some keys in the section."""
    details = []
    for keys, message in messages.items():
        error = PydanticCustomError(WORDED, message)
        details.append(InitErrorDetails(type=error, loc=keys, input=None))
    raise ValidationError.from_exception_data("", details)


class Settings(BaseModel):
    """Base of sections: frozen, strict, without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class StabilitySettings(Settings):
    """Stability of the map and its clusters, by refits to parts of the training samples."""

    resamples: int | None = Field(None, ge=2, le=10**4)
    """how many refits, for links, answers and measures; null: 20, with halves none"""
    halves: int | None = Field(None, ge=1, le=10**3)
    """how many pairs of disjoint halves, for the clusters of a vq; null: none"""
    share: float = Field(0.5, gt=0, lt=1)
    """of the samples that each is fitted to; of 0.5 two in turn share none"""
    level: float = Field(0.95, gt=0, lt=1)
    """of the confidence intervals"""

    @property
    def refits(self) -> int:
        """The number of refits besides those to halves."""
        if self.resamples is None:
            return 20 if self.halves is None else 0
        return self.resamples

    @model_serializer(mode="wrap")
    def _without_null(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class ReportSettings(Settings):
    """What the report says beside what it always does."""

    by: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    )
    """count labels by the values of this column, or of each of several, such as file, batch,
    treatment or a date: of those under id, extra, categorical or target, or a feature"""
    sample: str | None = None
    """the column that says which rows are of one sample, such as file or patient: shares of labels
    are then compared over samples, of which a value of 'by' needs three"""
    block: str | None = None
    """the column of samples that belong together, such as the patient of samples before and after:
    they are compared within it"""

    @model_validator(mode="after")
    def _block_has_samples(self) -> Self:
        if self.block is not None and self.sample is None:
            raise ValueError("'block' says which samples belong together: name 'sample', too")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, each once."""
        return tuple(dict.fromkeys([self.by] if isinstance(self.by, str) else self.by))


class PluginSettings(Settings):
    """Which installed plugins a run leaves alone."""

    disable: list[str] = []
    """plugins or distributions whose components and observers stay away"""


# What each of scikit-learn's splitters takes, beside what is drawn with the run's seed.
SPLITTERS = {
    "KFold": ("n_splits", "shuffle"),
    "StratifiedKFold": ("n_splits", "shuffle"),
    "RepeatedKFold": ("n_splits", "n_repeats"),
    "RepeatedStratifiedKFold": ("n_splits", "n_repeats"),
    "GroupKFold": ("groups", "n_splits", "shuffle"),
    "StratifiedGroupKFold": ("groups", "n_splits", "shuffle"),
    "LeaveOneGroupOut": ("groups",),
    "LeavePGroupsOut": ("groups", "n_groups"),
    "LeaveOneOut": (),
    "ShuffleSplit": ("n_splits", "test_size", "train_size"),
    "StratifiedShuffleSplit": ("n_splits", "test_size", "train_size"),
    "GroupShuffleSplit": ("groups", "n_splits", "test_size", "train_size"),
    "TimeSeriesSplit": ("n_splits", "test_size", "max_train_size", "gap"),
}
_Size = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]


class Split(Settings):
    """How the data is divided: one test part, a file of its own, or cross-validation."""

    test_size: _Size | None = None
    """samples kept for testing: a share, or how many"""
    stratify: bool = False
    """with test_size and folds: keep the share of each class the same in every part"""
    refit: bool = False
    """with test_size: keep a model of all data, and measure one of the rest"""
    folds: int | None = Field(None, ge=2, le=10**4)
    """parts of a cross-validation, shuffled"""
    test: Annotated[Any, ComponentOf("dataset", optional=True)] = None
    """a data set that is kept for testing, read as 'dataset' is"""
    name: Literal[*SPLITTERS] | None = None  # type: ignore[valid-type]
    """a splitter of scikit-learn, whose parameters follow"""
    n_splits: int | None = Field(None, ge=1, le=10**4)
    """how many folds or divisions"""
    n_repeats: int | None = Field(None, ge=1, le=10**4)
    """how often the folds are drawn anew"""
    n_groups: int | None = Field(None, ge=1)
    """groups that are left out at once"""
    groups: str | None = Field(None, min_length=1)
    """what holds the groups that are never divided: a column or array of ids, one of categories,
    or a feature"""
    shuffle: bool | None = None
    """draw the folds at random; null: as scikit-learn, but true for KFold and StratifiedKFold"""
    train_size: _Size | None = None
    """samples to train on: a share, or how many; null: the rest"""
    max_train_size: int | None = Field(None, ge=1)
    """most samples to train on, the latest ones"""
    gap: int | None = Field(None, ge=0)
    """samples left out between training and test"""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        given = self.model_dump()
        ways = [key for key in ("name", "test_size", "folds", "test") if key in given]
        if self.name is not None and "test_size" in ways:
            ways.remove("test_size")
        if not ways:
            raise ValueError("needs one of test_size, folds, test and name")
        if len(ways) > 1:
            keys = " and ".join(ways)
            raise ValueError(f"{keys} exclude each other; set all but one to null")
        problems: dict[tuple[str | int, ...], str] = {}
        for key in given:
            problem = self._problem(key)
            if problem:
                problems[(key,)] = problem
        if problems:
            refuse(problems)
        return self

    def _problem(self, key: str) -> str:
        """Return why a key that is given does not go with the others, or an empty text."""
        name = self.name or ""
        takes = SPLITTERS.get(name, ())
        if name and key not in ("name", *takes):
            return f"is not for {name}, which takes {', '.join(takes) or 'nothing'}"
        if not name and key not in ("test_size", "stratify", "refit", "folds", "test"):
            return "is for splitters of scikit-learn: give their 'name', too"
        if key == "test_size" and self.test_size == 1 and not name:
            return "must be a share below 1, or at least 2 samples; not 1"
        if key == "name" and "groups" in takes and self.groups is None:
            return "needs 'groups': the column or array that holds them"
        return ""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        defaults = {key: field.default for key, field in Split.model_fields.items()}
        return {key: value for key, value in handler(self).items() if value != defaults[key]}

    @property
    def holds_out(self) -> bool:
        """Whether the final model is trained without a test part."""
        return self.name is None and self.test_size is not None and not self.refit

    @property
    def divides(self) -> bool:
        """Whether there is cross-validation besides the model of all data."""
        return self.test is None and not self.holds_out


class ModelSettings(Settings):
    """The estimator's own keyword arguments; whatever is left out keeps the estimator's default."""

    estimator: Literal["vq", "classifier", "regressor"] = "vq"
    """vq: vector quantization and clusters; classifier: needs labels; regressor: needs numbers
    as targets"""
    metric: Annotated[Any, ComponentOf("metric", "euclidean")] = "euclidean"
    """distance between samples and prototypes"""
    kernel: Annotated[Any, ComponentOf("kernel", "gaussian")] = "gaussian"
    """how much a neuron learns from samples won some hops away"""
    growth: Annotated[Any, ComponentOf("growth", "directed")] = "directed"
    """which neurons are born, where and when"""
    labeller: Annotated[Any, ComponentOf("labeller")] = Field(default_factory=_absent)
    """the answer that each neuron gives; without it index for vq, linear_vote for classifier,
    local_linear for regressor"""
    grid: Annotated[Any, ComponentOf("grid", "adaptive")] = "adaptive"
    """the cells of the map: hexagonal ones have six links each, square ones four, those of a line
    two; adaptive: hexagons, a line for data of one column; auto: squares, a line for one column"""
    init: Annotated[Any, ComponentOf("initialisation", "pca")] = "pca"
    """where the first prototypes lie"""
    schedule: Annotated[Any, ComponentOf("schedule", optional=True)] = None
    """how the kernel's width goes from start to end while the map grows; null: as the kernel's
    decay says"""
    stopping: Annotated[Any, ComponentOf("stopping", several=True)] = None
    """what ends the training before its last epoch, beside tol; null or []: nothing"""
    epochs: int = Field(100, ge=1, le=10**6)
    """upper bound of the epochs; a map that is full goes on to fine-tuning at once"""
    tol: float = Field(1e-4, ge=0, allow_inf_nan=False)
    """stop early when the map moves less than this; 0: run all epochs"""
    spreading_factor: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] | None = None
    """how far the map spreads, fills the growth strategy's field; auto: chosen by samples that
    are held out; null: not given"""
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = None
    """cap on the map's size, fills the growth strategy's field; null: not given"""
    contamination: float = Field(0.05, gt=0, le=0.5)
    """share of samples like those of the training that count as outliers, at most"""
    calibration: float | None = Field(None, gt=0, lt=1)
    """share of the samples that training does not see, for p-values of novelty; null: none"""
    unlabelled: int | str | None = "auto"
    """classifier: the label that says that a sample has no class; auto: -1 beside labels from 0
    on; null: none"""
    class_weight: (
        Literal["balanced"] | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None
    ) = None
    """classifier: how much a sample counts by its class, such as {yes: 3} or {"1": 3}, 1 for
    others; balanced: all classes weigh the same; null: as many as there are"""
    target_transform: Literal["log", "sqrt", "yeo-johnson"] | None = None
    """regressor: what is learnt in place of the target, and undone in answers: its logarithm, its
    square root, or the power of it that is most normal; null: the target itself"""
    threshold: float | Literal["balanced"] | dict[str, Any] = 0.5
    """classifier of two classes: the probability from which the answer is positive; balanced: of
    the largest balanced accuracy; {recall: 0.9}: the largest with this recall of positive;
    {cost: {false_positive: 1, false_negative: 10}}: of the least cost; these three are chosen on
    folds"""
    positive: bool | int | str | None = None
    """classifier of two classes: the class that threshold is for; null: the rarer one"""

    @field_validator("threshold")
    @classmethod
    def _decides(cls, value: Any) -> Any:
        check_threshold(value)
        return value

    @field_validator(*ESTIMATOR_OF)
    @classmethod
    def _is_for_its_estimator(cls, value: Any, info: Any) -> Any:
        suited = ESTIMATOR_OF[info.field_name]
        if value is not None and info.data.get("estimator", suited) != suited:
            raise ValueError(f"is for estimator: {suited}; leave it out")
        return value

    @model_serializer(mode="wrap")
    def _write(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Write all keys but those that another estimator takes, or that are written elsewhere."""
        values = handler(self)
        for key, suited in ESTIMATOR_OF.items():
            if self.estimator != suited:
                del values[key]
        if isinstance(self.growth, Named):
            filled = [key for key in GROWTH_FIELDS if values[key] is not None]
            fields = written_fields(self.growth.component, filled)
            values["growth"] = {"name": self.growth.name, **fields}
        return values


# ----------------------------------------------------------------------------------------- sweeps


class RangeSettings(Settings):
    """Numbers from low to high, whole ones where all of its numbers are."""

    low: int | float
    """the least value"""
    high: int | float
    """the greatest value"""
    log: bool = False
    """search on a logarithmic scale"""
    step: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0)] | None = None
    """distance between values"""

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, not {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale needs a low above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; leave one out")
        return self

    @property
    def whole(self) -> bool:
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


_Values = Annotated[list[Any], Field(min_length=1)]
_Axes = Annotated[dict[str, _Values], Field(min_length=1)]


class RandomSettings(Settings):
    """How many combinations of a grid to draw, and from which seed."""

    samples: int = Field(ge=1)
    """distinct combinations to draw"""
    seed: int = Field(0, ge=0)
    """start of the draw"""
    space: _Axes
    """dotted keys and their values"""

    @property
    def size(self) -> int:
        """The number of combinations."""
        return math.prod(map(len, self.space.values()))

    @model_validator(mode="after")
    def _are_there(self) -> Self:
        if self.samples > self.size:
            refuse({("samples",): f"asks for {self.samples} of {self.size} combinations"})
        return self


class OptimizeSettings(Settings):
    """A search for the best variant by Optuna's TPE (Bergstra et al. 2011), trial by trial."""

    trials: int = Field(ge=1, le=10_000)
    """how many variants to try"""
    measure: str | None = Field(None, min_length=1)
    """what to optimize, as decide.measure"""
    direction: Literal["maximize", "minimize"] | None = None
    """which end of it is best, as decide.direction"""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """start of the search"""
    space: Annotated[dict[str, RangeSettings | _Values], Field(min_length=1)]
    """dotted keys, and lists or ranges of their values"""


class RepeatSettings(Settings):
    """Running each variant several times."""

    seeds: int = Field(ge=1, le=1000)
    """runs of each variant: seed, seed + 1, …"""


class DecideSettings(Settings):
    """What "best" means among runs; what is left out follows from estimator, measure and split."""

    measure: str | None = Field(None, min_length=1)
    """the measure that decides, such as accuracy; null: accuracy for a classifier,
    log_loss where one class has more than two thirds of the samples to train on, r2 for
    a regressor, combined_error for vq"""
    direction: Literal["maximize", "minimize"] | None = None
    """which end of the measure is best; null: as the measure says"""
    split: Literal["test", "train"] | None = None
    """on which part it is measured; null: the test part where there is one"""


class SweepSettings(Settings):
    """Several runs from one file: exactly one way to say what varies."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in SWEEPS]}
    )

    grid: _Axes = Field(default_factory=_absent)
    """dotted keys and their values: every combination"""
    random: RandomSettings = Field(default_factory=_absent)
    """some combinations, drawn at random"""
    list_: list[Annotated[dict[str, Any], Field(min_length=1)]] = Field(
        default_factory=_absent, alias="list", min_length=1
    )
    """what each run changes"""
    optimize: OptimizeSettings = Field(default_factory=_absent)
    """a search for the best variant"""
    repeats: RepeatSettings | None = None
    """how often each variant runs"""
    decide: DecideSettings | None = None
    """what "best" means among the runs"""

    @property
    def seeds(self) -> int:
        """The number of runs of each variant."""
        return 1 if self.repeats is None else self.repeats.seeds

    @property
    def size(self) -> int:
        """The number of variants."""
        if self.optimize is not None:
            return self.optimize.trials
        if self.list_ is not None:
            return len(self.list_)
        if self.random is not None:
            return self.random.samples
        return math.prod(map(len, self.grid.values()))

    @property
    def criterion(self) -> DecideSettings:
        """What "best" means, by ``decide`` and ``optimize``."""
        update = {}
        for key in ("measure", "direction"):
            if getattr(self.optimize, key, None) is not None:
                update[key] = getattr(self.optimize, key)
        return (self.decide or DecideSettings()).model_copy(update=update)

    def _varied(self) -> Iterator[tuple[str | int, ...]]:
        """Yield the place of each dotted key that varies."""
        yield from (("grid", key) for key in self.grid or ())
        for i, changes in enumerate(self.list_ or ()):
            yield from (("list", i, key) for key in changes)
        for way in ("random", "optimize"):
            search = getattr(self, way)
            yield from ((way, "space", key) for key in (search.space if search else ()))

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        ways = [self.grid, self.random, self.list_, self.optimize]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(f"needs exactly one of {', '.join(SWEEPS[:-1])} or {SWEEPS[-1]}")
        problems: dict[tuple[str | int, ...], str] = {}
        for keys in self._varied():
            key = str(keys[-1])
            if not split_key(key):
                problems[keys] = "is no dotted key such as model.epochs"
            elif key.partition(".")[0] in _FIXED:
                problems[keys] = "cannot vary within a sweep"
            elif key == "seed" and self.repeats is not None:
                problems[keys] = "is set by repeats: leave it out of what varies"
            elif self.optimize is not None and key in ("dataset", "dataset.name"):
                problems[keys] = "cannot be optimized: measures of other data do not compare"
        if problems:
            refuse(problems)
        runs = self.size * self.seeds
        if runs > _MOST_RUNS:
            raise ValueError(f"makes {runs} runs, more than {_MOST_RUNS}; use random")
        return self


# -------------------------------------------------------------------------------------- top level


class ExperimentSettings(Settings):
    """The top level of a configuration, in the order in which one writes the keys."""

    experiment: str
    """the group under which runs are kept: letters, digits, spaces and . _ -, with / between
    groups"""
    name: str | None = None
    """the run's name; null: made from its parts"""
    tags: dict[_Tag, str | bool | int | Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    """words of your own about the run, shown by trackers, too"""
    dataset: Annotated[Any, ComponentOf("dataset")]
    """the data to learn from"""
    prepare: Annotated[Any, ComponentOf(STEP, several=True)] = None
    """scikit-learn transformers before training, in order; null: none"""
    split: Split | None = None
    """how the data is divided; null: train on everything"""
    model: ModelSettings | None = None
    """the estimator and its keyword arguments; null: a vq with its defaults"""
    seed: int = Field(42, ge=0, le=2**32 - 1)
    """start of every random number of the run"""
    measures: Annotated[Any, ComponentOf("measure", several=True, words=(DEFAULT,))] = DEFAULT
    """figures of merit; default: those that suit the estimator; null or []: none"""
    figures: Annotated[Any, ComponentOf("figure", several=True, words=(DEFAULT,))] = DEFAULT
    """what to draw; default: label_map, u_matrix, hit_map, growth_curve and explorer, of
    classifiers also confusion_matrix and roc_curve, of regressors predicted_actual, with
    report.by group_shares, with stability trust_map or stability; null or []: none"""
    stability: StabilitySettings | Literal["auto"] | None = "auto"
    """how sure the map is, from refits to parts of its samples; auto: of clusters of data without a
    target, by some pairs of halves; null: not asked"""
    report: ReportSettings | None = None
    """what the report says beside what it always does; null: nothing"""
    tracking: Annotated[Any, ComponentOf("tracker", several=True, words=(DEFAULT,))] = DEFAULT
    """where runs are sent beside the run folder, which is always written; default: where trackers
    say that they are it; null or []: nowhere; list run_folder to set its fields"""
    engine: Annotated[Any, ComponentOf("engine", "local")] = "local"
    """how one pass over the data runs"""
    plugins: PluginSettings | None = None
    """which installed plugins the run leaves alone; null: none"""
    extends: str | list[str] | None = None
    """files, relative to this one, over which this one is merged"""
    sweep: SweepSettings | None = None
    """several runs from one file"""

    @field_validator("name")
    @classmethod
    def _can_be_shown(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("must be one line without control characters")
        return value

    @field_validator("experiment")
    @classmethod
    def _can_be_a_folder(cls, value: str) -> str:
        parts = [part.strip() for part in value.split("/")]
        if not _NAME.fullmatch(value) or not all(part.strip(".") for part in parts):
            raise ValueError(
                "must be letters, digits, spaces and . _ - with / between groups, such as "
                "'digits/first try'"
            )
        if max(map(len, parts)) > _LONGEST_PART:  # file systems take 255
            raise ValueError(f"must have at most {_LONGEST_PART} characters between two slashes")
        return value
