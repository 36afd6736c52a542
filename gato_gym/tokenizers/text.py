"""Text <-> SentencePiece ids (section 2.1). Byte fallback, so that any string round-trips.

The paper does not say which SentencePiece model it used; ours is BPE with identity normalisation.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from gato_gym.errors import CorruptCheckpointError

SPACE_MARK = "\u2581"

SMALLEST = 512
"""Pieces of a text model, at least."""

LONGEST_SENTENCE = 4192
"""Bytes; longer ones are left out when a model is learned."""


class TextTokenizer:
    """A SentencePiece model held as its serialized bytes, so that it pickles and travels."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CorruptCheckpointError(
                f"not a SentencePiece model ({len(model)} bytes): {error}"
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> TextTokenizer:
        """Read a .model file."""
        return cls(Path(path).read_bytes())

    @classmethod
    def train(
        cls,
        sentences: Iterable[str],
        size: int,
        phrases: Sequence[str] = (),
        most: int | None = None,
    ) -> TextTokenizer:
        """Fit at most `size` pieces (512 or more: 256 are bytes) to the sentences.

        Args:
            sentences: what the pieces are learned from; those of more than `LONGEST_SENTENCE` bytes
                are left out.
            size: counts the bytes and the phrases too.
            phrases: become one piece each, wherever they stand; all others lie inside of a word.
            most: of more sentences so many, above 100, are drawn while they are read, the same ones
                each time; only these are in memory.

        Raises:
            ValueError: there are no sentences, or the size is impossible; and what the sentences
                raise when they are read.
        """
        if size < SMALLEST:
            raise ValueError(
                f"a text model of {size} pieces has no room for words: expected {SMALLEST} or "
                "more, of which 256 are bytes"
            )
        if most is not None and most <= 100:
            raise ValueError(f"{most} drawn sentences are too few, expected more than 100")
        target, errors = io.BytesIO(), list[BaseException]()
        drawn: dict[str, Any] = {}
        if most is not None:
            drawn = {"input_sentence_size": most, "shuffle_input_sentence": True}
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_told(sentences, errors),
                model_writer=target,
                vocab_size=size,
                model_type="bpe",
                byte_fallback=True,
                hard_vocab_limit=False,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                allow_whitespace_only_pieces=True,
                user_defined_symbols=[phrase.replace(" ", SPACE_MARK) for phrase in phrases],
                max_sentence_length=LONGEST_SENTENCE,
                minloglevel=2,
                **drawn,
            )
        except RuntimeError as error:
            if errors:
                raise errors[0] from None
            if "sentences_.empty()" in str(error):
                raise ValueError(
                    "there is nothing to learn a text model from: all sentences are empty, or "
                    f"longer than {LONGEST_SENTENCE} bytes"
                ) from error
            raise ValueError(f"SentencePiece makes no model of these sentences: {error}") from error
        return cls(target.getvalue())

    @property
    def size(self) -> int:
        """Number of pieces; ids are [0, size)."""
        return self._processor.vocab_size()

    @property
    def end(self) -> int:
        """Id that ends a text; ids after it are pieces and bytes, those before it stand for none.

        Raises:
            CorruptCheckpointError: the model has none, or one after its pieces.
        """
        found: int = self._processor.eos_id()
        if not 0 <= found < 4:
            raise CorruptCheckpointError(
                f"the SentencePiece model ends texts with id {found}, expected one below 4: "
                "train it with gato-gym tokenizer train"
            )
        return found

    def encode(self, text: str) -> np.ndarray:
        """(n,) int32 ids."""
        # SentencePiece holds a space as U+2581, so that character itself travels as its bytes.
        first, *rest = (self._processor.encode(part) for part in text.split(SPACE_MARK))
        for part in rest:
            first += [
                self._processor.piece_to_id(f"<0x{b:02X}>") for b in SPACE_MARK.encode()
            ] + part
        return np.asarray(first, np.int32)

    def piece(self, number: int) -> str:
        """What an id stands for, with U+2581 for a space, and e.g. <0x0A> for a byte.

        Raises:
            IndexError: there is no such id.
        """
        piece: str = self._processor.id_to_piece(number)
        return piece

    def decode(self, ids: Iterable[int]) -> str:
        """The string; inverse of `encode`."""
        return self._processor.decode([int(i) for i in ids])

    def __reduce__(self) -> tuple[type, tuple[bytes]]:
        return TextTokenizer, (self.model,)


def _told(sentences: Iterable[str], errors: list[BaseException]) -> Iterator[str]:
    """The sentences; what reading them raises is kept, for the trainer turns it into its own."""
    try:
        yield from sentences
    except (Exception, KeyboardInterrupt) as error:
        errors.append(error)
        raise
