"""The guide to the lake names every column of gold, in the words of its table."""

from pathlib import Path

from crypto_pipeline.gold_tables import GOLD_TABLES

GUIDE = Path(__file__).parents[3] / "docs" / "crypto_lake.md"


def described() -> str:
    """Return the guide's part on gold as the tables say it."""
    parts = []
    for spec in GOLD_TABLES:
        parts += [f"### {spec.name}", "", f"{spec.description}. Key: `{', '.join(spec.key)}`.", ""]
        parts += ["| column | type | |", "|---|---|---|"]
        for column in spec.columns:
            shared = {"exchange", "market", "symbol", "row_order", "date"}
            if column.name not in shared:
                parts.append(f"| `{column.name}` | {column.type} | {column.text} |")
        parts.append("")
    return "\n".join(parts)


def test_the_guide_describes_gold_as_its_tables_do() -> None:
    assert described() in GUIDE.read_text()
