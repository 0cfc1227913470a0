"""Static sbatch scripts. A site edits env.sh only."""
