"""Draw nbs/images/card.png, the picture that stands beside a link to the site: a drawn face, and what people say about it.

    python .ci/card.py
"""
import io
from pathlib import Path
import matplotlib
matplotlib.use('Agg')
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from emotion_recognition.emotions import EMOTIONS13
from emotion_recognition.synthetic import SyntheticFaces

TARGET = Path(__file__).resolve().parent.parent/'nbs/images/card.png'

def draw():
    "The card, 1200x630 pixels."
    # drawn large and reduced, which takes the grain out: a PNG cannot compress grain
    face = SyntheticFaces(image_size=1024).face('train', 121)
    order = np.argsort(-face.distribution)[:5]
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor='white')
    axis = figure.add_axes((0, 0, .525, 1)); axis.axis('off')
    axis.imshow(face.image.resize((630, 630), Image.LANCZOS), aspect='auto')
    figure.text(.57, .86, 'emotion_recognition', fontsize=29, fontweight='bold', color='#222')
    figure.text(.57, .75, 'How would people share out\ntheir votes over 13 emotions?', fontsize=20, color='#444', va='center', linespacing=1.4)
    bars = figure.add_axes((.72, .07, .2, .55))
    names, shares = [EMOTIONS13.names[i] for i in order], face.distribution[order]
    bars.barh(names, shares, color='#2780e3', height=.62)
    bars.invert_yaxis()
    for i, share in enumerate(shares): bars.text(share+.012, i, f'{share:.0%}', va='center', fontsize=18, color='#444')
    bars.tick_params(length=0, labelsize=18, labelcolor='#222'); bars.set_xticks([])
    for side in ('top', 'right', 'bottom', 'left'): bars.spines[side].set_visible(False)
    file = io.BytesIO(); figure.savefig(file); plt.close(figure)
    return Image.open(file).convert('RGB')

if __name__ == '__main__':
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    draw().quantize(96, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f'{TARGET.name}: {TARGET.stat().st_size//1000} kB')
