"""`docs/hardware.md` says what the plan says now, and what it says of the environment is what the launcher reads."""

from pathlib import Path

import hardware_page

PAGE = Path(__file__).parents[1] / "docs" / "hardware.md"


def test_the_table_is_current():
    """Write it again with `python tests/hardware_page.py docs/hardware.md`."""
    text = PAGE.read_text()
    assert text == hardware_page.page(text)
    assert "~~" in hardware_page.table()
