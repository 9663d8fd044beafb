"""Compare the page "Try it" in headless Chromium with `predict`.

    python .ci/try_it_check.py    builds what the page needs, then uses it; exit 1 for a fault

Every share must be that of Python within 0.001: photographs with one face and with two, a drawing,
a small gray crop. A file that is no picture is refused, the camera works, and nothing is uploaded.
"""
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata, util
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from try_it import BUILT, NBS, build

NEEDED = ('onnx', 'onnxscript')


def page():
    "The page's own part of the site, as it stands in the notebook."
    cells = json.loads((NBS/'try_it.ipynb').read_text())['cells']
    text = '\n'.join(''.join(cell['source']) for cell in cells)
    return re.search(r'```\{=html\}\n(.*?)```', text, re.S)[1]


def as_file(picture, kind='png', **options):
    "The bytes of a picture's file."
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def turned(picture):
    "As a telephone stores a portrait: lying on its side, with a note to turn it."
    from PIL import ExifTags, Image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return as_file(picture.transpose(Image.Transpose.ROTATE_90), 'jpeg', quality=90, exif=exif)


def open_portrait():
    "A photograph of Grace Hopper (public domain), which comes with matplotlib."
    from matplotlib import cbook
    from PIL import Image
    return Image.open(cbook.get_sample_data('grace_hopper.jpg', asfileobj=False))


def photographs():
    "Name -> picture as a file."
    from PIL import Image
    portrait = open_portrait()
    two = Image.new('RGBA', (900, 640)) # transparent, which becomes white
    two.paste(portrait.resize((384, 450)), (30, 150))
    two.paste(portrait.crop((80, 0, 430, 420)).rotate(12).resize((250, 300)), (560, 60))
    crop = portrait.crop((160, 90, 370, 300)).convert('L').resize((48, 48))
    return {'portrait.jpg': turned(portrait), 'two faces.png': as_file(two),
            'drawing.png': (BUILT/'example.png').read_bytes(), 'gray.png': as_file(crop),
            'no face.png': as_file(two.crop((0, 0, 300, 140)))}


class Server(SimpleHTTPRequestHandler):
    "The notebooks' folder, the harness around the page, and a place to leave the result."
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, '.wasm': 'application/wasm',
                      '.js': 'text/javascript', '.mjs': 'text/javascript'}

    def __init__(self, *args, files, done, **keywords):
        self.files, self.done = files, done
        super().__init__(*args, directory=NBS, **keywords)

    def do_GET(self):
        name = unquote(self.path.partition('?')[0])[1:]
        if name not in self.files:
            return super().do_GET()
        self.send_response(200)
        self.send_header('Content-Type', self.guess_type(name or 'index.html'))
        self.end_headers()
        self.wfile.write(self.files[name])

    def do_POST(self):
        self.done(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def browse(files, seconds=90):
    "What the check's script finds on the page, in headless Chromium."
    found, arrived = [], threading.Event()

    def done(result):
        found.append(result)
        arrived.set()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Server, files=files, done=done))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        camera = Path(profile)/'camera.mjpeg'
        camera.write_bytes(as_file(open_portrait(), 'jpeg'))
        browser = subprocess.Popen(
            ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu',
             '--disable-dev-shm-usage', f'--user-data-dir={profile}/chromium',
             '--use-fake-ui-for-media-stream',
             '--use-fake-device-for-media-stream', f'--use-file-for-fake-video-capture={camera}',
             f'http://127.0.0.1:{server.server_port}/'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        arrived.wait(seconds)
        browser.terminate()
        browser.wait()
    server.shutdown()
    if not found:
        sys.exit(f'the page gave no result within {seconds} seconds')
    return found[0]


def harness(names):
    "A page around the page, with the script that uses it."
    script = Path(__file__).with_suffix('.js').read_text()
    script = f'const PICTURES = {json.dumps(list(names))};\n{script}'
    return f'<!doctype html><meta charset="utf-8">{page()}<script type="module">{script}</script>'


def python_faces(data, model):
    "What Python makes of a picture, face by face: the pixels that the model takes, and shares."
    import torch

    from emotion_recognition.backends import create_predictor
    from emotion_recognition.data import create_transform
    from emotion_recognition.faces import Cut, cut_faces
    from emotion_recognition.photographs import read_photograph
    image = read_photograph(data)
    found = (BUILT/'faces.onnx').exists() and cut_faces(image)
    cuts = found or [Cut(image)]
    squares = torch.stack([create_transform(model.image_size)(cut.image) for cut in cuts])
    return squares, create_predictor(model)(squares)[0]


def check_picture(name, seen, data, model):
    "Faults of one picture."
    from emotion_recognition.emotions import EMOTIONS13
    squares, shares = python_faces(data, model)
    if len(seen['faces']) != len(shares):
        return [f"{name}: {len(seen['faces'])} faces on the page, {len(shares)} in Python"]
    faults, pixel, share = [], 0, 0.
    for face, square, row in zip(seen['faces'], squares, shares):
        wanted = square.permute(1, 2, 0).numpy().ravel().astype(int)
        pixel = max(pixel, abs(np.array(face['pixels'])-wanted).max())
        for kind, emotions, values in (
                ('learned', model.emotions, row),
                ('derived', EMOTIONS13, row@model.emotions.translate(EMOTIONS13))):
            if list(face[kind]) != list(emotions.names):
                faults.append(f"{name}: bars for {', '.join(face[kind])}")
            share = max(share, abs(np.array(list(face[kind].values()))-values).max())
    print(f"{name}: {seen['status']} Pixels differ by {pixel}, shares by {share:.1e}; "
          f"{seen['milliseconds']:.0f} ms")
    if pixel > 2:
        faults.append(f'{name}: a pixel of the crop differs by {pixel}; must be 2 or less')
    if share > 1e-3:
        faults.append(f'{name}: a share differs by {share:.4f}; must be 0.001 or less')
    return faults


def check():
    "The number of faults."
    from emotion_recognition.models import EmotionModel
    model, files = EmotionModel.from_pretrained('ferplus'), photographs()
    result = browse({**files, '': harness(files).encode()})
    if 'error' in result:
        sys.exit(f"the page failed: {result['error']} (it said: {result['status']})")
    faults = []
    for name, data in files.items():
        faults += check_picture(name, result['pictures'][name], data, model)
    if 'note.txt' not in result['broken']:
        faults.append(f"a file that is no picture: the page said {result['broken']!r}")
    if not result['camera']['faces']:
        faults.append(f"the camera showed no face: {result['camera']['status']!r}")
    if foreign := set(map(unquote, result['requests'])) - set(files):
        faults.append(f"while it was used the page asked for {', '.join(sorted(foreign))}")
    for line in faults:
        print(f'FAULT {line}')
    return bool(faults)


def obstacle():
    "Why the page cannot be checked here; None if it can."
    if missing := [name for name in NEEDED if not util.find_spec(name)]:
        return f"{', '.join(missing)} not installed: pip install '.[onnx]'"
    torch = metadata.version('torch')
    if tuple(map(int, torch.split('.')[:2])) < (2, 7):
        return f'torch {torch} cannot export the model; the extra [onnx] needs 2.7'
    if missing := [name for name in ('npm', 'chromium') if not shutil.which(name)]:
        return f"no {' and no '.join(missing)}"


def main():
    if reason := obstacle():
        return print(f'skipped: {reason}')
    build()
    sys.exit(check())


if __name__ == '__main__':
    main()
