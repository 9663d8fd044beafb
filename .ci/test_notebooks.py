"""Run nbdev_test, slow cells included, and count the notebooks that really ran.

nbdev_test says "Success." also when it found nothing, and when a notebook's process vanished; this says `N passed, M failed`.
"""
import os, re, subprocess, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
found = {p.name for p in (root/'nbs').rglob('*.ipynb') if not p.name.startswith('_') and '.ipynb_checkpoints' not in p.parts}
command = [str(Path(sys.executable).with_name('nbdev_test')), '--n_workers', '2', '--do_print', '--timing', '--flags', 'slow']
environment = {'OMP_NUM_THREADS': '1', **os.environ} # two workers with a thread each: half the time of two that fight for the cores
process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
completed, failed, listing = set(), set(), False
for line in process.stdout:
    print(line, end='', flush=True)
    if m := re.match(r'- Completed (.*\.ipynb)', line): completed.add(Path(m[1]).name)
    listing = listing or 'Tests Failed On The Following Notebooks' in line
    if listing: failed |= {name for name in found if re.search(rf'(?<![\w-]){re.escape(name)}', line)}
code = process.wait()
vanished = found - completed
if vanished: print(f"did not run to their end: {', '.join(sorted(vanished))}")
failed |= vanished
if code and not failed: failed = {'nbdev_test itself'}
print(f'{len(found - failed)} passed, {len(failed)} failed')
sys.exit(bool(failed) or not completed)
