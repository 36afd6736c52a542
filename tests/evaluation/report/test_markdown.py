"""A model card on the page: its words, nothing that loads or runs."""

import re

from gato_gym.evaluation.report.markdown import rendered

CARD = """---
license: apache-2.0
---
# Title

<!-- a mark -->
<script>alert(1)</script> <img src="https://example.org/a.png" onerror="alert(1)">

[paper](https://arxiv.org/abs/2205.06175), [file](card.json), [trap](javascript:alert(1)),
[data](data:text/html,x), ![A film](https://example.org/b.png), `a < b`

| task | score |
|---|---|
| `A-v0` | 1 |
"""


def test_nothing_of_a_card_loads_or_runs():
    html = str(rendered(CARD))
    assert not re.search(r"<(?:script|img|iframe|object|link|style)", html)
    assert re.findall(r"""(?:src|href)="([^"]*)""", html) == ["https://arxiv.org/abs/2205.06175"]
    assert not re.search(r"<[^>]*\son\w+=", html)
    assert "&lt;script&gt;" in html and "a mark" not in html and "license" not in html


def test_its_words_and_tables_stay():
    html = str(rendered(CARD))
    assert (
        "<h3>Title</h3>" in html
        and "[A film]" in html
        and "file, trap" in html.replace("[trap](javascript:alert(1))", "trap")
    )
    assert (
        '<div class="scroll" tabindex="0"><table>' in html and "<td><code>A-v0</code></td>" in html
    )
