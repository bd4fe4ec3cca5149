"""Passes over the data: best-matching units (BMUs) and sums by neuron; see README.md."""
