"""The three stages in sequence, on this machine or as a chain of Slurm jobs."""
