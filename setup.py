"Everything the package says of itself stands in settings.ini; setuptools reads it here."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=['='], comment_prefixes=('#',))
parser.read('settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    keywords=cfg['keywords'],
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['emotion_recognition*']),
    package_data={'emotion_recognition': ['configs/*.yaml', 'pretrained/*/*']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={
        'offline': cfg['offline_requirements'].split(),
        'embed': cfg['embed_requirements'].split(),
        'demo': cfg['demo_requirements'].split(),
        'ray': cfg['ray_requirements'].split(),
        'faces': cfg['faces_requirements'].split(),
        'video': cfg['video_requirements'].split(),
        'onnx': cfg['onnx_requirements'].split(),
        'dev': cfg['dev_requirements'].split(),
    },
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
    zip_safe=False,
)
