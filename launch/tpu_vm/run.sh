#!/usr/bin/env bash
# Trains on all workers, in the background: NAME=hrm ZONE=us-west4-a CONFIG=mbpp_dev OUT=/mnt/runs/one run.sh [OPTIONS]
#
# CONFIG  configuration: a bundled name, or a path on the workers
# OUT     the run's folder; with more than one worker on a file system that all of them have mounted
# RESUME  1 goes on with the run in OUT, for example after a spot TPU was taken away and made again
# Output goes to ~/hrm-codegen.log of each worker (logs.sh). DRY_RUN=1 prints the command.
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
: "${CONFIG:?CONFIG is not set: a bundled name, or a path on the workers}"
: "${OUT:?OUT is not set: the folder of the run, on a file system that all workers have mounted}"

resume=()
if [[ "${RESUME:-0}" == 1 ]]; then
  resume=(--resume)
fi
arguments="$(printf '%q ' train -c "$CONFIG" --out "$OUT" "${resume[@]}" "$@")"
remote all "setsid nohup ~/hrm-codegen/bin/python -m hrm_codegen $arguments\
>> ~/hrm-codegen.log 2>&1 < /dev/null & echo \$! > ~/hrm-codegen.pid"
