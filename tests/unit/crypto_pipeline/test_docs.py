"""The guide to the lake names every column of gold and of the ledger, in the words of its table."""

from collections.abc import Iterable
from pathlib import Path

from crypto_pipeline.gold_tables import GOLD_TABLES
from crypto_pipeline.quality_tables import QUALITY_TABLES
from crypto_pipeline.specs import TableSpec

GUIDE = Path(__file__).parents[3] / "docs" / "crypto_lake.md"


def described(tables: Iterable[TableSpec]) -> str:
    """Return the guide's part on some tables as they say it."""
    parts = []
    for spec in tables:
        parts += [f"### {spec.name}", "", f"{spec.description}. Key: `{', '.join(spec.key)}`.", ""]
        parts += ["| column | type | |", "|---|---|---|"]
        for column in spec.columns:
            shared = {"exchange", "market", "symbol", "row_order", "date"}
            if column.name not in shared:
                parts.append(f"| `{column.name}` | {column.type} | {column.text} |")
        parts.append("")
    return "\n".join(parts)


def test_the_guide_describes_gold_as_its_tables_do() -> None:
    assert described(GOLD_TABLES) in GUIDE.read_text()


def test_the_guide_describes_the_ledger_as_its_tables_do() -> None:
    assert described(QUALITY_TABLES) in GUIDE.read_text()
