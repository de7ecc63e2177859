"""evomnas: the one place that declares what it is and what it needs."""

from pathlib import Path

from setuptools import find_packages, setup

TEST = [
    "axe-playwright-python>=0.1.4",
    "executorch>=1.0",
    "hypothesis>=6.100",
    "playwright>=1.40",
    "pytest>=8",
    "ray>=2.40",
    "timm>=1.0",
]

setup(
    name="evomnas",
    version="0.1.0",
    description="Multi-objective search of MnasNet's space for accuracy and measured latency",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    keywords="neural architecture search, NSGA-II, MnasNet, latency, Pareto, pymoo",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=[*find_packages(include=["evomnas", "evomnas.*"]), "evomnas.problems", "evomnas.reports"],
    package_dir={"evomnas.problems": "problems", "evomnas.reports": "reports"},
    package_data={
        "evomnas": ["py.typed"],
        "evomnas.problems": ["*.toml"],
        "evomnas.reports": ["*.html", "*.css", "*.js", "README.md"],
    },
    install_requires=[
        "deap>=1.4",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "moocore>=0.1.5",
        "numpy>=1.26",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "pebble>=5.0",
        "pillow>=10.0",
        "plotly>=5.20",
        "ptflops>=0.7.3",
        "pydantic>=2.6",
        "pymoo>=0.6.1.5",
        "rich>=13.7",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "torch>=2.4",
        "torchvision>=0.19",
        "typer>=0.12",
    ],
    extras_require={
        "test": TEST,
        "dev": [*TEST, "mypy>=1.10", "ruff>=0.5", "tox>=4.15"],
        "executorch": ["executorch>=1.0"],
        "ray": ["ray>=2.40"],
    },
    entry_points={
        "console_scripts": ["evomnas = evomnas.cli:main"],
        "evomnas.datasets": [
            "digits = evomnas.data:digits",
            "image-folder = evomnas.data:image_folder",
            "npz = evomnas.data:npz",
            "mnist = evomnas.data:torchvision_dataset",
            "fashion-mnist = evomnas.data:torchvision_dataset",
            "kmnist = evomnas.data:torchvision_dataset",
            "cifar10 = evomnas.data:torchvision_dataset",
            "cifar100 = evomnas.data:torchvision_dataset",
            "svhn = evomnas.data:torchvision_dataset",
            "flowers102 = evomnas.data:torchvision_dataset",
            "food101 = evomnas.data:torchvision_dataset",
        ],
        "evomnas.runtimes": [
            "onnxruntime = evomnas.latency.onnxruntime:OnnxRuntime",
            "executorch = evomnas.latency.executorch:ExecuTorchRuntime",
            "torch = evomnas.latency.eager:TorchRuntime",
        ],
        "evomnas.algorithms": [
            "nsga2 = evomnas.algorithms.nsga2:NSGA2",
            "rl-weighted = evomnas.algorithms.rl_weighted:RLWeighted",
            "evo-weighted = evomnas.algorithms.evolution:EvoWeighted",
            "evo-constrained = evomnas.algorithms.evolution:EvoConstrained",
            "random = evomnas.algorithms.random_search:RandomSearch",
        ],
    },
)
