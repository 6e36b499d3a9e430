"""Which folders become which packages: everything is installed under the one name `preflight_ocr`.

`pyproject.toml` says all else. The list of packages is made here because setuptools finds packages by the name of their
folder, and the folders at the top level carry no prefix.
"""

from setuptools import find_packages, setup

FOLDERS = ("harness", "probes", "reports", "fixtures")
FOUND = find_packages(
    include=[f"{folder}{end}" for folder in FOLDERS for end in ("", ".*")], exclude=["harness.public"]
)

setup(
    packages=["preflight_ocr", *(f"preflight_ocr.{name}" for name in FOUND)],
    package_dir={"preflight_ocr": "harness/public", **{f"preflight_ocr.{folder}": folder for folder in FOLDERS}},
)
