"""Check the site without Quarto: process the notebooks as its build does, then look for all that a reader would stumble over.

    python .ci/site.py      prints counts and one line for each fault; exit 1 if there is one

What it wants: a page for every notebook, and each page in the sidebar once; a title and a description; links, backticked
names and pictures that lead somewhere; outputs without errors, warnings and paths of the machine that made them.
"""
import json, os, re, shutil, subprocess, sys, tempfile, warnings
from collections import Counter
from pathlib import Path, PurePosixPath
from posixpath import normpath

ROOT = Path(__file__).resolve().parent.parent
MACHINE_PATH = re.compile(r'(?<![\w.~-])/(?:tmp|root|home|work|Users|var/folders)/[^\s\'")`]*')
FENCE = re.compile(r'^(```|~~~).*?^\1', re.M | re.S)
LINK = re.compile(r'\[[^\[\]]*\]\(<?([^)\s>]+)|<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)"')
faults = []

def fault(where, what):
    "Note a fault once, on one line."
    line = f'{where}: {" ".join(str(what).split())[:300]}'
    if line not in faults: faults.append(line)

def copy_checkout(to):
    "The files that git knows, or would."
    listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split('\0')):
        if not os.path.lexists(ROOT/name): continue
        (to/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/name, to/name, follow_symlinks=False)

def process(checkout):
    "Pages as nbdev hands them to Quarto; a notebook that cannot be processed is a fault and does not stop the others."
    os.chdir(checkout)
    os.environ['PYTHONPATH'] = str(checkout)
    sys.path.insert(0, str(checkout))
    from nbdev import serve, serve_drv
    convert = serve_drv.exec_nb
    def convert_or_tell(source, target, processors):
        name = Path(source).relative_to(checkout/'nbs')
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter('always')
            try: convert(source, target, processors)
            except Exception as e: fault(name, f"cannot be processed: {e}" + (f" ({type(e.__cause__).__name__}: {e.__cause__})" if e.__cause__ else ''))
        for w in warned:
            if 'imports and other code' in str(w.message): fault(name, f"a cell holds imports and other code, all of which the site's build would run: {str(w.message).partition('---')[2]}")
    serve_drv.exec_nb = convert_or_tell
    return serve.proc_nbs(n_workers=0)

def text_of(value): return ''.join(value) if isinstance(value, list) else str(value or '')

def output_texts(cell):
    "(kind, text) of every output that can be read."
    for output in cell.get('outputs', []):
        if output['output_type'] == 'stream': yield output['name'], text_of(output['text'])
        elif output['output_type'] == 'error': yield 'error', f"{output.get('ename')}: {output.get('evalue')}"
        else: yield from ((kind, text_of(value)) for kind, value in output.get('data', {}).items() if kind.startswith('text/'))

def prose_of(cells):
    "The Markdown that Quarto will render, without code and formulas."
    parts = [text_of(c['source']) for c in cells if c['cell_type'] == 'markdown']
    parts += [text for c in cells if c['cell_type'] == 'code' for kind, text in output_texts(c) if kind in ('text/markdown', 'text/html')]
    bare = FENCE.sub('', '\n\n'.join(parts))
    # inline code keeps its words, since a heading may be one, and loses what would look like a link
    return re.sub(r'\$\$.*?\$\$|`[^`\n]*`|\$(?=\S)[^$\n]*?(?<=\S)\$', lambda m: re.sub(r'[\[\]()<>]', '', m[0]) if m[0][0] == '`' else '', bare, flags=re.S)

def anchors_of(prose):
    "What can stand behind # in a link: pandoc's identifiers of the headings, and those given by hand."
    found, seen = set(re.findall(r'\{#([\w.:-]+)|\bid="([^"]+)"', prose)), Counter()
    found = {a or b for a, b in found}
    for heading in re.findall(r'^#{1,6}\s+(.+?)\s*(?:\{[^}]*\})?\s*$', prose, re.M):
        words = re.sub(r'\]\([^)]*\)', '', heading).lower()
        name = re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', words).strip()))
        found.add(f'{name}-{seen[name]}' if seen[name] else name)
        seen[name] += 1
    return found

def read_page(path, notebook):
    "Front matter, prose and anchors of a processed notebook."
    import yaml
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    first = text_of(cells[0]['source']).strip() if cells else ''
    matter = yaml.safe_load(first.strip('-\n')) if cells and cells[0]['cell_type'] == 'raw' and first.startswith('---') else {}
    prose = prose_of(cells)
    html = str(PurePosixPath(notebook).with_name(matter.get('output-file') or PurePosixPath(notebook).with_suffix('.html').name))
    return dict(cells=cells, matter=matter, prose=prose, anchors=anchors_of(prose), html=html)

def check_first_cell(name, cells):
    "nbdev makes front matter of the cell with the title and drops what else it holds."
    lines = [l for l in text_of(cells[0]['source']).splitlines() if l.strip()] if cells and cells[0]['cell_type'] == 'markdown' else []
    if lost := [l for l in lines if not re.match(r'#\s|>\s|-\s+\S+:', l)]: fault(name, f"the site drops what stands below the title in the first cell, put it in a cell of its own: {lost[0][:80]}")

def check_outputs(name, cells):
    "No errors, no warnings, no paths."
    for cell in cells:
        for kind, text in output_texts(cell):
            if kind == 'error' or 'Traceback (most recent call last)' in text: fault(name, f"an output is an error: {text[-120:]}")
            elif kind == 'stderr': fault(name, f"an output is a warning: {text[:120]}")
            for path in MACHINE_PATH.findall(text): fault(name, f"an output shows a path: {path}")
            if kind == 'text/markdown' and (line := re.search(r'.*\]\(http.*', ''.join(m[0] for m in FENCE.finditer(text)))):
                fault(name, f"a backticked name in the comment of a parameter shows as raw link, write it without backticks: {line[0].strip()}")

def target_fault(link, name, pages, by_html, proc, settings):
    "Why a link leads nowhere; None where it leads somewhere, or outside."
    site = f"{settings['doc_host']}{settings['doc_baseurl']}".rstrip('/')+'/'
    blob = f"{settings['git_url']}/blob/{settings['branch']}/"
    if link.startswith(blob): return None if (proc.parent/link.removeprefix(blob).partition('#')[0]).exists() else 'no such file in the repository'
    inside = link.startswith(site)
    if not inside and re.match(r'[a-z][a-z+.-]*:', link): return None
    path, _, anchor = link.removeprefix(site).partition('#')
    if not path: page = pages.get(name) if not inside else by_html.get('index.html')
    else:
        path = path.lstrip('/') if inside or path.startswith('/') else normpath(str(PurePosixPath(name).parent/path))
        page = pages.get(path) or by_html.get(path)
        if page is None: return None if not path.endswith(('.ipynb', '.html')) and (proc/path).is_file() else 'no such page or file'
    return f'no heading of that name on {page["html"]}' if anchor and anchor.lower() not in page['anchors'] else None

def check_links(pages, proc, settings):
    "Every link and picture; the number of them."
    by_html, count = {p['html']: p for p in pages.values()}, 0
    for name, page in pages.items():
        for link in (a or b for a, b in LINK.findall(page['prose'])):
            count += 1
            if link.startswith('data:'): continue
            if why := target_fault(link, name, pages, by_html, proc, settings): fault(name, f'link to {link}: {why}')
    return count

def entries_of(contents):
    "The pages a sidebar names, in order."
    for entry in contents:
        if isinstance(entry, str): yield entry
        else:
            if 'href' in entry: yield entry['href']
            yield from entries_of(entry.get('contents', []))

def check_sidebar(notebooks, proc):
    "Each page once, and nothing else."
    import yaml
    if not (proc/'sidebar.yml').is_file(): return fault('nbs/sidebar.yml', 'missing')
    named = Counter(entries_of(yaml.safe_load((proc/'sidebar.yml').read_text())['website']['sidebar']['contents']))
    for name, times in named.items():
        if name not in notebooks: fault('nbs/sidebar.yml', f'there is no page {name}')
        if times > 1: fault('nbs/sidebar.yml', f'{name} stands {times} times')
    for name in notebooks:
        if name not in named: fault('nbs/sidebar.yml', f'the page {name} is missing')

def check_site_settings(proc, settings):
    "What Quarto and nbdev read besides the notebooks."
    import yaml
    from PIL import Image
    link = ROOT/'nbs/_quarto.yml'
    if not link.is_symlink() or os.readlink(link) != '../_quarto.yml': fault('nbs/_quarto.yml', 'must be a link to ../_quarto.yml')
    quarto = yaml.safe_load((ROOT/'_quarto.yml').read_text())
    if quarto.get('metadata-files') != ['nbdev.yml', 'sidebar.yml']: fault('_quarto.yml', 'metadata-files must be [nbdev.yml, sidebar.yml]')
    if not settings.custom_sidebar: fault('settings.ini', 'custom_sidebar must be True, or nbdev writes a sidebar by file names')
    if 'contents' in quarto['website']['sidebar']: fault('_quarto.yml', "the sidebar's contents stand in nbs/sidebar.yml")
    for key in ('open-graph', 'twitter-card'):
        card = (quarto['website'].get(key) or {}).get('image', '')
        # without the slash Quarto would look beside each page, and a tutorial is a folder further down
        if not card.startswith('/') or not (proc/card[1:]).is_file(): fault('_quarto.yml', f'website.{key}.image must be /images/..., a file in nbs/images, is {card!r}')
        elif Image.open(proc/card[1:]).size != (1200, 630) or (proc/card[1:]).stat().st_size > 120_000: fault(card, 'must be 1200x630 pixels and under 120 kB')
    css = quarto['format']['html']['css']
    if not (proc/css).is_file(): fault('_quarto.yml', f'css: no {css} in nbs')
    citation = yaml.safe_load((ROOT/'CITATION.cff').read_text())
    if citation['version'] != settings.version: fault('CITATION.cff', f"version {citation['version']}, settings.ini has {settings.version}")

def check(checkout):
    "All of it; the counts as text."
    notebooks = {p.relative_to(checkout/'nbs').as_posix(): p for p in sorted((checkout/'nbs').rglob('*.ipynb')) if not any(part.startswith(('_', '.')) for part in p.relative_to(checkout).parts)}
    proc = process(checkout)
    from nbdev.config import get_config
    settings, pages = get_config(), {}
    for name, source in notebooks.items():
        cells = json.loads(source.read_text(encoding='utf-8'))['cells']
        check_first_cell(name, cells)
        check_outputs(name, cells)
        if not (proc/name).is_file(): fault(name, 'has no page'); continue
        page = pages[name] = read_page(proc/name, name)
        check_outputs(name, page['cells'])
        for key in ('title', 'description'):
            if not str(page['matter'].get(key) or '').strip(): fault(name, f"has no {key}: the notebook must begin with '# Title' and '> one line'")
        for path in MACHINE_PATH.findall(page['prose']): fault(name, f'the text shows a path: {path}')
    for html, times in Counter(p['html'] for p in pages.values()).items():
        if times > 1: fault(html, f'{times} notebooks make this page')
    check_sidebar(notebooks, proc)
    check_site_settings(proc, settings)
    links = check_links(pages, proc, settings)
    if not notebooks: fault('nbs', 'no notebooks')
    return f'{len(pages)} pages of {len(notebooks)} notebooks, {links} links and pictures, {sum(len(p["anchors"]) for p in pages.values())} headings'

if __name__ == '__main__':
    # no dot in the folder's name: nbdev passes over such folders in silence
    with tempfile.TemporaryDirectory(prefix='site') as folder:
        checkout = Path(folder).resolve()/'checkout'
        copy_checkout(checkout)
        try: counts = check(checkout)
        finally: os.chdir(ROOT)
    for line in faults: print(f'FAULT {line}')
    print(f'{counts}, {len(faults)} faults')
    sys.exit(bool(faults))
