"""A model card as part of the page: its words and tables, nothing that loads or runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_FRONT = re.compile(r"\A\s*---\r?\n.*?\r?\n---[ \t]*\r?\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LOWER = 2  # levels that its headings are put down by, below those of the page
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


def rendered(text: str) -> Markup:
    """Markdown as HTML for the page.

    HTML in it is shown as letters, a picture as its description; links lead to the web or are
    words: files beside a card do not come along with the page.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("image", _picture)
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(_COMMENT.sub("", _FRONT.sub("", text)))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _LOWER)}"
        if token.children:
            token.children = _without_files(token.children)
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _without_files(tokens: Sequence[Token]) -> list[Token]:
    """Without links that do not lead to the web; their words stay."""
    kept, leads = [], []
    for token in tokens:
        if token.type == "link_open":
            leads.append(_LINK.match(str(token.attrs.get("href", ""))) is not None)
            if leads[-1]:
                token.attrs["rel"] = "noreferrer"
        keep = leads[-1] if token.type in ("link_open", "link_close") else True
        if token.type == "link_close":
            leads.pop()
        if keep:
            kept.append(token)
    return kept


def _picture(
    self: RendererHTML, tokens: Sequence[Token], place: int, options: Any, env: Any
) -> str:
    told = self.renderInlineAsText(tokens[place].children or [], options, env)
    return f'<span class="left-out">[{Markup.escape(told or "picture")}]</span>'
