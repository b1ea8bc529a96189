"""LIP Figure 4: how many photos show each factor, the paper's (all of LIP) beside a split's.

hparse evaluate --workdir=runs/any --factors=occlusion.txt,back-view.txt,derived --output=any.json
python experiments/lip/figure4.py val=any.json --chart=figure4.jpg
"""

from beside import ours, part

if __name__ == "__main__":
    ours(__doc__, part("factors", "images"), "figure4", "photos by factor", counts=True)
