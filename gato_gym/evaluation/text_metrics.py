"""Figures that text libraries compute of replies beside references.

BLEU and chrF are sacrebleu's. NIST (Doddington 2002) is NLTK's; it weighs an n-gram by how rare it
is in the references, which is CIDEr's idea. CIDEr itself, METEOR and SPICE are left out: their
implementations need Java or WordNet's files.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gato_gym.errors import MissingExtraError

ORDER = 5
"""Words of the longest n-gram of NIST, as in mteval."""


@dataclass(frozen=True)
class TextMetrics:
    """Of all replies together, one reference each.

    bleu       corpus BLEU, 0 to 100; of 1 to 4 words, or as many as the longest reference has
    chrf       corpus chrF2 (1 to 6 letters), 0 to 100
    nist       NIST, 0 to `nist_best`
    nist_best  the NIST of replies that repeat the references
    """

    bleu: float
    chrf: float
    nist: float
    nist_best: float

    def to_json(self) -> dict[str, float]:
        """A JSON-ready dict."""
        return asdict(self)


def check_metrics() -> None:
    """Raise MissingExtraError unless the libraries are installed; imports neither."""
    for library in ("sacrebleu", "nltk"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(
                f'text metrics need {library}: pip install "gato-gym[language]"'
            )


def text_metrics(
    replies: Sequence[str], references: Sequence[str]
) -> tuple[TextMetrics | None, str]:
    """The figures of at least one reply; where a library is missing None, and a note that says so.

    Args:
        replies: what was said.
        references: what an expert said, of the same length.
    """
    try:
        check_metrics()
    except MissingExtraError as error:
        return None, str(error)
    import sacrebleu

    said, right = ([text.split() for text in texts] for texts in (replies, references))
    # Of n-grams that no reference has BLEU would be 0, however right the replies.
    order = min(4, max(map(len, right), default=0)) or 1
    # force: a reply that ends in " ." is no sign of a text that was split into words before.
    bleu = sacrebleu.BLEU(max_ngram_order=order, force=True).corpus_score(
        list(replies), [list(references)]
    )
    chrf = sacrebleu.corpus_chrf(list(replies), [list(references)])
    return (
        TextMetrics(float(bleu.score), float(chrf.score), _nist(said, right), _nist(right, right)),
        "",
    )


def _nist(said: list[list[str]], right: list[list[str]]) -> float:
    from nltk.translate.nist_score import corpus_nist

    # NLTK divides by the number of n-grams: one of each order there must be.
    order = min(ORDER, max(map(len, said)))
    return float(corpus_nist([[one] for one in right], said, n=order)) if order else 0.0
