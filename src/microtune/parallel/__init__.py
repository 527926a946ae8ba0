"""Independent tasks on all cores of this machine, or on a Ray or Dask cluster."""
