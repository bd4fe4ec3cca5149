"""MLflow: a copy of run folders that can be made again, and fits of Python programs."""
