"""What is quoted of an error."""

import pytest

from cola_search.errors import first_line


@pytest.mark.parametrize(("said", "quoted"), [("a\nb", "a"), ("\n a", "a"), (" ", "ValueError"), ("", "ValueError")])
def test_an_error_is_quoted_by_its_first_line_or_by_its_type(said: str, quoted: str) -> None:
    assert first_line(ValueError(said)) == quoted
