#!/usr/bin/env bash
# Grow a data set from your own seed tasks with a model on this machine. No API key is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Eight hand-written tasks. Real runs start from about 175 (Self-Instruct): variety in, variety out.
seeds=$here/data/seeds.jsonl

settings=(
    method=alpaca_small       # a short prompt, made for small chat models
    generator=local           # SmolLM2-135M; generator=openai or generator=server for real data
    seeds.path="$seeds"
    seeds.terms=own           # you wrote them; pacos lineage RUN --terms shows what follows
    seeds.heldout=2           # seeds that only evaluation sees
    target_rows=8
    max_requests=48           # stop here if the filters reject too much
    run.name=own-seeds
)

pacos selfinstruct "${settings[@]}"

# The data set, and every rejected candidate with the reason. Read both before you train on them:
# a 135M model makes a demonstration, not a data set.
echo "--- accepted"
tail -n 3 runs/own-seeds/data/data.jsonl   # the seeds come first
echo "--- rejected"
head -n 3 runs/own-seeds/data/rejected.jsonl
