"""The way of somebody new, by README.md alone, with the time of every step.

    python benchmarks/first_hour.py [--images 1400] [--work runs/first_hour]

From a clone of this repository and an empty virtual environment to a check and a preview of a folder of images, a
training loop with squares searched in the step, a mined cache and a student trained with it: README's own commands and
both of its scripts, as they stand there. The folder holds drawn faces as PNG files, class folder by class folder.
Needs only the standard library; the packages come from where ``pip`` has them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
DRAW = """
import sys
from pathlib import Path
from pasm_aug import SyntheticExpressions
data = SyntheticExpressions("train", length=int(sys.argv[1]))
for index in range(len(data)):
    image, label = data[index]
    folder = Path("faces/train") / data.classes[label]
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{index}.png")
"""


def readme(pattern: str) -> str:
    """The line of README.md that has ``pattern``, without its comment."""
    lines = [line for line in (HERE / "README.md").read_text().splitlines() if pattern in line]
    return lines[0].partition("#")[0].strip()


def scripts() -> list[str]:
    """README's Python scripts."""
    return re.findall(r"^```python\n(.*?)^```", (HERE / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1400)
    parser.add_argument("--work", type=Path, default=Path("runs/first_hour"), help="a new folder")
    args = parser.parse_args()
    work = args.work.resolve()
    if work.exists():
        parser.error(f"--work must be a folder that is not there yet, got {work}")
    work.mkdir(parents=True)
    activate = f". {work}/venv/bin/activate"
    install = readme("pip install -e . &&").partition("&&")[0].strip()
    online, mined = scripts()
    for name, script in {"draw": DRAW, "online": online, "mined": mined}.items():
        (work / f"{name}.py").write_text(script)
    steps = [
        ("clone", f"git clone --quiet {HERE} checkout"),
        ("environment", f"{sys.executable} -m venv venv"),
        (f"`{install}`", f"{activate}; cd checkout; {install} --quiet"),
        (f"{args.images:,} images in class folders (the user's own)", f"{activate}; python draw.py {args.images}"),
        *((f"`{line}`", f"{activate}; {line}") for line in map(readme, ("pasm-aug check", "pasm-aug preview"))),
        ("the script of the training loop, 5 epochs", f"{activate}; python online.py"),
        ("the script of the cache: teacher, mining, student", f"{activate}; python mined.py"),
    ]
    print("| step | seconds | since the start |\n|---|---|---|")
    begun = time.monotonic()
    for name, command in steps:
        started = time.monotonic()
        with open(work / "log.txt", "a") as log:
            done = subprocess.run(["bash", "-c", f"set -e; {command}"], cwd=work, stdout=log, stderr=log)
        if done.returncode:
            raise SystemExit(f"first_hour.py: {name} ended with {done.returncode}: see {work / 'log.txt'}")
        now = time.monotonic()
        minutes, seconds = divmod(round(now - begun), 60)
        print(f"| {name} | {now - started:.0f} | {minutes}:{seconds:02} |", flush=True)


if __name__ == "__main__":
    main()
