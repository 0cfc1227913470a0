"""Static sbatch scripts; env.sh is the one file that a site edits."""
