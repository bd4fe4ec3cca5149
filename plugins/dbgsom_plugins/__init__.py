"""The built-in components of dbgsom, offered through one ordinary entry point.

Classes are given as "module:Class", so that discovery imports none of them.
"""

from __future__ import annotations

from dbgsom_core.api import hookimpl
from dbgsom_core.hookspecs import KINDS

DBGSOM_API_VERSION = 1

# By kind and name, in this package.
COMPONENTS = {
    "metric": {
        "euclidean": "metrics.norms:Euclidean",
        "cosine": "metrics.directions:Cosine",
        "manhattan": "metrics.norms:Manhattan",
        "chebyshev": "metrics.norms:Chebyshev",
        "minkowski": "metrics.norms:Minkowski",
        "correlation": "metrics.directions:Correlation",
        "canberra": "metrics.norms:Canberra",
        "hamming": "metrics.directions:Hamming",
        "jensen_shannon": "metrics.directions:JensenShannon",
        "mahalanobis": "metrics.norms:Mahalanobis",
    },
    "kernel": {
        "gaussian": "training:Gaussian",
        "cut_gaussian": "training:CutGaussian",
        "triangular": "training:Triangular",
        "bubble": "training:Bubble",
        "epanechnikov": "training:Epanechnikov",
        "plane_gaussian": "training:PlaneGaussian",
        "mexican_hat": "training:MexicanHat",
    },
    "growth": {
        "directed": "growth.directed:Directed",
        "gsom": "growth.classical:Gsom",
        "fixed": "growth.classical:Fixed",
        "growing_grid": "growth.classical:GrowingGrid",
        "hierarchical": "growth.classical:Hierarchical",
    },
    "initialisation": {
        "pca": "training:Pca",
        "random": "training:Random",
        "sample": "training:Sample",
        "array": "training:Array",
    },
    "grid": {
        "adaptive": "training:Adaptive",
        "auto": "training:Auto",
        "line": "training:Line",
        "square": "training:Square",
        "hexagonal": "training:Hexagonal",
        "square_torus": "training:SquareTorus",
        "hexagonal_torus": "training:HexagonalTorus",
    },
    "schedule": {
        "linear": "training:Linear",
        "exponential": "training:Exponential",
        "constant": "training:Constant",
        "cyclic": "training:Cyclic",
    },
    "stopping": {
        "converged": "training:Converged",
        "patience": "training:Patience",
        "time_limit": "training:TimeLimit",
        "epoch_limit": "training:EpochLimit",
    },
    "labeller": {
        "index": "labellers.neurons:Index",
        "clusters": "labellers.clusters:Clusters",
        "kernel_vote": "labellers.neurons:KernelVote",
        "linear_vote": "labellers.neurons:LinearVote",
        "majority": "labellers.neurons:Majority",
        "local_linear": "labellers.neurons:LocalLinear",
        "mean": "labellers.neurons:Mean",
    },
    "dataset": {
        "digits": "datasets.small_sets:Digits",
        "iris": "datasets.small_sets:Iris",
        "wine": "datasets.small_sets:Wine",
        "breast_cancer": "datasets.small_sets:BreastCancer",
        "diabetes": "datasets.small_sets:Diabetes",
        "blobs": "datasets.small_sets:Blobs",
        "moons": "datasets.small_sets:Moons",
        "flows": "datasets.small_sets:Flows",
        "csv": "datasets.table_files:Csv",
        "parquet": "datasets.table_files:Parquet",
        "feather": "datasets.table_files:Feather",
        "npy": "datasets.numpy_files:Npy",
        "npz": "datasets.numpy_files:Npz",
    },
    "measure": {
        "quantization_error": "measures.maps:QuantizationError",
        "distortion": "measures.maps:Distortion",
        "dead_neurons": "measures.maps:DeadNeurons",
        "map_entropy": "measures.maps:MapEntropy",
        "topographic_error": "measures.maps:TopographicError",
        "topographic_error_8": "measures.maps:TopographicError8",
        "combined_error": "measures.maps:CombinedError",
        "topographic_product": "measures.maps:TopographicProduct",
        "topographic_function": "measures.maps:TopographicFunction",
        "trustworthiness": "measures.maps:Trustworthiness",
        "continuity": "measures.maps:Continuity",
        "neighbourhood_preservation": "measures.maps:NeighbourhoodPreservation",
        "c_measure": "measures.maps:CMeasure",
        "kruskal_shepard": "measures.maps:KruskalShepard",
        "davies_bouldin": "measures.maps:DaviesBouldin",
        "calinski_harabasz": "measures.maps:CalinskiHarabasz",
        "silhouette": "measures.maps:Silhouette",
        "accuracy": "measures.targets:Accuracy",
        "balanced_accuracy": "measures.targets:BalancedAccuracy",
        "macro_f1": "measures.targets:MacroF1",
        "roc_auc": "measures.targets:RocAuc",
        "log_loss": "measures.targets:LogLoss",
        "average_precision": "measures.targets:AveragePrecision",
        "brier": "measures.targets:Brier",
        "ece": "measures.targets:ExpectedCalibrationError",
        "adjusted_rand": "measures.targets:AdjustedRand",
        "normalized_mutual_info": "measures.targets:NormalizedMutualInfo",
        "purity": "measures.targets:Purity",
        "entropy": "measures.targets:Entropy",
        "class_scatter": "measures.targets:ClassScatter",
        "r2": "measures.targets:R2",
        "rmse": "measures.targets:RootMeanSquaredError",
        "mae": "measures.targets:MeanAbsoluteError",
        "novelty_auc": "measures.targets:NoveltyAuc",
    },
    "figure": {
        "label_map": "figures.label_map:LabelMap",
        "hit_map": "figures.neuron_values:HitMap",
        "u_matrix": "figures.neuron_values:UMatrix",
        "dots": "figures.projections:Dots",
        "density_map": "figures.neuron_values:DensityMap",
        "prototype_images": "figures.variables:PrototypeImages",
        "child_maps": "figures.label_map:ChildMaps",
        "names": "figures.label_map:Names",
        "confusion_matrix": "figures.answers:ConfusionMatrix",
        "roc_curve": "figures.answers:RocCurve",
        "precision_recall": "figures.answers:PrecisionRecall",
        "lift": "figures.answers:Lift",
        "predicted_actual": "figures.answers:PredictedActual",
        "doubtful_labels": "figures.answers:DoubtfulLabels",
        "group_shares": "figures.answers:GroupShares",
        "growth_curve": "figures.curves:GrowthCurve",
        "stability": "figures.curves:StabilityFigure",
        "explorer": "figures.explorer:Explorer",
        "changes": "figures.changes:Changes",
        "trust_map": "figures.neuron_values:TrustMap",
        "component_planes": "figures.variables:ComponentPlanes",
        "variable_stars": "figures.variables:VariableStars",
        "class_pies": "figures.variables:ClassPies",
        "pca_rgb": "figures.label_map:PcaRgb",
        "data_projection": "figures.projections:DataProjection",
        "sweep_heatmap": "figures.sweeps:SweepHeatmap",
    },
    "tracker": {
        "run_folder": "trackers.run_folder:RunFolder",
        "mlflow": "trackers.mlflow.tracker:MLflow",
    },
    "engine": {
        "local": "engines.local:LocalEngine",
        "dask": "engines.dask:DaskEngine",
    },
}


def _offer(kind: str) -> dict[str, str]:
    return {name: f"{__name__}.{where}" for name, where in COMPONENTS[kind].items()}


# The hooks of this module: ``dbgsom_metrics()`` offers the metrics, and so on.
for _kind, _hook in KINDS.items():
    globals()[_hook] = hookimpl(lambda kind=_kind: _offer(kind))
