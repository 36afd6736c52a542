"""Games of cards: what has been seen is read from the game's own records."""

from __future__ import annotations

from typing import Any

import numpy as np

SUIT_RANKS = 4  # cards of one rank in a deck


def repeat_first(game: Any) -> int:
    """The suit of the first card."""
    return int(game.card)


def repeat_previous(game: Any) -> int:
    """The suit of the card k steps ago; 0 as long as nobody asks."""
    hand = game.deck["player"]
    return int(game.deck.suits_idx[hand[-game.k]]) if len(hand) >= game.k else 0


def autoencode(game: Any) -> int:
    """The suits seen, last one first; 0 while they are shown."""
    playing = int(game.mode) == 0
    return int(game.deck.suits_idx[game.deck["system"][-1]]) if playing else 0


def count_recall(game: Any) -> int:
    """How often the card that is asked for was dealt."""
    return int(game.counts[game.query])


def higher_lower(game: Any) -> int:
    """0 (higher) or 1 (lower): what more of the cards that are left are."""
    left = SUIT_RANKS * game.num_decks - game.state.astype(int)
    shown = int(game.deck.show("player", ["ranks_idx"]).item())
    return int(left[shown + 1 :].sum() < left[:shown].sum())


class Concentration:
    """Remembers all cards that were face up, takes known pairs and turns unknown cards else."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self._seen: dict[int, int] = {}

    def __call__(self, obs: np.ndarray) -> int:
        """The card to turn, for the cards that are face up."""
        game = self._game
        for place in np.flatnonzero(obs != game.facedown_card).tolist():
            self._seen[place] = int(obs[place])
        taken, turned = set(game.deck["face_up_idx"]), list(game.deck["in_play_idx"])
        known = {place: value for place, value in self._seen.items() if place not in taken}
        unknown = [place for place in range(len(obs)) if place not in self._seen]
        if turned:
            first = int(turned[0])
            partners = [p for p in known if p != first and known[p] == known.get(first)]
            others = [place for place in known if place != first]
            return min(partners, default=min(unknown, default=min(others, default=first)))
        first_of: dict[int, int] = {}  # value -> the first place where it was seen
        for place, value in sorted(known.items()):
            if value in first_of:
                return first_of[value]
            first_of[value] = place
        return min(unknown, default=min(known, default=0))
