"""The scikit-learn estimators, their predictions, files, figures and checkpoints."""
