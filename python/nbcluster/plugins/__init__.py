"""Code of the user's that takes part in the life of workers and of the scheduler."""
