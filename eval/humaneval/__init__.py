"""HumanEval (Chen et al. 2021, arXiv 2107.03374): functions written from their docstrings.

The path: problem → prompt → answer → program → verdict → pass@k. All answers are on disk before the
first program runs.
"""
