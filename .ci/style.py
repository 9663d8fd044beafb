"""Count what makes code and prose plain, and find what is not.

    python .ci/style.py      prints a table and a line for each fault; exit 1 if there is one

The limits: lines of 100 characters, one statement per line, prose cells of 120 words, modules of
450 lines, American spelling, and none of the phrases below.
"""
import ast
import json
import re
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WIDTH, WORDS, MODULE_LINES = 100, 120, 450
HEADER = ['notebook', 'export cell, median', 'export cell, longest', 'joined statements',
          'prose words, median', 'prose words, longest', 'hidden code cells']


BRITISH = re.compile(r"""\b(\w*colour\w*|gr[e]y\w*|behaviour\w*|favour\w*|centre[sd]?|neighbour\w*
    |(optim|normal|initial|minim|maxim|regular|summar|standard|organ|recogn|general|visual|random
    |serial|categor|penal|character|quant|equal|vector|final)is(e|ed|es|ing|ation|ations|er|ers))\b
    """, re.X | re.I)
PHRASES = ['no telling', 'borne', 'gone on with', 'broken off', 'goes on with', 'where None',
           'thinks alike', 'told apart', 'save its last', 'are about other', 'a panel a metric']


def is_export(source):
    return re.search(r'^#\|\s*exports?\b', source, re.M) is not None


def is_hidden(source):
    return re.search(r'^#\|\s*hide\b', source, re.M) is not None


def code_lines(source):
    "Lines that are neither empty nor a directive."
    return [line for line in source.splitlines() if line.strip() and not line.startswith('#|')]


def joined_statements(source):
    "How many statements begin on the line of the one before; magic does not count."
    tree = ast.parse(re.sub(r'^[%!].*$', 'pass', source, flags=re.M))
    count = 0
    for node in ast.walk(tree):
        for name in ('body', 'orelse', 'finalbody'):
            block = getattr(node, name, None)
            if isinstance(block, list):
                count += sum(a.lineno == b.lineno for a, b in zip(block, block[1:]))
    return count


def words(source):
    "Words of a prose cell, without its formulas, tables, code blocks and addresses."
    unread = r'```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|^\|[^\n]*$|\]\([^)]*\)'
    text = re.sub(unread, ' ', source, flags=re.M | re.S)
    return len(text.split())


def is_too_long(line):
    "Longer than the site's column; rows of a table and addresses cannot be broken."
    return len(line) > WIDTH and not line.startswith('|') and '](' not in line and '://' not in line


def wording(source):
    "British spellings and phrases that read as translated."
    found = [f'{m[0]!r} is not American spelling' for m in BRITISH.finditer(source)]
    found += [f'{phrase!r} is not plain English' for phrase in PHRASES if phrase in source]
    return found


def read_cells(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [(cell['cell_type'], ''.join(cell['source'])) for cell in cells]


def check_notebook(path):
    "A row of the table, and the faults."
    cells = read_cells(path)
    code = [source for kind, source in cells if kind == 'code']
    prose = [words(source) for kind, source in cells if kind == 'markdown'] or [0]
    exported = [len(code_lines(source)) for source in code if is_export(source)]
    faults = []
    try:
        joined = [joined_statements(source) for source in code]
    except SyntaxError as e:
        joined = [0]
        faults.append(f'{path.name}: is not Python: {e}')
    for number, (kind, source) in enumerate(cells):
        if any(map(is_too_long, source.splitlines())):
            faults.append(f'{path.name} cell {number}: a line of over {WIDTH} characters')
        if kind == 'markdown' and words(source) > WORDS:
            faults.append(f'{path.name} cell {number}: {words(source)} words of prose in a cell')
    faults += [f'{path.name} cell {number}: {fault}' for number, (_, source) in enumerate(cells)
               for fault in wording(source)]
    if any(joined):
        faults.append(f'{path.name}: {sum(joined)} statements begin on the line of another')
    hidden = sum(map(is_hidden, code))/max(1, len(code))
    row = [path.name, median(exported) if exported else '', max(exported, default=''), sum(joined),
           median(prose), max(prose), f'{hidden:.0%}']
    return row, faults, dict(exported=exported, prose=prose, hidden=list(map(is_hidden, code)))


def notebook_of(module):
    "Name of the notebook that a module is exported from; rooms are read in the order of names."
    found = re.search(r'File to edit: \.\./nbs/(\S+)\.ipynb', module.read_text(encoding='utf-8'))
    return found[1] if found else ''


def check_module(path):
    "The faults of an exported module."
    text = path.read_text(encoding='utf-8')
    faults = []
    if (count := len(text.splitlines())) > MODULE_LINES:
        faults.append(f'{path.name}: {count} lines, must be {MODULE_LINES} or fewer')
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        if node.module and notebook_of(path.with_name(f'{node.module}.py')) > notebook_of(path):
            faults.append(f'{path.name} line {node.lineno}: imports {node.module}, a room below it')
        for private in [alias.name for alias in node.names if re.match('_(?!_)', alias.name)]:
            faults.append(f'{path.name} line {node.lineno}: imports {private} of {node.module}')
    return faults


def main():
    rows, faults, every = [], [], dict(exported=[], prose=[], hidden=[])
    for path in sorted((ROOT/'nbs').rglob('*.ipynb')):
        if '.ipynb_checkpoints' in path.parts:
            continue
        row, found, counts = check_notebook(path)
        rows.append(row)
        faults += found
        for key, values in counts.items():
            every[key] += values
    for path in sorted((ROOT/'emotion_recognition').glob('*.py')):
        if path.name != '_modidx.py':
            faults += check_module(path)
    rows.append(['all', median(every['exported']), max(every['exported']), sum(r[3] for r in rows),
                 median(every['prose']), max(every['prose']),
                 f"{sum(every['hidden'])/len(every['hidden']):.0%}"])
    for line in [HEADER, ['---']*len(HEADER), *rows]:
        print(f"| {' | '.join(map(str, line))} |")
    for fault in faults:
        print(f'FAULT {fault}')
    print(f'{len(rows)-1} notebooks, {len(faults)} faults')
    return bool(faults)


if __name__ == '__main__':
    sys.exit(main())
