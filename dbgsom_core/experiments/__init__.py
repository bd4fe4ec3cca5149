"""What runs and their parts need beyond a fit: data sets, trackers, models with steps.

The registry knows a kind by its name, and a component's kind by the base that it derives from, so
data sets and trackers are offered and kept whether this package is imported or not.
"""
