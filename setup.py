"""Packaging of platebeam. Beam's --setup_file ships this file to its workers."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="platebeam",
    version="0.1.0",
    description="Batch licence-plate reading for picture archives, on Apache Beam",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["lpr_core*", "pipelines*", "model_training*"]),
    package_data={"": ["py.typed"], "lpr_core": ["bundles/*/*"]},
    install_requires=[
        "apache-beam>=2.77,<3",
        "opencv-python-headless>=4.10",
        "numpy>=1.26",
        "pillow>=11",
        "pyarrow>=16",
        "fsspec>=2024.6",
        "ai-edge-litert>=1.3",
        "tenacity>=9",
        "tqdm>=4.66",
        "duckdb>=2,<3",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "tabulate>=0.9",
    ],
    extras_require={
        "train": ["tensorflow>=2.18", "keras>=3.6", "keras-tuner>=1.4"],
        "gcp": ["apache-beam[gcp]>=2.77,<3", "gcsfs>=2024.6"],
        "aws": ["s3fs>=2024.6"],
        "dev": [
            "apache-beam[gcp]>=2.77,<3",
            "cryptography>=42",
            "gcsfs>=2024.6",
            "hypothesis>=6.100",
            "mkdocs-material>=9.6,<10",
            "mypy>=1.13",
            "psutil>=6",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "s3fs>=2024.6",
            "setuptools>=68",
            "types-tabulate",
            "types-tqdm",
            "wheel",
        ],
    },
    entry_points={
        "console_scripts": ["platebeam = pipelines.cli:run_and_leave"],
        "platebeam.commands": [
            "read = pipelines.read_plates:main",
            "runs = pipelines.runs:main",
            "show = pipelines.show:main",
            "verify = pipelines.verify:main",
            "train = model_training.train:main",
            "tune = model_training.tune:main",
            "evaluate-model = model_training.evaluate:main",
            "predict-characters = model_training.predict:main",
            "export = model_training.export:main",
            "generate = model_training.generate:main",
        ],
    },
)
