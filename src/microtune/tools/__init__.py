"""Compilers, object files, files written whole, the cache."""
