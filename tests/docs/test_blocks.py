"""How the examples are found in a page, and what becomes of one that is wrong."""

from pathlib import Path

import pytest

from tests.docs.blocks import Block, read
from tests.docs.test_examples import run

PAGE = Path("page.md")
TEXT = """\
# Title

```sh
one
```

<!-- run: shell -->
```python
two
```

<!-- not run: needs a whole data centre -->

```sh
three
```

<!-- run: shell -->

Words between.

```json
{}
```
"""


def test_a_comment_goes_for_the_block_that_follows_it() -> None:
    found = [(one.line, one.language, one.text, one.how, one.why) for one in read(TEXT, PAGE)]
    assert found == [
        (3, "sh", "one\n", "service", ""),
        (8, "python", "two\n", "shell", ""),
        (14, "sh", "three\n", "", "needs a whole data centre"),
        (22, "json", "{}\n", "service", ""),
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "false | true"),
        ("sh", "cat /no/such/file; true > /dev/null"),
        ("sh", "echo $no_such_variable"),
        ("sh", """echo '{"type": "about:blank", "status": 404}'"""),
        ("python", "raise SystemExit(1)"),
        ("console", "$ false\nwhat it printed"),
    ],
)
def test_an_example_that_fails_is_found(language: str, text: str, tmp_path: Path) -> None:
    block = Block(page=PAGE, line=1, language=language, text=text, how="shell", why="")
    with pytest.raises(AssertionError):
        run(block, "", tmp_path, {})
