"""Packaging. This file is the only place that knows the folder mapping.

`envs/` and `agents/` are real top-level folders of the repository, imported as `gato_gym.envs` and
`gato_gym.agents`: both bare names belong to other projects on PyPI, so a wheel must never carry
them. Install with a plain `pip install -e .` (setuptools' default editable mode).
"""

from setuptools import find_packages, setup

ROOTS = {"gato_gym": "gato_gym", "gato_gym.envs": "envs", "gato_gym.agents": "agents"}

packages = []
for name, folder in ROOTS.items():
    packages += [name, *(f"{name}.{child}" for child in find_packages(folder))]

# MuJoCo 3.11 serves the most suites at once; with 4.0 half of Gymnasium-Robotics does not build.
MUJOCO = "mujoco>=3.11,<4"

EXTRAS = {
    "atari": ["ale-py>=0.12"],
    "box2d": ["box2d>=2.3.10"],
    "mujoco": [MUJOCO],
    "dm_control": [MUJOCO, "dm-control>=1.0.44", "shimmy>=2.0.1"],
    "metaworld": [MUJOCO, "metaworld>=3.0"],
    "minigrid": ["minigrid>=3.2"],
    "popgym": ["popgym>=1.0.7"],
    "robotics": [MUJOCO, "gymnasium-robotics>=1.4.2"],
    "experts": ["stable-baselines3>=2.9,<3", "sb3-contrib>=2.9,<3"],
    "minari": ["minari>=0.5.4", "h5py>=3.16"],
    "lora": ["peft>=0.21"],
    # The sources of pictures that captions and questions are about.
    "pictures": [MUJOCO, "ale-py>=0.12", "minigrid>=3.2"],
    "quantize": ["torchao>=0.18"],
    "report": ["jinja2>=3.1", "markdown-it-py>=4"],
    # What the activations of an agent tell.
    "probing": ["scikit-learn>=1.7"],
    "language": ["datasets>=5.2", "sacrebleu>=2.6", "nltk>=3.10"],
}

# Many machines. Not in `all`, which is everything for one machine.
RAY = ["ray>=2.60"]

setup(
    packages=packages,
    package_dir=ROOTS,
    include_package_data=False,  # what ships beside the code is listed here
    package_data={
        "gato_gym": [
            "py.typed",
            "pretrained/**/*",
            "tokenizers/default_text.*",
            "evaluation/published.json",
            "evaluation/report/page.*",
        ],
        "gato_gym.envs": ["*.json", "**/*.xml", "language/dialogues/*"],
        "gato_gym.agents": ["experts/weights/*/*"],
    },
    install_requires=[
        "numpy>=2",
        "torch>=2.13,<3",
        "gymnasium>=1.4,<2",
        # Gymnasium's classic control and MiniGrid draw with it; it takes the place of pygame.
        "pygame-ce>=2.5.8",
        "array-record>=0.8.6",
        "grain>=0.2.18",
        "zstandard>=0.25",
        "google-crc32c>=1.9",
        "safetensors>=0.8",
        "huggingface_hub>=2.4",
        "sentencepiece>=0.2.3",
        "tyro>=1.0.17",
        "pillow>=12",
        "matplotlib>=3.11",
        "av>=18",
        "imageio>=2.38",
        "scipy>=1.17",
        "tensorboard>=2.21",
        "tqdm>=4.70",
    ],
    extras_require={
        **EXTRAS,
        "ray": RAY,
        "all": sorted({requirement for extra in EXTRAS.values() for requirement in extra}),
        "dev": [
            *RAY,
            "pytest>=9",
            # Drives the Chromium of the system, where there is one, to look at the report's page.
            "playwright>=1.60",
            "pytest-xdist>=3.8",
            "hypothesis>=6.170",
            "ruff>=0.17",
            "mypy>=2.4",
            "build>=1.3",
        ],
    },
    entry_points={"console_scripts": ["gato-gym = gato_gym.cli:main"]},
)
