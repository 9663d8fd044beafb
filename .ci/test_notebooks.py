"""Run nbdev_test, slow cells included, and count the notebooks that really ran.

    python .ci/test_notebooks.py            all cells but those for a GPU
    python .ci/test_notebooks.py --quick    without slow cells

nbdev_test says "Success." also when it found nothing, and when a notebook's process vanished.
The last line here is `N passed, M failed`.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notebooks():
    "Names of the notebooks that nbdev_test is to run."
    return {path.name for path in (ROOT/'nbs').rglob('*.ipynb')
            if not path.name.startswith('_') and '.ipynb_checkpoints' not in path.parts}


def run(quick):
    "The exit code and the lines of nbdev_test, which are printed as they come."
    program = str(Path(sys.executable).with_name('nbdev_test'))
    flags = [] if quick else ['--flags', 'slow']
    # two workers with a thread each take half the time of two that fight for the cores
    environment = {'OMP_NUM_THREADS': '1', **os.environ}
    command = [program, '--n_workers', '2', '--do_print', '--timing', *flags]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = []
    for line in process.stdout:
        print(line, end='', flush=True)
        lines.append(line)
    return process.wait(), lines


def failures(code, lines, found):
    "Names of the notebooks that failed or did not run to their end."
    ended = [re.search(r'- Completed (.*\.ipynb)', line) for line in lines]
    completed = {Path(match[1]).name for match in ended if match}
    listed = ''.join(lines).partition('Tests Failed On The Following Notebooks')[2]
    failed = {name for name in found if re.search(rf'(?<![\w-]){re.escape(name)}', listed)}
    if vanished := found-completed:
        print(f"did not run to their end: {', '.join(sorted(vanished))}")
    failed |= vanished
    return failed or ({'nbdev_test itself'} if code else set())


if __name__ == '__main__':
    found = notebooks()
    failed = failures(*run('--quick' in sys.argv), found)
    print(f'{len(found-failed)} passed, {len(failed)} failed')
    sys.exit(bool(failed) or not found)
