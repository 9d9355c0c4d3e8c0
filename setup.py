"""What the package is called, what it needs, and what each extra adds. Tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "mt3lite" / "__init__.py").read_text(encoding="utf-8")).group(1)

EXTRAS = {
    "train": [
        "absl-py>=2",
        "grain>=0.2.18",
        "optax>=0.2.4",
        "orbax-checkpoint>=0.11",
        "tensorboardX>=2.6",
        "tensorstore>=0.1.60",
        "gin-config>=0.5",
        "pretty_midi>=0.2.10",
    ],
    "data": ["jams>=0.3.4", "pyyaml>=6"],  # importers of GuitarSet, and of Slakh2100
    "seqio": [
        "seqio>=0.0.20",
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "apache-beam>=2.77",  # seqio's cache tool
        "google-crc32c>=1.5",  # with which Beam writes TFRecord files
        "tensorboard>=2.19",  # seqio.TensorBoardLogger
        "protobuf>=6.33.5,<7",  # for TensorFlow
        "sentencepiece==0.2.2",  # of seqio's; its next version wants another protobuf
    ],
    "synth": ["pyfluidsynth>=1.3.4"],  # and the system library libfluidsynth3, with a soundfont
    "plot": ["matplotlib>=3.8"],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.6", "mkdocstrings-python>=1.16"],  # the documentation as a site
}
DEV = [
    *("pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "ruff>=0.9", "mypy>=1.15", "build>=1.2", "twine>=6.1"),
    *("nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29"),  # the notebooks
    "partitura>=1.5",  # reads scores: data/models/beats
]

setup(
    name="mt3lite",
    version=VERSION,
    description="Music transcription: a recording in, the notes of every instrument out. JAX, after the design of MT3.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["music transcription", "audio to MIDI", "JAX", "MT3"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Multimedia :: Sound/Audio :: MIDI",
    ],
    python_requires=">=3.11",
    packages=[*find_packages(include=["mt3lite", "mt3lite.*"]), "mt3lite.gin", "mt3lite.demo"],
    package_dir={"mt3lite.gin": "gin", "mt3lite.demo": "data/demo"},
    package_data={"mt3lite": ["py.typed", "assets/*/*"], "mt3lite.gin": ["*.gin"], "mt3lite.demo": ["clip.*"]},
    install_requires=[
        "numpy>=1.26",
        "jax>=0.5",
        "flax>=0.10.2",
        "note-seq>=0.0.5",
        "audioop-lts>=0.2.1; python_version >= '3.13'",  # for note-seq's pydub: it has left Python itself
        "mido>=1.3",  # these two come with note-seq anyway; we call them too
        "protobuf>=4.25",
        "soundfile>=0.12.1",
        "soxr>=0.4",
        "scipy>=1.11",
        "safetensors>=0.4.3",
        "mir_eval>=0.7",
        "tqdm>=4.66",
    ],
    extras_require={**EXTRAS, "dev": DEV, "all": sorted({line for lines in [*EXTRAS.values(), DEV] for line in lines})},
    entry_points={"console_scripts": ["mt3lite = mt3lite.__main__:main"]},
)
