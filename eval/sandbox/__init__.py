"""Runs generated code that may be hostile; docs/sandbox.md has the threat model.

The path of one program, with the process that each module runs in:

    pool.py         evaluation: hands programs to worker processes, one per CPU
    worker.py       worker: limits the tests, and answers with verdicts
    grade.py        worker: runs the benchmark's tests
    sandbox.py      worker: starts and ends the isolated process; candidate.py calls into it
    channel.py      the only link between the two sides: length-prefixed JSON of values.py
    fork_server.py  isolated: a clean interpreter, forked for each program
    program.py      isolated: locks itself in (isolation/), then runs the program

The tests never enter the isolated process. Only arguments and results cross, as plain data, so a
program cannot see the tests or forge a verdict.
"""
