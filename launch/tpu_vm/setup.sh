#!/usr/bin/env bash
# Installs the package on all workers, into ~/hrm-codegen: NAME=hrm ZONE=us-west4-a setup.sh
#
# PACKAGE  what pip installs (default: hrm-codegen[tpu]); "hrm-codegen[tpu] @ git+https://..." takes a repository
# MOUNT    a command for each worker that mounts the shared file system, for example gcsfuse or NFS; optional
# DRY_RUN=1 prints the commands.
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

package="$(printf '%q' "${PACKAGE:-hrm-codegen[tpu]}")"
# The images' own Python may be older than 3.11.
remote all "pip3 install --quiet --user uv && ~/.local/bin/uv venv --allow-existing --python 3.11 ~/hrm-codegen \
&& ~/.local/bin/uv pip install --python ~/hrm-codegen/bin/python $package"
if [[ -n "${MOUNT:-}" ]]; then
  remote all "$MOUNT"
fi
