"""Give the commands small files that would unpack to gigabytes; time and memory. POSIX only.

    python .ci/bombs.py

Writes nbs/study/bombs.json, which nbs/reliability.ipynb shows. Each command runs in a process of
its own, as from a shell; first beside a sound file, then beside the bomb. The exit code is 1 if a
bomb is not refused by one line that names the file.
"""
import gzip
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from emotion_recognition.core import write_atomically

RESULTS = Path(__file__).resolve().parent.parent/'nbs/study/bombs.json'
SMALL = ['base', 'data.n_train=64', 'data.n_valid=16', 'data.face_size=32', 'data.image_size=32',
         'model.name=test_resnet', 'train.batch_size=16', 'train.epochs=1', 'run.report=false',
         'run.experiment=bombs', 'run.name=run']
RUN, GIGABYTE = Path('runs/bombs/run'), 10**9
COMMANDS = {
    'emorec_eval': ['eval', RUN],
    'emorec_leaderboard': ['leaderboard', RUN.parent],
    'emorec_train': ['train', *SMALL, 'train.resume=true'],
    'emorec_predict': ['predict', RUN, 'face.png'],
    'emorec_export': ['export', RUN, '--format', 'pt2', '--out', 'face.pt2'],
    'emorec_data inspect faces.csv.gz': ['data', 'inspect', 'faces.csv.gz', '--out', 'report'],
    'emorec_data inspect faces.parquet': ['data', 'inspect', 'faces.parquet', '--out', 'report']}


def zip_bomb(path):
    "Shares of 4 GB, all of them zero."
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        with archive.open('probs.npy', 'w', force_zip64=True) as file:
            header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (38461538, 13), }"
            file.write(b'\x93NUMPY\1\0'+struct.pack('<H', len(header)+1)+header+b'\n')
            for _ in range(4*1000):
                file.write(bytes(10**6))


def aliases(path):
    "Nine to the power of nine values."
    lines = ['a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]']
    for old, new in zip('abcdefgh', 'bcdefghi'):
        lines.append(f"{new}: &{new} [{', '.join(9*['*'+old])}]")
    path.write_text('\n'.join(lines)+'\n')


def changed(**values):
    "A `config.json` with other values."
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


def long_header(path):
    "Weights whose header says that it has a gigabyte."
    path.write_bytes(struct.pack('<Q', GIGABYTE)+path.read_bytes()[8:])


def huge_picture(path):
    "A PNG whose header says 100,000 x 100,000 pixels."
    def chunk(name, data=b''):
        return struct.pack('>I', len(data))+name+data+struct.pack('>I', zlib.crc32(name+data))
    header = struct.pack('>IIBBBBB', 10**5, 10**5, 8, 2, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', header)+chunk(b'IDAT')+chunk(b'IEND'))


def packed_table(path):
    "A table of 4 GB of zeros."
    with gzip.open(path, 'wb') as file:
        file.write(b'image,split,glad,sad\n')
        for _ in range(4*1000):
            file.write(bytes(10**6))


def long_cell(path):
    "A table with one cell of 530 MB in quotes."
    with gzip.open(path, 'wb') as file:
        file.write(b'image,split,glad,sad\n"')
        for _ in range(530):
            file.write(b'x'*10**6)
        file.write(b'",train,1,2\n')


def many_cells(path):
    "A table of 250 million cells in 500 MB."
    with gzip.open(path, 'wb') as file:
        file.write(b'image,glad\n')
        for _ in range(500):
            file.write(b'a,1\n'*250_000)


def one_text(path):
    "A million bytes, to which 4000 rows point."
    one = pa.DictionaryArray.from_arrays(np.zeros(4000, np.int32), ['x'*10**6])
    table = pa.table(dict(image=one, glad=np.ones(4000)))
    parquet.write_table(table, path, compression='zstd', dictionary_pagesize_limit=2**30)


def zeros(path):
    "Pictures of 4 GB of zeros, each within its structure."
    kind = pa.struct(dict(bytes=pa.binary(), path=pa.string()))
    some = pa.table(dict(image=pa.array([dict(bytes=bytes(10**8), path='a')], kind), label=[1]))
    with parquet.ParquetWriter(path, some.schema, compression='zstd', use_dictionary=False) as file:
        for _ in range(40):
            file.write_table(some)


def many_rows(path):
    "One number for 500 million rows."
    some = pa.table(dict(glad=np.ones(10**7, np.int64)))
    with parquet.ParquetWriter(path, some.schema, compression='zstd') as file:
        for _ in range(50):
            file.write_table(some)


BOMBS = [
    ('`predictions.npz` that unpacks to 4 GB', RUN/'predictions.npz', zip_bomb,
     ['emorec_eval', 'emorec_leaderboard']),
    ('`config.yaml` with nested aliases, 9 to the power of 9 values', RUN/'config.yaml', aliases,
     ['emorec_train', 'emorec_eval']),
    ('`config.json`: images of 10,000,000 pixels', RUN/'best/config.json',
     changed(image_size=10**7), ['emorec_predict', 'emorec_export']),
    ('`model.safetensors` with a header of 1 GB', RUN/'best/model.safetensors', long_header,
     ['emorec_predict']),
    ('a PNG of 100,000 x 100,000 pixels', Path('face.png'), huge_picture, ['emorec_predict']),
    ('`faces.csv.gz` that unpacks to 4 GB', Path('faces.csv.gz'), packed_table,
     ['emorec_data inspect faces.csv.gz']),
    ('`faces.csv.gz`: one cell of 530 MB in quotes', Path('faces.csv.gz'), long_cell,
     ['emorec_data inspect faces.csv.gz']),
    ('`faces.csv.gz`: 250 million cells', Path('faces.csv.gz'), many_cells,
     ['emorec_data inspect faces.csv.gz']),
    ('`faces.parquet`: 4000 rows that point to one text of 1 MB', Path('faces.parquet'), one_text,
     ['emorec_data inspect faces.parquet']),
    ('`faces.parquet`: pictures of 4 GB of zeros', Path('faces.parquet'), zeros,
     ['emorec_data inspect faces.parquet']),
    ('`faces.parquet`: one number for 500 million rows', Path('faces.parquet'), many_rows,
     ['emorec_data inspect faces.parquet'])]


def call(command):
    "Exit code, errors, seconds of the processor and peak megabytes of a command."
    words = [sys.executable, '-m', 'emotion_recognition.cli']
    with tempfile.TemporaryFile('w+') as errors:
        process = subprocess.Popen([*words, *map(str, COMMANDS[command])], stderr=errors,
                                   stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        errors.seek(0)
        return (os.waitstatus_to_exitcode(status), errors.read(),
                round(used.ru_utime+used.ru_stime, 1), round(used.ru_maxrss/1000))


def prepare():
    "A sound run, picture and table."
    words = [sys.executable, '-m', 'emotion_recognition.cli', 'train', *SMALL]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    Image.new('L', (48, 48), 128).save('face.png')
    with gzip.open('faces.csv.gz', 'wt') as file:
        file.write('image,split,glad,sad\nface.png,train,1,2\nface.png,valid,2,1\n')
    parquet.write_table(pa.table(dict(image=['face.png']*2, split=['train', 'valid'], glad=[1, 2],
                                      sad=[2, 1])), 'faces.parquet')


def main():
    rows, sound, broken = [], {}, 0
    prepare()
    for what, path, make, commands in BOMBS:
        kept = io.BytesIO(path.read_bytes())
        for command in commands:
            if command not in sound:
                saved = Path('saved')
                shutil.copytree(RUN, saved)
                sound[command] = call(command)
                shutil.rmtree(RUN)
                saved.rename(RUN)
            make(path)
            size = path.stat().st_size
            code, errors, seconds, peak = call(command)
            path.write_bytes(kept.getvalue())
            line = errors.strip().removeprefix(f'{command.split()[0]}: ')
            right = code in (1, 2) and errors.count('\n') == 1 and path.name in line
            broken += not right
            rows.append(dict(what=what, bytes=size, command=command, code=code, line=line,
                             seconds=seconds, peak=peak, sound_seconds=sound[command][2],
                             sound_peak=sound[command][3]))
            print(rows[-1], flush=True)
    text = json.dumps(dict(bombs=rows), indent=1)+'\n'
    write_atomically(RESULTS, lambda file: file.write(text.encode()))
    return int(bool(broken))


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.exit(main())
