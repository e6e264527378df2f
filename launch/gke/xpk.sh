#!/usr/bin/env bash
# A workload on TPUs or GPUs of a GKE cluster that xpk made:
#
#   CLUSTER=c WORKLOAD=hrm-1 IMAGE=... TPU_TYPE=v5litepod-16 CONFIG=mbpp_dev OUT=/mnt/runs/one xpk.sh [OPTIONS]
#
# CLUSTER, WORKLOAD  their names
# IMAGE              docker image with hrm-codegen installed
# TPU_TYPE           or DEVICE_TYPE for GPUs, as in h100-80gb-8
# CONFIG, OUT        configuration and folder of the run; OUT on storage that all pods have mounted (`xpk storage attach`)
# SLICES             slices of this type (default 1); for GPUs NODES (default 1)
# MAX_RESTARTS       how often a preempted or failed workload is started again, from its checkpoint (default 50)
# PROJECT, ZONE      if not gcloud's own. DRY_RUN=1 prints the command.
set -euo pipefail

: "${CLUSTER:?CLUSTER is not set: the name of the cluster}"
: "${WORKLOAD:?WORKLOAD is not set: a new name for this workload}"
: "${IMAGE:?IMAGE is not set: a docker image with hrm-codegen installed}"
: "${CONFIG:?CONFIG is not set: a bundled name, or a path in the image}"
: "${OUT:?OUT is not set: the folder of the run, on storage that all pods have mounted}"
if [[ -z "${TPU_TYPE:-}${DEVICE_TYPE:-}" || (-n "${TPU_TYPE:-}" && -n "${DEVICE_TYPE:-}") ]]; then
  echo "set TPU_TYPE (as in v5litepod-16) or DEVICE_TYPE (as in h100-80gb-8), one of them" >&2
  exit 2
fi

run() {
  if [[ "${DRY_RUN:-0}" == 1 ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

if [[ -n "${TPU_TYPE:-}" ]]; then
  devices=(--tpu-type="$TPU_TYPE" --num-slices="${SLICES:-1}")
  join=""
else
  # xpk's own names, for the pods of GPU nodes
  join="if [ \"\$NNODES\" -gt 1 ]; then export JAX_COORDINATOR_ADDRESS=\$JAX_COORDINATOR_IP:\$JAX_COORDINATOR_PORT \
JAX_NUM_PROCESSES=\$NNODES JAX_PROCESS_ID=\$NODE_RANK; fi; "
  devices=(--device-type="$DEVICE_TYPE" --num-nodes="${NODES:-1}")
fi
location=()
if [[ -n "${PROJECT:-}" ]]; then
  location+=(--project="$PROJECT")
fi
if [[ -n "${ZONE:-}" ]]; then
  location+=(--zone="$ZONE")
fi

# Training saves and ends well on SIGTERM; 143 tells the cluster that there is more to do.
arguments="$(printf '%q ' train -c "$CONFIG" --out "$OUT" "$@")"
state="$(printf '%q' "$OUT/state")"
command="${join}resume=; if [ -n \"\$(find $state -maxdepth 1 -regex '.*/[0-9]+' 2>/dev/null)\" ]; then resume=--resume; fi; \
stopped=; trap 'stopped=1; kill -TERM \$child' TERM; \
python -m hrm_codegen $arguments \$resume & child=\$!; wait \$child; code=\$?; \
if [ -n \"\$stopped\" ]; then wait \$child; code=143; fi; exit \$code"
run xpk workload create --cluster="$CLUSTER" --workload="$WORKLOAD" --docker-image="$IMAGE" "${devices[@]}" \
  "${location[@]}" --max-restarts="${MAX_RESTARTS:-50}" --command="$command"
