"""Kill runs, fill their disk, start them twice; then compare what is left with an undisturbed run.

    python .ci/kills.py term 10       SIGTERM at 10 random moments: exit 143, a line, the same bits
    python .ci/kills.py kill 30       SIGKILL at 30 random moments: the same bits
    python .ci/kills.py disk          disks that run full; root mounts them in memory (Linux)
    python .ci/kills.py twice         two starts and two resumes at once
    python .ci/kills.py torchrun 5    one of two processes killed: the seconds until the other ends

Each prints a line per trial, and ends with 1 if a promise was broken.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SMALL = ['data.n_train=512', 'data.n_valid=48', 'data.face_size=32', 'data.image_size=32',
         'model.name=test_resnet', 'train.batch_size=16', 'train.epochs=3', 'train.mixup=.2',
         'train.ema=.9', 'train.checkpoint_minutes=.01', 'run.report=false', 'run.experiment=kills']
TIMES = 'seconds', 'images_per_second'


def start(*words, processes=1):
    "A process that trains in the current folder."
    launch = [] if processes == 1 else [
        '-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    command = [sys.executable, *launch, '-m', 'emotion_recognition.cli', 'train', 'base']
    return subprocess.Popen([*command, *SMALL, *words], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def finish(process):
    "Exit code, output and errors."
    out, err = process.communicate()
    return process.returncode, out, err


def left(run):
    "What a run left: weights, predictions, and records without what depends on the clock."
    found = load_file(run/'last/model.safetensors') | load_file(run/'best/model.safetensors')
    with np.load(run/'predictions.npz') as arrays:
        found |= {'probs': arrays['probs']}
    lines = (run/'metrics.jsonl').read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
    return found, records


def differences(run, reference):
    "How a run differs from another; and what it has left behind."
    (found, records), (others, expected) = left(run), left(reference)
    wrong = [name for name in others if not np.array_equal(found[name], others[name])]
    wrong += ['metrics.jsonl'] if records != expected else []
    hidden = [path.name for path in run.rglob('.*')]
    return wrong + [f'left {name}' for name in hidden]


def reference(processes=1):
    "An undisturbed run, and the seconds that it takes."
    began = time.monotonic()
    code, out, err = finish(start(f'run.name=whole{processes}', processes=processes))
    assert code == 0, err[-2000:]
    return Path(f'runs/kills/whole{processes}'), time.monotonic()-began


def resume(name, whole, processes=1):
    "What is wrong with a run after it was resumed."
    code, out, err = finish(start(f'run.name={name}', 'train.resume=true', processes=processes))
    return differences(whole.with_name(name), whole) if code == 0 else [err.strip()[-300:]]


def interrupted(number, trials):
    "Send a signal at random moments; whether all ended as promised."
    whole, seconds = reference()
    broken = 0
    for trial in range(trials):
        process = start(f'run.name={number}-{trial}')
        time.sleep(random.uniform(.1, .95)*seconds)
        process.send_signal(number)
        code, out, err = finish(process)
        expected = (143, 0) if number == signal.SIGTERM else (-number, 0)
        wrong = [] if code in expected and err.count('\n') <= 1 else [f'exit {code}: {err[-300:]}']
        wrong += resume(f'{number}-{trial}', whole)
        broken += bool(wrong)
        print(f'{trial+1}: exit {code}, {err.strip() or "no line"}; {wrong or "the same bits"}',
              flush=True)
    return broken


def fill(root, free):
    "Once the run has begun, leave `free` kilobytes of a disk."
    while not (root/'kills/one/environment.json').exists():
        time.sleep(.05)
    with open(root/'filler', 'wb') as file:
        file.write(bytes(max(0, shutil.disk_usage(root).free - free*1000)))


def full_disk():
    "Let disks run full; whether each run ended with a line and whole checkpoints."
    broken = 0
    for free in (100, 1000, 2500, 5000):
        root = Path(tempfile.mkdtemp())
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', str(root)], check=True)
        process = start(f'run.root={root}', 'run.name=one')
        fill(root, free)
        code, out, err = finish(process)
        run, wrong = root/'kills/one', []
        if code != 1 or err.count('\n') != 1:
            wrong.append(f'exit {code}: {err[-500:]}')
        wrong += [f'left {path.name}' for path in run.rglob('.*')]
        for folder in (run/'best', run/'last'):
            if folder.exists():
                load_file(folder/'model.safetensors')
        broken += bool(wrong)
        line = err.strip().replace(str(root), 'DISK')
        print(f'{free} kB: exit {code}, {line or "no line"}; {wrong or "whole"}', flush=True)
        subprocess.run(['umount', str(root)], check=True)
        root.rmdir()
    return broken


def twice():
    "Two starts without a name, then two resumes of one run, each at once."
    broken = 0
    ends = [finish(process) for process in [start() for _ in range(2)]]
    folders = sorted(path.name for path in Path('runs/kills').iterdir())
    broken += [code for code, *_ in ends] != [0, 0] or len(folders) != 2
    print(f'two starts: exits {[code for code, *_ in ends]}, folders {folders}')
    words = ['run.name=one']
    process = start(*words)
    while not Path('runs/kills/one/last').exists():
        time.sleep(.1)
    process.send_signal(signal.SIGTERM)
    finish(process)
    ends = [finish(process) for process in [start(*words, 'train.resume=true') for _ in range(2)]]
    broken += sorted(code for code, *_ in ends) != [0, 2]
    refused = [err.strip() for code, _, err in ends if code == 2]
    print(f'two resumes: exits {[code for code, *_ in ends]}; {refused}')
    return broken


def children(pid):
    "The processes that a process has started."
    found = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [int(child) for child in found]


def one_of_two(trials):
    "Kill one of two processes; whether the other ends, and the resumed run has the same bits."
    whole, seconds = reference(processes=2)
    broken = 0
    for trial in range(trials):
        process = start(f'run.name=two-{trial}', processes=2)
        time.sleep(random.uniform(.5, .9)*seconds)
        ranks = children(process.pid)
        if len(ranks) < 2:
            continue
        os.kill(random.choice(ranks), signal.SIGKILL)
        began = time.monotonic()
        code, out, err = finish(process)
        took = time.monotonic()-began
        lines = [line for line in err.splitlines() if line.startswith('emorec_train: ')]
        wrong = [f'took {took:.0f} s'] if took > 60 else []
        wrong += resume(f'two-{trial}', whole, processes=2)
        broken += bool(wrong)
        print(f'{trial+1}: the other ended after {took:.1f} s, {lines}; '
              f'{wrong or "the same bits"}', flush=True)
    return broken


if __name__ == '__main__':
    kind, trials = (sys.argv[1:] + ['term', '3'])[0], int((sys.argv[2:] or ['3'])[0])
    package = str(Path(__file__).resolve().parent.parent)
    os.environ['PYTHONPATH'] = os.pathsep.join([package, os.environ.get('PYTHONPATH', '')])
    os.chdir(tempfile.mkdtemp())
    checks = dict(term=lambda: interrupted(signal.SIGTERM, trials),
                  kill=lambda: interrupted(signal.SIGKILL, trials), disk=full_disk, twice=twice,
                  torchrun=lambda: one_of_two(trials))
    broken = checks[kind]()
    print(f'{broken} broken')
    sys.exit(bool(broken))
