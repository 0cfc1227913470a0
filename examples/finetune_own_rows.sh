#!/usr/bin/env bash
# Fine-tune SmolLM2-135M on your own rows with two CPU ranks, then ask the result a question.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# One JSON object per line: instruction, optional input, output. Conversations work too:
# {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}
rows=$here/data/rows.jsonl

settings=(
    model=smollm2_135m
    data.path="$rows"
    data.terms=own            # you wrote them: docs/licences.md
    data.max_length=256       # rows with more tokens are dropped, and counted in the log
    batch.tokens=1024         # tokens in one optimizer step, over all ranks
    epochs=3
    optimizer.lr=2e-4         # high for a 7B model; a 135M model needs it
    deepspeed=zero2
    cluster.device=cpu
    cluster.ranks_per_node=2
    validation.rows=3         # held out: their loss is the number to trust
    run.name=own-rows
)

# Check the machine, the rows, the loss mask and the stop token before spending any time on training.
pacos doctor "${settings[@]}"

# Train. Ctrl-C saves a checkpoint; the same command resumes from it.
pacos sft "${settings[@]}"

# runs/own-rows/model is an ordinary Hugging Face model directory.
echo "How do I cook rice?" | pacos chat runs/own-rows

# One page with the loss curves and the answers to held-out rows during training.
pacos report runs/own-rows
