"""The configuration file that ml_collections loads for `--config`: `from_yaml.py:PATH` gives PATH as a ConfigDict.

Why: config_flags reads Python files only, and lets a command line override only what the file mentions. Through this
one, a .yaml, a .py and a bundled name all have every field of the schema, each with its type, so that any of them can
be overridden. Wrong values in the file are left out here and reported by `config.load` afterwards, with their lines.
"""

from __future__ import annotations

import ml_collections

from hrm_codegen.config.fields import FIELDS, SECTIONS
from hrm_codegen.config.load import convert_leaves, read_file


def get_config(path: str) -> ml_collections.ConfigDict:
    """Returns the file's values over the defaults; what has neither is an empty placeholder of the right type.

    Args:
      path: As for `hrm_codegen.config.load`.

    Raises:
      ConfigError: If the file cannot be read at all.
    """
    given, _ = convert_leaves(read_file(path)[0])
    config = ml_collections.ConfigDict({section: {} for section in SECTIONS})
    for name, field in FIELDS.items():
        section, _, leaf = name.rpartition(".")
        holder = config[section] if section else config
        holder[leaf] = ml_collections.config_dict.placeholder(field.kind)
        value = given.get(name, field.default)
        if value is not None:
            holder[leaf] = value
    return config
