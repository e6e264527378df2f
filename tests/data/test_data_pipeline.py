"""The loader: no token lost, none leaked, the masks of the task-completion objective, exact continuation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grain
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.pipeline import make_loader
from hrm_codegen.data.token_file import TokenFile
from hrm_codegen.data.token_writer import write_token_file
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import DatasetError
from hrm_codegen.typing import Batch

BYTE = Tokenizer.load("byte")
Example = tuple[list[int], int]
Segment = tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[bool, ...]]


def open_file(folder: Path, examples: list[Example]) -> TokenFile:
    write_token_file(folder / "x.bin", examples, tokenizer=BYTE, metadata={})
    return TokenFile(folder / "x.bin")


def example(length: int, prompt_len: int, start: int = 0) -> Example:
    return [8 + (start + i) % 250 for i in range(length)], prompt_len


@pytest.fixture
def some(tmp_path: Path) -> TokenFile:
    return open_file(tmp_path, [example(5 + i % 9, 1 + i % 3, 10 * i) for i in range(40)])


def segments(batch: Batch) -> list[Segment]:
    """The documents of a batch, checked to be contiguous, in order, and clean around."""
    found = []
    for row in range(len(batch.tokens)):
        ids = batch.segment_ids[row]
        used = int((ids > 0).sum())
        assert (ids[:used] > 0).all()
        assert (np.diff(ids[:used]) >= 0).all()
        assert sorted(set(ids[:used].tolist())) == list(range(1, int(ids.max()) + 1))
        assert not batch.loss_mask[row, used:].any()
        assert not batch.prefix_mask[row, used:].any()
        assert (batch.tokens[row, used:] == BYTE.pad_id).all()
        for segment in range(1, int(ids.max()) + 1):
            at = ids == segment
            np.testing.assert_array_equal(batch.positions[row, at], np.arange(at.sum()))
            arrays = (batch.tokens, batch.targets, batch.prefix_mask, batch.loss_mask)
            found.append(tuple(tuple(array[row, at].tolist()) for array in arrays))
    return found


def expected(tokens: list[int], prompt_len: int, seq_len: int) -> Segment | None:
    """Brute force: what one document has to become."""
    tokens = tokens[: seq_len + 1]
    if len(tokens) - prompt_len < 2:
        return None
    times = range(len(tokens) - 1)
    prefix = tuple(t < prompt_len for t in times)
    loss = tuple(t + 1 >= prompt_len for t in times)  # the target is token t + 1
    return tuple(tokens[:-1]), tuple(tokens[1:]), prefix, loss


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_document_is_delivered_once_and_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lengths = data.draw(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 6)), min_size=1, max_size=20))
    examples = [example(n, min(p, n), 20 * i) for i, (n, p) in enumerate(lengths)]
    examples.append(example(4, 1))  # one that is always kept
    seq_len, batch_size = data.draw(st.integers(3, 16)), data.draw(st.integers(1, 5))
    packing, shuffle = data.draw(st.booleans()), data.draw(st.booleans())
    file = open_file(tmp_path_factory.mktemp("p"), examples)
    loader = make_loader(
        file, seq_len=seq_len, batch_size=batch_size, seed=1, packing=packing, shuffle=shuffle, repeat=False
    )
    batches = list(loader)
    found = [segment for batch in batches for segment in segments(batch)]
    wanted = [segment for segment in (expected(*e, seq_len) for e in examples) if segment is not None]
    assert Counter(found) == Counter(wanted)
    for batch in batches:
        assert all(array.shape == (batch_size, seq_len) for array in batch)
        assert packing or batch.segment_ids.max() <= 1
    if not packing and not shuffle:
        assert found == wanted


def test_dtypes(some: TokenFile) -> None:
    batch = next(iter(make_loader(some, seq_len=16, batch_size=2, seed=0)))
    assert isinstance(batch, Batch)
    assert [array.dtype for array in batch] == [np.int32] * 4 + [np.bool_] * 2


def test_prompt_targets_count_on_request(some: TokenFile) -> None:
    plain = next(iter(make_loader(some, seq_len=16, batch_size=2, seed=0)))
    both = next(iter(make_loader(some, seq_len=16, batch_size=2, seed=0, loss_on_prompt=True)))
    np.testing.assert_array_equal(both.tokens, plain.tokens)
    np.testing.assert_array_equal(both.prefix_mask, plain.prefix_mask)
    np.testing.assert_array_equal(both.loss_mask, both.segment_ids > 0)
    assert plain.loss_mask.sum() < both.loss_mask.sum()


def test_documents_without_an_answer_in_reach_are_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = open_file(tmp_path, [example(30, 20), example(30, 3), example(5, 4), example(6, 4)])
    found = [s for b in make_loader(file, seq_len=10, batch_size=1, seed=0, repeat=False) for s in segments(b)]
    assert sorted(len(segment[0]) for segment in found) == [5, 10]
    assert caplog.text.count("2 of 4 documents left out") == 1


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    file = open_file(tmp_path, [example(30, 20)])
    with pytest.raises(DatasetError, match=r"0 documents have an answer within seq_len 10, too few for 1 shard$"):
        make_loader(file, seq_len=10, batch_size=1, seed=0)
    with pytest.raises(DatasetError, match="too few for 2 shards"):
        make_loader(open_file(tmp_path, [example(5, 2)]), seq_len=10, batch_size=1, seed=0, shard=(1, 2))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("repeat", [True, False])
def test_an_iterator_continues_bitwise_from_its_state(some: TokenFile, packing: bool, repeat: bool) -> None:
    def make() -> grain.IterDataset:
        return make_loader(some, seq_len=16, batch_size=3, seed=5, packing=packing, repeat=repeat)

    first = iter(make())
    for _ in range(2):
        next(first)
    state = first.get_state()
    rest = [next(first) for _ in range(4)]
    second = iter(make())
    second.set_state(state)
    for want in rest:
        for a, b in zip(want, next(second), strict=True):
            np.testing.assert_array_equal(a, b)


def test_grain_agrees_that_checkpoints_are_exact(some: TokenFile) -> None:
    grain.experimental.assert_equal_output_after_checkpoint(
        make_loader(some, seq_len=16, batch_size=3, seed=5, repeat=False)
    )


def test_the_seed_sets_the_order_and_every_epoch_has_another(some: TokenFile) -> None:
    def documents(seed: int, count: int) -> list[Segment]:
        found: list[Segment] = []
        for batch in make_loader(some, seq_len=16, batch_size=4, seed=seed, packing=False):
            found += segments(batch)
            if len(found) >= count:
                return found
        raise AssertionError("unreachable: the loader repeats")

    twice = documents(0, 80)
    assert twice == documents(0, 80)
    assert twice[:40] != documents(1, 40)
    assert twice[:40] != twice[40:80]
    assert Counter(twice[:40]) == Counter(twice[40:80])


def test_shards_share_the_documents_out(some: TokenFile) -> None:
    def documents(shard: tuple[int, int]) -> Counter[Segment]:
        loader = make_loader(some, seq_len=16, batch_size=4, seed=0, repeat=False, shard=shard)
        return Counter(s for b in loader for s in segments(b))

    parts = [documents((i, 3)) for i in range(3)]
    assert [sum(part.values()) for part in parts] == [14, 13, 13]
    assert parts[0] + parts[1] + parts[2] == documents((0, 1))


def test_packing_wastes_little(some: TokenFile) -> None:
    batches = iter(make_loader(some, seq_len=64, batch_size=8, seed=0))
    assert np.mean([(next(batches).segment_ids > 0).mean() for _ in range(20)]) > 0.85


def test_a_stream_is_cut_into_windows(tmp_path: Path) -> None:
    np.arange(100, 135, dtype="<u2").tofile(tmp_path / "gpt.bin")
    loader = make_loader(TokenFile(tmp_path / "gpt.bin"), seq_len=8, batch_size=2, seed=0, shuffle=False, repeat=False)
    batches = list(loader)
    targets = np.concatenate([batch.targets[batch.loss_mask] for batch in batches])
    np.testing.assert_array_equal(targets, np.arange(101, 135))
    for batch in batches:
        np.testing.assert_array_equal(batch.targets[batch.loss_mask], batch.tokens[batch.loss_mask] + 1)
        np.testing.assert_array_equal(batch.loss_mask, batch.segment_ids > 0)
        assert not batch.prefix_mask.any()


def test_a_token_past_the_vocabulary_is_noticed(tmp_path: Path) -> None:
    file = open_file(tmp_path, [([8, 9, 264, 10], 1)])
    with pytest.raises(DatasetError, match="corrupt: token 264 with a vocabulary of 264"):
        next(iter(make_loader(file, seq_len=8, batch_size=1, seed=0)))
