"""Runs as jobs of Slurm: scripts, submission, what follows a life, chains of jobs."""
