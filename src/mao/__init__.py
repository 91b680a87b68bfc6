"""MAO: the launcher, manager and orchestrator of a research observatory."""

__version__ = "0.1.0"
