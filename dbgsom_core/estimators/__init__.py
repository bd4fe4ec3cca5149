"""The scikit-learn estimators, thin shells around one training, and what a fitted map answers."""
