"""The engine that lets the workers of Dask find units; dask is imported when it is used."""
