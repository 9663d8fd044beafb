"""Disturb runs in every way, resume them, and compare with a run that was left alone. Linux only.

    python .ci/kills.py                  all of it, an hour and a half on two cores
    python .ci/kills.py kill disk        these only; the rest of the file stays

Writes nbs/study/kills.json, which nbs/reliability.ipynb shows, and a line per trial; ends with 1
if a promise was broken. Each run is a fork of this process, which has imported the libraries, so a
trial takes seconds; where there are two, torchrun's agent has forked them.
"""
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from emotion_recognition.all import write_atomically
from emotion_recognition.cli import emorec_train
from emotion_recognition.files import read_json

RESULTS = Path(__file__).resolve().parent.parent/'nbs/study/kills.json'
RUNS = Path('runs/kills')
SMALL = ['data.n_train=128', 'data.n_valid=32', 'data.face_size=32', 'data.image_size=32',
         'model.name=test_resnet', 'train.batch_size=16', 'train.epochs=3', 'train.mixup=.2',
         'train.ema=.9', 'train.checkpoint_minutes=.002', 'run.report=false',
         'run.experiment=kills']
TIMES = 'seconds', 'images_per_second'
FORK = get_context('fork')

# ---- runs


class Alone:
    "A forked process that trains in the current folder; `before` is called first."
    def __init__(self, *words, before=lambda: None):
        self.files = [tempfile.TemporaryFile('w+') for _ in range(2)]
        self.process = FORK.Process(target=self.train, args=(words, before))
        self.process.start()

    @property
    def pids(self):
        "Of the processes that train."
        return [self.process.pid]

    def train(self, words, before):
        for number, file in enumerate(self.files, 1):
            os.dup2(file.fileno(), number)
        os.setsid() # its workers are then found by its number
        before()
        self.work(words)

    def work(self, words):
        emorec_train_or_exit(words)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def finish(self):
        "Exit code, output and errors."
        self.process.join()
        return self.process.exitcode, *map(self.read, self.files)

    def read(self, file):
        file.seek(0)
        return file.read()


class Pair(Alone):
    "Two processes that train in the current folder, forked by torchrun's agent."
    def work(self, words):
        config = LaunchConfig(1, 1, 2, run_id=str(os.getpid()), rdzv_backend='c10d',
                              rdzv_endpoint='localhost:0', max_restarts=0, start_method='fork')
        elastic_launch(config, emorec_train_or_exit)(words)

    @property
    def pids(self):
        pid = self.process.pid
        return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))

    def signal(self, number):
        for pid in (self.process.pid, *self.pids):
            os.kill(pid, number)


def emorec_train_or_exit(words):
    "Train; exit with the command's code."
    sys.exit(emorec_train(['base', *SMALL, *words]))


def wait_for(path, seconds=300):
    "Wait until a file or folder is there."
    end = time.monotonic()+seconds
    while not path.exists():
        if time.monotonic() > end:
            sys.exit(f'{path}: was not made')
        time.sleep(.01)


def begin(name, start=Alone, until=''):
    "A new run, once its folder, or what it keeps there, is made: the run and its process."
    run = RUNS/name
    process = start(f'run.name={name}')
    wait_for(run/until)
    return run, process


def ended(pid):
    "Whether a process has ended."
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return True


def left_lines(run):
    "The records of a run."
    return (run/'metrics.jsonl').read_text().splitlines()


def left(run):
    "What a run left: weights, predictions, and records without what depends on the clock."
    found = {f'{name}/{key}': array for name in ('last', 'best')
             for key, array in load_file(run/name/'model.safetensors').items()}
    with np.load(run/'predictions.npz') as arrays:
        found |= {'probs': arrays['probs']}
    records = [{k: v for k, v in json.loads(line).items() if k not in TIMES}
               for line in left_lines(run)]
    return found, records


def differences(run, reference):
    "How a run differs from another; and what it has left behind."
    (found, records), (others, expected) = left(run), left(reference)
    wrong = [name for name in others if not np.array_equal(found[name], others[name])]
    wrong += ['metrics.jsonl'] if records != expected else []
    return wrong + [f'left {path.name}' for path in run.rglob('.*')]


def whole(start=Alone):
    "A run that is left alone, and the seconds that it takes once it has its folder."
    run, process = begin(f'whole-{start.__name__}', start)
    began = time.monotonic()
    code, _, err = process.finish()
    assert code == 0, err[-2000:]
    return run, time.monotonic()-began


def resume(run, reference, start=Alone, *words):
    "What is wrong with a run after it was resumed; and whether that was inside an epoch."
    code, out, err = start(f'run.name={run.name}', 'train.resume=true', *words).finish()
    wrong = differences(run, reference) if code == 0 else [f'resume: exit {code}, {err[-300:]}']
    return wrong, 'resumes after' in out and ', batch' in out


# ---- the ways to disturb them; each yields the trials


def signals(number, trials, start=Alone):
    "A signal to the whole job at random moments."
    reference, seconds = whole(start)
    for trial in range(trials):
        run, process = begin(f'{start.__name__}-{number}-{trial}', start)
        time.sleep(random.uniform(0, seconds))
        process.signal(number)
        code, _, err = process.finish()
        wrong = []
        if number == signal.SIGTERM and (code not in (143, 0) or err.count('\n') != (code == 143)):
            wrong = [f'exit {code}, {err[-300:]}']
        more, inside = resume(run, reference, start)
        yield dict(wrong=wrong+more, inside=inside)


def term():
    "SIGTERM at random moments: exit code 143, one line"
    yield from signals(signal.SIGTERM, 10)


def kill():
    "SIGKILL at random moments"
    yield from signals(signal.SIGKILL, 20)


def job():
    "SIGKILL of `torchrun` and its two processes at random moments"
    yield from signals(signal.SIGKILL, 30, Pair)


def rank():
    "SIGKILL of one of two processes under `torchrun`: the other ends within a minute"
    reference, seconds = whole(Pair)
    for trial in range(10):
        run, process = begin(f'rank-{trial}', Pair)
        time.sleep(random.uniform(0, .8)*seconds)
        killed, other = random.sample(process.pids, 2)
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        while not ended(other) and time.monotonic()-began < 120:
            time.sleep(.05)
        took = time.monotonic()-began
        wrong = [f'took {took:.0f} s'] if took > 60 else []
        code, _, err = process.finish()
        wrong += [] if code else ['exit 0']
        more, inside = resume(run, reference, Pair)
        yield dict(wrong=wrong+more, inside=inside, waited=took)


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = 'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.truncate'


def die_before(number, counted):
    "Kill this process before its change of files of that number."
    def see(event, args):
        if event in CHANGES or event == 'open' and args[2] & WRITING:
            counted.value += 1
            if counted.value == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(see)


def operations():
    "SIGKILL before every file operation of a resumed last epoch, up to the run's end"
    reference, _ = whole()
    started = RUNS/'started'
    process = Alone('run.name=started')
    while not (started/'metrics.jsonl').exists() or len(left_lines(started)) < 2:
        time.sleep(.005)
    process.signal(signal.SIGKILL)
    process.finish()
    for number in count(1):
        run, counted = RUNS/f'operation-{number}', FORK.Value('i')
        shutil.copytree(started, run)
        process = Alone(f'run.name={run.name}', 'train.resume=true',
                        before=lambda: die_before(number, counted)) # noqa: B023
        code, _, err = process.finish()
        if code == 0: # it has fewer
            return
        more, inside = resume(run, reference)
        yield dict(wrong=([] if code == -9 else [f'exit {code}, {err[-300:]}'])+more, inside=inside)
        shutil.rmtree(run)


def refused_room(process, run, reference, make_room, *words):
    "A trial: a run that finds no room ends with a line, and resumes when there is some."
    code, _, err = process.finish()
    wrong = [] if code == 1 and err.count('\n') == 1 else [f'exit {code}, {err[-500:]}']
    wrong += [f'left {path.name}' for path in run.rglob('.*')]
    make_room()
    more, inside = resume(run, reference, Alone, *words)
    return dict(wrong=wrong+more, inside=inside, line=err.strip().replace(str(run), 'RUN'))


def disk():
    "A disk that runs full, in memory: exit code 1, one line"
    reference, _ = whole()
    for free in (100, 1000, 2500, 5000):
        root = Path(tempfile.mkdtemp())
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', root], check=True)
        process = Alone(f'run.root={root}', 'run.name=one')
        wait_for(root/'kills/one/environment.json')
        filler = root/'filler'
        filler.write_bytes(bytes(max(0, shutil.disk_usage(root).free-free*1000)))
        yield refused_room(
            process, root/'kills/one', reference, filler.unlink, f'run.root={root}')
        subprocess.run(['umount', root], check=True)
        root.rmdir()


def limit():
    "A limit on the size of a file (`RLIMIT_FSIZE`), as a quota: exit code 1, one line"
    reference, _ = whole()
    for size in (10_000, 1_000_000, 2_000_000):
        run = RUNS/f'limit-{size}'
        process = Alone(f'run.name={run.name}', before=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))) # noqa: B023
        yield refused_room(process, run, reference, lambda: None)


def removed():
    "The run folder is removed at random moments: exit code 1, one line that names it"
    reference, seconds = whole()
    for trial in range(20):
        run, process = begin(f'removed-{trial}')
        # the first ones at the very beginning, the last ones as the run ends, or after it
        time.sleep(random.uniform(0, seconds) if 5 <= trial < 15 else seconds*(trial >= 15))
        moved = run.with_name(f'{run.name}-moved')
        run.rename(moved) # at once, as rmtree cannot
        code, _, err = process.finish()
        right = code == 1 and err.count('\n') == 1 and str(run) in err
        right |= code == 0 and not err and not differences(moved, reference) # it was finished
        wrong = [] if right else [f'exit {code}, {err[-500:]}']
        wrong += [f'made {run.name} again'] if run.exists() else []
        yield dict(wrong=wrong, code=code, line=err.strip())


def reported():
    "The run folder is removed while the report is written: exit code 1, one line that names it"
    for trial in range(10):
        run = RUNS/f'reported-{trial}'
        process = Alone(f'run.name={run.name}', 'run.report=true')
        wait_for(run/'predictions.npz')
        time.sleep(random.uniform(0, 4))
        moved = run.with_name(f'{run.name}-moved')
        run.rename(moved)
        code, _, err = process.finish()
        right = code == 1 and err.count('\n') == 1 and str(run) in err
        right |= code == 0 and not err and (moved/'report.md').exists() # it was finished
        wrong = [] if right else [f'exit {code}, {err[-500:]}']
        wrong += [f'made {run.name} again'] if run.exists() else []
        yield dict(wrong=wrong, code=code, line=err.strip())


def starts():
    "Three starts without a name at once: three folders"
    reference, _ = whole()
    before = set(RUNS.iterdir())
    for _ in range(5):
        processes = [Alone() for _ in range(3)]
        ends = [process.finish() for process in processes]
        wrong = [f'exit {code}, {err[-300:]}' for code, _, err in ends if code]
        made = set(RUNS.iterdir())-before
        before |= made
        wrong += [] if len(made) == 3 else [f'{len(made)} folders']
        yield dict(wrong=wrong+[x for run in made for x in differences(run, reference)])


def resumes():
    "Two resumes of one run at once: one is refused in a line, exit code 2"
    reference, _ = whole()
    for trial in range(5):
        run, process = begin(f'twice-{trial}', until='last')
        process.signal(signal.SIGTERM)
        process.finish()
        processes = [Alone(f'run.name={run.name}', 'train.resume=true') for _ in range(2)]
        ends = sorted(process.finish()[::2] for process in processes)
        right = [code for code, _ in ends] == [0, 2] and 'is in use by process' in ends[1][1]
        yield dict(wrong=([] if right else [str(ends)])+differences(run, reference))


def session(number):
    "The processes of a session that have not ended."
    def of(stat):
        try:
            state, _, _, found, *_ = stat.read_text().rpartition(')')[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != 'Z' and int(found) == number
    return [stat.parent.name for stat in Path('/proc').glob('[0-9]*/stat') if of(stat)]


def workers():
    "Processes that read faces, after the run's exit, error, SIGTERM and SIGKILL: none is left"
    cases = dict(exit=None, error=None, SIGTERM=signal.SIGTERM, SIGKILL=signal.SIGKILL)
    for name, number in cases.items():
        words = ['train.lr=1e30', 'train.warmup_epochs=0'] if name == 'error' else []
        process = Alone(f'run.name=workers-{name}', 'data.workers=2', *words)
        while len(session(process.pids[0])) < 3:
            time.sleep(.01)
        if number:
            process.signal(number)
        code, _, err = process.finish()
        began = time.monotonic()
        while session(process.pids[0]) and time.monotonic()-began < 60:
            time.sleep(.05)
        expected = dict(exit=0, error=1, SIGTERM=143, SIGKILL=-9)[name]
        wrong = [] if code == expected else [f'exit {code}, {err[-300:]}']
        wrong += [f'left {pid}' for pid in session(process.pids[0])]
        yield dict(wrong=wrong, waited=time.monotonic()-began)


def long():
    "20,000 steps: memory and open files do not grow"
    run, size, epochs = RUNS/'long', 500, 40
    process = Alone('run.name=long', f'data.n_train={2*size}', 'train.batch_size=2',
                    f'train.epochs={epochs}', 'train.checkpoint_minutes=.05')
    wait_for(run/'metrics.jsonl')
    pid, series = process.pids[0], []
    while len(series) < epochs and not ended(pid):
        time.sleep(.02)
        if len(left_lines(run)) > len(series):
            memory = re.search(r'VmRSS:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())
            files = len(list(Path(f'/proc/{pid}/fd').iterdir()))
            series.append([size*len(left_lines(run)), round(int(memory[1])/1000), files])
    code, _, err = process.finish()
    wrong = [] if code == 0 else [f'exit {code}, {err[-300:]}']
    _, memory, files = zip(*series[len(series)//4:])
    wrong += ['memory grows'] if max(memory) > 1.05*memory[0] else []
    wrong += ['files grow'] if max(files) > files[0]+2 else []
    yield dict(wrong=wrong, series=series)


WAYS = [term, kill, operations, disk, limit, removed, reported, starts, resumes, workers, long,
        rank, job]

# ---- all of it


def summary(way, trials, seconds):
    "What the page shows of the trials."
    found = dict(what=way.__doc__, trials=len(trials), seconds=round(seconds),
                 held=sum(not trial['wrong'] for trial in trials))
    if 'inside' in trials[0]:
        found['inside_an_epoch'] = sum(trial['inside'] for trial in trials)
    if 'waited' in trials[0]:
        found['longest_wait'] = round(max(trial['waited'] for trial in trials), 1)
    if 'line' in trials[0]:
        found['lines'] = [trial['line'] for trial in trials]
    return found | ({'series': trials[0]['series']} if 'series' in trials[0] else {})


def keep(name, found):
    "Note what came of a way; the rest of the file stays."
    results = (read_json(RESULTS) if RESULTS.is_file() else {}) | {name: found}
    results['machine'] = (f'{os.cpu_count()} cores, {platform.system()}, Python '
                          f'{platform.python_version()}, PyTorch {torch.__version__}')
    text = json.dumps(results, indent=1)+'\n'
    write_atomically(RESULTS, lambda file: file.write(text.encode()))


def main(names):
    "Disturb runs in some ways, or all; the number of trials in which a promise was broken."
    broken, known = 0, {way.__name__: way for way in WAYS}
    for name in names or known:
        began, trials = time.monotonic(), []
        shutil.rmtree(RUNS, ignore_errors=True)
        for trial in known[name]():
            trials.append(trial)
            broken += bool(trial['wrong'])
            print(name, len(trials), trial, flush=True)
            keep(name, summary(known[name], trials, time.monotonic()-began))
    return broken


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.exit(bool(main(sys.argv[1:])))
