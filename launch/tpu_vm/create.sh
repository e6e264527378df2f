#!/usr/bin/env bash
# Asks for a TPU, which is made when there is one: NAME=hrm ZONE=us-west4-a TYPE=v5litepod-16 RUNTIME=... create.sh
#
# TYPE     accelerator type; RUNTIME its software version (v2-alpha-tpuv5-lite for v5e, v2-alpha-tpuv6e for v6e)
# SPOT     0 pays the full price, and is not taken away; default 1
# PROJECT  if not gcloud's own. DRY_RUN=1 prints the command. From when it is made until delete.sh, it costs money.
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
: "${TYPE:?TYPE is not set: the accelerator type, as in TYPE=v5litepod-16}"
: "${RUNTIME:?RUNTIME is not set: the software version of this type, as in RUNTIME=v2-alpha-tpuv5-lite}"

spot=()
if [[ "${SPOT:-1}" == 1 ]]; then
  spot=(--spot)
fi
run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" "${location[@]}" \
  --accelerator-type="$TYPE" --runtime-version="$RUNTIME" "${spot[@]}"
run gcloud compute tpus queued-resources describe "$NAME" "${location[@]}" --format="value(state.state)"
echo "when the state is ACTIVE: setup.sh; it costs money from then until delete.sh" >&2
