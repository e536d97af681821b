"""The common trainer: its overhead."""
