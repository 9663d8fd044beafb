"""Write README.md from nbs/index.ipynb, the text that the repository and the site begin with.

    python .ci/readme.py            write README.md and the pictures it shows
    python .ci/readme.py --check    say whether they are in step, exit 1 if not
"""
import base64
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = 'nbs/images'


def prose(source):
    "Markdown whose links to pages and pictures lead to their files in the repository."
    source = re.sub(r'\]\((?!https?:|#|images/)([\w/]+)\.ipynb', r'](nbs/\1.ipynb', source)
    return re.sub(r'\]\(images/', f']({PICTURES}/', source)


def option(source, name):
    "The value of a directive such as #| fig-alt: ...; empty if there is none."
    found = re.search(rf'^#\|\s*{name}:\s*(.*)$', source, re.M)
    return found[1].strip(' "\'') if found else ''


def output_text(output, source, number, pictures):
    "One output as Markdown; a picture is added to `pictures`, path -> bytes."
    data = output.get('data', {})
    if 'image/png' in data:
        path = f'{PICTURES}/index-{number}.png'
        pictures[path] = base64.b64decode(''.join(data['image/png']))
        return f"![{option(source, 'fig-alt')}]({path})"
    if 'text/markdown' in data:
        return ''.join(data['text/markdown'])
    if output.get('name') == 'stdout':
        return '```\n' + ''.join(output['text']).rstrip() + '\n```'
    return ''


def cell_text(cell, number, pictures):
    "A notebook's cell as Markdown."
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown':
        return prose(source)
    if re.search(r'^#\|\s*hide\b', source, re.M):
        return ''
    code = '\n'.join(line for line in source.splitlines() if not line.startswith('#|'))
    parts = [] if option(source, 'echo') == 'false' else [f'```python\n{code}\n```']
    parts += [output_text(o, source, number, pictures) for o in cell.get('outputs', [])]
    return '\n\n'.join(part for part in parts if part)


def make():
    "Path -> bytes: README.md and its pictures."
    pictures = {}
    cells = json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
    texts = [cell_text(cell, number, pictures) for number, cell in enumerate(cells)]
    text = '\n\n'.join(text for text in texts if text).rstrip() + '\n'
    return {'README.md': text.encode(), **pictures}


def check(wanted):
    "The files that are not as they should be."
    return [path for path, content in wanted.items()
            if not (ROOT/path).is_file() or (ROOT/path).read_bytes() != content]


def write(wanted):
    for old in (ROOT/PICTURES).glob('index-*.png'):
        old.unlink()
    for path, content in wanted.items():
        (ROOT/path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT/path).write_bytes(content)


if __name__ == '__main__':
    if '--check' not in sys.argv:
        write(make())
    elif stale := check(make()):
        sys.exit(f"README: not in step with nbs/index.ipynb: {', '.join(stale)}; "
                 "run: python .ci/readme.py")
    else:
        print('README.md is in step with nbs/index.ipynb')
