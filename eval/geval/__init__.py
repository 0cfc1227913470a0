"""G-Eval (Liu et al. 2023, arXiv 2303.16634): an LLM judge scores texts against written criteria.

The path of one run, module by module:

    prompt         eval/rubrics/prompts.py
    answer         answers.py, written by the evaluated models
    judge request  judge/judge_prompts.py, sent by judge/judge.py
    reply          judge/reply.py
    score          judge/score.py, kept by records.py
    certificate    findings/certificate.py: what the judge's scores are worth

judging.py drives the judge through a `Workload`; spot_check.py puts part of its scores before a
person.
"""
