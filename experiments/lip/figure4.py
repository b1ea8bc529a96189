"""LIP Figure 4: how many photos show each factor, the paper's (all of LIP) beside a split's.

hparse evaluate --workdir=runs/any --factors=occlusion.txt,back-view.txt,derived --output=any.json
python experiments/lip/figure4.py val=any.json --chart=figure4.jpg
"""

from beside import ours


def read(report: dict, columns: list[str]) -> list[float | None]:
    groups = report["factors"]
    return [groups[column]["images"] / 100 if column in groups else None for column in columns]


if __name__ == "__main__":
    ours(__doc__, read, "figure4", "photos by factor, in hundreds")
