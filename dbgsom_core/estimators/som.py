"""The estimators: clustering, classification and regression with growing maps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, ClusterMixin, RegressorMixin, clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.results import Flags, Floats
from dbgsom_core.engine.samples import Samples
from dbgsom_core.estimators.fitted_map import LEAVES, by_rows
from dbgsom_core.estimators.growing_map import GrowingMap, all_or_nothing
from dbgsom_core.estimators.model_file import storable
from dbgsom_core.estimators.named_groups import NamedGroups
from dbgsom_core.estimators.parameters import check_threshold, computed
from dbgsom_core.estimators.samples import Rows, weights_of
from dbgsom_core.estimators.stability import Halving, compute_cluster_stability
from dbgsom_core.interfaces.measures import ClusterStability, Evaluation
from dbgsom_core.som_map.tree import fallback_leaves
from dbgsom_core.training.labelling import most_frequent
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import (
    EVEN,
    LARGEST_TARGET,
    TRANSFORMS,
    Target,
    TargetTransform,
    best_threshold,
    check_single_target,
    class_weights,
    encode_classes,
    mark_labelled,
    positive_code,
)

# Without parameters of its own: the constructor that the dataclass `GrowingMap` generated is right.
_FOLDS = 5  # that hold samples out for a threshold, at most


@storable
class SomVQ(ClusterMixin, GrowingMap):
    """Growing self-organizing map for clustering and vector quantization.

    Parameters
    ----------
    metric, kernel, growth, labeller : str, mapping or component
        The parts of the map: a name, ``{"name": …, field: …}`` or an instance. Fields are reached
        as ``growth__spreading_factor``. ``metric`` may also be a function of two samples (D,) that
        returns their distance; such a model cannot be saved, and is slow.
    grid : str, mapping or component
        The cells of the map: ``"hexagonal"``, with six links each, ``"square"``, with four,
        ``"line"``, a row with two, or another one by name. ``"adaptive"`` is a line for data of
        one column, on which another map would be folded, unless growth says its rows, and else
        hexagons; ``"auto"`` likewise a line or squares. A map of fixed size is closed to a torus
        by ``"square_torus"`` or ``"hexagonal_torus"``, or by ``growth={"name": "fixed", "wrap":
        True}``.
    epochs : int
        Upper bound of the epochs. Where growth comes in waves, as by default, it is over after 80
        epochs: from 100 on more epochs are more fine-tuning, and the size of the map stays. Once a
        map may not grow beyond ``max_neurons``, fine-tuning begins at once, and fewer epochs run,
        with a ``link_pull`` and a kernel whose ``start`` is ``"auto"`` or that has no ``end``.
    tol : float
        At the final width training stops when the prototypes' root mean square step falls below
        this share of the data's deviation ‖std(X)‖; 0 runs all epochs and warns of nothing.
    spreading_factor : float in (0, 1), "auto" or None
        Fills the growth strategy's field: the closer to 1, the larger the map. ``"auto"`` chooses
        one: on four fifths of the samples a map grows through the sizes of 0.2, 0.5, 0.75 and 0.9,
        until two in a row have a larger loss on the other fifth than the best; the first within one
        standard error of the least loss is taken. The loss is the combined error (Kaski & Lagus
        1996) for `SomVQ`, the Brier score of the classes for `SomClassifier`, the squared error for
        `SomRegressor`. It takes two to three times as long as one fit, of numbers three to four; of
        less than 20 samples the strategy's default stays.
    max_neurons : int, "auto" or None
        Fills the growth strategy's field: the map never exceeds it.
    init : str, mapping, component or array (K0, D)
        Start prototypes, row-major: ``"pca"``, ``"random"``, ``"sample"``, another initialisation
        by name, or the prototypes themselves.
    transform_algorithm : {"mixture", "distances"}
        What `transform` gives; `inverse_transform` undoes mixtures.
    warm_start : bool
        Let `fit` go on from the map of the last `fit`, at the kernel's final width and in the same
        metric.
    random_state : int, RandomState or None
        For a random ``init``, such as ``"random"`` and ``"sample"``; nothing else in training is
        random.
    engine : str, mapping or Engine
        How passes over the data run: ``"local"``, or with ``threads`` and ``chunk_rows``, which
        change no bit of the result, and ``working_memory`` in MiB for faster searches.
    callbacks : list of callables or observers, optional
        Each is called with every `EpochRecord`, an object by its ``dbgsom_epoch_finished``. To
        return ``dbgsom_core.api.STOP`` ends the training; ``epoch.som_map`` is the map so far.
    verbose : int
        1: a progress bar on a terminal and in notebooks, else about ten lines, and one every five
        seconds; 2: a line for each epoch.
    contamination : float in (0, 0.5]
        The level of ``offset_``: the largest share of samples like the training's that count as
        outliers.
    checkpoint : path, optional
        A file to which the training is saved each second, for one fit at a time. A fit of the same
        data and parameters resumes from it to the same bits; callbacks are called for the remaining
        epochs. It is removed at the end of the fit. A file of other data, parameters or versions
        raises `CheckpointError`.
    calibration : float in (0, 1), optional
        The share of the samples that is held out at random for calibration: `novelty_pvalue` and
        ``offset_`` are then valid for new samples. They count in ``labels_``, not in
        ``hit_counts_``.
    schedule : str, mapping or component, optional
        Schedule of the kernel's width from ``start`` to ``end``: ``"linear"``, ``"exponential"``,
        ``"constant"``, ``"cyclic"``; None: the kernel's ``decay``.
    stopping : str, mapping, component, list of these, or None
        Rules that end the training early, besides ``tol``: ``"converged"``, ``"patience"``,
        ``"time_limit"``, ``"epoch_limit"``. ``"patience"`` holds samples out, as ``calibration``
        does, for any measure, as ``"accuracy"``, and with ``keep_best`` keeps the best map.

    Attributes
    ----------
    weights_ : float array (K, D)
        Prototypes in order of birth, in the space of the metric.
    neurons_ : list of (x, y)
        Grid cells (column, row) of the same neurons, whole numbers; on the hexagonal grid x counts
        along a row, y up and half a cell to the right. ``som_map_.plane_positions`` (K, 2) is where
        they lie in the plane, linked ones 1 apart.
    labels_ : int array (n,)
        Cluster of each training sample: contiguous numbers over the neurons that won a sample, or
        the names that a person gave, text, see `name_groups`. Of samples that an engine reads in
        blocks they are made each time, and no file holds them.
    neuron_labels_ : array (K,)
        The same for neurons; one without samples carries its nearest live neuron's.
    growth_events_ : list of (epoch, parent, position)
        Every birth, in order: ``parent`` is a row of ``weights_``, ``position`` a grid cell.
    history_ : tuple of EpochRecord
        Records of the epochs.
    som_map_ : SomMap
        ``som_map_.children`` holds the child maps of hierarchical growth. Attributes of neurons are
        of the first map; ``labels_``, ``quantization_error_``, `predict` and `transform` are of the
        leaves, the neurons without a child map.
    leaf_weights_, leaf_paths_, leaf_labels_, leaf_hit_counts_ : arrays (L, …)
        Prototypes of the leaves, the rows of the neurons on the path to them (L, depth), their
        labels, and their numbers of training samples.
    hit_counts_, errors_ : int and float64 arrays (K,)
        Number of training samples by BMU, and the sum of their distances in the metric's units;
        with sample weights both are weighted sums, in float64.
    cluster_centers_ : float array (C, D)
        The centre of each cluster in ``labels_``; computed on access, as the next three.
    n_clusters_ : int
        Number of distinct labels, C.
    cluster_stability_ : ClusterStability
        What `cluster_stability` found last; absent before, after another fit and in saved models.
    average_distances_, densities_ : float64 arrays (K,)
        Mean distance of each prototype to its linked neighbours (the height of the U-matrix), and
        hits over that distance.
    topographic_product_ : float
        (Bauer & Pawelzik 1992).
    spreading_factor_ : float or None
        The growth strategy's: given, chosen by ``"auto"``, or its default; None where it has none.
    sizes_tried_ : SizesTried, a tuple of SizeTried
        The sizes tried by ``"auto"``: spreading factor, neurons, loss, its excess over the smallest
        and its standard error; printed as a table. Empty without ``"auto"`` and after loading.
    growing_threshold_ : float
        The sum of distances from which the growth strategy adds neurons; nan where it has none.
    quantization_error_ : float
        Mean distance of the training samples to their best-matching units, in the metric's units.
    topographic_error_ : float
        The share of the training samples whose two nearest neurons are not linked.
    offset_ : float
        The novelty score below which a sample is an outlier, see `score_samples` and
        `novelty_pvalue`; -inf with too few calibration samples for this level.
    n_iter_ : int
        Number of epochs.
    kept_epoch_ : int
        The epoch of the final map: ``n_iter_``, unless a stopping rule keeps the best.
    stopped_by_ : str
        The stopping rule that ended the training, or "a callback"; empty: none.
    converged_ : bool
        Whether training converged: steps of prototypes fell below ``tol``, or the mean quantization
        errors of the last two epochs at the final width and of the two before differ by less than
        2 %. If not, `fit` warns with `ConvergenceWarning`; without fine-tuning
        (``growth="fixed"``) it is always False, without a warning.
    n_features_in_ : int
    feature_names_in_ : array of str (D,)
        Only when X was a table with text as column names.

    References
    ----------
    Vasighi, M. & Amini, H. (2017). A directed batch growing approach to enhance the topology
    preservation of self-organizing map. Applied Soft Computing 55, 424-435.
    """

    @property
    def cluster_centers_(self) -> NDArray[np.floating[Any]]:
        """Centres of the clusters in ``labels_`` and `predict`, in the metric's space.

        Where each neuron is a cluster, as by default, these are the prototypes of the leaves with
        training samples: ``cluster_centers_[predict(X)]`` quantizes X, as with
        `sklearn.cluster.KMeans`. Where the labeller groups neurons, a centre is the mean of their
        prototypes weighted by their hits, or, with its method ``k_means``, of samples. The columns
        of `transform` are all leaves instead, rows of ``leaf_weights_``, those without samples too.

        Shape (C, D), one row for each distinct label in ascending order; computed on access.
        """
        check_is_fitted(self)
        if self._centres is not None:
            return self._centres.copy()
        won = self.leaf_hit_counts_ > 0
        prototypes, hits = self.leaf_weights_[won], self.leaf_hit_counts_[won]
        labels = self.leaf_labels_[won]
        centers = []
        for label in np.unique(labels):
            is_member = labels == label
            members = prototypes[is_member]
            center = members[0]  # itself, as the mean of a single row may be rounded
            if len(members) > 1:
                center = np.average(members, axis=0, weights=hits[is_member])
            centers.append(center)
        return np.asarray(centers, dtype=prototypes.dtype)

    @property
    def n_clusters_(self) -> int:
        """Number of distinct labels of the neurons, or leaves where there are child maps."""
        check_is_fitted(self)
        return len(np.unique(self.leaf_labels_))

    def cluster_stability(
        self,
        X: Any,
        halves: int = 5,
        numbers: Sequence[int] | None = None,
        level: float = 0.95,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> ClusterStability:
        """Return how sure the clusters are, by refits to halves, and set ``cluster_stability_``.

        Of each pair of halves, which share no sample, a map is fitted to either, and both label the
        samples of neither half: a fifth of all, at most 5,000. How alike these answers are is asked
        for each number of clusters; the clusters of this map are compared with those of a half's
        map of the same number.

        Parameters
        ----------
        X : array-like or CSR matrix (n, D)
            The samples that the map was fitted to, at least 10.
        halves : int
            Number of pairs of halves; there is no interval of one.
        numbers : sequence of int, optional
            Numbers of clusters to try; the map's is among them always. None: 1 to 12, or those
            between the ends that the labeller's ``n_clusters`` has. Only with a labeller with this
            field: of others the answers are compared as they are.
        level : float in (0, 1)
            Level of the confidence intervals, by Student's t over the pairs, with the variance of
            splits that overlap (Nadeau & Bengio 2003).
        random_state : int
            Seed of the halves.
        n_jobs : int, optional
            Number of threads for refits; -1: one per processor. The result is the same.

        Returns
        -------
        ClusterStability
            For each number the adjusted Rand index, for each cluster the Jaccard coefficient
            (Hennig 2007), with intervals and chance.

        Raises
        ------
        ValueError
            The samples are too few, or ``numbers`` does not suit the labeller.
        """
        check_is_fitted(self)
        halving = Halving(halves, numbers, level, random_state, n_jobs)
        self.cluster_stability_ = compute_cluster_stability(self, X, halving)
        return self.cluster_stability_

    def decision_function(self, X: Any) -> Floats:
        """Return ``score_samples(X) - offset_`` (n,): below 0 are outliers, those whose
        `novelty_pvalue` is at most ``contamination``.
        """
        return self.score_samples(X) - self.offset_

    def name_groups(self, path: str | PathLike[str]) -> Self:
        """Label the neurons by the groups in a file of the explorer, and return the estimator.

        A leaf belongs to the group of the nearest prototype in the file, one without training
        samples to that of the nearest one with some. `predict`, ``labels_`` and saved files have
        the names of the groups; a later fit labels anew. A map from a file has no ``labels_`` then.

        Parameters
        ----------
        path : path
            A ``groups.json``, of this map or of another one of the same columns.

        Raises
        ------
        DataError
            The file cannot be read, or is of a map with another number of features.
        """
        check_is_fitted(self)
        tree, hits = self._tree, self.leaf_hit_counts_
        names = NamedGroups.read(path).labels_of(tree.weights)
        prototypes = Samples(tree.weights, self._metric.calls)
        labels = names[fallback_leaves(tree, prototypes, hits)]
        attributes = self.__dict__
        attributes.pop("cluster_stability_", None)
        if "labels_" in attributes:  # of samples in memory, or in a file without their leaves
            del self.labels_
            if LEAVES in attributes:
                self.labels_ = labels[attributes[LEAVES]]
        self.leaf_labels_ = labels
        self.neuron_labels_ = most_frequent(tree, labels, hits)
        self._probabilities = self._leaf_probabilities = self._answering = self._centres = None
        return self

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the negative quantization error of X (n, D), so that greater is better."""
        return -self.calculate_quantization_error(X, sample_weight)


@storable
@dataclass(kw_only=True, eq=False, repr=False)
class SomClassifier(ClassifierMixin, GrowingMap):
    """Growing self-organizing map for classification.

    The map itself is trained on X alone (unless growth uses ``threshold: entropy``); the labeller
    then learns the classes around each neuron. Parameters and attributes are those of `SomVQ`, and:

    Parameters
    ----------
    unlabelled : "auto", None or label
        Label of samples without a class, besides None, nan and pandas.NA. ``"auto"``: -1, with a
        warning, where all other labels are integers of at least 0, and at least two. None: no
        label.
    class_weight : None, "balanced" or dict of classes to numbers
        Factors of ``sample_weight``, as in scikit-learn: classes that the dict leaves out count
        once; ``"balanced"``, which `partial_fit` does not take, lets all classes weigh the same.
        The map, too, is trained with these weights, and grows as for so many more samples.
    threshold : float, "balanced", {"recall": float} or {"cost": dict}
        Of two classes, the probability from which on ``positive`` is answered. ``"balanced"``: that
        of the largest balanced accuracy; ``{"recall": 0.9}``: the largest that finds this share of
        ``positive``; ``{"cost": {"false_positive": 1, "false_negative": 10}}``: that of the least
        cost. These are chosen on the probabilities of samples that five stratified folds hold out,
        as with `sklearn.model_selection.TunedThresholdClassifierCV`: five more fits. 0.5: the most
        probable class of any number is answered.
    positive : label or None
        None: the rarer class, of two as frequent the second.

    Attributes
    ----------
    classes_ : array (C,)
        The sorted class labels.
    labels_ : array (n,)
        The class of each training sample's neuron.
    threshold_ : float
    positive_ : label
        Of a ``threshold`` other than 0.5.
    """

    _kind = "classifier"
    _targets: ClassVar[str] = "class labels"

    labeller: Any = "linear_vote"
    unlabelled: Any = "auto"
    class_weight: Any = None
    threshold: Any = EVEN
    positive: Any = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **GrowingMap._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "threshold": [Real, str, Mapping],
        "positive": "no_validation",
    }

    def _decide(self, parts: Parts, rows: Rows) -> None:
        check_threshold(self.threshold)
        for name in ("threshold_", "positive_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if self.threshold == EVEN:
            return
        target = rows.target
        assert target is not None
        assert target.classes is not None
        code = positive_code(self.threshold, self.positive, target, rows.weights)
        threshold = self.threshold
        if not isinstance(threshold, Real):
            threshold = self._choose_threshold(code, rows)
        self.threshold_, self.positive_ = float(threshold), target.classes[code]

    def _choose_threshold(self, code: int, rows: Rows) -> float:
        # By probabilities of samples that folds hold out.
        X, target, weights = rows
        if isinstance(X, Partitions):
            raise ValueError(
                f"threshold={self.threshold!r} is chosen on samples in memory: give a number"
            )
        assert target is not None
        assert target.codes is not None
        known = np.flatnonzero(target.known)
        codes = target.codes[known]
        n_folds = min(_FOLDS, np.bincount(codes)[np.unique(codes)].min())
        probabilities = np.zeros(len(known))
        for _, places in StratifiedKFold(n_folds).split(codes, codes):
            trains: Flags = np.ones(rows.n, dtype=bool)
            trains[known[places]] = False
            model = clone(self).set_params(
                threshold=EVEN, callbacks=None, checkpoint=None, verbose=0, calibration=None
            )
            fold_weights = None if weights is None else weights[trains]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the fit to all samples warns
                model.fit(take(X, trains), target.y[trains], fold_weights)
            tested = model.predict_proba(take(X, known[places]))
            probabilities[places] = tested[:, code]
        return best_threshold(
            self.threshold,
            codes == code,
            probabilities,
            None if weights is None else weights[known],
        )

    def _weights(self, X: Any, target: Target | None, sample_weight: Any) -> Any:
        if self.class_weight is None or target is None:
            return sample_weight
        weights = weights_of(X, sample_weight)
        factors = class_weights(self.class_weight, target, weights)
        return factors if weights is None else weights * factors

    @all_or_nothing
    def partial_fit(  # type: ignore[override] # classes come third, as in scikit-learn
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Continue training with further samples, see `SomVQ.partial_fit`.

        ``classes`` (C,) are all classes, also of later calls; without it later classes are added
        when they occur.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all samples at once, which partial_fit has not: "
                "give a dict from classes to weights"
            )
        if not isinstance(self.threshold, Real):
            raise ValueError(
                f"threshold={self.threshold!r} needs all samples at once, which partial_fit has "
                "not: give a number"
            )
        continues = hasattr(self, "som_map_")
        return self._train(X, y, sample_weight, continues=continues, classes=classes)

    def _target(self, parts: Parts, X: Any, y: Any, continues: bool, classes: Any) -> Target | None:
        known = None  # the classes of y
        if continues:
            known = self.classes_
        elif classes is not None:
            known = np.unique(classes)
        target = encode_classes(X, y, self.unlabelled, known)
        if classes is not None:
            target = target.with_classes(classes)
        if continues:
            target = target.with_classes(self.classes_)
        return target

    def _take_target(self, target: Target | None, held_out: Rows | None) -> None:
        assert target is not None
        assert target.classes is not None
        self.classes_ = target.classes
        leaves, neurons = self._leaf_probabilities, self._probabilities
        if hasattr(self, "threshold_") and leaves is not None and neurons is not None:
            self.leaf_labels_ = self._predictor.decide(leaves)
            self.neuron_labels_ = self._predictor.decide(neurons)

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Return the evaluation of the map on samples X (n, D), for measures and figures."""
        evaluation = replace(
            super().evaluate(X, y, predictions, seed),
            classes=self.classes_,
            probabilities_of=self._predictor.probabilities,
        )
        if y is None:
            return evaluation
        return replace(evaluation, labelled=mark_labelled(y, self.unlabelled, self.classes_))

    @by_rows
    def predict_proba(self, X: Any) -> Floats:
        """Return class probabilities (n, C); `predict` returns the most probable class.

        With labeller ``"linear_vote"`` they are those of the classes around each sample, mixed
        with a logistic regression, with ``"kernel_vote"`` the former alone, with ``"majority"`` the
        shares among the samples of the nearest neuron.
        """
        data = self._samples(X)
        return self._predictor.probabilities(data)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict` on samples X (n, D) with classes y (n,).

        ``sample_weight`` is (n,). A lazy collection is computed once.
        """
        from sklearn.metrics import accuracy_score  # slow to import

        y, answers, weights = map(computed, (y, self.predict(X), sample_weight))
        return float(accuracy_score(y, answers, sample_weight=weights))


@storable
@dataclass(kw_only=True, eq=False, repr=False)
class SomRegressor(RegressorMixin, GrowingMap):
    """Growing self-organizing map for regression.

    The map is trained on X alone; then linear models around the neurons are fitted to the targets,
    and those of the nearest neurons predict (labeller ``"local_linear"``). With labeller ``"mean"``
    each neuron predicts the mean target of its samples, and a neuron without samples that of the
    nearest neuron with samples. Parameters and attributes are those of `SomVQ`; ``score`` is the
    coefficient of determination R².

    Parameters
    ----------
    target_transform : {"log", "sqrt", "yeo-johnson"} or None
        What is learnt in place of the targets, as with
        `sklearn.compose.TransformedTargetRegressor`: their logarithm, square root, or power (Yeo &
        Johnson 2000) that `sklearn.preprocessing.PowerTransformer` finds, held between 0 and 2.
        Answers, intervals and measures are in the units of the targets. `partial_fit` keeps the
        power of the first call.

    Attributes
    ----------
    labels_ : float64 array (n,), or (n, Q) of a labeller with Q columns
        The prediction of each training sample's neuron.
    neuron_labels_ : float64 array (K,) or (K, Q)
        The prediction of each neuron.
    """

    _kind = "regressor"
    _targets: ClassVar[str] = "targets"

    labeller: Any = "local_linear"
    target_transform: str | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **GrowingMap._parameter_constraints,
        "target_transform": [StrOptions({*TRANSFORMS}), None],
    }

    def _target(self, parts: Parts, X: Any, y: Any, continues: bool, classes: Any) -> Target | None:
        check_single_target(np.asarray(y), "MultiOutputRegressor")
        y = _checked_numbers(y, X, warn=True).astype(np.float64)
        known = y[~np.isnan(y)]
        if len(known) == 0 and not continues:
            raise ValueError("y is nan for all samples: give at least one value")
        largest = float(np.max(np.abs(known), initial=0.0))
        if largest > LARGEST_TARGET:
            raise ValueError(
                f"y holds {largest:.3g}, whose square is too large for float64: rescale y"
            )
        transform, wanted = self._target_transform, self.target_transform
        if not continues:
            transform = TargetTransform.fit(wanted, y)
        elif transform.name != wanted:
            raise ValueError(
                f"the map was trained with target_transform={transform.name!r} and cannot go on "
                f"with {wanted!r}; fit a new estimator, or set it back"
            )
        return Target(transform.apply(y), transform=transform)

    def _take_target(self, target: Target | None, held_out: Rows | None) -> None:
        assert target is not None
        self._target_transform = target.transform
        # Sorted residuals of held-out samples as the map learns their targets, for intervals.
        self._residuals = np.empty(0)
        if held_out is not None and held_out.target is not None:
            answers = self._predictor.labels(self._over(self._parts, held_out))
            answers = target.transform.apply(self._point(answers))
            residuals = np.abs(held_out.target.y - answers)
            self._residuals = np.sort(residuals[~np.isnan(residuals)])

    @by_rows
    def predict_interval(self, X: Any, level: float = 0.9) -> Floats:
        """Return conformal prediction intervals for samples X (n, D).

        `predict` plus and minus the ``level`` quantile of the residuals of the samples held out by
        ``calibration`` (Lei et al. 2018). The target of a new sample of the same distribution is in
        its interval with probability at least ``level``. For a labeller with several columns it is
        the interval of its ``point_column``. With a ``target_transform`` it is that of the
        transformed target, whose ends are undone.

        Parameters
        ----------
        X : array-like (n, D)
        level : float in (0, 1)

        Returns
        -------
        float64 array (n, 2)
            Lower and upper ends; infinite where too few samples were held out for the level.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, not {level!r}")
        transform = self._target_transform
        answers = np.asarray(self._point(self.predict(X)), dtype=np.float64)
        answers = transform.apply(answers)
        residuals = getattr(self, "_residuals", np.empty(0))
        if len(residuals) == 0:
            raise ValueError(
                "predict_interval needs held-out samples: fit with calibration=0.2, which "
                "holds out a fifth of them"
            )
        # A new residual is as likely to be of any rank among them and itself (Lei et al. 2018).
        rank = math.ceil((len(residuals) + 1) * level)
        margin = math.inf
        if rank <= len(residuals):
            margin = float(residuals[rank - 1])
        return transform.undo(np.column_stack([answers - margin, answers + margin]))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R² on the samples X (n, D) with known y (n,).

        For a labeller with several columns its ``point_column`` is scored, as the median.
        """
        from sklearn.metrics import r2_score  # slow to import

        answers = self._point(np.asarray(self.predict(X)))
        y = _checked_numbers(y, answers)
        known = ~np.isnan(y)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[known]
        return float(r2_score(y[known], answers[known], sample_weight=sample_weight))


def _checked_numbers(y: Any, X: Any, warn: bool = False) -> NDArray[Any]:
    """Return numbers (n,), nan where one is unknown, for as many samples X."""
    y = check_array(y, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
    y = column_or_1d(y, warn=warn)
    check_consistent_length(X, y)
    return np.asarray(y)
