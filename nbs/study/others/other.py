"""One package's prediction for FER+ faces as they are; reads commands from standard input.

    python other.py fer|facex|torch|onnx FACES.npy
    all OUT         write its shares for every face
    time N          print the processor time in seconds of N faces, one by one
"""
import sys
import time
from pathlib import Path

import numpy as np


def fer():
    "The class's own preparation and network, without its padding."
    import cv2
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from fer.fer import FER
    haar = Path(sys.modules['fer'].__file__).parent/'data/haarcascade_frontalface_default.xml'
    detector = FER(cascade_file=str(haar))

    def predict(face):
        face = cv2.resize(face, (64, 64)).astype('float32')
        return np.asarray(detector._classify_emotions((face[None]/255-.5)*2))[0]
    return predict


def facex():
    "Its detect_emotion on the face in three channels."
    import facex as package
    model = Path(package.__file__).parent/'assets/model_optimized.tflite'
    classifier = package.EmotionClassifier(str(model))
    return lambda face: np.array(list(classifier.detect_emotion(face).values()))


def prepared(face):
    "The face at the size of our model, uint8 [1,3,96,96]."
    import torch
    from torchvision.transforms.functional import resize
    image = torch.from_numpy(np.broadcast_to(face, (1, 3, 48, 48)).copy())
    return resize(image, [96, 96], antialias=True)


def torch_model():
    "The bundled model by PyTorch."
    import torch

    from emotion_recognition.backends import create_predictor
    from emotion_recognition.models import EmotionModel
    torch.set_num_threads(1)
    predictor = create_predictor(EmotionModel.from_pretrained('ferplus'), backend='torch')
    return lambda face: predictor(prepared(face))[0, 0]


def onnx_model():
    "The bundled model by ONNX Runtime; ferplus.onnx is what emorec_export wrote."
    import onnxruntime
    import torch
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession('ferplus.onnx', options)
    name = session.get_inputs()[0].name
    return lambda face: session.run(None, {name: prepared(face).numpy()})[0][0]


if __name__ == '__main__':
    kind, faces = sys.argv[1], np.load(sys.argv[2])
    make = dict(fer=fer, facex=facex, torch=torch_model, onnx=onnx_model)
    predict = make[kind]()
    predict(faces[0])
    print('ready', flush=True)
    for line in sys.stdin:
        command, value = line.split()
        if command == 'all':
            with open(value, 'wb') as file:
                np.save(file, np.stack([predict(face) for face in faces]))
            print('done', flush=True)
        else:
            before = time.process_time()
            for face in faces[:int(value)]:
                predict(face)
            print(time.process_time()-before, flush=True)
