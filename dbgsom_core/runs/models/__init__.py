"""What a run's model is used for: predicting, explaining, exporting."""
