"""State of runs, from their own files and from Slurm's queue."""
