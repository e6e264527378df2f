# Sourced by the scripts of this folder: NAME and ZONE of the TPU, and how to run or print a command.
# shellcheck shell=bash
set -euo pipefail

: "${NAME:?NAME is not set: the name of the TPU, as in NAME=hrm}"
: "${ZONE:?ZONE is not set: its zone, as in ZONE=us-west4-a}"
location=(--zone="$ZONE")
if [[ -n "${PROJECT:-}" ]]; then
  location+=(--project="$PROJECT")
fi

run() {
  if [[ "${DRY_RUN:-0}" == 1 ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# remote WORKER COMMAND: runs a command on one worker (0, 1, ...) or on all.
remote() {
  run gcloud compute tpus tpu-vm ssh "$NAME" "${location[@]}" --worker="$1" --command="$2"
}
