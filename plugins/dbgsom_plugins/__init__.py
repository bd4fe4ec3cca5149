"""The built-in components of dbgsom, offered through one ordinary entry point.

Classes are given as "module:Class", so that discovery imports none of them.
"""

from __future__ import annotations

from dbgsom_core.api import hookimpl

DBGSOM_API_VERSION = 1


def _offers(package: str, classes: dict[str, str]) -> dict[str, str]:
    inside = f"{__name__}.{package}" if package else __name__
    return {name: f"{inside}.{where}" for name, where in classes.items()}


@hookimpl
def dbgsom_metrics() -> dict[str, str]:
    """Offer the built-in metrics."""
    return _offers(
        "metrics",
        {
            "euclidean": "norms:Euclidean",
            "cosine": "directions:Cosine",
            "manhattan": "norms:Manhattan",
            "chebyshev": "norms:Chebyshev",
            "minkowski": "norms:Minkowski",
            "correlation": "directions:Correlation",
            "canberra": "norms:Canberra",
            "hamming": "directions:Hamming",
            "jensen_shannon": "directions:JensenShannon",
            "mahalanobis": "norms:Mahalanobis",
        },
    )


@hookimpl
def dbgsom_kernels() -> dict[str, str]:
    """Offer the built-in kernels."""
    return _offers(
        "",
        {
            "gaussian": "training:Gaussian",
            "cut_gaussian": "training:CutGaussian",
            "triangular": "training:Triangular",
            "bubble": "training:Bubble",
            "epanechnikov": "training:Epanechnikov",
            "plane_gaussian": "training:PlaneGaussian",
            "mexican_hat": "training:MexicanHat",
        },
    )


@hookimpl
def dbgsom_growth_strategies() -> dict[str, str]:
    """Offer the built-in growth strategies."""
    return _offers(
        "growth",
        {
            "directed": "directed:Directed",
            "gsom": "directed:Gsom",
            "fixed": "fixed:Fixed",
            "growing_grid": "fixed:GrowingGrid",
            "hierarchical": "fixed:Hierarchical",
        },
    )


@hookimpl
def dbgsom_initialisations() -> dict[str, str]:
    """Offer the built-in initialisations."""
    return _offers(
        "",
        {
            "pca": "training:Pca",
            "random": "training:Random",
            "sample": "training:Sample",
            "array": "training:Array",
        },
    )


@hookimpl
def dbgsom_grids() -> dict[str, str]:
    """Offer the built-in grids."""
    return _offers(
        "",
        {
            "adaptive": "training:Adaptive",
            "auto": "training:Auto",
            "line": "training:Line",
            "square": "training:Square",
            "hexagonal": "training:Hexagonal",
            "square_torus": "training:SquareTorus",
            "hexagonal_torus": "training:HexagonalTorus",
        },
    )


@hookimpl
def dbgsom_schedules() -> dict[str, str]:
    """Offer the built-in schedules."""
    return _offers(
        "",
        {
            "linear": "training:Linear",
            "exponential": "training:Exponential",
            "constant": "training:Constant",
            "cyclic": "training:Cyclic",
        },
    )


@hookimpl
def dbgsom_stopping_rules() -> dict[str, str]:
    """Offer the built-in stopping rules."""
    return _offers(
        "",
        {
            "converged": "training:Converged",
            "patience": "training:Patience",
            "time_limit": "training:TimeLimit",
            "epoch_limit": "training:EpochLimit",
        },
    )


@hookimpl
def dbgsom_labellers() -> dict[str, str]:
    """Offer the built-in labellers."""
    return _offers(
        "labellers",
        {
            "index": "neurons:Index",
            "clusters": "clusters:Clusters",
            "kernel_vote": "neurons:KernelVote",
            "linear_vote": "neurons:LinearVote",
            "majority": "neurons:Majority",
            "local_linear": "neurons:LocalLinear",
            "mean": "neurons:Mean",
        },
    )


@hookimpl
def dbgsom_datasets() -> dict[str, str]:
    """Offer the built-in data sets and file readers."""
    return _offers(
        "datasets",
        {
            "digits": "small_sets:Digits",
            "iris": "small_sets:Iris",
            "wine": "small_sets:Wine",
            "breast_cancer": "small_sets:BreastCancer",
            "diabetes": "small_sets:Diabetes",
            "blobs": "small_sets:Blobs",
            "moons": "small_sets:Moons",
            "flows": "small_sets:Flows",
            "csv": "table_files:Csv",
            "parquet": "table_files:Parquet",
            "feather": "table_files:Feather",
            "npy": "numpy_files:Npy",
            "npz": "numpy_files:Npz",
        },
    )


@hookimpl
def dbgsom_measures() -> dict[str, str]:
    """Offer the built-in measures."""
    return _offers(
        "measures",
        {
            "quantization_error": "prototypes:QuantizationError",
            "distortion": "prototypes:Distortion",
            "dead_neurons": "prototypes:DeadNeurons",
            "map_entropy": "prototypes:MapEntropy",
            "topographic_error": "prototypes:TopographicError",
            "topographic_error_8": "prototypes:TopographicError8",
            "combined_error": "prototypes:CombinedError",
            "topographic_product": "prototypes:TopographicProduct",
            "topographic_function": "prototypes:TopographicFunction",
            "trustworthiness": "pairs:Trustworthiness",
            "continuity": "pairs:Continuity",
            "neighbourhood_preservation": "pairs:NeighbourhoodPreservation",
            "c_measure": "pairs:CMeasure",
            "kruskal_shepard": "pairs:KruskalShepard",
            "davies_bouldin": "pairs:DaviesBouldin",
            "calinski_harabasz": "pairs:CalinskiHarabasz",
            "silhouette": "pairs:Silhouette",
            "accuracy": "targets:Accuracy",
            "balanced_accuracy": "targets:BalancedAccuracy",
            "macro_f1": "targets:MacroF1",
            "roc_auc": "targets:RocAuc",
            "log_loss": "targets:LogLoss",
            "adjusted_rand": "targets:AdjustedRand",
            "normalized_mutual_info": "targets:NormalizedMutualInfo",
            "purity": "targets:Purity",
            "entropy": "targets:Entropy",
            "class_scatter": "targets:ClassScatter",
            "r2": "targets:R2",
            "rmse": "targets:RootMeanSquaredError",
            "mae": "targets:MeanAbsoluteError",
            "novelty_auc": "targets:NoveltyAuc",
        },
    )


@hookimpl
def dbgsom_figures() -> dict[str, str]:
    """Offer the built-in figures."""
    return _offers(
        "figures",
        {
            "label_map": "label_map:LabelMap",
            "hit_map": "neuron_values:HitMap",
            "u_matrix": "neuron_values:UMatrix",
            "u_star_matrix": "neuron_values:UStarMatrix",
            "dots": "projections:Dots",
            "error_map": "neuron_values:ErrorMap",
            "density_map": "neuron_values:DensityMap",
            "prototype_images": "cell_pictures:PrototypeImages",
            "child_maps": "label_map:ChildMaps",
            "confusion_matrix": "answers:ConfusionMatrix",
            "roc_curve": "answers:RocCurve",
            "predicted_actual": "answers:PredictedActual",
            "group_shares": "answers:GroupShares",
            "growth_curve": "curves:GrowthCurve",
            "explorer": "explorer:Explorer",
            "trust_map": "neuron_values:TrustMap",
            "component_planes": "component_planes:ComponentPlanes",
            "variable_stars": "cell_pictures:VariableStars",
            "class_pies": "cell_pictures:ClassPies",
            "pca_rgb": "label_map:PcaRgb",
            "data_projection": "projections:DataProjection",
            "sweep_heatmap": "sweeps:SweepHeatmap",
            "parallel_coordinates": "sweeps:ParallelCoordinates",
            "side_by_side": "sweeps:SideBySide",
            "topographic_function_curve": "curves:TopographicFunctionCurve",
        },
    )


@hookimpl
def dbgsom_trackers() -> dict[str, str]:
    """Offer the built-in trackers."""
    return _offers(
        "trackers", {"run_folder": "run_folder:RunFolder", "mlflow": "mlflow.tracker:MLflow"}
    )


@hookimpl
def dbgsom_engines() -> dict[str, str]:
    """Offer the built-in engines."""
    return _offers(
        "engines",
        {
            "local": "local:LocalEngine",
            "dask": "dask:DaskEngine",
        },
    )
