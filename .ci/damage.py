"""Damage one in a hundred of many pictures, in ten ways; then open them as a data set.

    python .ci/damage.py 20000

Every damaged picture must be named and counted, and every other one used. Prints a line per way.
The exit code is 1 if one was missed, or a good one was left out.
"""
import pickle
import random
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_recognition.columns import DataError
from emotion_recognition.data import open_dataset
from emotion_recognition.emotions import EmotionSet


def claim(side):
    "A PNG of 57 bytes that says it is this large."
    def chunk(name, data=b''):
        body = name+data
        return len(data).to_bytes(4, 'big')+body+zlib.crc32(body).to_bytes(4, 'big')
    header = side.to_bytes(4, 'big')*2+b'\x08\x02\0\0\0'
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', header)+chunk(b'IDAT')+chunk(b'IEND')


def replaced(make):
    "Damage that puts other bytes into a file."
    return lambda path: path.write_bytes(make(path.read_bytes()))


def linked(path):
    path.unlink()
    path.symlink_to('gone.png')


def made_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    'empty': replaced(lambda data: b''),
    'cut in half': replaced(lambda data: data[:len(data)//2]),
    'a web page': replaced(lambda data: b'<html>not found</html>'),
    'noise': replaced(lambda data: random.Random(0).randbytes(len(data))),
    'zeros behind the header': replaced(lambda data: data[:40]+bytes(len(data)-40)),
    'one bit changed': replaced(lambda data: data[:99]+bytes([data[99] ^ 1])+data[100:]),
    '10 gigapixels in 57 bytes': replaced(lambda data: claim(100_000)),
    'a pickle': replaced(pickle.dumps),
    'missing': Path.unlink,
    'a link to nothing': linked,
    'a folder': made_folder}


def write(folder, n):
    "Pictures of noise, and their table."
    rng, lines = np.random.default_rng(0), ['image,split,id,glad,sad']
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder/f'{i}.png')
        lines.append(f'{i}.png,train,{i},3,1')
    (folder/'faces.csv').write_text('\n'.join(lines)+'\n')


def main(n):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, n)
        damaged = random.Random(0).sample(range(n), max(len(DAMAGE), n//100))
        ways = {i: list(DAMAGE)[k % len(DAMAGE)] for k, i in enumerate(damaged)}
        for i, way in ways.items():
            DAMAGE[way](folder/f'{i}.png')
        how = dict(emotions=EmotionSet(['glad', 'sad']))
        started = time.monotonic()
        faces = open_dataset('table', folder/'faces.csv', on_bad='skip', **how)
        seconds = time.monotonic()-started
        try:
            open_dataset('table', folder/'faces.csv', **how)
            stopped = ''
        except DataError as e:
            stopped = str(e).splitlines()[0].replace(str(folder), 'FOLDER')
    named = {int(name.split('(')[1].removesuffix('.png)')) for name, _ in faces.skipped}
    for way in DAMAGE:
        some = [i for i in ways if ways[i] == way]
        print(f'{way}: {len(named & set(some))} of {len(some)} named')
    good = set(map(int, faces.ids)) == set(range(n))-ways.keys()
    print(f'{len(faces):,} of {n-len(ways):,} others used, in {seconds:.1f} s; {stopped}')
    counted = f'{len(ways):,} of {n:,} faces cannot be used' in stopped
    return int(not (good and counted and named == ways.keys()))


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
