"""Runs as Slurm jobs: job scripts, submission and the queue."""
