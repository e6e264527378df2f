#!/usr/bin/env bash
# Follows the output of a worker: NAME=hrm ZONE=us-west4-a [WORKER=0] logs.sh
#
# Worker 0 says everything, the others only errors; WORKER=all shows them all. DRY_RUN=1 prints the command.
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# shellcheck disable=SC2088 # the worker's home, not this machine's
remote "${WORKER:-0}" 'tail -n 100 -F ~/hrm-codegen.log'
