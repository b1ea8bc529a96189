"""LIP Table 5: IoU of every part on PASCAL-Person-Part.

python experiments/lip/table5.py Attention=attention_pascal.json --chart=table5.jpg
"""

from beside import ours, per_class

SHORT = {
    "upper-arms": "upper-arm",
    "lower-arms": "lower-arm",
    "upper-legs": "upper-leg",
    "lower-legs": "lower-leg",
}


def read(report: dict, columns: list[str]) -> list[float | None]:
    return per_class(report, [SHORT.get(column, column) for column in columns])


if __name__ == "__main__":
    ours(__doc__, read, "table5", "PASCAL-Person-Part: IoU")
