"""The three stages in a row, on this machine or as a chain of Slurm jobs."""
