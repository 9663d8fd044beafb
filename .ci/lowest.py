"""Print the lowest versions that settings.ini allows everybody, as constraints for pip.

    python .ci/lowest.py > lowest.txt
    pip install -c lowest.txt -e . nbdev==2.4.14 'execnb<0.2' 'ghapi<2'
    nbdev_test --path nbs/02_metrics.ipynb

The extras ask for newer versions of some of these, so they are left out.
"""
import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def lowest(requirements):
    "'numpy>=1.26 torch>=2.6' -> ['numpy==1.26', 'torch==2.6']"
    bounds = [re.match(r'([\w-]+)>=([\d.]+)', word) for word in requirements.split()]
    return [f'{bound[1]}=={bound[2]}' for bound in bounds if bound]


if __name__ == '__main__':
    parser = ConfigParser(delimiters=['='], comment_prefixes=('#',))
    parser.read(ROOT/'settings.ini', encoding='utf-8')
    print('\n'.join(lowest(parser['DEFAULT']['requirements'])))
