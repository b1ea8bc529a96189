"""LIP Figure 5: mean IoU under each factor. The paper shows it as a picture without numbers; above
ours stands how many photos of LIP's validation set have each factor.

    hparse evaluate --workdir=runs/any --output=any.json \\
        --factors=occlusion.txt,back-view.txt,derived
    python experiments/lip/figure5.py DeepLabV2=any.json --chart=figure5.jpg
"""

from beside import ours, part

if __name__ == "__main__":
    ours(__doc__, part("factors"), "figure5_images", "mean IoU by factor", chart_paper=False)
