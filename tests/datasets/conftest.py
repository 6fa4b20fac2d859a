"""What the tests of data errors share."""

from collections.abc import Callable
from typing import Any

import pytest

from emjax.errors import DataError


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Call something that must be refused; its message, which must be one line of a readable length."""

    def message_of(function: Callable[..., Any], *args: Any, **options: Any) -> str:
        with pytest.raises(DataError) as caught:
            function(*args, **options)
        message = str(caught.value)
        assert message.isprintable(), message
        assert 20 < len(message) < 400, message
        return message

    return message_of


@pytest.fixture
def write(tmp_path):
    """Write bytes or text to a new file; its path as text."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file
