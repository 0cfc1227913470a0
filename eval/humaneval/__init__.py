"""HumanEval: functions written from their docstrings, and run against the benchmark's tests.

problem → prompt → answer → program → verdict → pass@k. Answers are on the disk before one is run.
Chen et al. 2021, "Evaluating Large Language Models Trained on Code", arXiv:2107.03374.
"""
