"""Give every reader thousands of damaged inputs; only this library's own errors may come out.

    python .ci/fuzz.py                             1,000 inputs through each reader; a table
    python .ci/fuzz.py 100000 png csv              more, and only some readers
    python .ci/fuzz.py 1 csv --first 4711          one input again, with the whole error
    python .ci/fuzz.py 100000 --out FILE.json      continue after the inputs that FILE counts

Input N of a reader is the same on every run. A fault is an error that is not this library's or
does not say where, a crash, over 10 seconds of the processor, or over 1.5 GB. The exit code is 1
if there is one. The readers run as always, but in one thread, in memory, and keep no scan.
"""
import argparse
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import timm
import torch
import yaml
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file

import emotion_recognition
from emotion_recognition import index, pack
from emotion_recognition.checkpoints import Checkpoint
from emotion_recognition.config import emotion_set, load_config
from emotion_recognition.core import write_atomically
from emotion_recognition.data import READERS, guess_reader, open_dataset
from emotion_recognition.emotions import FERPLUS8, EmotionSet
from emotion_recognition.folders import check_same_faces
from emotion_recognition.leaderboard import run_cost
from emotion_recognition.loaders import create_loader
from emotion_recognition.losses import create_loss
from emotion_recognition.models import EmotionModel, create_model
from emotion_recognition.optimizers import create_optimizer
from emotion_recognition.pack import make_pack, open_packed, pack_folder
from emotion_recognition.pictures import read_image
from emotion_recognition.predictions import Predictions, load_predictions
from emotion_recognition.raters import read_ratings
from emotion_recognition.report import Run
from emotion_recognition.train import Trainer, Watch
from emotion_recognition.weights import read_weights

SECONDS, MEGABYTES = 10, 1500   # that an input may take
BLOCK, TOGETHER = 2500, 500      # inputs per process; faces that are opened at once
OURS = str(Path(emotion_recognition.__file__).parent)
EMOTIONS = EmotionSet(['glad', 'sad', 'calm'])

# Damage

TOKENS = [b'1e400', b'-1e400', b'nan', b'-1', b'0', b'1e-320', b'9'*40, b'\0', b'\xff\xfe', b'"',
          b',', b'\n', b'\r', b';', b'\t', b'{', b'}', b'[', b']', b':', b'null', b'true', b'../..',
          b'/etc/passwd', b'\xef\xbb\xbf', b'\xed\xa0\x80', b'%s', b'~', b'*a', b'&a ', b'!!python',
          b'\xff'*4, b'\0'*8, b'\x7f\xff\xff\xff', b'('*200, b'['*2000, b'x'*3000, '٣'.encode()]
VALUES = [None, True, False, 0, -1, 1e400, float('nan'), -0., 2**31, 2**63, 10**30, 1e-320, '', 'x',
          'x'*3000, '\0', '../../x', '/etc/passwd', 'null', '1e400', '~', '٣', [], {}, [[]], [None],
          {'a': {'b': 1}}, [1]*50, 'resnet18', 'train', -3.5]


def damage(rng, data):
    "Some bytes changed, cut, doubled or put in."
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8, 30])):
        at, length = rng.randrange(len(data)+1), rng.choice([1, 1, 2, 4, 16, 100])
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at+length] = rng.randbytes(length)
        elif kind == 2:
            del data[at:at+length]
        elif kind == 3:
            data[at:at] = data[at:at+length]*rng.choice([1, 2, 50])
        elif kind == 4:
            data[at:at+rng.choice([0, 0, length])] = rng.choice(TOKENS)
        elif kind == 5 and rng.random() < .2:
            del data[at:]
        else:
            other = rng.randrange(len(data)+1)
            data[at:at+length] = data[other:other+length]
    return bytes(data)


def vary(rng, value):
    "A nested value with one part replaced, removed or doubled."
    if isinstance(value, dict) and value and rng.random() < .9:
        key = rng.choice(list(value))
        how = rng.random()
        if how < .1:
            return {k: v for k, v in value.items() if k != key}
        if how < .2:
            return value | {rng.choice(['x', '', 'names', str(key)+'2']): rng.choice(VALUES)}
        return value | {key: vary(rng, value[key])}
    if isinstance(value, (list, tuple)) and value and rng.random() < .8:
        i = rng.randrange(len(value))
        part = [] if rng.random() < .15 else [vary(rng, value[i])]*rng.choice([1, 1, 1, 2])
        return [*value[:i], *part, *value[i+1:]]
    return rng.choice(VALUES)


def vary_inside(rng, values):
    "A dictionary with one of its values varied."
    key = rng.choice(list(values))
    return values | {key: vary(rng, values[key])}


def vary_array(rng, array):
    "An array of another kind, shape or content."
    kind = rng.randrange(6)
    if kind == 0:
        names = ['f2', 'f8', 'i8', 'u1', '?', 'U3', 'S2', 'c8', 'M8[s]', 'V4']
        with contextlib.suppress(ValueError, TypeError):
            return array.astype(rng.choice(names))
    if kind == 1:
        return array[:rng.randrange(len(array)+1)] if array.ndim else array.reshape(1)
    if kind == 2:
        return array[None] if rng.random() < .5 else array.ravel()
    if kind == 3 and array.size and array.dtype.kind == 'f':
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice([np.inf, np.nan, -1, 1e300, 5e-324, 2])
        return array
    if kind == 4:
        return np.array(rng.choice([3, 'x', '{}', '[]', 'null', '{"names": 3}', [[]], True, 1e400]))
    return np.repeat(array, rng.randrange(3), 0) if array.ndim else array


def sometimes(rng, share, first, second):
    return first() if rng.random() < share else second()


def picture(kind, mode='RGB', **options):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


# Readers: name -> a function of a folder that returns how an input is made, how it is read, and
# for some how many inputs are read at once: a list of 'taken' and 'refused'

READ = {}


def reader(*names):
    def register(function):
        for name in names:
            READ[name] = function
        return function
    return register


def same_png(rng, data):
    "A PNG with damage inside its chunks, whose checksums are right again."
    import zlib
    parts, at = [data[:8]], 8
    while at+12 <= len(data):
        size = int.from_bytes(data[at:at+4], 'big')
        name, body = data[at+4:at+8], data[at+8:at+8+size]
        if rng.random() < .4:
            body = damage(rng, body)
        parts += [len(body).to_bytes(4, 'big'), name, body,
                  zlib.crc32(name+body).to_bytes(4, 'big')]
        at += 12+size
    return b''.join(parts)


@reader('jpeg', 'png', 'gif', 'webp', 'bmp', 'tiff', 'ppm', 'avif')
def pictures(folder, name):
    modes = dict(jpeg=['RGB', 'L', 'CMYK'], png=['RGB', 'P', 'RGBA', 'I;16', '1'],
                 gif=['P', 'L'], webp=['RGB', 'RGBA'], bmp=['RGB', 'P', '1'],
                 tiff=['RGB', 'F', 'I;16', 'CMYK', 'LAB', 'RGBA'], ppm=['RGB', 'L'],
                 avif=['RGB', 'RGBA'])[name]
    whole = []
    for mode in modes:
        base = 'L' if mode == 'I;16' else mode
        data = picture(name, base) if base != 'LAB' else picture(name, 'RGB', compression='jpeg')
        if mode == 'I;16':
            file = io.BytesIO()
            Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24)).save(file, name)
            data = file.getvalue()
        whole.append(data)
    if name == 'jpeg':
        whole.append(picture(name, progressive=True))
    if name == 'tiff':
        whole += [picture(name, compression=c) for c in ('tiff_lzw', 'tiff_deflate', 'packbits')]
    def make(rng):
        data = rng.choice(whole)
        return same_png(rng, data) if name == 'png' and rng.random() < .5 else damage(rng, data)
    return make, read_image


def faces_in(folder, n=3):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(folder/f'{i}.png')


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@reader('prob_rank.txt', 'votes.txt', 'val.npy')
def fused(folder, name):
    texts = {'prob_rank.txt': b' '.join([b'0.1']*7+[b'0.05']*6),
             'votes.txt': b','.join([b'3']*13)}
    number = np.float64(.25)
    def fill(root, n):
        faces_in(root/'train_set/images', n)
        for i in range(n):
            for kind, text in texts.items():
                put(root/f'train_set/annotations/{i}_{kind}', text)
        return root
    def npy(array):
        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        return file.getvalue()
    def make(rng):
        if name != 'val.npy':
            return damage(rng, texts[name])
        odd = [vary_array(rng, np.array(number)), np.array([None, {}]), np.array('.25')]
        return sometimes(rng, .3, lambda: npy(rng.choice(odd)), lambda: damage(rng, npy(number)))
    def open_with(root, inputs, **how):
        for i, data in enumerate(inputs):
            put(root/f'train_set/annotations/{i}_{name}', data)
        return open_dataset('affectnet_fused', root, **how)
    one, many = fill(folder/'one', 1), fill(folder/'many', TOGETHER+1) # the last one stays whole
    def read_many(inputs):
        faces = open_with(many, inputs, on_bad='skip')
        wrong = {face for face, reason in faces.skipped if reason}
        return ['refused' if str(i) in wrong else 'taken' for i in range(len(inputs))]
    return make, lambda data: open_with(one, [data])[0], read_many


def cells(rng, rows):
    "A table in text, with some cells changed."
    rows = [list(row) for row in rows]
    for _ in range(rng.choice([1, 1, 2, 5])):
        row = rng.choice(rows)
        token = rng.choice([*TOKENS, b'0', b'train', b'1.png', b'2', b'1', b'0.png'])
        row[rng.randrange(len(row))] = token.decode('utf-8', 'replace')
    separator = rng.choice([',']*8+[';', '\t', '|'])
    return '\n'.join(separator.join(row) for row in rows).encode(*rng.choice(
        [('utf-8', 'replace')]*6+[('utf-16', 'replace'), ('latin-1', 'replace')]))


def text_table(rows):
    whole = '\n'.join(','.join(row) for row in rows).encode()
    return lambda rng: sometimes(rng, .5, lambda: cells(rng, rows), lambda: damage(rng, whole))


@reader('label.csv', 'fer2013new.csv')
def ferplus(folder, name):
    root = folder/'ferplus'
    faces_in(root/'FER2013Train')
    rows = [[f'{i}.png', '(0, 0, 48, 48)'.replace(',', ' '), *'4301020000'] for i in range(3)]
    if name == 'fer2013new.csv':
        head = ['Usage', 'Image name', *FERPLUS8.names, 'unknown', 'NF']
        rows = [head, *(['Training', row[0], *row[2:]] for row in rows)]
    place = root/('FER2013Train/label.csv' if name == 'label.csv' else name)
    def read(data):
        put(place, data)
        return open_dataset('ferplus', root, on_bad='skip')[0]
    return text_table(rows), read


TABLE = [['image', 'split', 'id', 'glad', 'sad', 'calm', 'valence', 'arousal'],
         ['faces/0.png', 'train', 'a', '3', '2', '1', '.5', '-.5'],
         ['faces/1.png', 'train', 'b', '4', '0', '2', '0', '1'],
         ['faces/2.png', 'valid', 'c', '0', '1', '5', '-1', '0']]


def open_table(path, data, **options):
    put(path, data)
    name = guess_reader(path)
    known = READERS[name].options
    options = {k: v for k, v in options.items() if k in known}
    return open_dataset(name, path, on_bad='skip', **options)[0]


@reader('csv', 'boxes.csv', 'annotations.csv', 'ratings.csv', 'csv.gz')
def tables(folder, name):
    faces_in(folder/'faces')
    rows, more = TABLE, {}
    if name == 'boxes.csv':
        rows = [[*row, *box] for row, box in zip(
            TABLE, [['face_x', 'face_y', 'face_width', 'face_height'], *['1188']*3])]
    if name == 'annotations.csv':
        rows, more = [*TABLE, *TABLE[1:]], dict(one_row='annotation')
        rows = [row[:2]+row[3:] for row in rows]
    if name == 'ratings.csv':
        rows = [['image', 'rater', 'emotion'], *(['a', str(i % 3), 'glad'] for i in range(9))]
        def read(data):
            put(folder/'r.csv', data)
            return read_ratings(folder/'r.csv', EMOTIONS).table()
        return text_table(rows), read
    make = text_table(rows)
    if name == 'csv.gz':
        import gzip
        plain, whole = make, gzip.compress('\n'.join(map(','.join, rows)).encode())
        def make(rng):
            return sometimes(rng, .3, lambda: gzip.compress(plain(rng)),
                             lambda: damage(rng, whole))
    ending = '.csv.gz' if name == 'csv.gz' else '.csv'
    return make, lambda data: open_table(folder/f'{name[0]}{ending}', data, emotions=EMOTIONS,
                                         **more)


@reader('parquet')
def parquet_tables(folder, name):
    faces_in(folder/'faces')
    names, *rows = TABLE
    columns = {key: [row[i] if i < 3 else float(row[i]) for row in rows]
               for i, key in enumerate(names)}
    columns['image'][2] = dict(bytes=(folder/'faces/2.png').read_bytes(), path='')
    columns['image'][:2] = [dict(bytes=b'', path=x) for x in columns['image'][:2]]
    def file(columns):
        file = io.BytesIO()
        parquet.write_table(pa.table(columns), file)
        return file.getvalue()
    whole = file(columns)
    def varied(rng):
        with contextlib.suppress(pa.ArrowException, ValueError, TypeError, OverflowError):
            return file({k: v if isinstance(v, list) else [v]*3
                         for k, v in vary_inside(rng, columns).items()})
        return damage(rng, whole)
    def make(rng):
        return sometimes(rng, .5, lambda: varied(rng), lambda: damage(rng, whole))
    return make, lambda data: open_table(folder/'t.parquet', data, emotions=EMOTIONS)


@reader('huggingface')
def hub_shards(folder, name):
    cells = dict(image=[dict(bytes=picture('png', mode), path=None) for mode in ('L', 'P', 'RGB')],
                 label=[0, 1, 1])
    about = dict(info=dict(features=dict(label=dict(names=['glad', 'sad'], _type='ClassLabel'))))
    def file(cells, text):
        file = io.BytesIO()
        table = pa.table(cells).replace_schema_metadata({'huggingface': text})
        parquet.write_table(table, file)
        return file.getvalue()
    whole = file(cells, json.dumps(about))
    def varied(rng):
        some = vary_inside(rng, cells) if rng.random() < .5 else cells
        text = json.dumps(vary(rng, about)).encode()
        text = damage(rng, text) if rng.random() < .2 else text
        with contextlib.suppress(pa.ArrowException, ValueError, TypeError, OverflowError):
            return file({k: v if isinstance(v, list) else [v]*3 for k, v in some.items()}, text)
        return damage(rng, whole)
    def make(rng):
        return sometimes(rng, .6, lambda: varied(rng), lambda: damage(rng, whole))
    def read(data):
        put(folder/'hub/train-0.parquet', data)
        return open_dataset('huggingface', folder/'hub', on_bad='skip')[0]
    return make, read


@reader('fer2013.csv', 'rafdb', 'expw', 'affectnet.csv')
def layouts(folder, name):
    root = folder/name
    pixels = ' '.join(map(str, range(0, 144)))
    rows = {'fer2013.csv': [['emotion', 'pixels', 'Usage'], *([str(i), pixels, u] for i, u in
                            enumerate(['Training', 'Training', 'PublicTest']))],
            'rafdb': [[f'train_0000{i}.jpg {i+1}'] for i in range(3)]+[['test_00001.jpg 4']],
            'expw': [[f'{i}.png 0 0 0 8 8 20.5 {i}'] for i in range(3)],
            'affectnet.csv': [['subDirectory_filePath', 'expression', 'valence', 'arousal',
                               'face_x', 'face_y', 'face_width', 'face_height'],
                              *([f'{i}.png', str(i), '.1', '-.2', *'1188'] for i in range(3))]}
    place = {'fer2013.csv': 'fer2013.csv', 'rafdb': 'list_patition_label.txt', 'expw': 'label.lst',
             'affectnet.csv': 'training.csv'}[name]
    faces_in(root)
    faces_in(root/'image')
    for i in range(3):
        put(root/f'Image/aligned/train_0000{i}_aligned.jpg', picture('jpeg'))
    path = root/place if name in ('fer2013.csv', 'rafdb', 'expw') else root
    def read(data):
        put(root/place, data)
        how = dict(valid_share=.5) if name == 'expw' else {} # it comes without a split
        return open_dataset(guess_reader(path), path, on_bad='skip', **how)[0]
    return text_table(rows[name]), read


@reader('config.yaml')
def yaml_files(folder, name):
    from emotion_recognition.config import config_text
    values = load_config('base').model_dump(mode='json')
    whole = config_text(load_config('base')).encode()
    keys = [(section, key) for section, inside in values.items() if isinstance(inside, dict)
            for key in inside]
    def some(rng):
        found = {}
        for section, key in rng.sample(keys, 6):
            found.setdefault(section, {})[key] = values[section][key]
        return found
    def make(rng):
        if rng.random() < .05:
            return damage(rng, whole)
        write = rng.choice([json.dumps, yaml.safe_dump])
        if rng.random() < .5:
            return damage(rng, write(some(rng)).encode())
        return json.dumps(vary(rng, some(rng))).encode()
    def read(data):
        put(folder/'c.yaml', data)
        found = load_config(str(folder/'c.yaml'))
        return config_text(found) if len(data) % 4 == 0 else repr(found) # that takes longer
    return make, read


@reader('overrides', 'emotions')
def settings(folder, name):
    values = load_config('base').model_dump(mode='json')
    keys = [f'{section}.{key}' for section, inside in values.items() if isinstance(inside, dict)
            for key in inside]+list(values)+['data.emotions', 'data.valid_share', 'x', '', 'data.x']
    names = [*VALUES, '[a, b]', '{names: [a, b], valence: [0, 1]}', '[', '{a: 1', '"', '1_000']
    def make(rng):
        if name == 'emotions':
            fields = dict(names=['a', 'b', 'c'], valence=[0., .1, -1], arousal=[0, 0, 0],
                          order=['b', 'a', 'c'], valence_sd=[.1]*3)
            return pickle.dumps(vary(rng, rng.choice([fields, fields['names'], 'ferplus8'])))
        some = [f'{rng.choice(keys)}={rng.choice(names)}' for _ in range(rng.choice([1, 1, 2, 4]))]
        if rng.random() < .3:
            some[0] = damage(rng, some[0].encode()).decode('utf-8', 'replace')
        return pickle.dumps(some)
    def read(data):
        value = pickle.loads(data) # made here, not read
        return emotion_set(value) if name == 'emotions' else repr(load_config('base', value))
    return make, read


@reader('predictions.npz')
def predictions(folder, name):
    rng0 = np.random.default_rng(0)
    probs = rng0.dirichlet(np.ones(3), 6)
    path = folder/'p.npz'
    Predictions([f'{i}' for i in range(6)], probs, probs, EMOTIONS, np.full((6, 3), 2.),
                dict(run='a', training_mean=[.2, .3, .5], temperature=1.5)).save(path)
    whole = path.read_bytes()
    with np.load(path) as found:
        arrays = dict(found)
    def varied(rng):
        some, key = dict(arrays), rng.choice(list(arrays))
        if key in ('emotions', 'provenance') and rng.random() < .7:
            some[key] = np.array(json.dumps(vary(rng, json.loads(str(some[key])))))
        elif rng.random() < .1:
            del some[key]
        else:
            some[key] = vary_array(rng, some[key])
        file = io.BytesIO()
        sometimes(rng, .2, lambda: np.savez_compressed(file, **some),
                  lambda: np.savez(file, **some))
        return file.getvalue()
    def make(rng):
        return sometimes(rng, .6, lambda: varied(rng), lambda: damage(rng, whole))
    def read(data):
        put(path, data)
        found = load_predictions(path)
        return found.name, found.fingerprint, repr(found)
    return make, read


@reader('metrics.jsonl', 'environment.json', 'cost.json')
def records(folder, name):
    run = folder/'run'
    put(run/'config.yaml', b'seed: 1\n')
    values = {'metrics.jsonl': dict(epoch=1, loss=.5, kl=.25, lr=1e-3),
              'environment.json': dict(torch='2.11', seed=1, data=dict(train=dict(
                  fingerprint='ab', faces=3, skipped_faces=[['a', 'b']]))),
              'cost.json': dict(minutes=3.5, parameters=9, images_per_second=2., peak=1e6)}[name]
    def make(rng):
        lines = [values, vary(rng, values)] if name == 'metrics.jsonl' else [vary(rng, values)]
        text = '\n'.join(map(json.dumps, lines)).encode()
        return sometimes(rng, .5, lambda: text, lambda: damage(rng, text))
    def read(data):
        put(run/name, data)
        found = Run(run)
        if name == 'cost.json':
            return [float(x) for x in run_cost(run).values()]
        if name == 'environment.json':
            return check_same_faces({}, run)
        return [float(x) for record in found.history for x in record.values()]
    return make, read


class Backbone(torch.nn.Module):
    "As small as one of timm's can be: the time goes into reading, not into making weights."
    num_features = head_hidden_size = 4

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)).mean((2, 3))


@timm.models.register_model
def test_tiny(pretrained=False, num_classes=0, **given_by_timm):
    return Backbone()


@reader('config.json', 'model.safetensors', 'weights.pth', 'weights.safetensors')
def models(folder, name):
    best = folder/'best'
    model = create_model('test_tiny', EMOTIONS, image_size=32)
    model.save_pretrained(best)
    tensors = model.state_dict()
    config, whole = (best/'config.json').read_bytes(), (best/'model.safetensors').read_bytes()
    small = {k: tensors[k] for k in list(tensors)[:4]}
    save_file(small, folder/'s.safetensors')
    some = (folder/'s.safetensors').read_bytes()
    header = 8+int.from_bytes(whole[:8], 'little')
    def pth(rng):
        file = io.BytesIO()
        torch.save(vary(rng, dict(state_dict=small, epoch=3)), file)
        return file.getvalue()
    def make(rng):
        if name == 'config.json':
            text = json.dumps(vary(rng, json.loads(config))).encode()
            return sometimes(rng, .6, lambda: text, lambda: damage(rng, config))
        if name == 'weights.pth':
            return sometimes(rng, .3, lambda: pth(rng), lambda: damage(rng, pth(rng)))
        if name == 'weights.safetensors':
            return damage(rng, some)
        return sometimes(rng, .8, lambda: damage(rng, whole[:header])+whole[header:],
                         lambda: whole[:header]+damage(rng, whole[header:]))
    def read(data):
        if name.startswith('weights'):
            put(folder/name, data)
            return read_weights(folder/name)
        put(best/name, data)
        return EmotionModel.from_pretrained(best)
    return make, read


@reader('trainer.pt')
def checkpoints(folder, name):
    faces = open_dataset('synthetic', split='train', n_train=8, face_size=16)
    model = create_model('test_tiny', faces.emotions, image_size=32)
    loader = create_loader(faces, 4, 32)
    watch = Watch('kl')
    trainer = Trainer(model, create_loss('kl', faces.emotions), create_optimizer(model),
                      loader, loader, epochs=1, callbacks=[Checkpoint(folder, watch)])
    trainer.fit()
    path = folder/'last/trainer.pt'
    whole, state = path.read_bytes(), torch.load(path, weights_only=True)
    def varied(rng):
        file = io.BytesIO()
        torch.save(vary(rng, state), file)
        return file.getvalue()
    def make(rng):
        return sometimes(rng, .7, lambda: varied(rng), lambda: damage(rng, whole))
    def read(data):
        put(path, data)
        return trainer.resume(folder)
    return make, read


@reader('faces.arrow', 'squares.u8')
def packs(folder, name):
    faces_in(folder/'faces')
    put(folder/'t.csv', '\n'.join(map(','.join, TABLE)).encode())
    how = dict(emotions=EMOTIONS)
    make_pack('table', folder/'t.csv', 'train', 16, **how)
    place = pack_folder('table', folder/'t.csv', 'train', 16, how)
    whole = (place/name).read_bytes()
    def varied(rng):
        table = pa.ipc.open_file(pa.BufferReader((whole))).read_all()
        about = json.loads(table.schema.metadata[b'pack'])
        columns = vary_inside(rng, table.to_pydict()) if rng.random() < .5 else table.to_pydict()
        with contextlib.suppress(pa.ArrowException, ValueError, TypeError, OverflowError):
            table = pa.table({k: v if isinstance(v, list) else [v]*2 for k, v in columns.items()},
                             table.schema if columns.keys() == set(table.column_names) else None)
        table = table.replace_schema_metadata({'pack': json.dumps(vary(rng, about))})
        file = io.BytesIO()
        with pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table)
        return file.getvalue()
    def make(rng):
        if name == 'faces.arrow' and rng.random() < .6:
            return varied(rng)
        return damage(rng, whole)
    def read(data):
        put(place/name, data)
        if name == 'faces.arrow': # or its checksum would be all that is tried
            put(place/'faces.sha1', hashlib.sha1(data).hexdigest().encode())
        faces = open_packed('table', folder/'t.csv', 'train', 16, **how)
        return faces.squares and faces.squares.read([0]), faces[0]
    return make, read


# Running

class Slow(BaseException):
    "Over the limit of time."


def too_slow(*_):
    raise Slow(f'over {SECONDS} s of the processor')


def is_ours(error):
    "Whether this library raised an error, and it says where and what."
    if not isinstance(error, (ValueError, OSError)):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return last.startswith(OURS) and re.search(r'[:;]\s', str(error)) is not None


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1000


def bounded(read, data):
    "What reading returns, or the error; a text if it took too much."
    before = peak()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            result = read(data)
    except BaseException as e:
        result = e
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return result if peak()-before < MEGABYTES else MemoryError(f'{peak()-before:.0f} MB')


def attempt(read, data):
    "taken, refused, or the fault."
    error = bounded(read, data)
    if not isinstance(error, BaseException):
        return 'taken'
    if ALONE:
        traceback.print_exception(error)
    return 'refused' if is_ours(error) else f'{type(error).__name__}: {str(error)[:200]}'


def attempt_all(read, read_many, inputs):
    "Of each input taken, refused or the fault; of many at once, if none makes that fail."
    if read_many and len(inputs) > 1:
        found = bounded(read_many, inputs)
        if not isinstance(found, BaseException):
            return found
    return [attempt(read, data) for data in inputs]


def hurry():
    "Leave out what an input does not change."
    os.fsync = lambda file: None # nothing has to outlive this process
    index.save_columns = lambda *what: None # nor may an input find the scan of another
    index.in_threads = lambda work, parts: map(work, parts)
    open_pictures = pack.open_dataset
    pack.open_dataset = lambda *what, known=[], **how: (
        known or known.append(open_pictures(*what, **how)) or known)[0]


def run(name, first, last, together, folder, results, sending):
    "Note what becomes of each input, in a process of its own."
    signal.signal(signal.SIGPROF, too_slow)
    os.environ['EMOREC_CACHE'] = str(folder/'cache')
    torch.set_num_threads(1)
    make, read, *many = READ[name](folder, name)
    hurry()
    if not ALONE: # libtiff writes there what it thinks of a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sending.send(None)
    used = int(Path('/proc/self/statm').read_text().split()[0])*os.sysconf('SC_PAGE_SIZE')
    resource.setrlimit(resource.RLIMIT_AS, (used+4*2**30,)*2)
    for start in range(first, last, together if many else 1):
        numbers = range(start, min(last, start+(together if many else 1)))
        inputs = [make(random.Random(f'{name} {number}')) for number in numbers]
        found = attempt_all(read, *(many or [None]), inputs)
        for number, result in zip(numbers, found):
            results[number] = RESULTS.index(result) if result in RESULTS else FAULT
            if results[number] == FAULT:
                sending.send((number, result))


RESULTS = ['not read', 'taken', 'refused'] # a byte for each input, which outlives a crash
FAULT = len(RESULTS)


class Shared:
    "A number for each input of a block."
    def __init__(self, first, last):
        self.first, self.values = first, multiprocessing.RawArray('b', last-first)

    def __getitem__(self, number):
        return self.values[number-self.first]

    def __setitem__(self, number, value):
        self.values[number-self.first] = value


def process_of(name, first, last, together, results):
    "Read inputs in a process; its exit code, and the faults that it saw."
    faults = {}
    with tempfile.TemporaryDirectory(prefix='fuzz', dir=SCRATCH) as folder:
        receiving, sending = multiprocessing.Pipe(False)
        process = multiprocessing.Process(target=run, args=(
            name, first, last, together, Path(folder), results, sending))
        process.start()
        sending.close()
        try:
            receiving.recv()
        except EOFError:
            raise SystemExit(f'{name}: could not be prepared') from None
        with contextlib.suppress(EOFError):
            while True:
                number, fault = receiving.recv()
                faults[number] = fault
        process.join()
    return process.exitcode, faults


def block(name, first, last):
    "What became of some inputs, and the faults by their numbers."
    results, faults = Shared(first, last), {}
    at, together = first, TOGETHER
    while at < last:
        end = last if together > 1 else min(at+TOGETHER, last)
        code, found = process_of(name, at, end, together, results)
        faults |= found
        at = next((number for number in range(at, end) if not results[number]), end)
        if at < end and together == 1: # the process died of this input
            faults[at] = f'exit code {code}'
            results[at] = FAULT
            at += 1
        together = 1 if at < end and together > 1 else TOGETHER # of which one?
    return results.values, faults


def fuzz(name, first, last, row):
    "Add the results of inputs to a row of the table."
    started = time.monotonic()
    results, faults = block(name, first, last)
    row['inputs'] = row.get('inputs', 0)+len(results)
    for i, kind in enumerate(RESULTS[1:], 1):
        row[kind] = row.get(kind, 0)+sum(result == i for result in results)
    row['faults'] = row.get('faults', 0)+len(faults)
    row['seconds'] = round(row.get('seconds', 0)+time.monotonic()-started, 1)
    for number, fault in faults.items():
        print(f'{name} {number}: {fault}', flush=True)


def main():
    global ALONE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('inputs', type=int, nargs='?', default=1000)
    parser.add_argument('readers', nargs='*')
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    if unknown := set(args.readers)-READ.keys():
        parser.error(f"no reader {', '.join(unknown)}; there are: {', '.join(READ)}")
    ALONE = args.inputs == 1
    table = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for start in range(0, args.inputs, BLOCK):
        for name in args.readers or READ:
            row = table.setdefault(name, {})
            first = args.first+start
            if args.out and row.get('inputs', 0) > first:
                continue
            fuzz(name, first, min(first+BLOCK, args.first+args.inputs), row)
            if args.out:
                text = json.dumps(table, indent=1)+'\n'
                write_atomically(args.out, lambda file: file.write(text.encode())) # noqa: B023
    for name, row in table.items():
        print(f"{name:>20}", *(f'{row[key]:>9,} {key}' for key in row))
    return int(any(row['faults'] for row in table.values()))


ALONE = False
SCRATCH = '/dev/shm' if Path('/dev/shm').is_dir() else None

if __name__ == '__main__':
    sys.exit(main())
