"""Draw two pictures of the site: the card beside a link to it, and the icon of its tab.

    python .ci/card.py      writes card.png and favicon.png into nbs/images
"""
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from emotion_recognition.emotions import EMOTIONS13
from emotion_recognition.synthetic import SyntheticFaces

IMAGES = Path(__file__).resolve().parent.parent/'nbs/images'


def draw_bars(bars, distribution):
    "The five largest shares."
    order = np.argsort(-distribution)[:5]
    names = [EMOTIONS13.names[i] for i in order]
    bars.barh(names, distribution[order], color='#2780e3', height=.62)
    bars.invert_yaxis()
    for i, share in enumerate(distribution[order]):
        bars.text(share+.012, i, f'{share:.0%}', va='center', fontsize=18, color='#444')
    bars.tick_params(length=0, labelsize=18, labelcolor='#222')
    bars.set_xticks([])
    bars.spines[:].set_visible(False)


def draw_card(face):
    "The card, 1200x630 pixels."
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor='white')
    axis = figure.add_axes((0, 0, .525, 1))
    axis.axis('off')
    axis.imshow(face.image.resize((630, 630), Image.LANCZOS), aspect='auto')
    figure.text(.57, .86, 'emotion_recognition', fontsize=29, fontweight='bold', color='#222')
    question = 'How would people share out\ntheir votes over 13 emotions?'
    figure.text(.57, .75, question, fontsize=20, color='#444', va='center', linespacing=1.4)
    draw_bars(figure.add_axes((.72, .07, .2, .55)), face.distribution)
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert('RGB')


def save(image, name, colors):
    "As a PNG of few colors."
    path = IMAGES/name
    image.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f'{name}: {path.stat().st_size/1000:.0f} kB')


if __name__ == '__main__':
    # drawn large and made smaller, which takes the grain out: a PNG cannot compress grain
    face = SyntheticFaces(image_size=1024).face('train', 121)
    save(draw_card(face), 'card.png', 96)
    save(face.image.crop((112, 112, 912, 912)).resize((64, 64), Image.LANCZOS), 'favicon.png', 64)
