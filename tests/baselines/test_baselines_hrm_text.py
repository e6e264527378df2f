"""An exported HRM, run by Transformers, writes what it writes in JAX."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.extras
pytest.importorskip("torch")
pytest.importorskip("transformers")
hf_folder = pytest.importorskip("hrm_codegen.interop.hf_folder")

from hrm_codegen.baselines import BaselineModel  # noqa: E402
from hrm_codegen.codegen import HRMCodeGen  # noqa: E402
from hrm_codegen.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig  # noqa: E402
from hrm_codegen.interop import load_bundle  # noqa: E402

PROMPTS = ["Add.", "Write a function to reverse a string.\nassert rev('ab') == 'ba'", "Sum the list of numbers."]


@pytest.fixture(scope="module", params=["prefix_lm", "causal"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[HRMCodeGen, BaselineModel]:
    config = Config(
        name="small",
        model=ModelConfig(
            vocab_size=1024, hidden_dim=32, num_heads=2, intermediate_dim=48, layers_per_stack=2, h_cycles=2,
            l_cycles=2, max_seq_len=128, mask=request.param,
        ),
        data=DataConfig(prompt_tests=2, seq_len=128),
        train=TrainConfig(num_steps=7),
        sample=SampleConfig(max_tokens=24, seed=3),
    )  # fmt: skip
    model = HRMCodeGen.from_config(config)
    folder = tmp_path_factory.mktemp("exported")
    model.save_checkpoint(folder / "small.pt")
    hf_folder.write_folder(folder / "small", load_bundle(folder / "small.pt"))
    return model, BaselineModel.from_pretrained(f"hf:{folder / 'small'}", device="cpu")


def test_greedy_answers_are_equal(both: tuple[HRMCodeGen, BaselineModel]) -> None:
    ours, theirs = both
    expected = ours.generate(PROMPTS, temperature=0, max_tokens=24)
    assert theirs.generate(PROMPTS, temperature=0, max_tokens=24) == expected
    assert theirs.generate(PROMPTS, temperature=0, max_tokens=24, batch_size=1) == expected
    assert len({answers[0] for answers in expected}) == 3


def test_settings_are_those_of_the_export(both: tuple[HRMCodeGen, BaselineModel]) -> None:
    ours, theirs = both
    assert theirs.config.sample == ours.config.sample
    assert theirs.config.data.prompt_tests == 2
    assert theirs.metadata["protocol"] == "hrm_text"
    assert theirs.protocol.marks_prompt == (ours.config.model.mask == "prefix_lm")
    assert theirs.num_params == ours.num_params + ours.config.model.hidden_dim  # z_L_init, which is not trained


def test_draws_are_reproducible(both: tuple[HRMCodeGen, BaselineModel]) -> None:
    theirs = both[1]
    drawn = theirs.generate(PROMPTS, num_samples=3, max_tokens=10)
    assert drawn == theirs.generate(PROMPTS, num_samples=3, max_tokens=10, batch_size=2)
    assert (
        theirs.beam_search(PROMPTS[0], max_tokens=10, num_beams=1)
        == theirs.generate(PROMPTS[:1], temperature=0, max_tokens=10)[0][0]
    )
