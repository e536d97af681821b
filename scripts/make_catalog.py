"""Writes sciml_zoo/datasets/catalog.json from the SHA256SUMS of a data folder and the table in catalog_sources.py.

    python scripts/make_catalog.py --data ../shared/data

A file gets an address only if its path was seen in the upstream repository at that commit, and only if the whole
upstream file belongs to the file's role: where our copy is part of an upstream file whose rest is kept for acceptance
measurements, a download would mix the two. Test files of the potentials are the exception that the benchmark itself
makes: upstream they are longer, so that their hash is not known.
"""

import argparse
import gzip
import hashlib
import json
import os
from pathlib import Path

from catalog_sources import ADDRESSES, SOURCES

SAMPLES = {
    "name": "samples",
    "domain": "all",
    "folder": "samples",
    "summary": "Small samples that this project generated itself, each with the script that made it",
    "source": "this project (data/samples)",
    "commit": None,
    "licence": "CC0-1.0",
    "citation": None,
    "ships_weights": None,
    "download": None,
    "files": [],
}


def upstream_of(data: Path, path: str) -> dict | None:
    """Returns the JSON of a file's address, or None if it has none."""
    address = ADDRESSES.get(path)
    if address is None:
        return None
    row: dict = {
        "url": f"https://raw.githubusercontent.com/{address.repo}/{address.commit}/{address.path}",
        "name": address.path.rpartition("/")[2],
        "size": None,
        "sha256": None,
        "sha256_of": None,
    }
    if address.whole:
        content = (data / path).read_bytes()
        if path.endswith(".gz"):
            content = gzip.decompress(content)
        row["size"] = len(content)
        row["sha256"] = hashlib.sha256(content).hexdigest()
        row["sha256_of"] = "upstream" if address.compared else "local-copy"
    return row


def catalogue(data: Path) -> list[dict]:
    """Builds the rows of catalog.json.

    Args:
        data: the folder that SHA256SUMS describes.

    Returns:
        One row a data set.
    """
    sums = dict(reversed(line.split(maxsplit=1)) for line in (data / "SHA256SUMS").read_text().splitlines())
    unused = set(ADDRESSES) - set(sums)
    if unused:
        raise SystemExit(f"addresses of files that are not in SHA256SUMS: {sorted(unused)}")
    rows = [SAMPLES]
    for source in SOURCES:
        domain, _, last = source.folder.partition("/")
        prefix = f"{source.folder}/"
        files = [
            {
                "path": path.removeprefix(prefix),
                "size": (data / path).stat().st_size,
                "sha256": sums.pop(path),
                "upstream": upstream_of(data, path),
            }
            for path in sorted(sums)
            if path.startswith(prefix)
        ]
        if not files:
            raise SystemExit(f"no file of {source.folder} is in SHA256SUMS")
        rows.append(
            {
                "name": source.name or last,
                "domain": domain,
                "folder": source.folder,
                "summary": source.summary,
                "source": source.source,
                "commit": source.commit,
                "licence": source.licence,
                "citation": source.citation,
                "ships_weights": source.ships_weights,
                "download": source.download,
                "files": files,
            }
        )
    if sums:
        raise SystemExit(f"files of no data set: {sorted(sums)}")
    return sorted(rows, key=lambda row: (row["domain"], row["name"]))


def as_json(rows: list[dict]) -> str:
    """Returns the rows as JSON, one file a line, so that a change shows as one line."""

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    blocks = []
    for row in rows:
        head = "".join(f"  {text(key)}: {text(value)},\n" for key, value in row.items() if key != "files")
        files = ",\n".join(f"    {text(file)}" for file in row["files"])
        blocks.append(f"{{\n{head}  " + (f'"files": [\n{files}\n  ]\n}}' if files else '"files": []\n}'))
    return '{"version": 1, "datasets": [\n' + ",\n".join(blocks) + "\n]}\n"


def main() -> None:
    """Reads the command line and writes the catalogue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCIML_ZOO_DATA"), help="folder with SHA256SUMS")
    default = Path(__file__).parents[1] / "sciml_zoo" / "datasets" / "catalog.json"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, or set SCIML_ZOO_DATA")
    arguments.output.write_text(as_json(catalogue(Path(arguments.data))), encoding="utf-8")


if __name__ == "__main__":
    main()
