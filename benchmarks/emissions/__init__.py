"""Benchmarks of the emissions forecaster: each module is a command that writes its figures to ``results``."""
