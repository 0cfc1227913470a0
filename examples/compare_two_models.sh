#!/usr/bin/env bash
# Evaluate a model against a baseline on the same items, and report paired differences.
set -euo pipefail

# By default the result of finetune_own_rows.sh against the model it started from. Either one can be
# a run, a model directory or a hub id.
target=${1:-runs/own-rows}
baseline=${2:-embedded:smollm2-135m-instruct}

# suite=smoke is small and needs no download. suite=mmlu, hellaswag, gsm8k and others fetch their
# data from the hub, or read local files with suite.data_dir=DIR.
pacos eval target="$target" baseline="$baseline" suite=smoke prompt_format=chatml run.name=compare

# Scores, items and comparison are files of the LM evaluation harness; the report shows them.
pacos report runs/compare
