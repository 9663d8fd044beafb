"""Check the site without Quarto: process the notebooks as its build does, then read every page.

    python .ci/site.py      prints counts and one line for each fault; exit 1 if there is one

A page for every notebook, each once in the sidebar, with a title of its own, a description and one
H1. Links, backticked names and pictures that lead somewhere and say what they show. Outputs without
errors, warnings, progress bars, long lines, and paths of the machine that made them. Signatures
that a reader understands. Colors that can be read on the light and on the dark page.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path, PurePosixPath
from posixpath import normpath

import yaml

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
FENCE = re.compile(r'^(```|~~~).*?^\1', re.M | re.S)
LINK = re.compile(r'\[[^\[\]]*\]\(<?([^)\s>]+)|<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)"')
MACHINE_PATH = re.compile(r'(?<![\w.~-])/(?:tmp|root|home|work|Users|var/folders)/[^\s\'")`]*')
PROGRESS_BAR = re.compile(r'\d+%\|| \d+/\d+ \[\d\d:\d\d|\r')
PICTURE_KINDS = ('image/png', 'image/svg+xml', 'image/jpeg')
# in these pages a name such as kl or cosine means a loss or a schedule, not the metric it links to
OTHER_MEANING = ('01_losses', '03_train', '06_config', '07a_sweep', 'add_your_own')
faults = []


def fault(where, what):
    "Note a fault once, on one line."
    line = f'{where}: {" ".join(str(what).split())[:300]}'
    if line not in faults:
        faults.append(line)


# ---- from notebooks to pages

def copy_checkout(to):
    "The files that git knows, or would."
    command = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split('\0')):
        if os.path.lexists(ROOT/name):
            (to/name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT/name, to/name, follow_symlinks=False)


def convert_watched(convert, nbs):
    "`convert` of one notebook, whose errors and warnings become faults."
    def converted(source, target, processors):
        name = Path(source).relative_to(nbs)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter('always')
            try:
                convert(source, target, processors)
            except Exception as e:
                fault(name, f'cannot be processed: {e} ({e.__cause__})')
        for text in [str(w.message) for w in warned]:
            if 'imports and other code' in text:
                cell = text.partition('---')[2]
                fault(name, f'a cell holds imports and other code, the build would run it: {cell}')
    return converted


def process(checkout):
    "The folder of pages, as nbdev hands them to Quarto."
    os.chdir(checkout)
    os.environ['PYTHONPATH'] = str(checkout)
    sys.path.insert(0, str(checkout))
    from nbdev import serve, serve_drv
    serve_drv.exec_nb = convert_watched(serve_drv.exec_nb, checkout/'nbs')
    return serve.proc_nbs(n_workers=0)


def text_of(value):
    return ''.join(value) if isinstance(value, list) else str(value or '')


def outputs_of(cell):
    "(kind, text) of every output that can be read."
    for output in cell.get('outputs', []):
        if output['output_type'] == 'stream':
            yield output['name'], text_of(output['text'])
        elif output['output_type'] == 'error':
            yield 'error', f"{output.get('ename')}: {output.get('evalue')}"
        else:
            for kind, value in output.get('data', {}).items():
                if kind.startswith('text/'):
                    yield kind, text_of(value)


def rendered_texts(cells):
    "The Markdown and HTML that Quarto will render."
    for cell in cells:
        if cell['cell_type'] == 'markdown':
            yield text_of(cell['source'])
        elif cell['cell_type'] == 'code':
            yield from (t for kind, t in outputs_of(cell) if kind in ('text/markdown', 'text/html'))


def prose_of(cells):
    "What is rendered, without code blocks and formulas."
    def bare(match):
        # inline code keeps its words, since a heading may be one, and loses what looks like a link
        return re.sub(r'[\[\]()<>]', '', match[0]) if match[0][0] == '`' else ''
    text = FENCE.sub('', '\n\n'.join(rendered_texts(cells)))
    formula_or_code = r'\$\$.*?\$\$|`[^`\n]*`|\$(?=\S)[^$\n]*?(?<=\S)\$'
    return re.sub(formula_or_code, bare, text, flags=re.S)


def anchors_of(prose):
    "What can stand behind # in a link: pandoc's identifiers of headings, and those given by hand."
    by_hand = re.findall(r'\{#([\w.:-]+)|\bid="([^"]+)"', prose)
    found, seen = {a or b for a, b in by_hand}, Counter()
    for heading in re.findall(r'^#{1,6}\s+(.+?)\s*(?:\{[^}]*\})?\s*$', prose, re.M):
        words = re.sub(r'\]\([^)]*\)', '', heading).lower()
        words = re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', words).strip())
        name = re.sub(r'^[^a-z]+', '', words)
        found.add(f'{name}-{seen[name]}' if seen[name] else name)
        seen[name] += 1
    return found


def front_matter(cells):
    "The YAML that nbdev makes of a notebook's first cell."
    first = text_of(cells[0]['source']).strip() if cells else ''
    if not cells or cells[0]['cell_type'] != 'raw' or not first.startswith('---'):
        return {}
    return yaml.safe_load(first.strip('-\n'))


def read_page(path, name):
    "A processed notebook: cells, front matter, prose, anchors and address."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    matter, prose = front_matter(cells), prose_of(cells)
    file = matter.get('output-file') or PurePosixPath(name).with_suffix('.html').name
    html = str(PurePosixPath(name).with_name(file))
    return dict(cells=cells, matter=matter, prose=prose, anchors=anchors_of(prose), html=html)


# ---- what is on a page

def check_first_cell(name, cells):
    "nbdev makes front matter of the cell with the title and drops what else it holds."
    if not cells or cells[0]['cell_type'] != 'markdown':
        return
    lines = [line for line in text_of(cells[0]['source']).splitlines() if line.strip()]
    lost = [line for line in lines if not re.match(r'#\s|>\s|-\s+\S+:', line)]
    if lost:
        fault(name, f'the site drops what stands below the title in the first cell: {lost[0]}')


def check_title(name, page):
    for key in ('title', 'description'):
        if not str(page['matter'].get(key) or '').strip():
            fault(name, f"has no {key}: the notebook must begin with '# Title' and '> one line'")
    for heading in re.findall(r'^# .*', page['prose'], re.M):
        fault(name, f'a second H1 beside the title: {heading}')


def check_output(name, kind, text, alone):
    "One output; `alone` says that it is shown, not replaced by a picture or a rendered text."
    if kind == 'error' or 'Traceback (most recent call last)' in text:
        fault(name, f'an output is an error: {text[-120:]}')
    elif kind == 'stderr' or re.search(r'\w+Warning: ', text):
        fault(name, f'an output is a warning: {text[:120]}')
    if PROGRESS_BAR.search(text):
        fault(name, f'an output holds a progress bar: {text[:80]!r}')
    if '__main__.' in text:
        fault(name, f"an output says __main__: {text[max(0, text.index('__main__.')-40):][:100]}")
    for path in MACHINE_PATH.findall(text):
        fault(name, f'an output shows a path: {path}')
    blocks = [m[0] for m in FENCE.finditer(text)] if kind == 'text/markdown' else [text]*alone
    for line in '\n'.join(blocks).splitlines():
        if len(line) > WIDTH and 'source](http' not in line:
            fault(name, f'an output line of {len(line)} characters: {line[:80]}')


def check_signature(name, text):
    "A signature as show_doc writes it."
    for block in [m[0] for m in FENCE.finditer(text)]:
        if '](http' in block:
            line = re.search(r'.*\]\(http.*', block)[0].strip()
            fault(name, f"a backticked name in a parameter's comment shows as raw link: {line}")
        for line in block.splitlines():
            if re.search(r':(Literal|Optional|Union)\b(?!\[)', line) and '#' not in line:
                fault(name, f'a signature hides its choices: {line.strip()}')
        if re.search(r'\(\s*(\*args|args),\s*(\*\*kwargs|kwargs)|\*\*data\b', block):
            fault(name, f'a signature without parameters: {block[:100]}')


def check_outputs(name, cells):
    for cell in cells:
        kinds = {k for o in cell.get('outputs', []) for k in o.get('data', {})}
        replaced = kinds & {*PICTURE_KINDS, 'text/markdown', 'text/html'}
        for kind, text in outputs_of(cell):
            alone = kind not in ('text/html', 'text/plain') or not replaced
            check_output(name, kind, text, alone and kind != 'text/markdown')
            if kind == 'text/markdown' and 'show_doc' in text_of(cell['source']):
                check_signature(name, text)
        if kinds & set(PICTURE_KINDS) and 'fig-alt:' not in text_of(cell['source']):
            source = text_of(cell['source'])
            fault(name, f'a picture without alt text (#| fig-alt: ...): {source[:80]}')


def check_prose(name, page):
    "Pictures in the text, commands, and names that link to something else than is meant."
    prose = page['prose']
    for path in MACHINE_PATH.findall(prose):
        fault(name, f'the text shows a path: {path}')
    if re.search(r'!\[\s*\]\(|<img(?![^>]*\balt="[^"]+")', prose):
        fault(name, 'a picture in the text without alt text')
    everything = '\n\n'.join(rendered_texts(page['cells']))
    if re.search(r"pip install '?\"?emotion_recognition", everything):
        fault(name, "pip install emotion_recognition fetches another package: write '.[extra]'")
    if PurePosixPath(name).stem in OTHER_MEANING:
        links = re.findall(r'(metric )?\[`(\w+)`\]\([^)]*metrics\.html#\w+\)', everything)
        for kind, word in links:
            if not kind and word in ambiguous_names():
                fault(name, f'`{word}` links to the metric; here it means something else')


def ambiguous_names():
    "Names of metrics that are names of losses or schedules, too."
    from emotion_recognition.losses import LOSSES
    from emotion_recognition.metrics import METRICS
    return {metric for metric in METRICS if metric in LOSSES} | {'cosine'}


# ---- what leads from page to page

def find_page(path, inside, name, pages, by_html, proc):
    "The page that a link's path means, and whether the path is some other file that is there."
    if not inside and not path.startswith('/'):
        path = normpath(str(PurePosixPath(name).parent/path))
    path = path.lstrip('/')
    page = pages.get(path) or by_html.get(path)
    return page, not path.endswith(('.ipynb', '.html')) and (proc/path).is_file()


def link_fault(link, name, pages, by_html, proc, settings):
    "Why a link leads nowhere; None if it leads somewhere, or outside."
    site = f"{settings['doc_host']}{settings['doc_baseurl']}".rstrip('/')+'/'
    blob = f"{settings['git_url']}/blob/{settings['branch']}/"
    if link.startswith(blob):
        there = (proc.parent/link.removeprefix(blob).partition('#')[0]).exists()
        return None if there else 'no such file in the repository'
    inside = link.startswith(site)
    if link.startswith('data:') or not inside and re.match(r'[a-z][a-z+.-]*:', link):
        return None
    path, _, anchor = link.removeprefix(site).partition('#')
    page, is_file = by_html.get('index.html') if inside else pages.get(name), False
    if path:
        page, is_file = find_page(path, inside, name, pages, by_html, proc)
    if page is None:
        return None if is_file else 'no such page or file'
    if anchor and anchor.lower() not in page['anchors']:
        return f'no heading of that name on {page["html"]}'
    return None


def check_links(pages, proc, settings):
    "Every link and picture; the number of them."
    by_html, count = {p['html']: p for p in pages.values()}, 0
    for name, page in pages.items():
        for link in (a or b for a, b in LINK.findall(page['prose'])):
            count += 1
            if why := link_fault(link, name, pages, by_html, proc, settings):
                fault(name, f'link to {link}: {why}')
    return count


def check_apart(pages):
    "No two pages with the same address or the same title."
    for key, values in dict(address=[p['html'] for p in pages.values()],
                            title=[p['matter'].get('title') for p in pages.values()]).items():
        for value, times in Counter(values).items():
            if times > 1:
                fault(value, f'{times} pages have this {key}')


def entries_of(contents):
    "The pages a sidebar names, in order."
    for entry in contents:
        if isinstance(entry, str):
            yield entry
            continue
        if 'href' in entry:
            yield entry['href']
        yield from entries_of(entry.get('contents', []))


def check_sidebar(notebooks, proc):
    "Each page once, and nothing else."
    path = proc/'sidebar.yml'
    if not path.is_file():
        return fault('nbs/sidebar.yml', 'missing')
    contents = yaml.safe_load(path.read_text())['website']['sidebar']['contents']
    named = Counter(entries_of(contents))
    for name, times in named.items():
        if name not in notebooks:
            fault('nbs/sidebar.yml', f'there is no page {name}')
        if times > 1:
            fault('nbs/sidebar.yml', f'{name} stands {times} times')
    for name in notebooks:
        if name not in named:
            fault('nbs/sidebar.yml', f'the page {name} is missing')


def check_first_command(pages):
    "Whoever copies the first command of the front page has a checkout to run it in."
    texts = '\n'.join(text_of(c['source']) for c in pages['index.ipynb']['cells'])
    blocks = re.findall(r'```bash\n(.*?)```', texts, re.S)
    if not blocks or 'git clone' not in blocks[0] or '\ncd ' not in '\n'+blocks[0]:
        fault('index.ipynb', 'git clone and cd must stand before the first command')


# ---- settings and style sheet

def check_settings(settings):
    "What Quarto and nbdev read besides the notebooks."
    link = ROOT/'nbs/_quarto.yml'
    if not link.is_symlink() or os.readlink(link) != '../_quarto.yml':
        fault('nbs/_quarto.yml', 'must be a link to ../_quarto.yml')
    if not settings.custom_sidebar:
        fault('settings.ini', 'custom_sidebar must be True, or nbdev writes one by file names')
    citation = yaml.safe_load((ROOT/'CITATION.cff').read_text())
    if citation['version'] != settings.version:
        found = citation['version']
        fault('CITATION.cff', f'version {found}, settings.ini has {settings.version}')


def check_quarto(proc):
    quarto = yaml.safe_load((ROOT/'_quarto.yml').read_text())
    website, html = quarto['website'], quarto['format']['html']
    if quarto.get('metadata-files') != ['nbdev.yml', 'sidebar.yml']:
        fault('_quarto.yml', 'metadata-files must be [nbdev.yml, sidebar.yml]')
    if 'contents' in website['sidebar']:
        fault('_quarto.yml', "the sidebar's contents stand in nbs/sidebar.yml")
    if not html.get('canonical-url'):
        fault('_quarto.yml', 'format.html.canonical-url must be true')
    for name in (website.get('favicon', 'no favicon'), html['css']):
        if not (proc/name).is_file():
            fault('_quarto.yml', f'no file {name} in nbs')
    for key in ('open-graph', 'twitter-card'):
        check_card(key, (website.get(key) or {}).get('image', ''), proc)
    check_style_sheet(html['css'], (proc/html['css']).read_text())


def check_card(key, card, proc):
    "The picture beside a link to the site."
    from PIL import Image
    # without the slash Quarto looks beside each page, and a tutorial is a folder further down
    if not card.startswith('/') or not (proc/card[1:]).is_file():
        return fault('_quarto.yml', f'website.{key}.image must be /images/..., is {card!r}')
    path = proc/card[1:]
    if Image.open(path).size != (1200, 630) or path.stat().st_size > 120_000:
        fault(card, 'must be 1200x630 pixels and under 120 kB')


def luminance(color):
    "Relative luminance of '#rrggbb', as WCAG 2 defines it."
    parts = [int(color[i:i+2], 16)/255 for i in (1, 3, 5)]
    linear = [p/12.92 if p <= .03928 else ((p+.055)/1.055)**2.4 for p in parts]
    return .2126*linear[0] + .7152*linear[1] + .0722*linear[2]


def contrast(a, b):
    "Contrast of two colors, 1 to 21."
    dark, light = sorted([luminance(a), luminance(b)])
    return (light+.05)/(dark+.05)


def check_style_sheet(name, css):
    "Comments in code that can be read, and wide tables and formulas that scroll inside themselves."
    for mode, background in (('light', '#f7f7f7'), ('dark', '#2b2b2b')):
        rule = re.search(rf'\.quarto-{mode} code span\.co[^}}]*color:\s*(#[0-9a-f]{{6}})', css)
        if not rule:
            fault(name, f'no color for the comments of code on the {mode} page')
        elif contrast(rule[1], background) < 4.5:
            seen = contrast(rule[1], background)
            fault(name, f'comments on the {mode} page: contrast {seen:.1f}, must be 4.5 or more')
    for what in ('table', '.math.display'):
        rules = re.findall(r'([^{}]+)\{([^}]*)\}', css)
        if not any(what in selector and 'overflow-x' in body for selector, body in rules):
            fault(name, f'{what} must scroll inside itself (overflow-x: auto)')
    if 'white-space: nowrap' not in css:
        fault(name, 'code in tables must not break (white-space: nowrap)')


# ---- all of it

def find_notebooks(checkout):
    "Name under nbs -> path."
    found = {}
    for path in sorted((checkout/'nbs').rglob('*.ipynb')):
        parts = path.relative_to(checkout).parts
        if not any(part.startswith(('_', '.')) for part in parts):
            found[path.relative_to(checkout/'nbs').as_posix()] = path
    return found


def check_page(name, source, proc):
    "The page of one notebook, or None."
    cells = json.loads(source.read_text(encoding='utf-8'))['cells']
    check_first_cell(name, cells)
    check_outputs(name, cells)
    if not (proc/name).is_file():
        return fault(name, 'has no page')
    page = read_page(proc/name, name)
    check_outputs(name, page['cells'])
    check_title(name, page)
    check_prose(name, page)
    return page


def check(checkout):
    "All of it; the counts as text."
    notebooks = find_notebooks(checkout)
    proc = process(checkout)
    from nbdev.config import get_config
    settings = get_config()
    pages = {name: check_page(name, source, proc) for name, source in notebooks.items()}
    pages = {name: page for name, page in pages.items() if page}
    check_apart(pages)
    check_sidebar(notebooks, proc)
    check_settings(settings)
    check_quarto(proc)
    check_first_command(pages)
    links = check_links(pages, proc, settings)
    if not notebooks:
        fault('nbs', 'no notebooks')
    headings = sum(len(page['anchors']) for page in pages.values())
    return (f'{len(pages)} pages of {len(notebooks)} notebooks, {links} links and pictures, '
            f'{headings} headings')


if __name__ == '__main__':
    # no dot in the folder's name: nbdev passes over such folders in silence
    with tempfile.TemporaryDirectory(prefix='site') as folder:
        checkout = Path(folder).resolve()/'checkout'
        copy_checkout(checkout)
        try:
            counts = check(checkout)
        finally:
            os.chdir(ROOT)
    for line in faults:
        print(f'FAULT {line}')
    print(f'{counts}, {len(faults)} faults')
    sys.exit(bool(faults))
