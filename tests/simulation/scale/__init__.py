"""Thousands of simulated workers: the real cores of scheduler and workers under virtual time. ``make simulate`` runs it."""
