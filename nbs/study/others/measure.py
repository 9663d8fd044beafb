"""Accuracy, total variation and speed of packages on FER+'s validation faces; prints JSON.

    python measure.py FERPLUS PYTHON     FERPLUS holds FER2013Valid, PYTHON has fer and facex

It needs node with @vladmandic/human, @vladmandic/face-api, @tensorflow/tfjs and
@tensorflow/tfjs-backend-wasm in ./node_modules, and ferplus.onnx here (emorec_export). Each model
gets the faces as they are, by its own preparation and network. For speed all take turns, so that
a busy machine slows all alike.
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from emotion_recognition.all import evaluate, open_dataset, predictions_for, read_image

ANGER_FIRST = ['anger', 'disgust', 'fear', 'happiness', 'sadness', 'surprise', 'neutral']
EMOTIONS = {
    'fer': ANGER_FIRST, 'human': ANGER_FIRST,
    'facex': ['anger', 'disgust', 'fear', 'happiness', 'neutral', 'sadness', 'surprise'],
    'face-api': ['neutral', 'happiness', 'sadness', 'anger', 'fear', 'disgust', 'surprise']}
FACES = {'torch': 30, 'onnx': 60, 'fer': 300, 'facex': 30, 'human': 30, 'face-api': 30}


def start(name, python):
    "The process that predicts by one package."
    command = {'human': ['node', 'other.js'], 'face-api': ['node', 'other.js'],
               'torch': [sys.executable, 'other.py'], 'onnx': [sys.executable, 'other.py']}
    words = [*command.get(name, [python, 'other.py']), name, 'faces.npy']
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    while 'ready' not in (line := process.stdout.readline()):
        if not line:
            sys.exit(f'{name}: did not start; run it alone to see why')
    return process


def ask(process, *words):
    process.stdin.write(' '.join(map(str, words))+'\n')
    process.stdin.flush()
    return process.stdout.readline()


def shares(name, process, n):
    "What one package says of n faces, float [N,7]."
    ask(process, 'all', f'{name}.out')
    path = Path(f'{name}.out')
    if name in ('human', 'face-api'):
        return np.fromfile(path, '<f4').reshape(n, 7)
    return np.load(path)


def judge(name, found, faces, place):
    "Top-1 and total variation with their intervals; emotions it does not know get 0."
    probs = np.zeros((len(found), 8))
    probs[:, [faces.emotions.names.index(e) for e in EMOTIONS[name]]] = found
    probs /= probs.sum(1, keepdims=True)
    metrics = evaluate(predictions_for(faces, probs[[place[i] for i in faces.ids]])).metrics
    return {m: list(metrics[m]) for m in ('top1', 'total_variation')} | dict(faces=len(faces))


def race(processes, rounds=12):
    "Speed relative to ours by PyTorch: the median over rounds of turns."
    times = [{name: float(ask(p, 'time', FACES[name]))/FACES[name]
              for name, p in processes.items()} for _ in range(rounds+1)][1:]
    return {name: float(np.median([t['torch']/t[name] for t in times])) for name in processes}


def main(folder, python):
    sets = {p: open_dataset('ferplus', folder, 'valid', protocol=p)
            for p in ('crossentropy', 'majority')}
    files = {i: f for s in sets.values() for i, f in zip(s.ids, s.images)}
    place = {name: i for i, name in enumerate(files)}
    np.save('faces.npy', np.stack([read_image(f)[0].numpy() for f in files.values()]))
    processes = {name: start(name, python) for name in FACES}
    found = {name: shares(name, processes[name], len(files)) for name in EMOTIONS}
    result = {name: {p: judge(name, found[name], s, place) for p, s in sets.items()}
              for name in EMOTIONS}
    print(json.dumps(dict(validation=result, speed=race(processes)), indent=1))
    for process in processes.values():
        process.stdin.close()
        process.wait()


if __name__ == '__main__':
    main(*sys.argv[1:])
