"""Write README.md from nbs/index.ipynb, the one text that both the repository and the site begin with.

    python .ci/readme.py            write README.md and the pictures it shows
    python .ci/readme.py --check    say whether they are in step, exit 1 if not
"""
import base64, json, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = 'nbs/images'

def hidden(source):
    return re.search(r'^#\|\s*hide\b', source, re.M) is not None

def cell_text(cell, number, pictures):
    "A notebook cell as Markdown; pictures are collected as {path: bytes}."
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown':
        return re.sub(r'\]\(images/', f']({PICTURES}/', re.sub(r'\]\((?!https?:|#|images/)([\w/]+)\.ipynb', r'](nbs/\1.ipynb', source))
    if hidden(source): return ''
    shown = '\n'.join(l for l in source.splitlines() if not l.startswith('#|'))
    parts = [] if re.search(r'^#\|\s*echo:\s*false', source, re.M) else [f'```python\n{shown}\n```']
    for output in cell.get('outputs', []):
        data = output.get('data', {})
        if 'image/png' in data:
            path = f'{PICTURES}/index-{number}.png'
            pictures[path] = base64.b64decode(''.join(data['image/png']))
            parts.append(f'![]({path})')
        elif 'text/markdown' in data: parts.append(''.join(data['text/markdown']))
        elif output.get('name') == 'stdout': parts.append('```\n' + ''.join(output['text']).rstrip() + '\n```')
    return '\n\n'.join(parts)

def make():
    "README.md's text, and its pictures."
    pictures = {}
    cells = json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
    texts = [cell_text(c, i, pictures) for i, c in enumerate(cells)]
    return '\n\n'.join(t for t in texts if t).rstrip() + '\n', pictures

if __name__ == '__main__':
    text, pictures = make()
    wanted = {'README.md': text.encode(), **pictures}
    if '--check' in sys.argv:
        stale = [p for p, data in wanted.items() if not (ROOT/p).is_file() or (ROOT/p).read_bytes() != data]
        if stale: sys.exit(f"not in step with nbs/index.ipynb: {', '.join(stale)}; run: python .ci/readme.py")
        print('README.md is in step with nbs/index.ipynb')
    else:
        for old in (ROOT/PICTURES).glob('index-*.png'): old.unlink()
        for path, data in wanted.items():
            (ROOT/path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT/path).write_bytes(data)
