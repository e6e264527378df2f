#!/usr/bin/env bash
# Deletes the TPU and its disks: NAME=hrm ZONE=us-west4-a delete.sh
#
# What is not on a shared file system is gone. DRY_RUN=1 prints the command.
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

run gcloud compute tpus queued-resources delete "$NAME" "${location[@]}" --force --quiet
