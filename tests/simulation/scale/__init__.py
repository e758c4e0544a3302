"""Thousands of simulated workers: the real cores under virtual time. ``make simulate`` runs it."""
