"""The half of `HRMCodeGen` that is its parts, and where they are kept: loading, saving, exporting, pushing.

Why apart: what a model writes and the files it comes from have nothing in common but its parts. Every method here is
one call of `interop` with them as arguments. Nothing is computed.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hrm_codegen import config as configs
from hrm_codegen.config import Config, MeshConfig
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import CheckpointError, ConfigError, DatasetError, DeviceError
from hrm_codegen.generation.layouts import Layouts
from hrm_codegen.interop import Bundle, find_bundle, from_state_dict, load_bundle, save_bundle, to_state_dict
from hrm_codegen.interop.hrm_text import hash_state_dict
from hrm_codegen.model import abstract, count_params
from hrm_codegen.model.matrices import first_copy, share
from hrm_codegen.model.rounding import round_matrices
from hrm_codegen.parallel import make_mesh
from hrm_codegen.parallel.devices import device_kind, find_device

if TYPE_CHECKING:
    from hrm_codegen.interop.onnx_export import OnnxReport

_LOGGER = logging.getLogger("hrm_codegen.codegen")
Weights = Literal["float32", "int8"]
_Model = TypeVar("_Model", bound="Pretrained")


class Pretrained:
    """A configuration, a tokenizer and parameters that belong together.

    Attributes:
      config: The configuration it was made or trained with.
      tokenizer: Its tokenizer.
      graphdef: The model's static graph.
      params: Its parameters, float32, on one device.
      metadata: Facts of the checkpoint: `path`, `step` and whatever the trainer noted; empty for a new model.
      weights: `float32`, or `int8` after `quantize`.
    """

    def __init__(
        self,
        *,
        config: Config,
        tokenizer: Tokenizer,
        params: nnx.State,
        metadata: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        """Puts parameters of `config.model` on a device; most users want `from_pretrained` or `from_config`."""
        configs.validate(config)  # what can be saved can be loaded
        if tokenizer.vocab_size > config.model.vocab_size:
            raise ConfigError(
                f"model.vocab_size is {config.model.vocab_size}, too small for a tokenizer of {tokenizer.vocab_size}"
            )
        self.config = config
        self.tokenizer = tokenizer
        self.graphdef, _ = abstract(config.model)
        self.params: nnx.State = jax.device_put(params, find_device(device))
        self.metadata = dict(metadata or {})
        self._mesh: Mesh | None = None
        self.weights: Weights = "float32"
        self._layouts = Layouts()
        self._lock = threading.Lock()

    def spread(self, num_devices: int | None = None) -> None:
        """Lets `generate` use several devices of this process; each gets a copy of the parameters.

        What is drawn does not depend on it.

        Args:
          num_devices: How many, of the kind that the model is on; None: all.

        Raises:
          DeviceError: There are not so many.
        """
        devices = jax.local_devices(backend=next(iter(jax.tree.leaves(self.params)[0].devices())).platform)
        wanted = len(devices) if num_devices is None else num_devices
        if not 1 <= wanted <= len(devices):
            raise DeviceError(f"{wanted} devices wanted, this process has {len(devices)} of kind {self.device!r}")
        self._mesh = None if wanted == 1 else make_mesh(MeshConfig(data=wanted), devices=devices)
        first = first_copy(self.params)
        if self._mesh is None:
            self.params = jax.device_put(first, devices[0])
        else:
            self.params = share(first, NamedSharding(self._mesh, PartitionSpec()))

    def quantize(self) -> None:
        """Rounds all matrices to eight bits, a scale for each output; one sequence on a CPU is then written faster.

        There is no way back: load the model again. `params` stay float32 arrays, so that saving, exporting and
        decoding in batches are as before, with the rounded weights.
        """
        sharding = jax.tree.leaves(self.params)[0].sharding
        self.params = share(round_matrices(first_copy(self.params)), sharding)
        self.weights = "int8"

    @classmethod
    def from_pretrained(
        cls: type[_Model],
        path_or_hf_id: str | os.PathLike[str] | None,
        device: str = "auto",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> _Model:
        """Loads weights, configuration and tokenizer.

        Args:
          path_or_hf_id: A file, a directory or a run, as `interop.find_bundle` finds it, or a repository of the
            Hugging Face Hub, `org/name`; a local path of that name comes first. None: the newest local `best.pt`.
          device: `auto`, `cpu`, `cuda` (or `gpu`), `rocm`, `tpu` or `mps`.
          revision: Branch, tag or commit of the repository; `org/name@revision` says the same.
          token: For private repositories; None: `HF_TOKEN`, or that of `hf auth login`. False: none.
          cache_dir: Where downloads are kept; None: the Hub's usual place.
          local_files_only: Use what was downloaded before, and ask no server.
          force_download: Download again.

        Raises:
          ModelNotFoundError: Nothing there; the message has the places tried.
          CheckpointError: It cannot be read, or its parts do not fit each other.
          DeviceError: No such device.
        """
        from hrm_codegen.interop.hub import HubOptions

        find_device(device)  # before anything slow
        hub = HubOptions(
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        path = find_bundle(path_or_hf_id, hub=hub)
        bundle = load_bundle(path)
        try:
            model = cls(
                config=bundle.config,
                tokenizer=Tokenizer.from_json(bundle.tokenizer_json),
                params=from_state_dict(bundle.config.model, bundle.state_dict),
                metadata=bundle.metadata | {"path": str(path)},
                device=device,
            )
        except (CheckpointError, ConfigError, DatasetError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        _LOGGER.info("loaded %r, step %s, sha256 %.12s", model, model.metadata.get("step", "unknown"), model.sha256)
        return model

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, configuration and tokenizer into one file, whole or not at all.

        The suffix chooses: `.pt`, which torch opens with `torch.load(path, weights_only=True)`, or `.safetensors`;
        another one is a UsageError.
        """
        save_bundle(path, self.to_bundle())

    def export_hf(
        self,
        folder: str | os.PathLike[str],
        *,
        report: Mapping[str, Any] | None = None,
        license: str = "apache-2.0",
    ) -> None:
        """Writes a folder that Transformers, vLLM and llama.cpp's converter load.

        Args:
          folder: To make, or an earlier export to replace.
          report: `EvalResult.to_json()` of an evaluation, for the model card.
          license: Of the weights.

        Raises:
          UsageError: A core that Transformers does not have, or a folder with other files.
        """
        from hrm_codegen.interop.hf_folder import write_folder

        write_folder(folder, self.to_bundle(), report=report, license=license)

    def export_onnx(self, path: str | os.PathLike[str] = "model.onnx", *, opset: int | None = None) -> OnnxReport:
        """Writes the model as an ONNX graph, and beside it one that decodes with a cache of keys and values.

        Args:
          path: Of the plain graph; the other is `<stem>_with_past.onnx`.
          opset: None: the exporter's default.

        Returns:
          What was written, and how far onnxruntime's logits were from ours.

        Raises:
          MissingExtraError: Without the extra [export].
          CheckpointError: onnxruntime computes something else than this model.
        """
        from hrm_codegen.interop.onnx_export import export_onnx

        return export_onnx(self.to_bundle(), path, **({} if opset is None else {"opset": opset}))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        report: Mapping[str, Any] | None = None,
        license: str = "apache-2.0",
    ) -> str:
        """Uploads the model to the Hugging Face Hub, in Transformers' format if it has one for this core.

        Args:
          repo_id: `org/name`; made if it is not there.
          commit_message: None: a standard one.
          private: Of a new repository.
          token: None: `HF_TOKEN`, or that of `hf auth login`.
          revision: The branch; None: main.
          create_pr: Open a pull request instead of committing.
          report: `EvalResult.to_json()` of an evaluation, for the model card.
          license: Of the weights.

        Returns:
          The URL.

        Raises:
          UsageError: No token.
          CheckpointError: No permission, or no connection.
        """
        from hrm_codegen.interop.hf_folder import write_folder
        from hrm_codegen.interop.hub_upload import check_upload, upload

        check_upload(token=token, revision=revision, create_pr=create_pr)  # before anything slow
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            write_folder(folder, self.to_bundle(), report=report, repo_id=repo_id, license=license, allow_native=True)
            return upload(
                folder,
                repo_id,
                token=token,
                private=private,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
            )

    def to_bundle(self) -> Bundle:
        """Returns the model's parts as files keep them: host arrays under `hrm_text` names."""
        return Bundle(
            config=self.config,
            tokenizer_json=self.tokenizer.to_json(),
            state_dict=to_state_dict(self.config.model, self.params),
            metadata={key: value for key, value in self.metadata.items() if key != "path"},
        )

    def _laid_out(self, num_sequences: int) -> nnx.State | None:
        return self._layouts.get(self.params, num_sequences=num_sequences, rounded=self.weights == "int8")

    @property
    def num_params(self) -> int:
        """Trainable parameters."""
        return count_params(self.config.model)

    @property
    def device(self) -> str:
        """`cpu`, `gpu`, `tpu` or `mps`."""
        return device_kind(next(iter(jax.tree.leaves(self.params)[0].devices())))

    @property
    def parallelism(self) -> int:
        """How many batches `generate` decodes at a time: one on each device."""
        return 1 if self._mesh is None else self._mesh.size

    @property
    def sha256(self) -> str:
        """Hash of the weights under their `hrm_text` names; computed anew each time."""
        return hash_state_dict(to_state_dict(self.config.model, self.params))

    def __repr__(self) -> str:
        path = f", path={self.metadata['path']!r}" if "path" in self.metadata else ""
        return (
            f"HRMCodeGen(core={self.config.model.core!r}, num_params={self.num_params}, device={self.device!r}{path})"
        )
